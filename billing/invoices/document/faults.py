"""What keeps an invoice from being issued: mentions that the law wants and nobody gave, sums that do not add up, and
official rules of EN 16931 (and of France) that its XML breaks.

Directive 2006/112/EC, article 226, lists the mentions; France adds those of article L441-9 of its Code de commerce.
"""

from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal

from django.utils.translation import gettext as _

from billing.invoices.document.cii import BadXml, xml_of
from billing.invoices.document.contents import InvoiceContents, Kind, Party
from billing.invoices.document.schematron import broken_rules_of
from billing.invoices.vat import Category
from billing.money import cents

# The notes that French law wants between firms (BR-FR-05).
_FRENCH_NOTES = ("PMD", "PMT", "AAB")
_NEEDS_SELLERS_VAT = {Category.STANDARD, Category.ZERO, Category.REVERSE_CHARGE, Category.OUTSIDE_EU}
_NEEDS_REASON = {Category.EXEMPT, Category.REVERSE_CHARGE, Category.OUTSIDE_EU}
_SIREN_DIGITS = 9
# More are the same mistake again.
_RULES_TOLD = 20


def faults_of(contents: InvoiceContents) -> list[str]:
    """Everything that is wrong, in sentences that say where to mend it; [] lets it be issued.

    Where no mention is missing, the XML is held against the official rules: that takes a second and a process of its
    own. Raises `CheckFailed` where these could not be run.
    """
    missing = missing_of(contents)
    if missing or contents.kind == Kind.STATEMENT:
        return missing
    try:
        xml = xml_of(contents)
    except BadXml as error:
        return [_("The XML cannot be made: %(error)s.") % {"error": str(error)[:300]}]
    broken = broken_rules_of(xml, seller_country=contents.seller.country)
    return [
        _("A rule of the standard is broken, %(rule)s: %(text)s") % {"rule": one.rule, "text": one.text}
        for one in broken[:_RULES_TOLD]
    ]


def missing_of(contents: InvoiceContents) -> list[str]:
    """The mentions that are missing and the sums that do not add up. At once."""
    found = list(_faults_of_sums(contents))
    if contents.kind != Kind.STATEMENT:
        found += [*_faults_of_seller(contents), *_faults_of_buyer(contents), *_faults_of_terms(contents)]
        found += _faults_of_vat(contents)
    return found


def _faults_of_sums(contents: InvoiceContents) -> Iterator[str]:
    if not contents.number:
        yield _("It has no number.")
    if not contents.lines:
        yield _("It has no lines.")
    for line in contents.lines:
        if line.net_cents != cents(line.exact_nano_eur):
            yield _("Line %(position)s is not its exact amount rounded to cents.") % {"position": line.position}
        if Decimal(line.unit_price) < 0:
            yield _("The price of line %(position)s is negative: the quantity has to be.") % {"position": line.position}
    if contents.net_cents != sum(line.net_cents for line in contents.lines):
        yield _("The total before VAT is not the sum of the lines.")
    if contents.tax_cents != sum(one.tax_cents for one in contents.vat):
        yield _("The VAT is not the sum of its rates.")
    if contents.gross_cents != contents.net_cents + contents.tax_cents:
        yield _("The total is not the amount before VAT and the VAT together.")
    if contents.due_cents != contents.gross_cents - contents.prepaid_cents:
        yield _("The amount due is not the total less what was paid.")


def _faults_of_seller(contents: InvoiceContents) -> Iterator[str]:
    seller, where = contents.seller, _("in the settings of the service")
    yield from _faults_of_party(seller, _("seller"), where)
    categories = {line.vat_category for line in contents.lines}
    if not seller.vat_number and categories & _NEEDS_SELLERS_VAT:
        yield _("The VAT number of the seller is missing (%(where)s).") % {"where": where}
    if not seller.legal_id and not seller.vat_number:
        yield _("The registration number of the seller is missing (%(where)s).") % {"where": where}
    if seller.country == "FR" and not _is_siren(seller):
        yield _("The SIREN of the seller is missing (%(where)s).") % {"where": where}
    if seller.country == "FR":
        known = [note.code for note in contents.notes if note.text]
        for code in _FRENCH_NOTES:
            if code not in known:
                yield _french_note(code) % {"where": where}


def _faults_of_buyer(contents: InvoiceContents) -> Iterator[str]:
    buyer = contents.billed_to
    where = _("in the legal identity of the payer") if contents.payer else _("in the organisation's legal identity")
    yield from _faults_of_party(buyer, _("buyer"), where)
    if not buyer.vat_number and any(line.vat_category == Category.REVERSE_CHARGE for line in contents.lines):
        yield _("The VAT number of the buyer is missing, who owes the VAT (%(where)s).") % {"where": where}
    if contents.seller.country == "FR" and not _is_siren(buyer) and not buyer.email:
        yield _("The billing e-mail address of the buyer is missing (%(where)s).") % {"where": where}


def _faults_of_party(party: Party, who: str, where: str) -> Iterator[str]:
    told = {"who": who, "where": where}
    if not party.name:
        yield _("The legal name of the %(who)s is missing (%(where)s).") % told
    if not party.country:
        yield _("The country of the %(who)s is missing (%(where)s).") % told
    if not (any(party.lines) and party.city):
        yield _("The address of the %(who)s is missing: its street and city (%(where)s).") % told


def _faults_of_terms(contents: InvoiceContents) -> Iterator[str]:
    if contents.due_cents > 0 and not contents.due_on and not contents.payment.terms:
        yield _("It says neither when to pay nor by which terms (in the settings of the service).")
    if contents.due_on and contents.due_on < contents.issued_on:
        yield _("It would be due before it is issued.")
    if contents.period_last < contents.period_first:
        yield _("Its period ends before it begins.")
    if contents.kind == Kind.CREDIT_NOTE and contents.preceding is None:
        yield _("It does not name the invoice that it takes back.")


def _faults_of_vat(contents: InvoiceContents) -> Iterator[str]:
    told = {(one.category, Decimal(one.rate_percent)) for one in contents.vat}
    if told != {(line.vat_category, Decimal(line.vat_rate_percent)) for line in contents.lines}:
        yield _("The VAT is not that of the lines.")
    for one in contents.vat:
        named = {"category": one.category, "rate": one.rate_percent}
        tax = (Decimal(one.base_cents) * Decimal(one.rate_percent) / 100).quantize(Decimal(1), ROUND_HALF_UP)
        if abs(tax - one.tax_cents) > 1:
            yield _("The VAT at %(rate)s %% (%(category)s) is not that share of its base.") % named
        if one.category in _NEEDS_REASON and not (one.exemption_text or one.exemption_code):
            yield _("It does not say why there is no VAT (%(category)s).") % named


def _is_siren(party: Party) -> bool:
    digits = party.legal_id[:_SIREN_DIGITS]
    return party.legal_scheme in ("0002", "0009") and len(digits) == _SIREN_DIGITS and digits.isdigit()


def _french_note(code: str) -> str:
    return {
        "PMD": _("The penalties for late payment are not said (%(where)s)."),
        "PMT": _("The fixed sum for the costs of recovery is not said (%(where)s)."),
        "AAB": _("The discount for early payment, or that there is none, is not said (%(where)s)."),
    }[code]
