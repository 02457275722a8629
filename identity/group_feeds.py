"""What organisation rules give in the tenants that they feed; and which tenants those are.

The operator's word that a group is a department's stands in for a confirmed e-mail domain (`identity/group_rules.py`).
What it can never do: make an operator (roles are a tenant's); touch a tenant that neither the rule made nor an operator
chose for it; touch one that has a provider of its own; make owners or administrators where others owned the tenant
before.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from django.db import connection, transaction
from django.db.models import Count, Exists, OuterRef, QuerySet
from django.utils.translation import gettext as _

from identity import audit
from identity.errors import Conflict, Invalid, NotFound
from identity.group_patterns import Pattern, is_word, match
from identity.models import GroupFeed, Membership, OrganisationRule, ProviderVersion, Role, Tenant
from identity.notices import notify
from identity.operators import Operator
from identity.permissions import OperatorPermission

LETS_OTHERS_IN = frozenset({Role.OWNER, Role.ADMINISTRATOR})


def organisation_rules() -> list[OrganisationRule]:
    """All rules, by pattern: a handful."""
    return list(OrganisationRule.objects.order_by("pattern"))


class Meaning(NamedTuple):
    """What a group's name says: the rule that decides on it, the one whose organisations it is about, what stands for
    the star, and the external id that this is, "" where it is none.
    """

    rule: OrganisationRule
    root: OrganisationRule
    word: str
    key: str


def meaning_of(rules: Sequence[OrganisationRule], group: str) -> Meaning | None:
    """None where no rule is about the group."""
    found = match(rules, group)
    if found is None:
        return None
    rule, word = found
    root = rule if not rule.joins else next((one for one in rules if one.code == rule.joins), rule)
    key = root.id_pattern.replace("*", word)
    return Meaning(rule, root, word, key if is_word(word) and is_word(key) else "")


def roles_given(groups: frozenset[str]) -> dict[int, Role]:
    """What the rules give members of these groups of the shared provider: tenant -> the first of the roles, in the
    order owner, administrator, developer, finance, auditor.
    """
    roles = _roles_by_root_and_key(groups)
    keys = {key for _root, key in roles}
    feeds = GroupFeed.objects.filter(~Exists(_own_provider()), word__in=keys, tenant__is_platform=False)
    given = {}
    for feed in feeds if keys else ():
        told = roles.get((feed.rule_id, feed.word), set())
        allowed = told if feed.gives_administrators else told - LETS_OTHERS_IN
        if allowed:
            given[feed.tenant_id] = next(role for role in Role if role in allowed)
    return given


def fed_among(tenant_ids: list[int]) -> frozenset[int]:
    """Those of the tenants that rules feed."""
    return frozenset(GroupFeed.objects.filter(tenant__in=tenant_ids).values_list("tenant_id", flat=True))


def feed_of(tenant: Tenant) -> GroupFeed | None:
    """Whether, and as what, rules feed the tenant."""
    return GroupFeed.objects.select_related("rule").filter(tenant=tenant).first()


def groups_named(external_id: str) -> list[Meaning]:
    """What groups mean the tenant of this external id: all rules that are about it, with what stands for the star."""
    rules = organisation_rules()
    by_code = {rule.code: rule for rule in rules}
    named = []
    for rule in rules:
        word = Pattern.of(by_code.get(rule.joins, rule).id_pattern).word_in(external_id) or ""
        meaning = meaning_of(rules, rule.pattern.replace("*", word))
        if meaning is not None and meaning.rule == rule and meaning.key == external_id:
            named.append(meaning)
    return named


def groups_feeding(tenant: Tenant) -> list[tuple[str, Role]]:
    """The groups of the shared provider that bring members to the tenant now, with what these become."""
    feed = GroupFeed.objects.filter(tenant=tenant).first()
    if feed is None or feed.rule_id is None or _has_own_provider(tenant):
        return []
    given = [(one.rule.pattern.replace("*", one.word), one) for one in groups_named(feed.word)]
    roles = [(group, Role(one.rule.role)) for group, one in given if one.root.pk == feed.rule_id]
    return [(group, role) for group, role in roles if feed.gives_administrators or role not in LETS_OTHERS_IN]


def members_by_groups(tenant: Tenant) -> list[tuple[str, int]]:
    """How many members groups of the shared provider brought, by role."""
    brought = Membership.objects.filter(tenant=tenant, source=Membership.Source.GROUP, provider__tenant=None)
    return list(brought.values_list("role").annotate(Count("pk")).order_by("role"))


def begin_feeding(*, by: Operator, tenant: Tenant, rule: str) -> bool:
    """Let the rule of this code, and those that join it, give memberships in a tenant that it did not make: in names of
    groups, the tenant's external id stands for it. False where it does already. Who administers the tenant is told.

    Who owns it keeps the say over who administers it: where somebody does, rules make no owners and administrators.
    Raises `Forbidden`, `NotFound` (tenant or rule), `Invalid` (an external id that the rule makes of no group),
    `Conflict` (a provider of its own, another rule feeds it, or the word is another tenant's).
    """
    by.require(OperatorPermission.TENANT_CREATE)
    with transaction.atomic():
        lock_rules()
        fresh = Tenant.objects.select_for_update(no_key=True).filter(pk=tenant.pk, is_platform=False).first()
        root = OrganisationRule.objects.filter(code=rule, joins="").first()
        if fresh is None or root is None:
            raise NotFound("tenant" if fresh is None else "rule")
        before = GroupFeed.objects.filter(tenant=fresh).first()
        if before is not None and before.rule == root:
            return False
        _require_feedable(fresh, root, before)
        if before is not None:
            before.delete()  # of a rule that is gone
        owners = Membership.objects.filter(tenant=fresh, role=Role.OWNER, person__is_active=True)
        feed = GroupFeed(tenant=fresh, word=str(fresh.external_id), rule=root, gives_administrators=not owners.exists())
        start_feed(by=by, feed=feed)
        notify(fresh, "group_feed.started", context={"word": feed.word})
    return True


def start_feed(*, by: Operator, feed: GroupFeed) -> None:
    """Write it and tell both chains; within the transaction, and the lock, of whoever decided it."""
    assert feed.rule is not None
    feed.save(force_insert=True)
    detail = {"word": feed.word, "rule": feed.rule.code, "gives_administrators": feed.gives_administrators}
    _record(by, "group_feed.started", feed.tenant, detail)


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


def _require_feedable(tenant: Tenant, root: OrganisationRule, before: GroupFeed | None) -> None:
    word = Pattern.of(root.id_pattern).word_in(tenant.external_id or "")
    if word is None or not (is_word(word) and is_word(tenant.external_id or "")):
        told = _("must look like %(pattern)s, with 1 to 63 letters, digits and . _ -, a letter or digit at both ends")
        raise Invalid("external_id", told % {"pattern": root.id_pattern})
    if before is not None and before.rule is not None:
        raise Conflict(_("another rule feeds it already"))
    if GroupFeed.objects.filter(word=tenant.external_id).exclude(tenant=tenant).exists():
        raise Conflict(_("groups of this name feed another organisation already"))
    if _has_own_provider(tenant):
        raise Conflict(_("it has an identity provider of its own, whose groups say who its members are"))


def _roles_by_root_and_key(groups: frozenset[str]) -> dict[tuple[int | None, str], set[Role]]:
    rules = organisation_rules()
    roles: dict[tuple[int | None, str], set[Role]] = {}
    for group in groups if rules else ():
        meaning = meaning_of(rules, group)
        if meaning is not None and meaning.key:
            roles.setdefault((meaning.root.pk, meaning.key), set()).add(Role(meaning.rule.role))
    return roles


def _own_provider() -> QuerySet[ProviderVersion]:
    return ProviderVersion.objects.filter(provider__tenant=OuterRef("tenant"), state=ProviderVersion.State.ACTIVE)


def _has_own_provider(tenant: Tenant) -> bool:
    return ProviderVersion.objects.filter(provider__tenant=tenant, state=ProviderVersion.State.ACTIVE).exists()


def _record(by: Operator, action: str, tenant: Tenant, detail: Mapping[str, object]) -> None:
    """In both chains, the tenant's first: the order that all writers keep."""
    audit.record(tenant=tenant, actor=by.actor, action=action, target=tenant, detail=detail)
    audit.record(actor=by.actor, action=action, target=tenant, detail=detail)
