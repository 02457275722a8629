"""The XML of invoices holds against the official rules of EN 16931, and what does not is named."""

from dataclasses import replace
from decimal import Decimal
from xml.etree import ElementTree as ET

import pytest

from billing.invoices.document import schematron
from billing.invoices.document.cii import NoXml, xml_of
from billing.invoices.document.contents import InvoiceContents, Note, Party, Unit, VatSum
from billing.invoices.document.faults import faults_of, missing_of
from billing.invoices.document.schematron import CheckFailed, broken_rules_of
from billing.invoices.vat import Category
from tests.support.invoice_contents import (
    AMERICAN,
    GERMAN,
    PAYER,
    SELLER,
    credit_note,
    flat_line,
    invoice,
    statement,
    usage_line,
)

RAM = "{urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100}"


def untaxed(category: Category, **more: object) -> InvoiceContents:
    lines = [usage_line(1), flat_line(2, -500, "Discount")]
    return invoice([replace(line, vat_category=category, vat_rate_percent="0") for line in lines], **more)  # type: ignore[arg-type]


VALID = {
    "domestic, two rates": invoice([usage_line(1), flat_line(2, 9900, vat_rate_percent="5.5")]),
    "reverse charge": untaxed(Category.REVERSE_CHARGE, buyer=GERMAN),
    "outside the EU": untaxed(Category.OUTSIDE_EU, buyer=AMERICAN),
    "exempt seller": untaxed(Category.EXEMPT, seller=replace(SELLER, vat_number="")),
    "German seller": invoice(seller=GERMAN, notes=(), language="en"),
    "credit note": credit_note(),
    "credit note without a due date": credit_note(due_on=None),
    "prepaid in part": invoice(prepaid_cents=1000),
    "prepaid": invoice([flat_line(1, 1000)], prepaid_cents=1200),
    "discounts": invoice([flat_line(1, 9900), flat_line(2, -990, "Discount of 10 %"), flat_line(3, -1, "Goodwill")]),
    "another payer": invoice(payer=PAYER),
    "a SIRET": invoice(seller=replace(SELLER, legal_id="55210055400013", legal_scheme="0009")),
    "every unit": invoice([usage_line(at, unit=unit) for at, unit in enumerate(Unit, 1)]),
    "nano prices": invoice([usage_line(1, price="0.000000001"), usage_line(2, tokens=1, price="0.123456789")]),
    "what XML cannot hold": invoice([flat_line(1, 100, "a\x00b\x0bc & <d> «é»")]),
    "a thousand lines": invoice([usage_line(at, tokens=at) for at in range(1, 1001)]),
}


@pytest.mark.parametrize("contents", VALID.values(), ids=VALID.keys())
def test_valid_invoices_break_no_rule(contents: InvoiceContents) -> None:
    assert faults_of(contents) == []


@pytest.mark.parametrize(
    ("contents", "rule"),
    [
        (replace(invoice(), due_cents=1), "BR-CO-16"),
        (replace(invoice(), net_cents=1), "BR-CO-10"),
        (replace(invoice(), notes=()), "BR-FR-05"),
    ],
)
def test_what_is_wrong_is_caught_by_the_official_rules(contents: InvoiceContents, rule: str) -> None:
    broken = broken_rules_of(xml_of(contents), seller_country="FR")
    assert any(one.rule.startswith(rule) or rule in one.text for one in broken), broken


def test_quantities_and_prices_are_exact_in_the_xml() -> None:
    [line] = ET.fromstring(xml_of(invoice([usage_line(1, tokens=1_234_567)]))).iter(
        f"{RAM}IncludedSupplyChainTradeLineItem"
    )
    price, base = line.find(f".//{RAM}ChargeAmount"), line.find(f".//{RAM}BasisQuantity")
    quantity, net = line.find(f".//{RAM}BilledQuantity"), line.find(f".//{RAM}LineTotalAmount")
    assert price is not None
    assert base is not None
    assert quantity is not None
    assert net is not None
    exact = Decimal(quantity.text or "") * Decimal(price.text or "") / Decimal(base.text or "")
    assert (quantity.text, exact, net.text) == ("1234567", Decimal("1.1111103"), "1.11")


def test_names_arrive_as_they_are() -> None:
    contents = invoice()
    texts = [one.text for one in ET.fromstring(xml_of(contents)).iter()]
    assert contents.buyer.name in texts
    assert contents.lines[0].project in texts


def test_a_credit_note_says_what_it_takes_back_with_the_sign_that_it_has() -> None:
    discount = replace(credit_note(), lines=(flat_line(1, -500, "Discount"),), net_cents=-500, gross_cents=-600)
    for taken, net in ((credit_note(), "1.11"), (discount, "-5.00")):
        [line] = ET.fromstring(xml_of(taken)).iter(f"{RAM}IncludedSupplyChainTradeLineItem")
        amount = line.find(f".//{RAM}LineTotalAmount")
        assert amount is not None
        assert amount.text == net


def test_a_statement_has_no_xml() -> None:
    with pytest.raises(NoXml):
        xml_of(statement())
    assert faults_of(statement()) == []


NOBODY = Party(name="", country="")
MISSING = [
    (invoice(seller=NOBODY), "legal name of the seller"),
    (invoice(seller=replace(SELLER, vat_number="")), "VAT number of the seller"),
    (invoice(seller=replace(SELLER, legal_id="")), "SIREN of the seller"),
    (invoice(notes=(Note("late", "PMD"), Note("none", "AAB"))), "costs of recovery"),
    (invoice(buyer=NOBODY), "address of the buyer"),
    (invoice(payer=NOBODY), "legal identity of the payer"),
    (invoice(buyer=replace(AMERICAN, email="")), "billing e-mail address"),
    (untaxed(Category.REVERSE_CHARGE, buyer=AMERICAN), "who owes the VAT"),
    (replace(untaxed(Category.EXEMPT), vat=(VatSum(Category.EXEMPT, "0", -389, 0),)), "why there is no VAT"),
    (invoice(due_on=None, payment=replace(invoice().payment, terms="")), "when to pay"),
    (credit_note(preceding=None), "takes back"),
    (replace(invoice(), due_cents=1), "amount due"),
    (replace(invoice(), lines=()), "no lines"),
    (invoice([flat_line(1, 100, unit_price="-1")]), "price of line 1 is negative"),
    (invoice([flat_line(1, 100, net_cents=99)]), "exact amount rounded"),
]  # fmt: skip


@pytest.mark.parametrize(("contents", "words"), MISSING, ids=[words for _contents, words in MISSING])
def test_what_is_missing_is_named_with_where_to_mend_it(contents: InvoiceContents, words: str) -> None:
    assert any(words in fault for fault in missing_of(contents)), missing_of(contents)


def test_rules_that_do_not_run_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schematron, "_EUROPE", "facturx-en16931/not-there.xslt")
    with pytest.raises(CheckFailed, match="ended with"):
        faults_of(invoice())


def test_rules_that_do_not_end_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schematron, "SECONDS", 0.05)
    with pytest.raises(CheckFailed, match="took longer"):
        faults_of(invoice())
