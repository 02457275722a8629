"""What keeps a tenant's month from being issued, and where it is mended. Reads only: of one tenant, or of many at once.

The number of queries does not depend on how many tenants there are.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.checks import ledger_checks
from billing.clock import database_now
from billing.closing.contents import House, house_of, vat_for
from billing.closing.period import Period, following, period_of
from billing.invoices.legal_parties import missing_of
from billing.invoices.payers import paying_parties
from billing.invoices.settings import billing_settings
from billing.invoices.vat import Missing
from billing.models import Closing, Hold, LedgerCheck, LegalParty
from identity.models import Tenant
from identity.service import read_service, service


class Where(StrEnum):
    """Where something is mended: a page of the operator's, or one of the tenant's own."""

    SERVICE = "service"
    BILLING_SETTINGS = "billing_settings"
    PARTY = "party"
    LEDGER = "ledger"
    CLOSING = "closing"
    MONTH = "month"
    NOWHERE = ""


class Code(StrEnum):
    """Why a month is not issued."""

    NOT_OVER = "not_over"
    BEFORE_OPEN = "before_open"
    AFTER_CLOSED = "after_closed"
    UNDER_WAY = "under_way"
    LEDGER_UNCHECKED = "ledger_unchecked"
    LEDGER_DIFFERS = "ledger_differs"
    SELLER_MISSING = "seller_missing"
    BUYER_MISSING = "buyer_missing"
    VAT_UNKNOWN = "vat_unknown"
    NOT_PREVIEWED = "not_previewed"
    NO_LINES = "no_lines"
    CHANGED = "changed"
    DOCUMENT = "document"
    NOT_APPROVED = "not_approved"
    SECOND_PERSON = "second_person"


# What approving is for: it does not stand in the way of itself.
APPROVALS = (Code.NOT_APPROVED, Code.SECOND_PERSON)


@dataclass(frozen=True, slots=True)
class Block:
    """Something that keeps a month from being issued. month: which one is to be closed first, where it is that."""

    code: Code
    text: str
    where: Where = Where.NOWHERE
    month: date | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What blocks are found by, of the tenants that were asked for."""

    now: datetime
    house: House
    check: LedgerCheck | None
    parties: dict[int, LegalParty]
    oldest_holds: dict[int, datetime]
    last_closed: dict[int, tuple[date, datetime]]

    def period(self, tenant: Tenant, month: date, closing: Closing | None) -> Period:
        """Of the tenant's month: as it was closed, or as it would be now."""
        if closing and closing.state == Closing.State.ISSUED and closing.starts_at and closing.ends_at:
            return Period(closing.starts_at, closing.ends_at)
        last = self.last_closed.get(tenant.pk)
        begun = last[1] if last and following(last[0]) == month else None
        return period_of(month, tenant.time_zone, begun)


_SELLER_FIELDS: Mapping[str, Promise] = {
    "legal_name": gettext_lazy("legal name"),
    "registration_number": gettext_lazy("registration number"),
    "postal_address": gettext_lazy("postal address"),
    "country": gettext_lazy("country"),
    "iban": gettext_lazy("IBAN"),
    "late_payment": gettext_lazy("penalties for late payment"),
}
_BUYER_FIELDS: Mapping[str, Promise] = {
    "legal_name": gettext_lazy("legal name"),
    "address": gettext_lazy("address"),
    "postcode": gettext_lazy("postcode"),
    "city": gettext_lazy("city"),
    "country": gettext_lazy("country"),
}


def facts_of(tenants: Iterable[Tenant]) -> Facts:
    """What has to be known of these tenants before something is done, as it is now. Some six queries."""
    house = house_of(read_service(), billing_settings())
    return _facts(_told([tenant.pk for tenant in tenants]), house, database_now())


def facts_shown(tenants: Iterable[Tenant]) -> Facts:
    """The same for a page, of tenants that `told_of` read: what is said of the service may be a minute old."""
    return _facts(tenants, house_of(service(), billing_settings()), timezone.now())


def told_of(tenants: QuerySet[Tenant]) -> QuerySet[Tenant]:
    """The tenants with their legal party, when their oldest request under way was admitted, and the last month that was
    closed: in one query.
    """
    holds = Hold.objects.filter(tenant_id=OuterRef("pk")).order_by("admitted_at").values("admitted_at")
    closed = Closing.objects.filter(tenant=OuterRef("pk"), state=Closing.State.ISSUED).order_by("-month")
    return tenants.select_related("legal_party").annotate(
        oldest_hold=Subquery(holds[:1]),
        last_closed=Subquery(closed.values("month")[:1]),
        last_closed_until=Subquery(closed.values("ends_at")[:1]),
    )


def _told(ids: list[int]) -> Iterable[Tenant]:
    return told_of(Tenant.objects.filter(pk__in=ids))


def _facts(told: Iterable[Tenant], house: House, now: datetime) -> Facts:
    facts, ids = Facts(now, house, ledger_checks.last_check(), {}, {}, {}), list[int]()
    for tenant in told:
        known: Any = tenant
        if hasattr(tenant, "legal_party"):
            facts.parties[tenant.pk] = tenant.legal_party
        if known.oldest_hold is not None:
            facts.oldest_holds[tenant.pk] = known.oldest_hold
        if known.last_closed is not None:
            facts.last_closed[tenant.pk] = known.last_closed, known.last_closed_until
        ids.append(tenant.pk)
    facts.parties.update(paying_parties(ids))
    return facts


def blocks_of(tenant: Tenant, month: date, closing: Closing | None, facts: Facts) -> list[Block]:
    """Everything that keeps the month from being issued; [] where nothing does, or it is issued."""
    if closing is not None and closing.state == Closing.State.ISSUED:
        return []
    period = facts.period(tenant, month, closing)
    found = [*_of_time(tenant, month, period, facts), *_of_ledger(period, facts)]
    if facts.house.is_seller:
        found += [*_of_parties(tenant, facts), *_of_vat(tenant, period, facts)]
    return [*found, *_of_closing(closing, facts)]


def _of_time(tenant: Tenant, month: date, period: Period, facts: Facts) -> Iterable[Block]:
    if not period.is_over(facts.now):
        yield Block(Code.NOT_OVER, _("The month is not over yet."))
    last = facts.last_closed.get(tenant.pk)
    if last is not None and last[0] >= month:
        yield Block(Code.AFTER_CLOSED, _("A later month is closed already."), Where.MONTH, last[0])
    elif last is not None and following(last[0]) != month:
        text = _("An earlier month has to be closed first.")
        yield Block(Code.BEFORE_OPEN, text, Where.MONTH, following(last[0]))
    oldest = facts.oldest_holds.get(tenant.pk)
    if oldest is not None and oldest < period.ends_at:
        yield Block(Code.UNDER_WAY, _("Requests of the month are still under way."))


def _of_ledger(period: Period, facts: Facts) -> Iterable[Block]:
    check = facts.check
    if check is None or check.began_at < period.ends_at:
        text = _("The ledger was not added up again since the month's end: that is done every night.")
        yield Block(Code.LEDGER_UNCHECKED, text, Where.LEDGER)
    if check is not None and check.differences:
        yield Block(Code.LEDGER_DIFFERS, _("The ledger did not add up when it was checked last."), Where.LEDGER)


def _of_parties(tenant: Tenant, facts: Facts) -> Iterable[Block]:
    said, known = facts.house.service, facts.house.settings
    values = {field: getattr(said, field, "") or getattr(known, field, "") for field in _SELLER_FIELDS}
    # The bank's fields and the terms are on the page of billing settings, the others on that of the service.
    for where, fields in (
        (Where.SERVICE, ("legal_name", "registration_number", "postal_address", "country")),
        (Where.BILLING_SETTINGS, ("iban", "late_payment")),
    ):
        if missing := [str(_SELLER_FIELDS[field]) for field in fields if not values[field]]:
            text = _("The seller still lacks: %(fields)s.") % {"fields": ", ".join(missing)}
            yield Block(Code.SELLER_MISSING, text, where)
    party = facts.parties.get(tenant.pk, LegalParty())
    if missing := [str(_BUYER_FIELDS[field]) for field in missing_of(party)]:
        text = _("The organisation still lacks: %(fields)s.") % {"fields": ", ".join(missing)}
        yield Block(Code.BUYER_MISSING, text, Where.PARTY)


def _of_vat(tenant: Tenant, period: Period, facts: Facts) -> Iterable[Block]:
    party = facts.parties.get(tenant.pk, LegalParty())
    found = vat_for(facts.house, party, period.last_day(tenant.time_zone))
    words: Mapping[Missing, tuple[str, Where]] = {
        Missing.SELLER_VAT_NUMBER: (_("The seller's VAT number is not said."), Where.SERVICE),
        Missing.SELLER_EXEMPTION: (
            _("The seller is exempt from VAT, and the sentence of the law that says so is missing."),
            Where.BILLING_SETTINGS,
        ),
        Missing.BUYER_VAT_NUMBER: (
            _("The organisation is in another country of the Union: its VAT number is needed for a reverse charge."),
            Where.PARTY,
        ),
        Missing.RATE: (_("The rate of VAT of the seller's country is not said."), Where.BILLING_SETTINGS),
        Missing.OVERSEAS: (
            _("Which VAT there is between a state and its overseas territories is not decided here."),
            Where.PARTY,
        ),
    }
    # Countries that are missing are told with the other fields.
    if isinstance(found, Missing) and found in words:
        yield Block(Code.VAT_UNKNOWN, *words[found])


def _of_closing(closing: Closing | None, facts: Facts) -> Iterable[Block]:
    if closing is None or closing.previewed_at is None:
        yield Block(Code.NOT_PREVIEWED, _("There is no preview yet."), Where.CLOSING)
        return
    if closing.fault:
        yield Block(Code.NO_LINES, closing.fault, Where.LEDGER)
    for fault in closing.faults:
        yield Block(Code.DOCUMENT, fault, Where.CLOSING)
    if closing.state != Closing.State.APPROVED:
        if facts.house.settings.needs_two_people and closing.approvals:
            yield Block(Code.SECOND_PERSON, _("A second person has to approve it."), Where.CLOSING)
        else:
            yield Block(Code.NOT_APPROVED, _("Nobody approved it yet."), Where.CLOSING)
