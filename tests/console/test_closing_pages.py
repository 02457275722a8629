"""Closing a month by its pages: preview, approval by one or two, issue, credit notes, payments, the journal."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from billing.closing.period import preceding
from billing.closing.previews import make_preview
from billing.invoices.files import write_files_of
from billing.invoices.issued import open_cents, with_payments
from billing.models import Closing, DraftLine, Invoice
from console.closing_words import shown_lines
from identity.models import AuditEvent, OperatorRole, Person, Tenant
from tests.support.browser import open_browser
from tests.support.closings import charging_back, entered, issued, last_month, previewed, selling, with_buyer
from tests.support.console import page, signed_in
from tests.support.history import history_of
from tests.support.ledger import House, make_house, unique
from tests.support.people import make_operator
from tests.support.pictures import keep_picture

pytestmark = pytest.mark.usefixtures("database")
MONTH = last_month()
MIDDLE = datetime(MONTH.year, MONTH.month, 15, 12, 30, tzinfo=UTC)
YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)
# One that no other test closes, for what is done to all organisations at once.
LONG_AGO = preceding(preceding(preceding(MONTH)))


@pytest.fixture
def bill() -> Client:
    """The billing operator's browser."""
    return signed_in(make_operator(OperatorRole.BILLING))


@pytest.fixture
def house(owner_database_url: str) -> House:
    return used_house(owner_database_url, 100, 50)


def used_house(owner_database_url: str, *euros: int, at: datetime = MIDDLE) -> House:
    """An organisation with a project for each of these amounts."""
    house = make_house()
    house.tenant.name = unique("Atelier")
    house.tenant.save()
    with_buyer(house.tenant)
    with history_of(house, owner_database_url) as history:
        for number, cost in enumerate(euros):
            project = house.project_called(f"Project {number}")
            history.record(house.key(project=project).row, at, cost=cost * 10**9)
    return house


@pytest.fixture
def invoice(house: House) -> Iterator[Invoice]:
    """150 euros, and VAT."""
    with selling():
        yield issued(house.tenant, MONTH)


def address_of(tenant: Tenant) -> str:
    return f"/operator/closing/{MONTH:%Y-%m}/{tenant.slug}"


def draw(tenant: Tenant) -> None:
    """What the worker does after a preview was asked for."""
    make_preview(Closing.objects.select_related("tenant").get(tenant=tenant, month=MONTH))


def told(client: Client, address: str, **typed: object) -> str:
    """What the page says after a form was sent that leads on to a page."""
    response = client.post(address, typed, follow=True)
    assert response.redirect_chain, page(response)
    return page(response)


def test_a_month_goes_from_open_to_issued(bill: Client, house: House) -> None:
    address = address_of(house.tenant)
    with selling():
        shown = page(bill.get(address))
        assert "There is no preview yet." in shown
        assert "by daily sums" in shown
        shown = told(bill, f"{address}/preview")
        assert "A preview is asked for." in shown
        assert "The preview is being made." in shown
        draw(house.tenant)
        shown = page(bill.get(address))
        assert "Nobody approved it yet." in shown
        assert "€150.00" in shown
        assert "€30.00" in shown  # the VAT
        assert "The month is approved." in told(bill, f"{address}/approve")
        shown = told(bill, f"{address}/issue")
        made = Invoice.objects.get(tenant=house.tenant)
        assert f"{made.number} is issued." in shown
        assert "€180.00" in shown
        assert made.number in page(bill.get(address))
        assert "what is wrong is corrected by a credit note" in told(bill, f"{address}/take-back")
    assert Invoice.objects.filter(tenant=house.tenant).count() == 1


def test_what_is_in_the_way_is_said_and_leads_to_where_it_is_mended(bill: Client, house: House) -> None:
    address = address_of(house.tenant)
    with selling(iban=""):
        previewed(house.tenant, MONTH)
        shown = page(bill.get(address))
        assert "The seller still lacks: IBAN." in shown
        assert 'href="/operator/billing/settings"' in shown
        assert "The seller still lacks: IBAN." in told(bill, f"{address}/approve")
        assert "The seller still lacks: IBAN." in told(bill, f"{address}/issue")
    assert not Invoice.objects.filter(tenant=house.tenant).exists()


def test_a_month_below_zero_says_before_and_after_what_becomes_of_it(bill: Client, house: House) -> None:
    entered(house.tenant, "refund", 200 * 10**9, MIDDLE)
    address = address_of(house.tenant)
    with selling():
        previewed(house.tenant, MONTH)
        assert "closes the month without an invoice" in page(bill.get(address))
        told(bill, f"{address}/approve")
        assert "goes on to the next month" in told(bill, f"{address}/issue")
        assert "no invoice was issued" in page(bill.get(address))
        assert "carried over" in page(
            bill.get("/operator/closing", {"month": f"{MONTH:%Y-%m}", "q": house.tenant.name})
        )


def test_where_two_people_approve_the_same_one_is_refused(bill: Client, house: House) -> None:
    second, address = signed_in(make_operator(OperatorRole.BILLING)), address_of(house.tenant)
    with selling(needs_two_people=True):
        previewed(house.tenant, MONTH)
        assert f"{address}/approve" in page(bill.get(address))
        assert "You approved it. A second person has to." in told(bill, f"{address}/approve")
        shown = page(bill.get(address))
        assert "A second person has to approve it." in shown
        assert f"{address}/approve" not in shown
        assert f"{address}/approve" in page(second.get(address))
        assert "a second person has to" in told(bill, f"{address}/approve")
        assert "A second person has to approve it." in told(bill, f"{address}/issue")
        assert "The approval is taken back." in told(bill, f"{address}/take-back")
        told(bill, f"{address}/approve")
        assert "The month is approved." in told(second, f"{address}/approve")
        assert "is issued." in told(second, f"{address}/issue")


def test_all_of_a_month_are_previewed_approved_and_issued_at_once(bill: Client, owner_database_url: str) -> None:
    at = datetime(LONG_AGO.year, LONG_AGO.month, 15, 12, 30, tzinfo=UTC)
    houses = [used_house(owner_database_url, 10, at=at), used_house(owner_database_url, 20, at=at)]
    mine, address = [house.tenant for house in houses], f"/operator/closing/{LONG_AGO:%Y-%m}"
    with selling():
        assert "previews are being made." in told(bill, f"{address}/preview")
        asked = Closing.objects.filter(month=LONG_AGO)
        assert asked.filter(tenant__in=mine, asked_at__isnull=False).count() == 2
        asked.exclude(tenant__in=mine).delete()
        for closing in asked.select_related("tenant"):
            make_preview(closing)
        assert "You approved 2 months." in told(bill, f"{address}/approve")
        assert "2 months are issued." in told(bill, f"{address}/issue")
        assert "No month is approved: nothing was issued." in told(bill, f"{address}/issue")
    issued_cents = Invoice.objects.filter(tenant__in=mine).order_by("net_cents").values_list("net_cents", flat=True)
    assert list(issued_cents) == [1_000, 2_000]


def test_amounts_are_written_in_the_readers_way_exact_ones_and_typed_ones_too(invoice: Invoice) -> None:
    person = make_operator(OperatorRole.BILLING)
    for language, said in (
        ("en", ("€100.00", 'value="180.00"')),
        ("fr", ("100,00\N{NO-BREAK SPACE}€", 'value="180,00"')),
    ):
        Person.objects.filter(pk=person.pk).update(language=language)
        reader, here = signed_in(person), f"/operator/invoices/{invoice.public_id}"
        shown, form = page(reader.get(here)), page(reader.get(f"{here}/payment"))
        lines = shown.partition('class="table table-vcenter stack invoice-lines"')[2]
        assert (lines.count(said[0]) >= 2, said[1] in form) == (True, True), language


def test_a_credit_note_takes_back_the_lines_that_were_chosen_and_then_the_rest(bill: Client, invoice: Invoice) -> None:
    address = f"/operator/invoices/{invoice.public_id}/credit"
    [line, _other] = invoice.lines.filter(net_cents__gt=0).order_by("position")
    assert f"{line.project} · {shown_lines([line], MONTH)[0].description}" in page(bill.get(address))
    assert "This field is required" in page(bill.post(address, {"lines": [line.position]}))
    assert "not one of the available choices" in page(bill.post(address, {"reason": "A mistake", "lines": ["77"]}))
    shown = told(bill, address, reason="A wrong price", lines=[line.position])
    note = Invoice.objects.get(corrects=invoice)
    assert f"{note.number} is issued." in shown
    assert note.net_cents == line.net_cents
    assert f'value="{line.position}"' not in page(bill.get(address))
    told(bill, address, reason="All of it")
    assert "Nothing of it is left" in page(bill.post(address, {"reason": "Again"}))
    assert sum(one.gross_cents for one in invoice.credit_notes.all()) == invoice.gross_cents


def test_a_payment_is_recorded_by_hand_once_and_taken_back(bill: Client, invoice: Invoice) -> None:
    address = f"/operator/invoices/{invoice.public_id}/payment"
    assert 'value="180.00"' in page(bill.get(address))
    paid = {"amount": "100.00", "paid_on": f"{YESTERDAY}", "reference": "VIR 1", "note": "By transfer"}
    assert "The payment is recorded." in told(bill, address, **paid)
    assert "This payment was recorded before." in told(bill, address, **paid)
    for wrong, said in (
        ({"amount": "90"}, "Another amount is recorded"),
        ({"amount": "90", "reference": "VIR 2"}, "more than is due"),
        ({"amount": "0", "reference": "VIR 2"}, "Must not be zero"),
        ({"amount": "0.001", "reference": "VIR 2"}, "The amount is no number of cents."),
        ({"amount": "some", "reference": "VIR 2"}, "Give an amount in euros"),
        ({"paid_on": "soon", "reference": "VIR 2"}, "valid date"),
        ({"paid_on": "2999-01-01", "reference": "VIR 2"}, "Must not be in the future."),
        ({"reference": " "}, "This field is required"),
        ({"amount": "-100.01", "reference": "VIR 2"}, "more than was paid"),
    ):
        shown = page(bill.post(address, paid | wrong))
        assert said in shown, wrong
        assert "By transfer" in shown  # what was typed is not lost
    told(bill, address, **paid | {"amount": "-100", "reference": "VIR 1 was another's"})
    assert open_cents(with_payments().get(pk=invoice.pk)) == invoice.due_cents == 18_000


def test_a_banks_file_is_looked_at_line_by_line_and_recorded_once(bill: Client, invoice: Invoice) -> None:
    number = invoice.number
    text = (
        "date;amount_eur;reference;invoice\n"
        f"{YESTERDAY};100,00;VIR 1 {number};\n"
        f"{YESTERDAY};100,00;VIR 1 {number};\n"
        f"{YESTERDAY};80,00;VIR 2;{number}\n"
        f"{YESTERDAY};80,00;VIR 3;{number}\n"
        f"{YESTERDAY};1,00;VIR 4;F1999-00001\n"
        f"{YESTERDAY};1.001;VIR 5;{number}\n"
        f"2999-01-01;1.00;VIR 7;{number}\n"
        f"11/30/2026;1,00;VIR 6;{number}\n"
        f"{YESTERDAY};1,00;;{number}\n"
    )
    shown = page(bill.post("/operator/invoices/payments", {"file": upload(text.encode("cp1252"))}))
    for said in (
        "Record 2 payments", "recorded before", "more than is due", "no invoice found", "no number of cents",
        "in the future", "not written as 2026-11-30", "no reference of the bank",
    ):  # fmt: skip
        assert said in shown, said
    assert not invoice.payments.exists()
    assert "2 payments are recorded." in told(bill, "/operator/invoices/payments", text=text)
    assert "0 payments are recorded." in told(bill, "/operator/invoices/payments", text=text)
    assert open_cents(with_payments().get(pk=invoice.pk)) == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a,b\n1,2\n", "Must have the columns"),
        (b"", "empty"),
        (b"date,amount_eur,reference,invoice\n2026-11-21,1.00,\x00,F1\n", "Must have the columns"),
        (b'date,amount_eur,reference,invoice\n2026-11-21,1.00,"' + b"x" * 140_000 + b'",F1\n', "Must have the columns"),
        (b"date,amount_eur,reference,invoice\n" + b"2026-11-21,1.00,R,F1\n" * 5_001, "at most 5000 lines"),
        (b"x" * 2_000_001, "too large"),
    ],
)
def test_a_file_that_is_none_is_refused_with_a_reason(bill: Client, content: bytes, said: str) -> None:
    assert said in page(bill.post("/operator/invoices/payments", {"file": upload(content)}))


def upload(content: bytes) -> SimpleUploadedFile:
    return SimpleUploadedFile("bank.csv", content, content_type="text/csv")


def test_the_journal_is_downloaded_and_balances(bill: Client, invoice: Invoice) -> None:
    day = invoice.issued_on.isoformat()
    response = bill.get("/operator/invoices/journal.csv", {"first": day, "last": day})
    assert f"beffroi-journal-{day}-{day}.csv" in response["Content-Disposition"]
    mine = [row for row in csv.DictReader(io.StringIO(response.content.decode())) if row["piece"] == invoice.number]
    assert {(row["account"], row["debit"], row["credit"]) for row in mine} == {
        ("411000", "180.00", "0.00"),
        ("706000", "0.00", "150.00"),
        ("445710", "0.00", "30.00"),
    }


def test_its_files_are_downloaded_as_the_organisation_downloads_them(bill: Client, invoice: Invoice) -> None:
    address = f"/operator/invoices/{invoice.public_id}"
    shown = page(bill.get(address))
    assert f"{address}/files/csv" in shown
    assert f"{address}/files/xml" not in shown  # not made yet
    assert "The PDF is being made." in shown
    assert bill.get(f"{address}/files/xml").status_code == 404
    write_files_of(invoice)
    assert f"{address}/files/xml" in page(bill.get(address))
    for ending, media_type in (("xml", "application/xml"), ("csv", "text/csv; charset=utf-8")):
        answer = bill.get(f"{address}/files/{ending}")
        assert (answer.status_code, answer["Content-Type"]) == (200, media_type)
        assert f"{invoice.number}.{ending}" in answer["Content-Disposition"]
    assert bill.get(f"{address}/files/exe").status_code == 404
    told = AuditEvent.objects.filter(tenant=invoice.tenant, action="invoice.downloaded").order_by("pk")
    assert [(one.detail["file"], one.actor_kind) for one in told] == [("xml", "operator"), ("csv", "operator")]


def test_a_quantity_is_in_the_unit_of_the_price_beside_it() -> None:
    audio = DraftLine(kind="usage", model="voice", meter="audio_ms", quantity=90_000, exact_nano_eur=9 * 10**8)
    audio.price_nano_eur = 10**10
    tokens = DraftLine(kind="usage", model="words", meter="input", quantity=1_250_000, exact_nano_eur=10**9)
    tokens.price_nano_eur = 8 * 10**8
    audio.covers_month = tokens.covers_month = MONTH
    fee = DraftLine(kind="entry", entry_kind="fee", exact_nano_eur=10**9)
    shown = [(one.quantity, one.price) for one in shown_lines([audio, tokens, fee], MONTH)]
    assert shown == [("1.5", "€0.60 a minute"), ("1,250,000", "€0.80 a million"), ("", "")]


def test_a_house_that_charges_back_is_asked_for_nothing_that_only_a_seller_has(bill: Client) -> None:
    with charging_back():
        shown = page(bill.get("/operator/billing/settings"))
    assert "Two people have to approve a month" in shown
    for only_sold in ("VAT", "Prefix", "IBAN", "credit"):
        assert only_sold not in shown, only_sold
    with selling():
        assert "Prefix of invoices" in page(bill.get("/operator/billing/settings"))


def test_what_was_paid_too_much_is_called_so(bill: Client, invoice: Invoice) -> None:
    address = f"/operator/invoices/{invoice.public_id}"
    told(bill, f"{address}/payment", amount="180", paid_on=YESTERDAY, reference="VIR 1")
    told(bill, f"{address}/credit", reason="All of it")
    shown = page(bill.get(address))
    assert "Paid too much" in shown
    assert "€180.00" in shown
    assert f"{address}/credit" not in shown  # nothing is left of it


def test_who_helps_organisations_neither_sees_an_invoice_nor_pays_it(invoice: Invoice) -> None:
    support, address = signed_in(make_operator(OperatorRole.SUPPORT)), f"/operator/invoices/{invoice.public_id}"
    assert support.get(address).status_code == 403
    assert support.get(f"{address}/files/csv").status_code == 403
    assert support.post(f"{address}/payment", {"amount": "1"}).status_code == 403


def test_a_month_is_closed_in_a_real_browser(house: House) -> None:
    person = make_operator(OperatorRole.BILLING)
    with selling(), open_browser() as browser, browser.window(person) as window:
        page = window.open(f"/operator/closing?month={MONTH:%Y-%m}&q={house.tenant.name}")
        page.get_by_role("link", name=house.tenant.name).click()
        page.get_by_role("button", name="Make the preview").click()
        page.get_by_text("The preview is being made.").first.wait_for()
        draw(house.tenant)
        page.get_by_text("Nobody approved it yet.").wait_for()  # the page asks for itself
        page.reload()
        page.get_by_role("button", name="Approve").click()
        keep_picture(page, "closing-approved")
        assert window.offences() == []
        page.locator("summary", has_text="Issue").click()
        page.get_by_text("What is issued never changes").wait_for()
        page.get_by_role("button", name="Issue", exact=True).click()
        page.get_by_text("is issued.").wait_for()
        keep_picture(page, "closing-issued")
        page.get_by_role("link", name="Record a payment").click()
        page.get_by_label("The bank's reference").fill("VIR 2026-11")
        page.get_by_role("button", name="Save").click()
        page.get_by_text("The payment is recorded.").wait_for()
        assert window.offences() == []
        assert not window.is_wider_than_its_screen()
    assert open_cents(with_payments().get(tenant=house.tenant)) == 0
