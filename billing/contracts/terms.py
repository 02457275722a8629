"""Discounts and fixed lines of a tenant's bill, as operators agree on them: for whole months, never for past ones.

There is one discount of a kind at a time; fees and services stand beside each other. What a month of has begun does not
change but for its end: another amount is another term. What they come to: `billing/closing/terms.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.postgres.expressions import ArraySubquery
from django.db import transaction
from django.db.models import F, Model, OuterRef, Q
from django.db.models.functions import JSONObject
from django.utils.translation import gettext as _

from billing.clock import database_now
from billing.limits.budgets import HIGHEST_LIMIT
from billing.models import ContractTerm
from billing.models.agreements import WHOLE
from identity import audit
from identity.errors import Invalid, NotFound
from identity.models import Tenant
from identity.notices import notify
from identity.operators import Operator
from identity.permissions import OperatorPermission
from identity.wording import clean_text

STEPS_MAX = 20
TERMS_MAX = 100  # that have not ended, a tenant: the pages show them all
DESCRIPTION_LENGTH_MAX = 200
FURTHEST_YEARS = 20  # what begins or ends later is a slip of the pen
Kind = ContractTerm.Kind
_MEMBERS = (
    "id", "kind", "description", "amount_nano_eur", "share_millionths", "steps", "first_month", "last_month"
)  # fmt: skip
_ALONE = (Kind.PERCENT, Kind.STEPS, Kind.COMMITMENT)  # of these there is one at a time
_WITH_AMOUNT = (Kind.COMMITMENT, Kind.FEE, Kind.SERVICE)


@dataclass(frozen=True, slots=True)
class TermWish:
    """A term as it is to be. Months are given by any day of theirs; of a service the first is the only one.

    amount_nano_eur: of a commitment, fee, service; share_millionths: of a percentage; a commitment may give one, too
    steps: of volume, in rising order, each {"above_nano_eur", "share_millionths"}
    """

    kind: str
    first_month: date
    last_month: date | None = None
    description: str = ""
    amount_nano_eur: int | None = None
    share_millionths: int | None = None
    steps: Sequence[Mapping[str, Any]] = ()


def this_month(tenant: Tenant) -> date:
    """The first day of the tenant's month that runs, by its time zone."""
    return database_now().astimezone(ZoneInfo(tenant.time_zone)).date().replace(day=1)


def terms_of(tenant: Tenant) -> list[ContractTerm]:
    """Those that run and those to come, by when they begin."""
    running = Q(last_month=None) | Q(last_month__gte=this_month(tenant))
    found = ContractTerm.objects.filter(running, tenant=tenant, withdrawn_at=None)
    return list(found.order_by("first_month", "id"))


def all_terms_of(tenant: Tenant) -> list[ContractTerm]:
    """Those of any month but for those that were withdrawn, by when they begin."""
    return list(ContractTerm.objects.filter(tenant=tenant, withdrawn_at=None).order_by("first_month", "id"))


def told_beside(tenant: str) -> ArraySubquery:
    """The same, for a query on rows of which `tenant` is a member, as their `terms_told`: `read_told` reads it."""
    members = {name: F(name) for name in _MEMBERS}
    found = ContractTerm.objects.filter(tenant=OuterRef(tenant), withdrawn_at=None).order_by("first_month", "id")
    return ArraySubquery(found.values(told=JSONObject(**members)))


def read_told(row: Model) -> list[ContractTerm]:
    """The terms that a query told beside the row, as its `terms_told`."""
    told: list[dict[str, Any]] = row.__dict__["terms_told"]
    terms = []
    for members in told:
        days = {name: date.fromisoformat(members[name]) for name in ("first_month", "last_month") if members[name]}
        terms.append(ContractTerm(**(members | days)))
    return terms


def add_term(*, by: Operator, tenant: Tenant, wish: TermWish) -> tuple[ContractTerm, bool]:
    """Let the term count in its months: it, and whether it is new. The same again changes nothing.

    The tenant's owners and finance are told. Raises `Forbidden`, `Invalid` at what makes no sense: a past month, one
    that has such a discount already, a share above the whole, steps that do not rise, a commitment without an end.
    """
    by.require(OperatorPermission.CONTRACT_UPDATE)
    with transaction.atomic():
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk, is_platform=False)
        wanted = _wanted(tenant, wish)
        others = terms_of(tenant)
        for other in others:
            if _told(other) == _told(wanted):
                return other, False
        if len(others) >= TERMS_MAX:
            raise Invalid("kind", _("At most %(count)s.") % {"count": TERMS_MAX})
        _refuse_overlap(wanted, others)
        wanted.save(force_insert=True)
        audit.record(
            actor=by.actor, action="contract.term_added", target=_target(wanted), tenant=tenant, detail=_told(wanted)
        )
        notify(tenant, "contract.terms_changed", context={"what": _said(wanted)})
    return wanted, True


def end_term(*, by: Operator, tenant: Tenant, term_id: int, last_month: date) -> bool:
    """Let the term count until that month, given by a day of it, and no longer; one that then counts in none is taken
    back. False where it ends then already. The tenant's owners and finance are told.

    The month that runs may lose it, no past one can. Raises `Forbidden`, `NotFound`, `Invalid`.
    """
    by.require(OperatorPermission.CONTRACT_UPDATE)
    last = last_month.replace(day=1)
    with transaction.atomic():
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk, is_platform=False)
        found = next((one for one in terms_of(tenant) if one.pk == term_id), None)
        if found is None:
            raise NotFound("term")
        if last == found.last_month:
            return False
        if last < _before(this_month(tenant)):
            raise Invalid("last_month", _("That month is over: what counted in it stays."))
        if found.last_month is not None and last > found.last_month:
            raise Invalid("last_month", _("It ends before that month: add another one that follows."))
        before = _told(found)
        values = {"withdrawn_at": database_now()} if last < found.first_month else {"last_month": last}
        ContractTerm.objects.filter(pk=found.pk).update(**values)
        found.last_month = last
        action = "contract.term_withdrawn" if last < found.first_month else "contract.term_ended"
        audit.record(
            actor=by.actor,
            action=action,
            target=_target(found),
            tenant=tenant,
            before=before,
            after={"last_month": f"{last:%Y-%m}"},
        )
        notify(tenant, "contract.terms_changed", context={"what": _said(found)})
    return True


def name_of(term: ContractTerm) -> str:
    """What it is called: by who agreed on it, or by its kind."""
    return term.description or str(Kind(term.kind).label)


def _wanted(tenant: Tenant, wish: TermWish) -> ContractTerm:
    if wish.kind not in Kind.values:
        raise Invalid("kind", _("One of %(choices)s.") % {"choices": ", ".join(Kind.values)})
    kind = Kind(wish.kind)
    term = ContractTerm(tenant=tenant, kind=kind)
    term.first_month, term.last_month = _months(tenant, kind, wish)
    term.description = clean_text(wish.description.replace("\n", " "), "description", DESCRIPTION_LENGTH_MAX)
    if kind in (Kind.FEE, Kind.SERVICE) and not term.description:
        raise Invalid("description", _("Say what it is for: it stands on the bill."))
    if kind in _WITH_AMOUNT:
        term.amount_nano_eur = _checked_amount(wish.amount_nano_eur)
    if kind == Kind.PERCENT or (kind == Kind.COMMITMENT and wish.share_millionths):
        term.share_millionths = _checked_share(wish.share_millionths, "share")
    if kind == Kind.STEPS:
        term.steps = _checked_steps(wish.steps)
    return term


def _months(tenant: Tenant, kind: Kind, wish: TermWish) -> tuple[date, date | None]:
    first, now = wish.first_month.replace(day=1), this_month(tenant)
    last = wish.last_month.replace(day=1) if wish.last_month else None
    if first < now:
        raise Invalid("first_month", _("That month is over: let it begin with this one or later."))
    if kind == Kind.SERVICE:
        return first, first
    if kind == Kind.COMMITMENT and last is None:
        raise Invalid("last_month", _("A commitment has a last month."))
    if last is not None and last < first:
        raise Invalid("last_month", _("It is before the first month."))
    if (last or first).year > now.year + FURTHEST_YEARS:
        raise Invalid("last_month" if last else "first_month", _("Within %(years)s years.") % {"years": FURTHEST_YEARS})
    return first, last


def _checked_amount(amount: int | None) -> int:
    if type(amount) is not int or not 0 < amount <= HIGHEST_LIMIT:
        raise Invalid("amount", _("An amount above zero."))
    return amount


def _checked_share(share: int | None, field: str) -> int:
    if type(share) is not int or not 0 < share <= WHOLE:
        raise Invalid(field, _("More than 0 %, and 100 % at most."))
    return share


def _checked_steps(steps: Sequence[Mapping[str, Any]]) -> list[dict[str, int]]:
    if not steps or len(steps) > STEPS_MAX:
        raise Invalid("steps", _("From one to %(count)s steps.") % {"count": STEPS_MAX})
    checked: list[dict[str, int]] = []
    for step in steps:
        above, share = step["above_nano_eur"], _checked_share(step["share_millionths"], "steps")
        if type(above) is not int or not 0 <= above <= HIGHEST_LIMIT:
            raise Invalid("steps", _("Each step begins above an amount from zero."))
        if checked and above <= checked[-1]["above_nano_eur"]:
            raise Invalid("steps", _("Each step begins above a higher amount than the one before."))
        checked.append({"above_nano_eur": above, "share_millionths": share})
    return checked


def _refuse_overlap(wanted: ContractTerm, others: Sequence[ContractTerm]) -> None:
    if wanted.kind not in _ALONE:
        return
    for other in others:
        is_before = other.last_month is not None and other.last_month < wanted.first_month
        is_after = wanted.last_month is not None and wanted.last_month < other.first_month
        if other.kind == wanted.kind and not is_before and not is_after:
            words = _("From %(first)s on there is one of this kind already: let it end first.")
            field = "first_month" if other.first_month <= wanted.first_month else "last_month"
            raise Invalid(field, words % {"first": f"{other.first_month:%Y-%m}"})


def _before(month: date) -> date:
    return (month - timedelta(days=1)).replace(day=1)


def _said(term: ContractTerm) -> str:
    """For a notice: its name and its months."""
    last = f"{term.last_month:%Y-%m}" if term.last_month else "…"
    return f"{name_of(term)} ({term.first_month:%Y-%m} – {last})"


def _told(term: ContractTerm) -> dict[str, Any]:
    """For the audit, and to know the same one again."""
    return {
        "kind": str(term.kind),
        "description": term.description,
        "amount_nano_eur": term.amount_nano_eur,
        "share_millionths": term.share_millionths,
        "steps": term.steps,
        "first_month": f"{term.first_month:%Y-%m}",
        "last_month": f"{term.last_month:%Y-%m}" if term.last_month else None,
    }


def _target(term: ContractTerm) -> audit.Target:
    return audit.Target("contractterm", str(term.pk), name_of(term))
