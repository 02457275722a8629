"""What an invoice's page shows, worded in the language in force: figures as people write them, lines by project.

The same serves the PDF and the pages of the console.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import groupby

from babel import Locale
from babel.dates import format_date, format_skeleton
from babel.numbers import format_decimal, format_percent
from django.utils.translation import get_language, pgettext
from django.utils.translation import gettext as _

from billing.invoices.document.contents import InvoiceContents, Kind, Line, Party, Unit, VatSum
from billing.money import NANO_EUR_PER_CENT, NotAnAmount, format_eur, parse_eur

_MILLION = 1_000_000
# Of more, paper shows the sums by project, and the XML has the lines: drawing so many takes a minute already, and ten
# thousand took too much memory.
LINES_SHOWN_MAX = 2_000


@dataclass(frozen=True, slots=True)
class ShownLine:
    """A line as it is read."""

    position: int
    description: str
    explanation: str
    quantity: str
    price: str
    exact: str
    vat: str
    amount: str


@dataclass(frozen=True, slots=True)
class ShownProject:
    """The lines of a project, or (no name) of the organisation as a whole."""

    name: str
    cost_centre: str
    purchase_order: str
    lines: Sequence[ShownLine]
    total: str
    lines_left_out: int = 0


@dataclass(frozen=True, slots=True)
class ShownVat:
    """A row of the table of VAT."""

    rate: str
    base: str
    tax: str
    reason: str


@dataclass(frozen=True, slots=True)
class ShownParty:
    """A party: its name, then what stands below it, a line each."""

    name: str
    lines: Sequence[str]


def words_of(contents: InvoiceContents, *, lines_max: int = LINES_SHOWN_MAX) -> Mapping[str, object]:
    """All that a template needs. lines_max: of more, the sums by project are shown."""
    return {
        "contents": contents,
        "title": title_of(contents.kind),
        "seller": _party(contents.seller),
        "buyer": _party(contents.billed_to),
        "used_by": _party(contents.buyer) if contents.payer else None,
        "facts": _facts(contents),
        "projects": [
            _project(list(lines), is_short=len(contents.lines) > lines_max)
            for _key, lines in groupby(contents.lines, _place_of)
        ],
        "vat": [_vat(one) for one in contents.vat],
        "net": euros(contents.net_cents),
        "tax": euros(contents.tax_cents),
        "gross": euros(contents.gross_cents),
        "prepaid": euros(-contents.prepaid_cents) if contents.prepaid_cents else "",
        "due": euros(contents.due_cents),
        "due_on": long_day(contents.due_on) if contents.due_on else "",
        "exact": format_eur(contents.exact_nano_eur, _language()),
        "iban": in_fours(contents.payment.iban),
        "is_invoice": contents.kind == Kind.INVOICE,
        "is_credit_note": contents.kind == Kind.CREDIT_NOTE,
        "is_statement": contents.kind == Kind.STATEMENT,
    }


def title_of(kind: Kind | str) -> str:
    """What such a document is called."""
    return {
        Kind.INVOICE: _("Invoice"),
        Kind.CREDIT_NOTE: _("Credit note"),
        Kind.STATEMENT: _("Statement"),
    }[Kind(kind)]


def priced(quantity: str, unit: str, unit_price: str) -> tuple[str, str]:
    """A quantity and its price, as `quantity_of` gives them, in words: tokens one by one, at the price of a million of
    them; a lump sum has neither.
    """
    if unit == Unit.LUMP_SUM:
        return "", ""
    is_of_millions = unit in (Unit.MILLION_TOKENS, Unit.MILLION_DOCUMENTS, Unit.MILLION_IMAGES)
    shown = Decimal(quantity) * (_MILLION if is_of_millions else 1)
    price = _("%(price)s %(unit)s") % {"price": _price(unit_price), "unit": _per(unit)}
    return format_decimal(shown, "#,##0.######", locale=_language()), price


def euros(cents: int) -> str:
    """An amount of cents as it is written."""
    return format_eur(cents * NANO_EUR_PER_CENT, _language())


def long_day(when: date) -> str:
    """Such as "2 November 2026"."""
    return format_date(when, "d MMMM y" if _language() != "es" else "d 'de' MMMM 'de' y", locale=_language())


def _language() -> str:
    return (get_language() or "en").split("-")[0]


def _facts(contents: InvoiceContents) -> list[tuple[str, str]]:
    found = contents.preceding
    facts = [
        (_("Issued on"), long_day(contents.issued_on)),
        (_("Due on"), long_day(contents.due_on) if contents.due_on else ""),
        (_("Period"), _period(contents)),
        (_("On invoice"), _("%(number)s of %(day)s") % _named(found.number, found.issued_on) if found else ""),
        (_("Your reference"), contents.buyer_reference),
        (_("Purchase order"), contents.purchase_order),
        (_("Contract"), contents.contract_reference),
    ]
    return [(name, value) for name, value in facts if value]


def _named(number: str, day: date) -> dict[str, str]:
    return {"number": number, "day": long_day(day)}


def _period(contents: InvoiceContents) -> str:
    first, last = contents.period_first, contents.period_last
    if first.day == 1 and (last + timedelta(days=1)) == (first + timedelta(days=32)).replace(day=1):
        return format_skeleton("yMMMM", first, locale=_language())
    return _("%(first)s to %(last)s") % {"first": long_day(first), "last": long_day(last)}


def _party(party: Party) -> ShownParty:
    town = f"{party.postcode} {party.city}".strip()
    numbers = [
        _("VAT number %(number)s") % {"number": party.vat_number} if party.vat_number else "",
        f"{_register(party)} {party.legal_id}" if party.legal_id else "",
    ]
    lines = [*party.lines, town, _country(party.country), *numbers, party.email, party.phone]
    return ShownParty(party.name, [line for line in lines if line])


def _register(party: Party) -> str:
    return {"0002": "SIREN", "0009": "SIRET"}.get(party.legal_scheme) or _("Registration number")


def _country(code: str) -> str:
    return str(Locale(_language()).territories.get(code, code))


def _place_of(line: Line) -> tuple[str, str, str]:
    return line.project, line.cost_centre, line.purchase_order


def _project(lines: Sequence[Line], *, is_short: bool) -> ShownProject:
    name, cost_centre, purchase_order = _place_of(lines[0])
    total = euros(sum(line.net_cents for line in lines))
    shown = [] if is_short else [_line(line) for line in lines]
    return ShownProject(name, cost_centre, purchase_order, shown, total, len(lines) - len(shown))


def _line(line: Line) -> ShownLine:
    quantity, price = priced(line.quantity, line.unit, line.unit_price)
    return ShownLine(
        position=line.position,
        description=line.description,
        explanation=line.explanation,
        quantity=quantity,
        price=price,
        exact=format_eur(line.exact_nano_eur, _language()),
        vat=_rate(line.vat_category, line.vat_rate_percent),
        amount=euros(line.net_cents),
    )


def _price(text: str) -> str:
    try:
        return format_eur(parse_eur(text), _language())
    except NotAnAmount:  # finer than a nano-euro: as it is
        return f"{text} EUR"


def _per(unit: str) -> str:
    return {
        Unit.MILLION_TOKENS: pgettext("price", "a million"),
        Unit.MILLION_DOCUMENTS: pgettext("price", "a million"),
        Unit.MILLION_IMAGES: pgettext("price", "a million"),
        Unit.MINUTE: pgettext("price", "a minute"),
    }.get(Unit(unit), "")


def _vat(one: VatSum) -> ShownVat:
    reason = one.exemption_text or one.exemption_code
    return ShownVat(_rate(one.category, one.rate_percent), euros(one.base_cents), euros(one.tax_cents), reason)


def _rate(category: str, percent: str) -> str:
    if not category:
        return ""
    return format_percent(Decimal(percent) / 100, "#,##0.##" + ("%" if _language() == "en" else "\u00a0%"), _language())


def in_fours(iban: str) -> str:
    """As people read an IBAN."""
    plain = iban.replace(" ", "")
    return "\u00a0".join(plain[at : at + 4] for at in range(0, len(plain), 4))
