"""Tiers as operators make them: made, changed, withdrawn, offered again; and brought to the contracts that they have.

A contract keeps the limits, the cap and the price list that it began with. A change of its tier is for contracts that
start later, and for those that are renewed. Which models an organisation sees follows the tier at once
(`billing/prices/visibility.py`), as that is no term of a contract. Money is nano-EUR.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import IntegrityError, transaction
from django.db.models import Count, F, Q, QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from billing.contracts.contracts import start_contract
from billing.contracts.tiers import PLATFORM_TIER, all_tiers, next_version
from billing.credit.orders import SMALLEST_TOP_UP
from billing.limits.budgets import HIGHEST_LIMIT
from billing.limits.limits import check_limit
from billing.models import Contract, CreditOrder, RateCard, Tier, TierChoice
from identity import audit
from identity.errors import Conflict, Invalid, NotFound
from identity.operators import Operator
from identity.permissions import OperatorPermission
from identity.wording import clean_name, clean_text

LIMITS_MAX = 20  # of a tier: there are 13 that make sense
RENEWED_AT_ONCE = 500  # contracts a call: some seconds; once more goes on with the rest
NAME_LENGTH_MAX = 100
DESCRIPTION_LENGTH_MAX = 500
_HIGHEST = {"highest": HIGHEST_LIMIT}
_CODE = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_IN_FORCE = Q(contracts__ends_at=None, contracts__tenant__is_platform=False)


@dataclass(frozen=True, slots=True)
class TierWish:
    """How a tier is to be, all of it.

    monthly_cap_nano_eur None: no cap
    prepaid_nano_eur None: billed afterwards; else requests are paid from credit, and this is the least first top-up
    limits: each {"what", "window", "amount"}
    rate_card: a name; "": the reference list
    by_agreement: nobody takes it without having agreed with the operator
    is_offered: contracts may start on it
    """

    name: str
    description: str = ""
    monthly_cap_nano_eur: int | None = None
    limits: Sequence[dict[str, Any]] = ()
    rate_card: str = ""
    by_agreement: bool = False
    is_offered: bool = True
    prepaid_nano_eur: int | None = None


class Renewed(NamedTuple):
    """How many contracts were renewed, and how many have an earlier version still."""

    done: int
    left: int


def tiers_with_contracts() -> QuerySet[Tier]:
    """All tiers with `organisations` that have a contract in force, and how many of these have an `earlier` version."""
    earlier = _IN_FORCE & Q(contracts__tier_version__lt=F("version"))
    counted = {"organisations": Count("contracts", filter=_IN_FORCE), "earlier": Count("contracts", filter=earlier)}
    return all_tiers().select_related("rate_card").annotate(**counted)


def tier_with_contracts(code: str) -> Tier:
    """One of `tiers_with_contracts`. Raises `NotFound`."""
    found = tiers_with_contracts().filter(code=code).first()
    if found is None:
        raise NotFound("tier")
    return found


def put_tier(*, by: Operator, code: str, wish: TierWish) -> tuple[Tier, bool, bool]:
    """Make the tier, or change it: the tier, whether it is new, whether anything differed. Contracts stay as they are.

    Raises `Forbidden`, `Invalid`, `Conflict` (made by somebody else at the same moment).
    """
    by.require(OperatorPermission.CONTRACT_UPDATE)
    wanted = _wanted(code, wish)
    with transaction.atomic():
        known = Tier.objects.select_for_update(no_key=True, of=("self",)).filter(code=code).first()
        before = told_of(known) if known else None
        if known is not None:
            wanted.pk = known.pk
            _refuse_other_payment(known, wanted)
            limits = list(wish.limits)
            wanted.version = next_version(known, limits=limits, cap_nano_eur=wish.monthly_cap_nano_eur)
            wanted.withdrawn_at = None if wish.is_offered else known.withdrawn_at
            if before == told_of(wanted) and wish.is_offered == (known.withdrawn_at is None):
                return known, False, False
        if not wish.is_offered and wanted.withdrawn_at is None:
            wanted.withdrawn_at = Now()
        _save(wanted)
        action = "tier.made" if known is None else "tier.changed"
        detail = {"code": code, "version": wanted.version}
        after = told_of(wanted)
        audit.record(actor=by.actor, action=action, target=wanted, detail=detail, before=before, after=after)
    return wanted, known is None, True


def set_offered(*, by: Operator, tier: Tier, is_offered: bool) -> bool:
    """Let contracts start on the tier, or none any more; those in force go on. False where it was so before.

    Raises `Forbidden`.
    """
    by.require(OperatorPermission.CONTRACT_UPDATE)
    with transaction.atomic():
        fresh = Tier.objects.select_for_update(no_key=True, of=("self",)).get(pk=tier.pk)
        if is_offered == (fresh.withdrawn_at is None):
            return False
        Tier.objects.filter(pk=tier.pk).update(withdrawn_at=None if is_offered else Now(), is_operators=True)
        action = "tier.offered" if is_offered else "tier.withdrawn"
        audit.record(actor=by.actor, action=action, target=fresh, detail={"code": fresh.code})
    tier.refresh_from_db(fields=["withdrawn_at", "is_operators"])
    return True


def renew_contracts(*, by: Operator, tier: Tier) -> Renewed:
    """Bring what the tier is now, its limits and its cap, to the contracts that have an earlier version.

    Each keeps its price list, what is used of its limits and what its organisation set itself. At most
    `RENEWED_AT_ONCE` a call, each in a transaction of its own. Raises `Forbidden`.
    """
    by.require(OperatorPermission.CONTRACT_UPDATE)
    tier = Tier.objects.select_related("rate_card").get(pk=tier.pk)
    earlier = Contract.objects.filter(tier=tier, ends_at=None, tier_version__lt=tier.version)
    found = earlier.filter(tenant__is_platform=False).select_related("tenant", "rate_card").order_by("pk")
    done = 0
    for contract in found[:RENEWED_AT_ONCE]:
        start_contract(tenant=contract.tenant, tier=tier, rate_card=contract.rate_card, actor=by.actor)
        done += 1
    if done:
        detail = {"code": tier.code, "version": tier.version, "contracts": done}
        with transaction.atomic():
            audit.record(actor=by.actor, action="tier.contracts_renewed", target=tier, detail=detail)
    return Renewed(done, found.count())


def told_of(tier: Tier) -> dict[str, Any]:
    """What of a tier may change, for the audit."""
    return {
        "name": tier.name,
        "description": tier.description,
        "monthly_cap_nano_eur": tier.monthly_cap_nano_eur,
        "prepaid_nano_eur": tier.prepaid_nano_eur,
        "limits": tier.limits,
        "rate_card": tier.rate_card.name if tier.rate_card else "",
        "by_agreement": tier.by_agreement,
        "is_offered": tier.withdrawn_at is None,
    }


def _wanted(code: str, wish: TierWish) -> Tier:
    if not _CODE.fullmatch(code) or code == PLATFORM_TIER:
        raise Invalid("code", _("Lower case, digits and hyphens, 32 at most; “platform” is the platform's own."))
    cap = wish.monthly_cap_nano_eur
    if cap is not None and (type(cap) is not int or not 0 <= cap <= HIGHEST_LIMIT):
        raise Invalid("monthly_cap_nano_eur", _("A whole number of nano-EUR from 0 to %(highest)s.") % _HIGHEST)
    prepaid = wish.prepaid_nano_eur
    if prepaid is not None and (type(prepaid) is not int or not SMALLEST_TOP_UP <= prepaid <= HIGHEST_LIMIT):
        raise Invalid("prepaid_nano_eur", _("A cent at least."))
    return Tier(
        code=code,
        name=clean_name(wish.name, length_max=NAME_LENGTH_MAX),
        description=clean_text(wish.description, "description", DESCRIPTION_LENGTH_MAX),
        monthly_cap_nano_eur=cap,
        prepaid_nano_eur=prepaid,
        limits=_checked(wish.limits),
        rate_card=_card(wish.rate_card),
        by_agreement=wish.by_agreement,
        is_operators=True,
    )


def _refuse_other_payment(known: Tier, wanted: Tier) -> None:
    """Raises `Invalid` where who has the tier, or awaits it, would be billed the other way."""
    if (known.prepaid_nano_eur is None) == (wanted.prepaid_nano_eur is None):
        return
    # Waits for contracts that are starting on it, and lets none start meanwhile: they refer to this row.
    Tier.objects.select_for_update(of=("self",)).get(pk=known.pk)
    has_it = Contract.objects.filter(tier=known, ends_at=None).exists()
    will_have_it = TierChoice.objects.filter(tier=known, closed_at=None).exists()
    is_ordered = CreditOrder.objects.filter(tier=known, state=CreditOrder.State.OPEN).exists()
    if has_it or will_have_it or is_ordered:
        raise Invalid("prepaid_nano_eur", _("Organisations have or await this tier: make another one that is paid so."))


def _checked(limits: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    if len(limits) > LIMITS_MAX:
        raise Invalid("limits", _("At most %(count)s.") % {"count": LIMITS_MAX})
    seen: set[tuple[str, str]] = set()
    for limit in limits:
        check_limit(what=limit["what"], window=limit["window"], amount=limit["amount"])
        if (limit["what"], limit["window"]) in seen:
            raise Invalid(
                "limits", _("One of a kind and window: %(what)s stands here twice.") % {"what": limit["what"]}
            )
        seen.add((limit["what"], limit["window"]))
    return [{"what": one["what"], "window": one["window"], "amount": one["amount"]} for one in limits]


def _card(name: str) -> RateCard | None:
    if not name:
        return None
    found = RateCard.objects.filter(name=name).first()
    if found is None:
        raise Invalid("rate_card", _("There is no price list of this name."))
    return None if found.is_reference else found


def _save(tier: Tier) -> None:
    try:
        with transaction.atomic():
            tier.save(force_insert=tier.pk is None, force_update=tier.pk is not None)
    except IntegrityError:
        raise Conflict(_("There is a tier of this code already.")) from None
    tier.refresh_from_db()
