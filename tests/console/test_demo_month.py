"""The demo's last month is closed by the worker after the start, once, and says that it is one."""

from collections.abc import Iterator
from typing import Any

import pytest

from billing.closing.issuing import Blocked
from billing.invoices.document.contents import from_json
from billing.invoices.files import take_invoice, write_files_of
from billing.models import Closing, Invoice, InvoiceFile
from console import demo_month
from console.celery import app
from console.demo import DemoTenant
from console.tasks import close_demo_month
from identity.models import AuditEvent, Tenant
from tests.support.closings import charging_back, last_month
from tests.support.history import History, history_of
from tests.support.ledger import House, make_house, unique

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> House:
    """One that stands in for the demo's first organisation."""
    house = make_house()
    Tenant.objects.filter(pk=house.tenant.pk).update(slug=unique("demo"), is_demo=True)
    house.tenant.refresh_from_db()
    demo = [DemoTenant(house.tenant.slug, house.tenant.name, {})]
    for module in ("console.demo_month", "console.demo_past"):
        monkeypatch.setattr(f"{module}.TENANTS", demo)
    return house


@pytest.fixture
def history(house: House, owner_database_url: str) -> Iterator[History]:
    with history_of(house, owner_database_url) as history:
        yield history


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tasks that the worker is asked for."""
    names: list[str] = []

    def send(name: str, **_more: Any) -> None:
        names.append(name)

    monkeypatch.setattr(app, "send_task", send)
    return names


def use(house: House, history: History) -> None:
    month = last_month()
    at = Tenant.objects.get(pk=house.tenant.pk).created_at.replace(year=month.year, month=month.month, day=15)
    history.record(house.key().row, at, cost=10**10)


def test_its_last_month_is_a_statement_that_says_what_it_is(house: House, history: History, sent: list[str]) -> None:
    use(house, history)
    demo_month.ask_to_close()
    assert sent == ["console.close_demo_month"]
    with charging_back():
        close_demo_month()
        close_demo_month()
    [statement] = Invoice.objects.filter(tenant=house.tenant)
    assert (statement.kind, statement.month, statement.net_cents) == ("statement", last_month(), 1_000)
    assert "made up" in from_json(statement.contents).notes[-1].text
    assert AuditEvent.objects.filter(tenant=house.tenant, action="invoice.issued").count() == 1
    assert take_invoice(statement.pk) is not None
    assert write_files_of(statement)
    assert InvoiceFile.objects.filter(invoice=statement, media_type="application/pdf").exists()
    demo_month.ask_to_close()
    assert len(sent) == 1


def test_without_a_past_there_is_nothing_to_close(house: House) -> None:
    assert not demo_month.close_demo_month()
    assert not Closing.objects.filter(tenant=house.tenant).exists()


def test_what_is_in_the_way_is_waited_for(house: House, history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a check of the ledger that another worker is at."""
    use(house, history)
    monkeypatch.setattr("billing.checks.ledger_checks.check_if_due", lambda _now: None)
    monkeypatch.setattr("billing.checks.ledger_checks.last_check", lambda: None)
    with pytest.raises(Blocked, match="not added up"):
        demo_month.close_demo_month()
    with charging_back():
        assert demo_month.close_demo_month()
