"""What organisation rules give in the tenants that they feed; and which tenants those are.

The operator's word that a group is a department's stands in for a confirmed e-mail domain (`identity/group_rules.py`).
What it can never do: make an operator (roles are a tenant's); touch a tenant that neither a rule made nor an operator
chose; touch one that has a provider of its own; make owners or administrators where others owned the tenant before.
"""

from collections.abc import Mapping

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils.translation import gettext as _

from identity import audit
from identity.errors import Conflict, Invalid, NotFound
from identity.group_patterns import is_word, match
from identity.models import GroupFeed, Membership, OrganisationRule, ProviderVersion, Role, Tenant
from identity.notices import notify
from identity.operators import Operator
from identity.permissions import OperatorPermission

LETS_OTHERS_IN = frozenset({Role.OWNER, Role.ADMINISTRATOR})


def organisation_rules() -> list[OrganisationRule]:
    """All rules, by pattern: a handful."""
    return list(OrganisationRule.objects.order_by("pattern"))


def roles_given(groups: frozenset[str]) -> dict[int, Role]:
    """What the rules give members of these groups of the shared provider: tenant -> the first of the roles, in the
    order owner, administrator, developer, finance, auditor.
    """
    roles = _roles_by_word(groups)
    if not roles:
        return {}
    given = {}
    for feed in GroupFeed.objects.filter(~Exists(_own_provider()), word__in=roles, tenant__is_platform=False):
        allowed = roles[feed.word] if feed.gives_administrators else roles[feed.word] - LETS_OTHERS_IN
        if allowed:
            given[feed.tenant_id] = next(role for role in Role if role in allowed)
    return given


def fed_among(tenant_ids: list[int]) -> frozenset[int]:
    """Those of the tenants that rules feed."""
    return frozenset(GroupFeed.objects.filter(tenant__in=tenant_ids).values_list("tenant_id", flat=True))


def feed_of(tenant: Tenant) -> GroupFeed | None:
    """Whether, and as what, rules feed the tenant."""
    return GroupFeed.objects.select_related("rule").filter(tenant=tenant).first()


def begin_feeding(*, by: Operator, tenant: Tenant) -> bool:
    """Let rules give memberships in a tenant that they did not make: in groups, its external id stands for it. False
    where they do already. Who administers the tenant is told.

    Who owns it keeps the say over who administers it: where somebody does, rules make no owners and administrators.
    Raises `Forbidden`, `NotFound`, `Invalid` (no external id that can stand in a group's name), `Conflict` (a provider
    of its own, or the word is another tenant's).
    """
    by.require(OperatorPermission.TENANT_CREATE)
    with transaction.atomic():
        lock_rules()
        fresh = Tenant.objects.select_for_update(no_key=True).filter(pk=tenant.pk, is_platform=False).first()
        if fresh is None:
            raise NotFound("tenant")
        if GroupFeed.objects.filter(tenant=fresh).exists():
            return False
        word = fresh.external_id or ""
        require_feedable(fresh)
        if GroupFeed.objects.filter(word=word).exists():
            raise Conflict(_("groups of this name feed another organisation already"))
        owners = Membership.objects.filter(tenant=fresh, role=Role.OWNER, person__is_active=True)
        start_feed(by=by, tenant=fresh, word=word, rule=None, gives_administrators=not owners.exists())
        notify(fresh, "group_feed.started", context={"word": word})
    return True


def require_feedable(tenant: Tenant) -> None:
    """Raises `Invalid`, `Conflict` where rules cannot feed the tenant, whoever wants it."""
    if not is_word(tenant.external_id or ""):
        raise Invalid("external_id", _("must be 1 to 63 letters, digits and . _ -, a letter or digit at both ends"))
    if _has_own_provider(tenant):
        raise Conflict(_("it has an identity provider of its own, whose groups say who its members are"))


def start_feed(
    *, by: Operator, tenant: Tenant, word: str, rule: OrganisationRule | None, gives_administrators: bool
) -> GroupFeed:
    """Write the feed and tell both chains; within the transaction, and the lock, of whoever decided it."""
    feed = GroupFeed.objects.create(tenant=tenant, word=word, rule=rule, gives_administrators=gives_administrators)
    detail = {"word": word, "rule": rule.code if rule else None, "gives_administrators": gives_administrators}
    _record(by, "group_feed.started", tenant, detail)
    return feed


def end_feeding(*, by: Operator, tenant: Tenant) -> bool:
    """Let rules give nothing in the tenant any more: who is a member by them alone stops being one at the next sign-in.
    False where they gave nothing before. Raises `Forbidden`.
    """
    by.require(OperatorPermission.TENANT_CREATE)
    with transaction.atomic():
        lock_rules()
        feed = GroupFeed.objects.filter(tenant=tenant).first()
        if feed is None:
            return False
        feed.delete()
        _record(by, "group_feed.ended", tenant, {"word": feed.word})
    return True


def lock_rules() -> None:
    """Until the transaction ends nobody else changes rules, or makes an organisation by one: caps are exact."""
    with connection.cursor() as cursor:
        cursor.execute("select pg_advisory_xact_lock(hashtextextended('organisation_rules', 0))")


def _roles_by_word(groups: frozenset[str]) -> dict[str, set[Role]]:
    rules = organisation_rules()
    roles: dict[str, set[Role]] = {}
    for group in groups if rules else ():
        found = match(rules, group)
        if found is not None and is_word(found.word):
            roles.setdefault(found.word, set()).add(Role(found.rule.role))
    return roles


def _own_provider() -> QuerySet[ProviderVersion]:
    return ProviderVersion.objects.filter(provider__tenant=OuterRef("tenant"), state=ProviderVersion.State.ACTIVE)


def _has_own_provider(tenant: Tenant) -> bool:
    return ProviderVersion.objects.filter(provider__tenant=tenant, state=ProviderVersion.State.ACTIVE).exists()


def _record(by: Operator, action: str, tenant: Tenant, detail: Mapping[str, object]) -> None:
    """In both chains, the tenant's first: the order that all writers keep."""
    audit.record(tenant=tenant, actor=by.actor, action=action, target=tenant, detail=detail)
    audit.record(actor=by.actor, action=action, target=tenant, detail=detail)
