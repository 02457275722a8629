"""Invoices to try things on: a French seller, clients of several countries, sums that add up."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from billing.invoices.document.contents import (
    InvoiceContents,
    Kind,
    Line,
    Note,
    Party,
    Payment,
    Preceding,
    Unit,
    VatSum,
)
from billing.invoices.vat import Category
from billing.money import NANO_EUR_PER_CENT, cents

SELLER = Party(
    name="Beffroi Démonstration SAS",
    country="FR",
    legal_id="552100554",
    legal_scheme="0002",
    vat_number="FR96552100554",
    lines=("12 rue de la République",),
    city="Lille",
    postcode="59000",
    email="facturation@beffroi.example",
    phone="+33 3 20 00 00 00",
    legal_mention="SAS au capital de 100 000 €, RCS Lille 552 100 554",
)
BUYER = Party(
    name="Imprimerie Leclerc & Fils <Nord>",
    country="FR",
    legal_id="732829320",
    legal_scheme="0002",
    vat_number="FR44732829320",
    lines=("4 quai du Wault", "Bâtiment C"),
    city="Lille",
    postcode="59800",
    email="compta@ecluse.example",
)
PAYER = Party(
    name="Groupe Écluse Holding",
    country="FR",
    legal_id="404833048",
    legal_scheme="0002",
    vat_number="FR83404833048",
    lines=("1 place Rihour",),
    city="Lille",
    postcode="59000",
    email="factures@groupe-ecluse.example",
)
GERMAN = Party(
    name="Müller & Söhne GmbH",
    country="DE",
    legal_id="HRB 12345",
    vat_number="DE129274202",
    lines=("Königstraße 7",),
    city="Düsseldorf",
    postcode="40212",
    email="rechnung@mueller.example",
)
AMERICAN = Party(name="Acme Corp.", country="US", lines=("1 Main Street",), city="Boston", email="ap@acme.example")
FRENCH_NOTES = (
    Note("En cas de retard de paiement, des pénalités au taux de 12 % l'an sont exigibles sans rappel.", "PMD"),
    Note("Indemnité forfaitaire pour frais de recouvrement : 40 €.", "PMT"),
    Note("Pas d'escompte pour paiement anticipé.", "AAB"),
)
PAYMENT = Payment(
    iban="FR7630006000011234567890189", bic="AGRIFRPP", account_name="Beffroi Démonstration SAS", terms="30 jours net"
)
REASONS = {
    Category.REVERSE_CHARGE: ("VATEX-EU-AE", "Autoliquidation"),
    Category.EXEMPT: ("VATEX-FR-FRANCHISE", "TVA non applicable, article 293 B du CGI"),
    Category.OUTSIDE_EU: ("VATEX-EU-G", "Export hors de l'Union européenne"),
}


def usage_line(position: int, *, tokens: int = 1_234_567, price: str = "0.9", **more: object) -> Line:
    """Tokens at euros a million of them."""
    exact = int(Decimal(price) * tokens * 1000)
    line = Line(
        position=position,
        description="Input tokens, llama-3.1-8b",
        explanation=f"standard; {price} EUR a million; price of 2026-01-01",
        quantity=f"{Decimal(tokens) / 1_000_000:f}",
        unit=Unit.MILLION_TOKENS,
        unit_price=price,
        project="Chat <assistant> & co",
        cost_centre="CC-4711",
        purchase_order="PO-2026-118",
        exact_nano_eur=exact,
        net_cents=cents(exact),
        vat_category=Category.STANDARD,
        vat_rate_percent="20",
    )
    return replace(line, **more)  # type: ignore[arg-type]


def flat_line(position: int, amount_cents: int, description: str = "Monthly fee", **more: object) -> Line:
    """An amount as it is; negative for a discount."""
    line = Line(
        position=position,
        description=description,
        quantity="-1" if amount_cents < 0 else "1",
        unit_price=f"{Decimal(abs(amount_cents)) / 100:f}",
        exact_nano_eur=amount_cents * NANO_EUR_PER_CENT,
        net_cents=amount_cents,
        vat_category=Category.STANDARD,
        vat_rate_percent="20",
    )
    return replace(line, **more)  # type: ignore[arg-type]


def invoice(lines: Sequence[Line] = (), *, prepaid_cents: int = 0, **more: object) -> InvoiceContents:
    """An invoice of these lines, with the sums that follow from them."""
    lines = tuple(lines) or (usage_line(1), usage_line(2, tokens=98_765_432, price="4"), flat_line(3, 9900))
    vat = tuple(_vat_sums(lines))
    net, tax = sum(line.net_cents for line in lines), sum(one.tax_cents for one in vat)
    contents = InvoiceContents(
        kind=Kind.INVOICE,
        number="F2026-000042",
        series="F2026",
        issued_on=date(2026, 11, 2),
        due_on=date(2026, 12, 2),
        period_first=date(2026, 10, 1),
        period_last=date(2026, 10, 31),
        language="fr",
        seller=SELLER,
        buyer=BUYER,
        lines=lines,
        vat=vat,
        net_cents=net,
        tax_cents=tax,
        gross_cents=net + tax,
        prepaid_cents=prepaid_cents,
        due_cents=net + tax - prepaid_cents,
        service_name="Beffroi",
        buyer_reference="REF-ACHAT-7",
        contract_reference="CTR-2026-03",
        payment=PAYMENT,
        notes=FRENCH_NOTES,
        rounding_note="Chaque ligne est arrondie au centime, au pair le plus proche.",
    )
    return replace(contents, **more)  # type: ignore[arg-type]


def credit_note(**more: object) -> InvoiceContents:
    """One that takes a part of an invoice back."""
    preceding = Preceding("F2026-000042", date(2026, 11, 2))
    values = {"kind": Kind.CREDIT_NOTE, "number": "A2026-000003", "series": "A2026", "preceding": preceding, **more}
    return invoice([usage_line(1)], **values)  # type: ignore[arg-type]


def statement(**more: object) -> InvoiceContents:
    """What is charged inside one organisation: no VAT, nothing to pay."""
    lines = [replace(line, vat_category="", vat_rate_percent="0") for line in invoice().lines]
    bare = invoice(lines, kind=Kind.STATEMENT, number="2026-10", series="", due_on=None, payment=Payment(), notes=())
    return replace(bare, vat=(), tax_cents=0, gross_cents=bare.net_cents, due_cents=bare.net_cents, **more)  # type: ignore[arg-type]


def _vat_sums(lines: Sequence[Line]) -> list[VatSum]:
    sums = []
    for category, rate in dict.fromkeys(
        (line.vat_category, line.vat_rate_percent) for line in lines if line.vat_category
    ):
        base = sum(line.net_cents for line in lines if (line.vat_category, line.vat_rate_percent) == (category, rate))
        tax = (Decimal(base) * Decimal(rate) / 100).quantize(Decimal(1), ROUND_HALF_UP)
        sums.append(VatSum(category, rate, base, int(tax), *REASONS.get(Category(category), ("", ""))))
    return sums
