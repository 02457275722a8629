"""Prepaid credit on bills: whichever way it is invoiced, its VAT is charged once, and none of it is lost."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from django.utils import timezone

from billing.closing.carried_over import credit_left_over
from billing.closing.issuing import issue
from billing.closing.period import following, preceding
from billing.credit.account import account_of, credit_between_bills
from billing.invoices.document.contents import from_json
from billing.invoices.document.faults import faults_of
from billing.invoices.journal import Entry, journal
from billing.invoices.settings import change_billing_settings
from billing.models import BillingSettings, Budget, ContractTerm, Invoice, LedgerEntry
from identity.errors import Conflict
from tests.support.closings import charging_back, closed, credited, issued, last_month, selling, with_buyer
from tests.support.history import History, history_of
from tests.support.ledger import House, make_house, unique
from tests.support.operators import RUNS

EUR = 10**9
MONTH = last_month()
BEFORE = preceding(MONTH)
MIDDLE, EARLIER = (datetime(month.year, month.month, 15, 12, 30, tzinfo=UTC) for month in (MONTH, BEFORE))


@pytest.fixture
def house(database: None) -> House:
    house = make_house()
    with_buyer(house.tenant)
    return house


@pytest.fixture
def history(house: House, owner_database_url: str) -> Iterator[History]:
    with history_of(house, owner_database_url) as history:
        yield history


def amounts(invoice: Invoice) -> tuple[int, int, int, int]:
    return invoice.net_cents, invoice.tax_cents, invoice.prepaid_cents, invoice.due_cents


def end_of_credit(house: House, at: datetime) -> None:
    """From then on the house is billed afterwards."""
    Budget.objects.filter(tenant_id=house.tenant.pk, source="credit").update(is_active=False, ended_at=at)


def use(history: History, *, before: int = 0, last: int = 0) -> None:
    """Requests of the two months, in euros."""
    key = history.house.key().row
    for at, euros in ((EARLIER, before), (MIDDLE, last)):
        if euros:
            history.record(key, at, cost=euros * EUR)


def test_credit_that_is_invoiced_at_use_has_its_vat_when_it_is_used(house: House, history: History) -> None:
    credited(house, 100 * EUR, EARLIER - timedelta(days=1))
    use(history, before=60, last=40)
    with selling():
        first, second = issued(house.tenant, BEFORE), issued(house.tenant, MONTH)
    assert amounts(first) == (6_000, 1_200, 6_000, 1_200)
    assert amounts(second) == (4_000, 800, 4_000, 800)
    assert not first.lines.filter(kind__in=["top_up", "credit"]).exists()


def test_credit_that_is_invoiced_at_top_up_has_its_vat_then_and_not_again(house: House, history: History) -> None:
    credited(house, 100 * EUR, EARLIER - timedelta(days=1))
    use(history, before=60, last=40)
    with selling(credit_invoiced="top_up"):
        first, second = issued(house.tenant, BEFORE), issued(house.tenant, MONTH)
        assert [faults_of(from_json(one.contents)) for one in (first, second)] == [[], []]
    assert amounts(first) == (10_000, 2_000, 12_000, 0)
    assert amounts(second) == (0, 0, 0, 0)
    assert sorted(line.net_cents for line in second.lines.all() if line.net_cents) == [-4_000, 4_000]


def test_what_credit_does_not_pay_is_still_to_be_paid(house: House, history: History) -> None:
    """The tenant left its prepaid tier in the middle of the month, and has used more since."""
    credited(house, 100 * EUR, MIDDLE - timedelta(hours=1))
    use(history, last=60)
    end_of_credit(house, MIDDLE + timedelta(hours=1))
    history.record(house.key().row, MIDDLE + timedelta(hours=2), cost=30 * EUR)
    with selling(credit_invoiced="top_up"):
        assert amounts(issued(house.tenant, MONTH)) == (13_000, 2_600, 12_000, 3_600)


def test_credit_that_a_discount_left_over_pays_the_next_invoice(house: House, history: History) -> None:
    credited(house, 100 * EUR, EARLIER - timedelta(days=1))
    discounted(house, BEFORE, BEFORE)
    use(history, before=100)
    end_of_credit(house, MIDDLE - timedelta(days=5))
    use(history, last=50)
    with selling():
        assert amounts(issued(house.tenant, BEFORE)) == (7_000, 1_400, 8_400, 0)
        assert amounts(issued(house.tenant, MONTH)) == (5_000, 1_000, 1_600, 4_400)


def credited_to(house: House) -> int:
    """What came in and was given back."""
    account = account_of(house.tenant)
    assert account is not None
    return account.credited_nano_eur


def discounted(house: House, first: date, last: date) -> None:
    """30 % less for these months."""
    ContractTerm.objects.create(
        tenant=house.tenant, kind="percent", first_month=first, last_month=last, share_millionths=300_000
    )


def test_what_a_discount_leaves_over_of_credit_invoiced_at_top_up_is_credit_again(
    house: House, history: History
) -> None:
    """100 came in (120 with VAT), 100 were used at 30 % less: 30 are credit again, and pay 30 of the next month."""
    credited(house, 100 * EUR, EARLIER - timedelta(days=1))
    discounted(house, BEFORE, BEFORE)
    use(history, before=100)
    with selling(credit_invoiced="top_up"):
        first = issued(house.tenant, BEFORE)
        assert amounts(first) == (10_000, 2_000, 12_000, 0)
        assert faults_of(from_json(first.contents)) == []
        assert credited_to(house) == 130 * EUR
        use(history, last=30)
        assert amounts(issued(house.tenant, MONTH)) == (0, 0, 0, 0)
    assert credited_to(house) == 130 * EUR


def test_what_a_discount_leaves_over_of_a_deposit_is_credit_again(house: House, history: History) -> None:
    """Of a deposit of 100, 100 were used at 30 % less: 84 with VAT, so that 16 are a deposit again."""
    credited(house, 100 * EUR, EARLIER - timedelta(days=1))
    discounted(house, BEFORE, MONTH)
    use(history, before=100)
    with selling():
        assert amounts(issued(house.tenant, BEFORE)) == (7_000, 1_400, 8_400, 0)
        assert credited_to(house) == 116 * EUR
        use(history, last=16)
        assert amounts(issued(house.tenant, MONTH)) == (1_120, 224, 1_344, 0)
        assert credited_to(house) == 118_560_000_000
        assert balance(advances_of(house)) == 256


def test_no_credit_is_given_back_twice(house: House, history: History) -> None:
    credited(house, 100 * EUR, EARLIER - timedelta(days=1))
    discounted(house, BEFORE, BEFORE)
    use(history, before=100)
    with selling():
        first = issued(house.tenant, BEFORE)
        assert issue(by=RUNS, tenant=house.tenant, month=BEFORE) == first
        assert closed(house.tenant, MONTH) is None
    [entry] = LedgerEntry.objects.filter(tenant_id=house.tenant.pk, idempotency_key=f"given back {BEFORE:%Y-%m}")
    assert entry.amount_nano_eur == 16 * EUR
    assert first.number in entry.reason


def test_what_came_to_light_late_was_paid_from_credit_as_well(house: House, history: History) -> None:
    credited(house, 100 * EUR, EARLIER - timedelta(days=1))
    use(history, before=60)
    with selling():
        issued(house.tenant, BEFORE)
        use(history, before=10, last=5)
        assert amounts(issued(house.tenant, MONTH)) == (1_500, 300, 1_500, 300)
    assert credit_left_over(house.tenant, following(MONTH)) == 0


@pytest.mark.parametrize("invoiced", ["use", "top_up"])
def test_the_journal_takes_from_advances_what_was_paid_before(house: House, history: History, invoiced: str) -> None:
    credited(house, 100 * EUR, MIDDLE - timedelta(days=1))
    use(history, last=60)
    with selling(credit_invoiced=invoiced):
        invoice = issued(house.tenant, MONTH)
        entries = [one for one in journal(invoice.issued_on, invoice.issued_on) if one.piece == invoice.number]
    assert sum(one.debit_cents - one.credit_cents for one in entries) == 0
    advances = sum(one.debit_cents for one in entries if one.account == "419100")
    assert advances == {"use": 6_000, "top_up": 12_000}[invoiced]


def advances_of(house: House) -> list[Entry]:
    """What the books have of the house's advances, and of the bank's money for them; each piece balances."""
    whole = [one for one in journal(date(2020, 1, 1), date(2099, 1, 1)) if one.auxiliary == house.tenant.slug]
    pieces = {one.piece for one in whole}
    for piece in pieces:
        of_it = [one for one in journal(date(2020, 1, 1), date(2099, 1, 1)) if one.piece == piece]
        assert sum(one.debit_cents - one.credit_cents for one in of_it) == 0
    return [one for one in whole if one.account == "419100"]


def balance(entries: list[Entry]) -> int:
    return sum(one.credit_cents - one.debit_cents for one in entries)


def test_a_deposit_is_in_advances_from_its_day_on_until_it_is_used(house: House, history: History) -> None:
    credited(house, 100 * EUR, EARLIER - timedelta(days=1))
    use(history, before=60, last=15)
    with selling():
        [came_in] = advances_of(house)
        assert (came_in.day, came_in.journal, came_in.credit_cents) == (date(2026, 11, 20), "BQ", 10_000)
        issued(house.tenant, BEFORE)
        assert balance(advances_of(house)) == 4_000
        issued(house.tenant, MONTH)
        assert balance(advances_of(house)) == 2_500


def test_what_came_in_with_its_vat_is_in_the_books_once_its_invoice_is(house: House, history: History) -> None:
    """Three payments of a third share what the invoice counts as paid before, to the cent."""
    for amount in (33_330_000_000, 33_330_000_000, 33_350_000_000):
        credited(house, amount, EARLIER - timedelta(days=1))
    use(history, before=60, last=40)
    with selling(credit_invoiced="top_up"):
        assert advances_of(house) == []
        first = issued(house.tenant, BEFORE)
        entries = advances_of(house)
        came_in = [one.credit_cents for one in entries if one.credit_cents]
        assert sum(came_in) == first.prepaid_cents == 12_001
        assert [cents in (3_999, 4_000, 4_001, 4_002) for cents in came_in] == [True, True, True]
        assert {one.piece for one in entries} == {first.number}
        issued(house.tenant, MONTH)
        assert balance(advances_of(house)) == 0
        credited(house, 10 * EUR, timezone.now())
        assert advances_of(house) == entries, "what no invoice bills yet waits for it"


def test_a_deposit_stays_one_where_credit_is_invoiced_at_top_up_since(house: House, history: History) -> None:
    credited(house, 100 * EUR, EARLIER - timedelta(days=1))
    use(history, before=100)
    with selling():
        issued(house.tenant, BEFORE)
    with selling(credit_invoiced="top_up"):
        assert [one.credit_cents for one in advances_of(house) if one.credit_cents] == [10_000]
        assert balance(advances_of(house)) == 0


def test_credit_inside_one_organisation_is_in_no_books(house: House, history: History) -> None:
    credited(house, 100 * EUR, MIDDLE - timedelta(days=1))
    use(history, last=60)
    with charging_back():
        issued(house.tenant, MONTH)
        assert advances_of(house) == []


def test_when_credit_is_invoiced_cannot_change_while_some_is_billed_in_part(house: House, history: History) -> None:
    """Else its VAT would be charged at top-up and at use, or never."""
    credited(house, 100 * EUR, EARLIER - timedelta(days=1))
    use(history, before=60)
    name = house.tenant.name = unique("Atelier")
    house.tenant.save()
    with selling():
        assert name not in credit_between_bills()  # nothing of it is billed: both ways are still open
        issued(house.tenant, BEFORE)
        assert name in credit_between_bills()
        with pytest.raises(Conflict, match="billed in part"):
            change_billing_settings(by=RUNS, credit_invoiced="top_up")
        assert BillingSettings.objects.get().credit_invoiced == "use"
        change_billing_settings(by=RUNS, credit_invoiced="use", payment_days=31)


def test_what_came_in_before_is_not_invoiced_at_top_up_after_a_change(house: House, history: History) -> None:
    credited(house, 100 * EUR, EARLIER - timedelta(days=1))
    use(history, before=100, last=5)
    end_of_credit(house, MIDDLE - timedelta(days=5))
    with selling():
        issued(house.tenant, BEFORE)
    with selling(credit_invoiced="top_up"):
        assert amounts(issued(house.tenant, MONTH)) == (500, 100, 0, 600)
