"""Who owes money is reminded of it: at set days after the day on which it was due, each once, until it is paid."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from billing.invoices.document.contents import Kind
from billing.invoices.files import write_files_of
from billing.invoices.payers import end_payer
from billing.invoices.reminders import remind_of_invoices
from billing.models import Invoice, Payment
from identity.models import Notice, NoticeDelivery, Role, Tenant
from identity.notice_wording import word
from identity.webhooks import add_webhook
from tests.support.invoice_contents import invoice, statement
from tests.support.invoices import kept
from tests.support.payers import paying
from tests.support.people import Cast, as_member, make_cast, make_person

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def cast() -> Cast:
    return make_cast()


def ago(tenant: Tenant, days: int) -> date:
    """The day that was so many days before, by the tenant's calendar."""
    return timezone.localdate(timezone=ZoneInfo(tenant.time_zone)) - timedelta(days=days)


def due(tenant: Tenant, days: int) -> Invoice:
    """An invoice that was due so many days ago."""
    return kept(tenant, replace(invoice(), due_on=ago(tenant, days)))


def told(tenant: Tenant, kind: str = "invoice.overdue") -> list[Notice]:
    """What it was reminded of; the worker looks every hour."""
    for _ in range(2):
        remind_of_invoices()
    return list(Notice.objects.filter(tenant=tenant, kind=kind).order_by("pk"))


def pay(found: Invoice, amount_cents: int) -> None:
    day = date(2026, 11, 20)
    Payment.objects.create(
        invoice=found, amount_cents=amount_cents, paid_on=day, reference="R", source="hand", actor="tests"
    )


def test_it_is_told_three_fifteen_and_thirty_days_after_and_once_each(cast: Cast) -> None:
    for days in (-1, 0, 2):
        due(cast.tenant, days)
    assert told(cast.tenant) == []
    overdue = {days: due(cast.tenant, days).number for days in (3, 14, 15, 29, 31)}
    notices = told(cast.tenant)
    assert {notice.context["number"] for notice in notices} == set(overdue.values())
    assert [notice.once_key.rpartition(":")[2] for notice in notices] == ["3", "3", "15", "15", "30"]


def test_the_next_one_comes_when_its_day_has_come(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    due(cast.tenant, 10)
    assert len(told(cast.tenant)) == 1
    monkeypatch.setattr("billing.invoices.reminders.DAYS_AFTER", (3, 10))
    assert [notice.context["days"] for notice in told(cast.tenant)] == [10, 10]


def test_owners_administrators_and_finance_are_told_by_inbox_and_e_mail_and_webhooks_are(
    cast: Cast, settings: Any
) -> None:
    settings.MAIL_IS_SET_UP = True
    fay = make_person("fay", cast.tenant, Role.FINANCE)
    add_webhook(by=as_member(cast.alice, cast.tenant), name="Books", url="https://books.example.org/in")
    due(cast.tenant, 3)
    [notice] = told(cast.tenant)
    sent = NoticeDelivery.objects.filter(notice=notice)
    assert set(sent.filter(channel="inbox").values_list("person", flat=True)) == {cast.alice.pk, fay.pk}
    assert set(sent.filter(channel="email").values_list("person", flat=True)) == {cast.alice.pk, fay.pk}
    assert sent.filter(channel="webhook").count() == 1


def test_what_is_paid_in_part_is_told_with_what_is_left_and_what_is_paid_is_not(cast: Cast) -> None:
    paid, partly, credited = (due(cast.tenant, 3) for _ in range(3))
    pay(paid, paid.due_cents)
    pay(partly, partly.due_cents - 150)
    kept(cast.tenant, replace(invoice(), kind=Kind.CREDIT_NOTE), corrects=credited)
    kept(cast.tenant, statement())
    [notice] = told(cast.tenant)
    assert (notice.context["number"], notice.context["left_nano_eur"]) == (partly.number, 1_500_000_000)
    assert "€1.50 are left" in word(notice, language="en", time_zone="UTC").title


def test_a_payers_people_get_an_e_mail_and_whoever_pays_later_does_not(cast: Cast, settings: Any) -> None:
    settings.MAIL_IS_SET_UP = True
    paul, petra = make_person("paul"), make_person("petra")
    paying(cast.tenant, cast.alice, paul)
    found = due(cast.tenant, 3)
    end_payer(by=as_member(cast.alice, cast.tenant))
    paying(cast.tenant, cast.alice, petra)
    [notice] = told(cast.tenant, "payer.overdue")
    assert mailed(notice) == [paul.email]
    worded = word(notice, language="en", time_zone="UTC")
    assert worded.path == f"/payer/invoices/{found.public_id}"
    assert cast.tenant.name in worded.text


def mailed(notice: Notice) -> list[str]:
    return [delivery.address for delivery in notice.deliveries.all()]


@pytest.mark.usefixtures("drawn")
def test_a_payers_people_are_told_of_new_invoices_once(cast: Cast, settings: Any) -> None:
    settings.MAIL_IS_SET_UP = True
    paul = make_person("paul")
    paying(cast.tenant, cast.alice, paul)
    found = due(cast.tenant, -30)
    for _ in range(2):
        write_files_of(found)
    [notice] = Notice.objects.filter(tenant=cast.tenant, kind="payer.invoiced")
    assert (mailed(notice), notice.context["number"]) == ([paul.email], found.number)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.invoices.files.render_pdf", lambda *_args, **_more: b"%PDF-")
