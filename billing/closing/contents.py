"""What a closed month's invoice, or statement, says: made of the seller's and the buyer's rows and the lines.

Where the service charges back inside one organisation, it is a statement: no VAT, no number of a series, no payment.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from django.utils import translation
from django.utils.translation import gettext as _

from billing.closing.period import Period
from billing.invoices.document.contents import (
    InvoiceContents,
    Kind,
    Line,
    Note,
    Party,
    Payment,
    Preceding,
    VatSum,
)
from billing.invoices.legal_numbers import register_scheme
from billing.invoices.legal_parties import party_of
from billing.invoices.payers import paying_parties
from billing.invoices.settings import own_rates, series_code
from billing.invoices.vat import Missing, Seller, Vat, vat_of
from billing.invoices.vat_rates import Rate
from billing.invoices.words import description_of, explanation_of, quantity_of
from billing.models import BillingSettings, Closing, LegalParty
from billing.models.closings import LineColumns
from billing.money import NANO_EUR_PER_CENT, cents, format_eur
from identity.models import Service, Tenant
from identity.service import KnownService

_LAST_LINE = re.compile(r"(?:[A-Z]{1,2}-)?(\d[\dA-Z -]{2,9})\s+(\D.+)")


@dataclass(frozen=True, slots=True)
class House:
    """Who bills, as read once for all invoices."""

    service: KnownService
    settings: BillingSettings
    rates: Sequence[Rate]

    @property
    def is_seller(self) -> bool:
        """Whether it sells, with VAT; else it charges back inside one organisation."""
        return self.service.trade == Service.Trade.SELLER


@dataclass(frozen=True, slots=True)
class Head:
    """What stands above the lines. prepaid_cents: of prepaid credit that is invoiced at its use."""

    number: str
    series: str
    issued_on: date
    month: date
    first: date
    last: date
    prepaid_cents: int = 0
    corrects: Preceding | None = None
    is_credit_note: bool = False


class VatUnknown(Exception):
    """Which VAT cannot be said yet."""

    def __init__(self, missing: Missing) -> None:
        super().__init__(missing.value)
        self.missing = missing


def house_of(service: KnownService, settings: BillingSettings) -> House:
    """Who bills. One query, for the rates of VAT."""
    return House(service, settings, own_rates())


def head_of(house: House, closing: Closing, period: Period, credit_nano_eur: int, day: date | None = None) -> Head:
    """What stands above the lines of a closing. Without a day, and a number, it is a preview's.

    credit_nano_eur: what the bill counts of prepaid credit: as paid before, where lines do not say it already as the
    credit was invoiced when it came in
    """
    issued_on, zone = day or period.ends_at.date(), ZoneInfo(closing.tenant.time_zone)
    at_use = house.settings.credit_invoiced == BillingSettings.CreditInvoiced.AT_USE
    series = series_code(house.settings.invoice_prefix, issued_on) if house.is_seller else ""
    return Head(
        number=f"{series}00000",
        series=series,
        issued_on=issued_on,
        month=closing.month,
        first=period.starts_at.astimezone(zone).date(),
        last=period.last_day(closing.tenant.time_zone),
        prepaid_cents=cents(credit_nano_eur) if at_use else 0,
    )


def contents_of(house: House, tenant: Tenant, head: Head, lines: Sequence[LineColumns]) -> InvoiceContents:
    """What is issued. Raises `VatUnknown` where it sells and nobody can say which VAT."""
    paying = paying_parties([tenant.pk]).get(tenant.pk) if house.is_seller else None
    party = paying or party_of(tenant)
    language = house.service.language_for(party.language or house.service.default_language)
    with translation.override(language):
        vat = _vat(house, party, head.last, language) if house.is_seller else None
        net = sum(line.net_cents for line in lines)
        tax = vat.tax_cents(net) if vat else 0
        prepaid = max(min(head.prepaid_cents + _came_in(lines, net, vat), net + tax), 0)
        return InvoiceContents(
            kind=_kind(house, head),
            number=head.number,
            series=head.series,
            issued_on=head.issued_on,
            due_on=_due_on(house, head),
            period_first=head.first,
            period_last=head.last,
            language=language,
            seller=seller_of(house),
            buyer=buyer_of(tenant, party_of(tenant) if paying else party),
            payer=buyer_of(tenant, paying) if paying else None,
            service_name=house.service.title,
            lines=tuple(_line(number, line, head.month, vat) for number, line in enumerate(lines, 1)),
            vat=_vat_sums(vat, net, tax),
            net_cents=net,
            tax_cents=tax,
            gross_cents=net + tax,
            prepaid_cents=prepaid,
            due_cents=net + tax - prepaid,
            buyer_reference=party.buyer_reference,
            purchase_order=party.purchase_order,
            contract_reference=party.contract_reference,
            preceding=head.corrects,
            rounding_note=_rounding(lines, net, language),
            payment=_payment(house, head),
            notes=(*(_notes(house.settings) if house.is_seller else ()), *_of_demo(tenant)),
        )


def seller_of(house: House) -> Party:
    """Who bills, as invoices name it."""
    known = house.service
    lines, postcode, city = _split_address(known.postal_address)
    return Party(
        name=known.legal_name or known.title,
        country=known.country,
        legal_id=re.sub(r"\s", "", known.registration_number),
        legal_scheme=register_scheme(known.country, known.registration_number),
        vat_number=known.vat_number,
        lines=lines,
        city=city,
        postcode=postcode,
        email=known.support_email,
        phone=known.support_phone,
        legal_mention=house.settings.legal_mention,
    )


def buyer_of(tenant: Tenant, party: LegalParty) -> Party:
    """Whom it is made out to; where nobody said who that is in law, the organisation by its name."""
    return Party(
        name=party.legal_name or tenant.name,
        country=party.country,
        legal_id=re.sub(r"\s", "", party.registration_number),
        legal_scheme=register_scheme(party.country, party.registration_number),
        vat_number=party.vat_number,
        lines=tuple(party.address.splitlines()),
        city=party.city,
        postcode=party.postcode,
        email=party.billing_email,
    )


def vat_for(house: House, party: LegalParty, day: date, language: str = "en") -> Vat | Missing:
    """Which VAT the buyer's invoice of a period that ends on that day has."""
    seller = Seller(
        country=house.service.country,
        vat_number=house.service.vat_number,
        is_exempt=house.settings.is_vat_exempt,
        exemption_text=house.settings.exemption_text,
    )
    return vat_of(seller, party.country, party.vat_number, day=day, rates=house.rates, language=language)


def is_below_zero(contents: InvoiceContents) -> bool:
    """Whether it gives back more than it asks for: no invoice does. A statement may, as nobody pays it."""
    return contents.kind == Kind.INVOICE and contents.gross_cents < 0


def _came_in(lines: Sequence[LineColumns], net: int, vat: Vat | None) -> int:
    """What was paid with the top-ups that the invoice has, their VAT included: so what is left to pay is the rest and
    the VAT of the rest.
    """
    came_in = sum(line.net_cents for line in lines if line.kind == LineColumns.Kind.TOP_UP)
    return came_in + (vat.tax_cents(net) - vat.tax_cents(net - came_in) if vat else 0)


def _vat(house: House, party: LegalParty, day: date, language: str) -> Vat:
    found = vat_for(house, party, day, language)
    if isinstance(found, Missing):
        raise VatUnknown(found)
    return found


def _kind(house: House, head: Head) -> Kind:
    if not house.is_seller:
        return Kind.STATEMENT
    return Kind.CREDIT_NOTE if head.is_credit_note else Kind.INVOICE


def _line(number: int, line: LineColumns, month: date, vat: Vat | None) -> Line:
    quantity, unit, unit_price = quantity_of(line)
    return Line(
        position=number,
        description=description_of(line),
        exact_nano_eur=line.exact_nano_eur,
        net_cents=line.net_cents,
        quantity=quantity,
        unit=unit.value,
        unit_price=unit_price,
        project=line.project,
        cost_centre=line.cost_centre,
        purchase_order=line.purchase_order,
        explanation=explanation_of(line, invoice_month=month),
        vat_category=vat.category.value if vat else "",
        vat_rate_percent=vat.rate_percent if vat else "0",
    )


def _vat_sums(vat: Vat | None, net: int, tax: int) -> tuple[VatSum, ...]:
    if vat is None:
        return ()
    return (VatSum(vat.category.value, vat.rate_percent, net, tax, vat.code, vat.text),)


def _due_on(house: House, head: Head) -> date | None:
    if not house.is_seller or head.is_credit_note:
        return None
    return head.issued_on + timedelta(days=house.settings.payment_days)


def _payment(house: House, head: Head) -> Payment:
    known = house.settings
    if not house.is_seller or head.is_credit_note:
        return Payment()
    terms = _("Due %(days)s days after the date of the invoice.") % {"days": known.payment_days}
    name = known.account_name or house.service.legal_name
    return Payment(iban=known.iban, bic=known.bic, account_name=name, terms=terms)


def _notes(known: BillingSettings) -> tuple[Note, ...]:
    """By the subjects that French law wants (UNTDID 4451)."""
    given = ((known.late_payment, "PMD"), (known.recovery, "PMT"), (known.early_payment, "AAB"))
    return tuple(Note(text, code) for text, code in given if text)


def _of_demo(tenant: Tenant) -> tuple[Note, ...]:
    """What nobody should take for a bill says so."""
    return (Note(_("A demonstration: the organisation and its usage are made up.")),) if tenant.is_demo else ()


def _rounding(lines: Sequence[LineColumns], net_cents: int, language: str) -> str:
    exact = sum(line.exact_nano_eur for line in lines)
    difference = net_cents * NANO_EUR_PER_CENT - exact
    if not difference:
        return ""
    words = _(
        "Each line is the exact sum of its requests, rounded to the cent, halves to the even one. Exactly, the lines "
        "come to %(exact)s; rounding changed it by %(difference)s."
    )
    return words % {"exact": format_eur(exact, language), "difference": format_eur(difference, language)}


def _split_address(text: str) -> tuple[tuple[str, ...], str, str]:
    """Lines, postcode and city of an address as on an envelope, whose last line has both."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = _LAST_LINE.fullmatch(lines[-1]) if lines else None
    if found is None:
        return tuple(lines[:3]), "", ""
    return tuple(lines[:-1][:3]), found[1].strip(), found[2].strip()
