"""A month is closed once, exactly and for ever: its lines are the ledger's sums, its numbers have no gap."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import psycopg
import pytest
from django.db import DatabaseError, connection, connections, transaction

from billing.closing import issuing as closing_verbs
from billing.closing.blocks import Code, blocks_of, facts_of
from billing.closing.issuing import Blocked, approve, issue, issue_all, take_back_approval
from billing.closing.period import following, period_of
from billing.invoices.document.contents import from_json
from billing.invoices.issued import enter
from billing.models import Closing, DraftLine, Invoice, InvoiceLine, InvoiceSeries, LedgerEntry
from billing.usage.statement import statement
from identity.errors import Conflict
from identity.models import OperatorRole, Tenant
from identity.operators import operator_for_person
from tests.support.closings import charging_back, issued, last_month, previewed, selling, with_buyer
from tests.support.history import History, history_of
from tests.support.ledger import House, make_house, make_model, make_price
from tests.support.operators import RUNS
from tests.support.people import make_operator

MONTH = last_month()
MIDDLE = datetime(MONTH.year, MONTH.month, 15, 12, 30, tzinfo=UTC)


@pytest.fixture
def house(database: None) -> House:
    house = make_house()
    with_buyer(house.tenant)
    return house


@pytest.fixture
def history(house: House, owner_database_url: str) -> Iterator[History]:
    with history_of(house, owner_database_url) as history:
        yield history


def blocks(tenant: Tenant) -> set[Code]:
    found = Closing.objects.filter(tenant=tenant, month=MONTH).first()
    return {block.code for block in blocks_of(tenant, MONTH, found, facts_of([tenant]))}


def test_an_invoice_is_the_ledgers_sum_line_by_line(house: House, history: History) -> None:
    second, other = house.project_called("Second"), make_model()
    first_key, second_key = house.key().row, house.key(project=second).row
    for key, model, cost in ((first_key, house.model, 45_000), (first_key, house.model, 7), (second_key, other, 10**9)):
        history.record(key, MIDDLE, model=model, cost=cost)
    with selling():
        invoice = issued(house.tenant, MONTH)
        assert issue(by=RUNS, tenant=house.tenant, month=MONTH) == invoice
    lines = list(invoice.lines.order_by("position"))
    used = {(line.project, line.model): line.exact_nano_eur for line in lines if line.exact_nano_eur}
    assert used == {("Default", house.model.name): 45_007, ("Second", other.name): 10**9}
    assert invoice.exact_nano_eur == statement(house.tenant, MONTH).total_nano_eur == 1_000_045_007
    assert (invoice.net_cents, invoice.tax_cents, invoice.gross_cents, invoice.due_cents) == (100, 20, 120, 120)
    contents = from_json(invoice.contents)
    assert contents.exact_nano_eur == invoice.exact_nano_eur
    assert contents.buyer.vat_number == "FR83552100554"
    assert contents.seller.postcode == "59000"
    assert [(one.category, one.rate_percent) for one in contents.vat] == [("S", "20")]
    assert "€0.000045007" in contents.rounding_note
    assert invoice.number.startswith(f"F{invoice.issued_on:%Y}-")


def test_projects_stand_in_the_order_of_their_names_whatever_their_accents(house: House, history: History) -> None:
    for name in ("Zones", "École", "Espaces", "eaux"):
        history.record(house.key(project=house.project_called(name)).row, MIDDLE, cost=10**7)
    with selling():
        lines = issued(house.tenant, MONTH).lines.order_by("position")
    assert [line.project for line in lines if line.exact_nano_eur] == ["eaux", "École", "Espaces", "Zones"]


def test_numbers_of_a_series_follow_each_other(house: House, history: History, owner_database_url: str) -> None:
    other = make_house()
    with_buyer(other.tenant)
    history.record(house.key().row, MIDDLE)
    with history_of(other, owner_database_url) as theirs:
        theirs.record(other.key().row, MIDDLE)
    with selling(invoice_prefix="SERIES"):
        first, second = issued(house.tenant, MONTH), issued(other.tenant, MONTH)
    assert int(second.number.rpartition("-")[2]) == int(first.number.rpartition("-")[2]) + 1
    with pytest.raises(DatabaseError, match="follow each other"), transaction.atomic():
        InvoiceSeries.objects.filter(code=first.series).update(last=7_000)


def test_two_closings_at_once_make_one_invoice(house: House, history: History) -> None:
    history.record(house.key().row, MIDDLE)
    made: list[Invoice | None] = []

    def close() -> None:
        try:
            made.append(issue(by=RUNS, tenant=house.tenant, month=MONTH))
        finally:
            connections.close_all()

    with selling(invoice_prefix="TWICE"):
        previewed(house.tenant, MONTH)
        approve(by=RUNS, tenant=house.tenant, month=MONTH)
        threads = [threading.Thread(target=close) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    [first, second] = made
    assert first is not None
    assert first == second
    assert Invoice.objects.filter(tenant=house.tenant).count() == 1


def test_a_closing_that_is_killed_before_its_commit_burns_no_number(
    house: House, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.record(house.key().row, MIDDLE)
    seen: list[str] = []

    def killed(*_: object) -> None:
        seen.append(Invoice.objects.get(tenant=house.tenant).number)
        with connection.cursor() as cursor:
            cursor.execute("select pg_terminate_backend(pg_backend_pid())")

    with selling(invoice_prefix="KILLED"):
        previewed(house.tenant, MONTH)
        approve(by=RUNS, tenant=house.tenant, month=MONTH)
        with monkeypatch.context() as patched:
            patched.setattr(closing_verbs, "_record", killed)
            with pytest.raises(DatabaseError):
                issue(by=RUNS, tenant=house.tenant, month=MONTH)
        connection.close()
        assert not Invoice.objects.filter(tenant=house.tenant).exists()
        invoice = issue(by=RUNS, tenant=house.tenant, month=MONTH)
    assert invoice is not None
    assert [invoice.number] == seen


def test_a_closed_month_is_not_edited_not_even_by_the_owner_of_the_tables(
    house: House, history: History, owner_database_url: str
) -> None:
    history.record(house.key().row, MIDDLE)
    with selling():
        invoice = issued(house.tenant, MONTH)
        with pytest.raises(Conflict, match="credit note"):
            take_back_approval(by=RUNS, tenant=house.tenant, month=MONTH)
    edits = (
        f"update billing_invoice set net_cents = 1 where id = {invoice.pk}",
        f"delete from billing_invoice where id = {invoice.pk}",
        f"update billing_invoiceline set exact_nano_eur = 1 where invoice_id = {invoice.pk}",
        f"update billing_closing set state = 'open' where id = {invoice.closing_id}",
        f"delete from billing_closing where id = {invoice.closing_id}",
        f"insert into billing_invoiceline select * from billing_invoiceline where invoice_id = {invoice.pk}",
        "truncate billing_invoice cascade",
    )
    with psycopg.connect(owner_database_url, autocommit=True) as owner:
        for edit in edits:
            with pytest.raises(psycopg.Error, match="append-only|is closed|duplicate key"):
                owner.execute(edit)
    line = InvoiceLine.objects.filter(invoice=invoice).order_by("-position")[0]
    line.pk, line.position = None, line.position + 1
    with pytest.raises(DatabaseError, match="no line"), transaction.atomic():
        line.save()
    with pytest.raises(DatabaseError, match="permission denied|append-only"), transaction.atomic():
        Invoice.objects.filter(pk=invoice.pk).update(net_cents=1)


def test_what_is_missing_is_named_and_nothing_is_issued(database: None, owner_database_url: str) -> None:
    house = make_house()
    with history_of(house, owner_database_url) as history:
        history.record(house.key().row, MIDDLE)
    with selling():
        assert blocks(house.tenant) == {Code.BUYER_MISSING, Code.NOT_PREVIEWED}
        previewed(house.tenant, MONTH)
        with pytest.raises(Blocked, match="legal name, address, postcode, city, country"):
            approve(by=RUNS, tenant=house.tenant, month=MONTH)
        with_buyer(house.tenant)
        assert blocks(house.tenant) == {Code.NOT_APPROVED}
        with pytest.raises(Blocked):
            issue(by=RUNS, tenant=house.tenant, month=MONTH)
    with selling(iban=""):
        assert Code.SELLER_MISSING in blocks(house.tenant)
    assert not Invoice.objects.filter(tenant=house.tenant).exists()


def test_a_month_that_runs_cannot_be_closed(house: House, history: History) -> None:
    this_month = following(MONTH)
    with selling():
        previewed(house.tenant, this_month)
        found = Closing.objects.get(tenant=house.tenant, month=this_month)
        codes = {block.code for block in blocks_of(house.tenant, this_month, found, facts_of([house.tenant]))}
        assert {Code.NOT_OVER, Code.LEDGER_UNCHECKED} <= codes
        with pytest.raises(Blocked):
            approve(by=RUNS, tenant=house.tenant, month=this_month)


def test_two_people_approve_where_it_is_said_so(house: House, history: History) -> None:
    history.record(house.key().row, MIDDLE)
    one, two = (operator_for_person(make_operator(OperatorRole.BILLING)) for _ in range(2))
    with selling(needs_two_people=True):
        previewed(house.tenant, MONTH)
        approve(by=one, tenant=house.tenant, month=MONTH)
        assert blocks(house.tenant) == {Code.SECOND_PERSON}
        with pytest.raises(Conflict, match="second person"):
            approve(by=one, tenant=house.tenant, month=MONTH)
        with pytest.raises(Blocked):
            issue(by=one, tenant=house.tenant, month=MONTH)
        approve(by=two, tenant=house.tenant, month=MONTH)
        assert issue_all(by=one, month=MONTH, tenants=[house.tenant]).done == 1


def test_an_approval_lasts_only_while_the_ledger_says_the_same(house: House, history: History) -> None:
    key = house.key().row
    history.record(key, MIDDLE)
    with selling():
        previewed(house.tenant, MONTH)
        approve(by=RUNS, tenant=house.tenant, month=MONTH)
        history.record(key, MIDDLE)
        with pytest.raises(Blocked, match="changed since the preview"):
            issue(by=RUNS, tenant=house.tenant, month=MONTH)
        assert previewed(house.tenant, MONTH).state == Closing.State.PREVIEWED
        assert issued(house.tenant, MONTH).exact_nano_eur == 90_000


def test_records_that_are_not_what_the_sums_say_stop_the_closing(
    house: House, history: History, owner_database_url: str
) -> None:
    history.record(house.key().row, MIDDLE)
    with psycopg.connect(owner_database_url, autocommit=True) as owner:
        owner.execute("update billing_usage_day set cost_nano_eur = 1 where tenant_id = %s", [house.tenant.pk])
    with selling():
        found = previewed(house.tenant, MONTH)
        assert f"{MONTH:%Y-%m}" in found.fault
        assert Code.NO_LINES in blocks(house.tenant)


def test_usage_that_comes_to_light_later_is_billed_with_the_next_month(house: House, history: History) -> None:
    key = house.key().row
    before = (MONTH - timedelta(days=1)).replace(day=1)
    history.record(key, MIDDLE - timedelta(days=31), cost=100)
    with selling():
        assert issued(house.tenant, before).exact_nano_eur == 100
        history.record(key, MIDDLE - timedelta(days=31), cost=23)
        history.record(key, MIDDLE, cost=1_000)
        invoice = issued(house.tenant, MONTH)
    lines = {(line.covers_month, line.exact_nano_eur) for line in invoice.lines.all() if line.exact_nano_eur}
    assert lines == {(before, 23), (MONTH, 1_000)}
    assert "that no invoice had" in " ".join(line.explanation for line in from_json(invoice.contents).lines)


def test_entries_of_the_ledger_are_invoiced_once(house: House, history: History, owner_database_url: str) -> None:
    history.record(house.key().row, MIDDLE, cost=10**10)
    moved = (("refund", 3 * 10**9), ("fee", 5 * 10**9), ("correction", -(10**9)), ("top_up", 10**12))
    with transaction.atomic():
        for kind, amount in moved:
            enter(tenant=house.tenant, kind=kind, amount_nano_eur=amount, reason="Tests", by=RUNS, idempotency_key=kind)
    with psycopg.connect(owner_database_url, autocommit=True) as owner:
        owner.execute("alter table billing_ledger_entry disable trigger refuse_change")
        owner.execute("update billing_ledger_entry set created_at = %s where tenant_id = %s", [MIDDLE, house.tenant.pk])
        owner.execute("alter table billing_ledger_entry enable trigger refuse_change")
    with selling():
        invoice = issued(house.tenant, MONTH)
    assert invoice.exact_nano_eur == 10**9 * (10 - 3 + 5 - 1)
    assert invoice.lines.filter(entry_id__isnull=False).count() == 3
    assert LedgerEntry.objects.filter(tenant_id=house.tenant.pk).count() == 4


def test_a_house_that_charges_back_issues_statements_without_vat_or_number(house: House, history: History) -> None:
    history.record(house.key().row, MIDDLE, cost=10**9)
    with charging_back():
        invoice = issued(house.tenant, MONTH)
    contents = from_json(invoice.contents)
    assert (invoice.kind, invoice.series, invoice.tax_cents, invoice.due_on) == ("statement", "", 0, None)
    assert contents.vat == ()
    assert contents.payment.iban == ""


def test_a_month_without_anything_is_closed_without_an_invoice(house: House) -> None:
    with selling():
        previewed(house.tenant, MONTH)
        approve(by=RUNS, tenant=house.tenant, month=MONTH)
        assert issue(by=RUNS, tenant=house.tenant, month=MONTH) is None
    assert Closing.objects.get(tenant=house.tenant, month=MONTH).state == Closing.State.ISSUED


def test_a_price_that_changes_in_the_middle_of_the_month_makes_two_lines(house: House, history: History) -> None:
    key = house.key().row
    history.record(key, MIDDLE - timedelta(days=3), cost=45_000)
    version = make_price(house.price_version.rate_card, house.model, {"input": 10**9, "output": 10**9}, timedelta())
    object.__setattr__(history.house, "price_version", version)
    history.record(key, MIDDLE, cost=150_000)
    with selling():
        invoice = issued(house.tenant, MONTH)
    lines = invoice.lines.filter(meter="input").order_by("price_version_id")
    assert [(line.price_nano_eur, line.exact_nano_eur) for line in lines] == [(150_000_000, 45_000), (10**9, 150_000)]


@pytest.mark.parametrize(
    ("zone", "month", "hours"),
    [
        ("Europe/Paris", (2026, 10), 31 * 24 + 1),
        ("Europe/Paris", (2027, 3), 31 * 24 - 1),
        ("Asia/Kolkata", (2026, 10), 31 * 24),
        ("America/New_York", (2026, 11), 30 * 24 + 1),
    ],
)
def test_a_month_with_daylight_saving_has_all_of_its_hours(zone: str, month: tuple[int, int], hours: int) -> None:
    first = datetime(*month, 1, tzinfo=UTC).date()
    period = period_of(first, zone)
    assert period.ends_at - period.starts_at == timedelta(hours=hours)
    assert period.starts_at.minute == 0
    assert period.starts_at.astimezone(ZoneInfo(zone)).date() == first


def test_a_time_zone_that_changes_bills_no_hour_twice_or_never() -> None:
    october, november = datetime(2026, 10, 1, tzinfo=UTC).date(), datetime(2026, 11, 1, tzinfo=UTC).date()
    closed = period_of(october, "Europe/Paris")
    assert period_of(november, "America/New_York", closed.ends_at).starts_at == closed.ends_at


def test_ten_thousand_lines_are_issued_in_one_transaction(house: House, history: History) -> None:
    history.record(house.key().row, MIDDLE)
    with selling():
        closing = previewed(house.tenant, MONTH)
        [line] = DraftLine.objects.filter(closing=closing, exact_nano_eur__gt=0)
        DraftLine.objects.filter(closing=closing).delete()
        rows = []
        for number in range(1, 10_001):
            rows.append(DraftLine(**{field.name: getattr(line, field.name) for field in DraftLine._meta.fields[1:]}))
            rows[-1].position = number
        DraftLine.objects.bulk_create(rows, batch_size=2_000)
        approve(by=RUNS, tenant=house.tenant, month=MONTH)
        invoice = issue(by=RUNS, tenant=house.tenant, month=MONTH)
    assert invoice is not None
    assert invoice.lines.count() == invoice.line_count == 10_000
