"""Agreements: single values of an organisation's contract that are not its tier's, for a time.

Own prices, a cap, limits, what is promised and which paper says so. Each change makes another agreement and another
contract, both dated, so that nothing of the past changes. Days are the tenant's: an agreement begins now or as a day
begins, and ends as a day ends; from that instant on the tier's values are in force again. That instant is kept by the
database at admission (decision 0017), not by a worker: here it is only told afterwards.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from billing.clock import database_now
from billing.contracts.contracts import close_agreement, contract_in_force, start_agreed, turn_contract, turn_of
from billing.limits.budgets import HIGHEST_LIMIT
from billing.limits.limits import check_limit
from billing.models import Agreement, Contract, RateCard, TierChoice
from billing.models.agreements import WHOLE
from identity import audit
from identity.errors import Conflict, Invalid, NotFound
from identity.models import Tenant
from identity.notices import notify
from identity.operators import Operator
from identity.permissions import OperatorPermission
from identity.wording import clean_text
from models_catalog.models import LanguageModel

LIMITS_MAX = 20
MODELS_MAX = 200
PLANNED_MAX = 20
FURTHEST = timedelta(days=20 * 366)  # what begins or ends later is a slip of the pen
SUPPORT_LENGTH_MAX, REFERENCE_LENGTH_MAX, URL_LENGTH_MAX = 100, 200, 500


@dataclass(frozen=True, slots=True)
class AgreementWish:
    """What is agreed. What is left out is the tier's.

    first_day, last_day: of the tenant; None: from now, without an end
    rate_card: the name of the price list; "": that of the tier
    is_cap_agreed: `monthly_cap_nano_eur` counts, None for no cap
    limits: {"what", "window", "amount"}, `amount` None for no limit of that kind
    models: by their names, such as are shown to chosen organisations, and by this to the tenant
    availability_millionths: what is promised, 990,000 for 99 %; None: nothing
    """

    first_day: date | None = None
    last_day: date | None = None
    rate_card: str = ""
    is_cap_agreed: bool = False
    monthly_cap_nano_eur: int | None = None
    limits: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    models: Sequence[str] = ()
    availability_millionths: int | None = None
    support_class: str = ""
    reference: str = ""
    document_url: str = ""


def agreements_of(tenant: Tenant) -> list[Agreement]:
    """The one in force and those that are planned, by when they begin."""
    found = Agreement.objects.filter(tenant=tenant, closed_at=None).select_related("rate_card")
    return list(found.order_by("starts_at", "id"))


def day_of(at: datetime, tenant: Tenant) -> date:
    """The tenant's day of that instant."""
    return at.astimezone(ZoneInfo(tenant.time_zone)).date()


def last_day_of(agreement: Agreement, tenant: Tenant) -> date | None:
    """The tenant's last day with it; None: it has no end."""
    if agreement.ends_at is None:
        return None
    return day_of(agreement.ends_at - timedelta(microseconds=1), tenant)


def wish_of(agreement: Agreement | None, tenant: Tenant, *, rate_card: str) -> AgreementWish:
    """What is agreed now, until it ends, with another price list."""
    if agreement is None:
        return AgreementWish(rate_card=rate_card)
    return AgreementWish(
        last_day=last_day_of(agreement, tenant),
        rate_card=rate_card,
        is_cap_agreed=agreement.is_cap_agreed,
        monthly_cap_nano_eur=agreement.monthly_cap_nano_eur,
        limits=agreement.limits,
        models=names_of(agreement.model_ids),
        availability_millionths=agreement.availability_millionths,
        support_class=agreement.support_class,
        reference=agreement.reference,
        document_url=agreement.document_url,
    )


def draft_agreement(*, tenant: Tenant, wish: AgreementWish) -> Agreement:
    """The agreement as it would be made, unsaved; `begun_at` empty: it would be planned. Raises `Invalid`."""
    now = database_now()
    starts_at, ends_at = _validity(tenant, wish, now)
    wanted = Agreement(
        tenant=tenant,
        rate_card=_card(wish.rate_card),
        is_cap_agreed=wish.is_cap_agreed,
        monthly_cap_nano_eur=_cap(wish),
        limits=_limits(wish.limits),
        model_ids=_models(wish.models),
        availability_millionths=_availability(wish.availability_millionths),
        support_class=_line(wish.support_class, "support_class", SUPPORT_LENGTH_MAX),
        reference=_line(wish.reference, "reference", REFERENCE_LENGTH_MAX),
        document_url=_address(wish.document_url),
        starts_at=starts_at,
        ends_at=ends_at,
        begun_at=starts_at if starts_at <= now else None,
    )
    if not _values(wanted):
        raise Invalid("agreement", _("Nothing is agreed yet: all of it is the tier's."))
    _refuse_overlap(wanted, tenant)
    return wanted


def put_agreement(*, by: Operator, tenant: Tenant, wish: AgreementWish) -> tuple[Agreement, bool]:
    """Let this be agreed: from now, in place of what is agreed now, or from a day to come, in place of what was planned
    for that day. The agreement, and whether anything differed. Owners, administrators and finance are told.

    Raises `Forbidden`, `Invalid` (a validity that overlaps another one's, a day in the past, a value that makes no
    sense), `Conflict` where no contract is in force.
    """
    by.require(OperatorPermission.CONTRACT_UPDATE)
    with transaction.atomic():
        tenant, running = _locked(tenant)
        wanted = draft_agreement(tenant=tenant, wish=wish)
        earlier = _replaced(wanted, running)
        if earlier is not None and told_of(earlier) == told_of(wanted):
            return earlier, False
        if wanted.begun_at is None and Agreement.objects.filter(tenant=tenant, closed_at=None).count() > PLANNED_MAX:
            raise Invalid("first_day", _("At most %(count)s are planned.") % {"count": PLANNED_MAX})
        now = database_now()
        if earlier is not None:
            close_agreement(earlier, now)
        wanted.save(force_insert=True)
        if wanted.begun_at is not None:
            start_agreed(running=running, agreement=wanted, now=now)
        else:
            _planned_anew(tenant, running, now)
        audit.record(
            actor=by.actor,
            action="contract.agreed",
            target=target_of(wanted),
            tenant=tenant,
            before=told_of(earlier) if earlier else None,
            after=told_of(wanted),
        )
        context = {"reference": named(wanted), "from_at": wanted.starts_at.isoformat()}
        notify(tenant, "contract.agreed", context=context)
    return wanted, True


def end_agreement(*, by: Operator, tenant: Tenant, agreement_id: int) -> None:
    """End the one in force, now: the tier's values are in force again. Or take back one that is planned.

    Raises `Forbidden`, `NotFound` for one that is over, `Conflict` where no contract is in force.
    """
    by.require(OperatorPermission.CONTRACT_UPDATE)
    with transaction.atomic():
        tenant, running = _locked(tenant)
        found = next((one for one in agreements_of(tenant) if one.pk == agreement_id), None)
        if found is None:
            raise NotFound("agreement")
        now = database_now()
        if found.begun_at is None:
            close_agreement(found, now)
            _planned_anew(tenant, running, now)
            action = "contract.agreement_withdrawn"
        else:
            start_agreed(running=running, agreement=None, now=now)
            action = "contract.agreement_ended"
        audit.record(actor=by.actor, action=action, target=target_of(found), tenant=tenant, before=told_of(found))
        notify(tenant, action, context={"reference": named(found), "tier": running.tier.name})


def told_of(agreement: Agreement) -> dict[str, Any]:
    """What it says, for the audit and to know the same one again: when one begins that begins now is no part of it."""
    cap = {"monthly_cap_nano_eur": agreement.monthly_cap_nano_eur} if agreement.is_cap_agreed else {}
    return cap | {
        "starts_at": None if agreement.begun_at else agreement.starts_at.astimezone(UTC).isoformat(),
        "ends_at": agreement.ends_at.astimezone(UTC).isoformat() if agreement.ends_at else None,
        "rate_card": agreement.rate_card.name if agreement.rate_card else "",
        "limits": agreement.limits,
        "models": names_of(agreement.model_ids),
        "availability_millionths": agreement.availability_millionths,
        "support_class": agreement.support_class,
        "reference": agreement.reference,
        "document_url": agreement.document_url,
    }


def names_of(model_ids: Sequence[int]) -> list[str]:
    """The models' names, in their order."""
    if not model_ids:
        return []
    return list(LanguageModel.objects.filter(pk__in=model_ids).order_by("name").values_list("name", flat=True))


def models_to_agree_on() -> QuerySet[LanguageModel]:
    """Published models that not everybody sees, by name."""
    chosen = LanguageModel.objects.filter(visibility=LanguageModel.Visibility.CHOSEN, published_at__isnull=False)
    return chosen.order_by("name")


def named(agreement: Agreement) -> str:
    """What to call it: its paper, or its first day."""
    return agreement.reference or day_of(agreement.starts_at, agreement.tenant).isoformat()


def target_of(agreement: Agreement) -> audit.Target:
    """What the audit names it."""
    return audit.Target("agreement", str(agreement.pk), named(agreement))


def _locked(tenant: Tenant) -> tuple[Tenant, Contract]:
    fresh = Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk, is_platform=False)
    turn_contract(fresh.pk)
    running = contract_in_force(fresh)
    if running is None:
        raise Conflict(_("No contract is in force: start one first."))
    return fresh, running


def _replaced(wanted: Agreement, running: Contract) -> Agreement | None:
    """Whose place it takes."""
    if wanted.begun_at is not None:
        return running.agreement
    planned = Agreement.objects.filter(tenant=wanted.tenant, closed_at=None, begun_at=None, starts_at=wanted.starts_at)
    return planned.select_related("rate_card", "tenant").first()


def _planned_anew(tenant: Tenant, running: Contract, now: datetime) -> None:
    """What is planned has changed. A tier that was chosen for later is forgotten: an agreement stands in its way."""
    TierChoice.objects.filter(tenant=tenant, closed_at=None).update(closed_at=now)
    Contract.objects.filter(pk=running.pk).update(turns_at=turn_of(tenant, running.agreement))


def _validity(tenant: Tenant, wish: AgreementWish, now: datetime) -> tuple[datetime, datetime | None]:
    zone = ZoneInfo(tenant.time_zone)
    today = now.astimezone(zone).date()
    first, last = wish.first_day or today, wish.last_day
    if first < today:
        raise Invalid("first_day", _("That day is over: an agreement changes nothing of the past."))
    if last is not None and last < today:
        raise Invalid("last_day", _("That day is over: an agreement changes nothing of the past."))
    if last is not None and last < first:
        raise Invalid("last_day", _("It is before the first day."))
    if first > today + FURTHEST:
        raise Invalid("first_day", _("Within %(years)s years.") % {"years": 20})
    if last is not None and last > today + FURTHEST:
        raise Invalid("last_day", _("Within %(years)s years.") % {"years": 20})
    starts_at = now if first == today else datetime.combine(first, time(), zone)
    return starts_at, datetime.combine(last + timedelta(days=1), time(), zone) if last else None


def _refuse_overlap(wanted: Agreement, tenant: Tenant) -> None:
    """One at a time: what begins now takes the place of what is in force, what is planned needs room."""
    for other in agreements_of(tenant):
        is_replaced = other.begun_at is not None if wanted.begun_at else other.starts_at == wanted.starts_at
        is_over_before = other.ends_at is not None and other.ends_at <= wanted.starts_at
        is_over_then = wanted.ends_at is not None and wanted.ends_at <= other.starts_at
        if is_replaced or is_over_before or is_over_then:
            continue
        if other.starts_at > wanted.starts_at:
            words = _("Another one begins on %(day)s: let this one end before.")
            raise Invalid("last_day", words % {"day": day_of(other.starts_at, tenant).isoformat()})
        last = last_day_of(other, tenant)
        if last is None:
            raise Invalid("first_day", _("The one before has no end: give it one first."))
        raise Invalid("first_day", _("The one before runs until %(day)s.") % {"day": last.isoformat()})


def _values(agreement: Agreement) -> list[Any]:
    """What of it is agreed."""
    given = [agreement.rate_card, agreement.is_cap_agreed, agreement.limits, agreement.model_ids]
    given += [agreement.availability_millionths, agreement.support_class, agreement.reference, agreement.document_url]
    return [one for one in given if one]


def _card(name: str) -> RateCard | None:
    if not name:
        return None
    found = RateCard.objects.filter(name=name).first()
    if found is None:
        raise Invalid("rate_card", _("There is no price list of this name."))
    return found


def _cap(wish: AgreementWish) -> int | None:
    cap = wish.monthly_cap_nano_eur
    if not wish.is_cap_agreed or cap is None:
        return None
    if type(cap) is not int or not 0 <= cap <= HIGHEST_LIMIT:
        raise Invalid(
            "monthly_cap_nano_eur", _("A whole number of nano-EUR from 0 to %(highest)s.") % {"highest": HIGHEST_LIMIT}
        )
    return cap


def _limits(limits: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    if len(limits) > LIMITS_MAX:
        raise Invalid("limits", _("At most %(count)s.") % {"count": LIMITS_MAX})
    kinds = [(limit["what"], limit["window"]) for limit in limits]
    for limit in limits:
        amount = limit["amount"]
        check_limit(what=limit["what"], window=limit["window"], amount=0 if amount is None else amount)
        if kinds.count((limit["what"], limit["window"])) > 1:
            words = _("One of a kind and window: %(what)s stands here twice.")
            raise Invalid("limits", words % {"what": limit["what"]})
    return [{"what": one["what"], "window": one["window"], "amount": one["amount"]} for one in limits]


def _models(names: Sequence[str]) -> list[int]:
    if len(names) > MODELS_MAX:
        raise Invalid("models", _("At most %(count)s.") % {"count": MODELS_MAX})
    published = LanguageModel.objects.filter(name__in=names, published_at__isnull=False)
    found = dict(published.values_list("name", "pk"))
    for name in names:
        if name not in found:
            raise Invalid("models", _("There is no published model %(name)s.") % {"name": name})
    return sorted(found.values())


def _availability(share: int | None) -> int | None:
    if share is not None and (type(share) is not int or not 0 < share <= WHOLE):
        raise Invalid("availability", _("More than 0 %, and 100 % at most."))
    return share


def _line(text: str, field_name: str, length_max: int) -> str:
    return clean_text(text.replace("\n", " "), field_name, length_max)


def _address(text: str) -> str:
    """Where the paper is: a person's browser opens it, so it is a page and no script."""
    address = _line(text, "document_url", URL_LENGTH_MAX)
    parts = urlsplit(address)
    if address and (parts.scheme not in ("https", "http") or not parts.netloc or " " in address):
        raise Invalid("document_url", _("An address that begins with https://."))
    return address
