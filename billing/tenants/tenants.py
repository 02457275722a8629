"""Tenants as the operator sets them up: who they are, their contract, their first owner.

A wish says how a tenant is to be. `plan_tenants` says what would come of wishes, without writing; `put_tenant` makes it
so, and does nothing where it is so already. What the operator's systems call a tenant, its `external_id`, finds it
again. An owner is invited only while there is none: who is let in later, the tenant itself decides.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from django.db import connection, transaction
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext as _

from billing.contracts.contracts import start_contract
from billing.contracts.tiers import offered_tiers, tier_by_code
from billing.models import Contract, RateCard
from identity import audit
from identity.errors import Conflict, Forbidden, IdentityError, Invalid
from identity.invitations import invite
from identity.models import Invitation, Membership, Person, Role, Tenant
from identity.operators import Operator, setting_up
from identity.people import clean_email
from identity.permissions import OperatorPermission
from identity.tenants import (
    change_tenant,
    create_tenant,
    require_external_id,
    require_slug,
    require_time_zone,
)
from identity.wording import clean_name

# Lines of one import: what a person can still look through, and some seconds of work.
WISHES_MAX = 1_000
_SLUG_LENGTH_MAX = 63


@dataclass(frozen=True, slots=True)
class TenantWish:
    """How a tenant is to be.

    external_id "": the operator's systems do not know it; slug "": made of the external id, or stays
    owner: an e-mail address that is invited while the tenant has no owner; "": nobody
    line: where it was read, for people; 0: nowhere
    """

    external_id: str
    name: str
    tier: str
    owner: str = ""
    slug: str = ""
    time_zone: str = "Europe/Paris"
    line: int = 0


class SlugTaken(Conflict):
    """Another tenant has the slug."""

    def __init__(self, slug: str) -> None:
        super().__init__(_("the slug %(slug)s is taken") % {"slug": slug})
        self.slug = slug


class Outcome(StrEnum):
    """What comes of a wish."""

    MADE = "made"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Plan:
    """What comes of a wish, and why. `changes`: member -> before and after. `error` is why it is refused."""

    wish: TenantWish
    outcome: Outcome
    changes: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    error: IdentityError | None = None
    tenant: Tenant | None = None

    @property
    def fault(self) -> str:
        """Why it is refused, for people; "" where it is not."""
        match self.error:
            case Invalid():
                return f"{self.error.field}: {self.error.message}"
            case Forbidden():
                before, after = self.changes.get("tier", ("", self.wish.tier))
                told = _(
                    "tier: %(before)s to %(after)s is another contract, which only a billing operator, or a key with "
                    "tiers:write, may start"
                )
                return told % {"before": before, "after": after}
        return str(self.error or "")


def plan_tenants(*, by: Operator, wishes: Sequence[TenantWish]) -> list[Plan]:
    """What would come of each wish, in their order. Writes nothing. Raises `Forbidden`, `Invalid` (too many)."""
    by.require(OperatorPermission.TENANT_CREATE)
    if len(wishes) > WISHES_MAX:
        raise Invalid("tenants", _("must be at most %(count)s at once") % {"count": WISHES_MAX})
    known = _Known.of(wishes)
    plans = []
    for wish in wishes:
        try:
            plans.append(_planned(by, _cleaned(wish, known), known))
        except IdentityError as error:
            plans.append(Plan(wish, Outcome.REFUSED, error=error))
    return plans


def put_tenant(*, by: Operator, wish: TenantWish) -> Plan:
    """Make or change the tenant so that it is as wished. What comes of it is in both audit chains.

    Raises `Forbidden` (another tier for one that has a contract takes more than making a tenant), `Invalid`,
    `Conflict` (a slug that is taken, an owner who cannot be one).
    """
    with transaction.atomic():
        # Two that make the same tenant at once: the second finds it made.
        with connection.cursor() as cursor:
            cursor.execute("select pg_advisory_xact_lock(hashtextextended('tenant:' || %s, 0))", [wish.external_id])
        [plan] = plan_tenants(by=by, wishes=[wish])
        if plan.error is not None:
            raise plan.error
        if plan.outcome == Outcome.UNCHANGED:
            return plan
        return _make(by, plan) if plan.tenant is None else _change(by, plan, plan.tenant)


def import_tenants(*, by: Operator, wishes: Sequence[TenantWish], skip_refused: bool = False) -> list[Plan]:
    """Do as wished, line by line; nothing at all where a wish is refused, unless they are to be skipped.

    Each line is a transaction of its own: one that others spoil meanwhile is refused, the others stay made, and the
    same import again does only what is missing.
    """
    plans = plan_tenants(by=by, wishes=wishes)
    if not skip_refused and any(plan.error for plan in plans):
        return plans
    return [plan if plan.error else _done(by, plan) for plan in plans]


def _done(by: Operator, plan: Plan) -> Plan:
    try:
        return put_tenant(by=by, wish=plan.wish)
    except IdentityError as error:
        return replace(plan, outcome=Outcome.REFUSED, error=error)


@dataclass(frozen=True, slots=True)
class _Known:
    """What there is of the tenants that wishes are about, and of what is asked more than once."""

    by_external_id: dict[str, Tenant]
    tiers_in_force: dict[int, str]
    by_slug: dict[str, Tenant]
    owned: set[int]
    tiers: set[str]
    invited: dict[int, set[str]]
    operators: set[str]
    has_prices: bool
    asked_ids: dict[str, int]
    asked_slugs: dict[str, int]

    @classmethod
    def of(cls, wishes: Sequence[TenantWish]) -> "_Known":
        slugs = [_slug_of(wish) for wish in wishes]
        found = Tenant.objects.filter(external_id__in=[wish.external_id for wish in wishes if wish.external_id])
        by_external_id = {str(tenant.external_id): tenant for tenant in found}
        by_slug = {tenant.slug: tenant for tenant in Tenant.objects.filter(slug__in=slugs)}
        ids = {tenant.pk for tenant in (*by_external_id.values(), *by_slug.values())}
        running = Contract.objects.filter(tenant__in=ids, ends_at=None).values_list("tenant_id", "tier__code")
        owners = Membership.objects.filter(tenant__in=ids, role=Role.OWNER, person__is_active=True)
        invited: dict[int, set[str]] = {}
        for tenant_id, email in _open_owner_invitations(ids):
            invited.setdefault(tenant_id, set()).add(email)
        emails = [wish.owner.strip().lower() for wish in wishes if wish.owner]
        return cls(
            by_external_id=by_external_id,
            tiers_in_force=dict(running),
            by_slug=by_slug,
            owned=set(owners.values_list("tenant_id", flat=True)),
            tiers=set(offered_tiers().values_list("code", flat=True)),
            invited=invited,
            operators=set(Person.objects.filter(email__in=emails, is_operator=True).values_list("email", flat=True)),
            has_prices=RateCard.objects.filter(is_reference=True).exists(),
            asked_ids=_counted(wish.external_id for wish in wishes if wish.external_id),
            asked_slugs=_counted(slugs),
        )

    def tenant_of(self, wish: TenantWish) -> Tenant | None:
        """The tenant of the external id, or the one of that slug that has no external id yet and gets this one."""
        tenant = self.by_external_id.get(wish.external_id)
        if tenant is None and wish.external_id and wish.slug:
            rival = self.by_slug.get(wish.slug)
            is_free = rival is not None and rival.external_id is None and not rival.is_platform
            tenant = rival if is_free else None
        return tenant

    def tier_of(self, wish: TenantWish) -> str:
        """What the tenant has already, offered or not; "" for a new one."""
        tenant = self.tenant_of(wish)
        return self.tiers_in_force.get(tenant.pk, "") if tenant else ""


def _open_owner_invitations(tenant_ids: Iterable[int]) -> Iterable[tuple[int, str]]:
    found = Invitation.objects.filter(
        tenant__in=list(tenant_ids), role=Role.OWNER, accepted_at=None, withdrawn_at=None, expires_at__gt=timezone.now()
    )
    return found.order_by("pk").values_list("tenant_id", "email")


def _counted(words: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    return counts


def _slug_of(wish: TenantWish) -> str:
    return wish.slug or slugify(wish.external_id.replace(".", "-").replace(":", "-"))[:_SLUG_LENGTH_MAX]


def _cleaned(wish: TenantWish, known: _Known) -> TenantWish:
    """The wish with every value as it would be stored. Raises `Invalid`."""
    if wish.external_id:
        require_external_id(wish.external_id)
    name = clean_name(wish.name)
    require_time_zone(wish.time_zone)
    if wish.tier not in known.tiers and wish.tier != known.tier_of(wish):
        raise Invalid("tier", _("is none that is offered"))
    owner = wish.owner
    if owner:
        try:
            owner = clean_email(owner)
        except Invalid as error:
            raise Invalid("owner", error.message) from None
    return replace(wish, name=name, owner=owner)


def _planned(by: Operator, wish: TenantWish, known: _Known) -> Plan:
    if known.asked_ids.get(wish.external_id, 0) > 1:
        raise Invalid("external_id", _("stands here more than once"))
    tenant = known.tenant_of(wish)
    if wish.owner in known.operators and (tenant is None or tenant.pk not in known.owned):
        raise Conflict(_("who runs the platform cannot own an organisation with the same account"))
    if tenant is None:
        return _planned_new(wish, known)
    if wish.slug and wish.slug != tenant.slug:
        raise Invalid("slug", _("cannot be changed: addresses would break"))
    changes = _changes(wish, tenant, known)
    needed = OperatorPermission.CONTRACT_UPDATE
    if "tier" in changes and changes["tier"][0] and not by.may(needed):
        refusal = Forbidden(needed.value)
        return Plan(wish, Outcome.REFUSED, {"tier": changes["tier"]}, error=refusal, tenant=tenant)
    outcome = Outcome.CHANGED if changes else Outcome.UNCHANGED
    return Plan(wish, outcome, changes, tenant=tenant)


def _planned_new(wish: TenantWish, known: _Known) -> Plan:
    if not known.has_prices:
        raise Conflict(_("there is no reference price list yet: load one first"))
    slug = _slug_of(wish)
    if not slug and wish.line:
        raise Invalid("external_id", _("must be given"))
    require_slug(slug)
    if slug in known.by_slug:
        raise SlugTaken(slug)
    if known.asked_slugs.get(slug, 0) > 1:
        raise Invalid("slug", _("stands here more than once"))
    wish = replace(wish, slug=slug)
    values = {"name": wish.name, "tier": wish.tier, "slug": slug, "time_zone": wish.time_zone, "owner": wish.owner}
    return Plan(wish, Outcome.MADE, {member: ("", value) for member, value in values.items() if value})


def _changes(wish: TenantWish, tenant: Tenant, known: _Known) -> dict[str, tuple[str, str]]:
    before = {
        "external_id": tenant.external_id or "",
        "name": tenant.name,
        "tier": known.tiers_in_force.get(tenant.pk, ""),
        "time_zone": tenant.time_zone,
    }
    after = {"external_id": wish.external_id, "name": wish.name, "tier": wish.tier, "time_zone": wish.time_zone}
    changes = {member: (value, after[member]) for member, value in before.items() if value != after[member]}
    invited = known.invited.get(tenant.pk, set())
    if wish.owner and tenant.pk not in known.owned and wish.owner not in invited:
        changes["owner"] = (", ".join(sorted(invited)), wish.owner)
    return changes


def _make(by: Operator, plan: Plan) -> Plan:
    wish = plan.wish
    tenant = create_tenant(
        slug=wish.slug,
        name=wish.name,
        actor=by.actor,
        time_zone=wish.time_zone,
        external_id=wish.external_id or None,
    )
    start_contract(tenant=tenant, tier=tier_by_code(wish.tier), actor=by.actor)
    if wish.owner:
        invite(by=setting_up(tenant, by), email=wish.owner, role=Role.OWNER)
    _record(by, "tenant.created", tenant, plan)
    return replace(plan, tenant=tenant)


def _change(by: Operator, plan: Plan, tenant: Tenant) -> Plan:
    wish, caller = plan.wish, setting_up(tenant, by)
    if "external_id" in plan.changes:
        Tenant.objects.filter(pk=tenant.pk).update(external_id=wish.external_id or None)
    if {"name", "time_zone"} & plan.changes.keys():
        change_tenant(by=caller, name=wish.name, time_zone=wish.time_zone)
    if "tier" in plan.changes:
        start_contract(tenant=tenant, tier=tier_by_code(wish.tier), actor=by.actor)
    if "owner" in plan.changes:
        _withdraw_earlier(caller.tenant, by)
        invite(by=caller, email=wish.owner, role=Role.OWNER)
    _record(by, "tenant.changed", tenant, plan)
    tenant.refresh_from_db()
    return replace(plan, tenant=tenant)


def _withdraw_earlier(tenant: Tenant, by: Operator) -> None:
    """Whom the operator asked to be the owner before is not asked any more."""
    earlier = Invitation.objects.filter(tenant=tenant, role=Role.OWNER, accepted_at=None, withdrawn_at=None)
    for invitation in earlier:
        Invitation.objects.filter(pk=invitation.pk).update(withdrawn_at=timezone.now())
        action = "invitation.withdrawn"
        audit.record(tenant=tenant, actor=by.actor, action=action, target=invitation, detail={"role": Role.OWNER.value})


def _record(by: Operator, action: str, tenant: Tenant, plan: Plan) -> None:
    """In the platform's chain; the tenant's own has a link for each thing that was done. Addresses stay out of both."""
    members = {member: values for member, values in plan.changes.items() if member != "owner"}
    before: dict[str, Any] = {member: values[0] for member, values in members.items()}
    after: dict[str, Any] = {member: values[1] for member, values in members.items()}
    detail = {"invited_an_owner": "owner" in plan.changes}
    audit.record(actor=by.actor, action=action, target=tenant, detail=detail, before=before, after=after)
