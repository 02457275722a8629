"""People are told of credit that runs low, is used up or is about to end: once a top-up, once a lot."""

import os
from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest

from billing.credit.alerts import Thresholds, choose_thresholds, tell_of_credit, thresholds_of
from billing.credit.moves import correct_credit
from identity.errors import Forbidden, Invalid
from identity.models import Notice, NoticeDelivery, Role, Tenant
from identity.webhooks import add_webhook
from tests.support.credit import EUR, make_prepaid, pay
from tests.support.ledger import House, LedgerGateway, house_of, ledger_gateway
from tests.support.operators import RUNS
from tests.support.people import Cast, as_member, make_cast, make_person


@pytest.fixture
def gateway(database: None, gateway_database_url: str) -> Iterator[LedgerGateway]:
    with ledger_gateway(gateway_database_url) as gateway:
        yield gateway


@pytest.fixture
def cast(database: None) -> Cast:
    return make_cast()


@pytest.fixture
def house(cast: Cast) -> House:
    house = house_of(cast.tenant)
    make_prepaid(house)
    pay(house.tenant, 100 * EUR)
    return house


def take(tenant: Tenant, amount_nano_eur: int) -> None:
    key = f"{amount_nano_eur} {Notice.objects.count()}"
    correct_credit(by=RUNS, tenant=tenant, amount_nano_eur=-amount_nano_eur, reason="A test", idempotency_key=key)


def told(tenant: Tenant) -> list[tuple[str, int]]:
    """Kind and what was left, of each notice about the balance."""
    for _ in range(2):  # the worker looks every minute
        tell_of_credit()
    kinds = ("credit.low", "credit.used_up", "credit.ending")
    found = Notice.objects.filter(tenant=tenant, kind__in=kinds).order_by("pk")
    return [(notice.kind, notice.context["left_nano_eur"]) for notice in found]


def test_each_threshold_is_told_once_a_top_up_to_webhooks_too(cast: Cast, house: House) -> None:
    webhook, _ = add_webhook(by=as_member(cast.alice, cast.tenant), name="Alarms", url="https://hooks.example.org/in")
    assert told(house.tenant) == []
    take(house.tenant, 80 * EUR)
    assert told(house.tenant) == []  # 20 % are left, not less
    take(house.tenant, EUR)
    take(house.tenant, 15 * EUR)
    assert told(house.tenant) == [("credit.low", 4 * EUR)]  # of both thresholds, the lowest
    take(house.tenant, 4 * EUR)
    assert told(house.tenant)[1:] == [("credit.used_up", 0)]
    sent = NoticeDelivery.objects.filter(webhook=webhook, notice__kind__in=("credit.low", "credit.used_up"))
    assert sent.count() == 2
    pay(house.tenant, 100 * EUR)
    assert len(told(house.tenant)) == 2
    take(house.tenant, 90 * EUR)
    assert told(house.tenant)[2:] == [("credit.low", 10 * EUR)]


def test_credit_that_no_longer_covers_a_request_is_used_up(gateway: LedgerGateway, house: House) -> None:
    key = house.key().row
    take(house.tenant, 100 * EUR - 100)
    assert [kind for kind, _left in told(house.tenant)] == ["credit.low"]
    assert gateway.admit(house, key).verdict == "budget"
    gateway.refuse(house, key, "insufficient_credit", "credit/tenant")
    assert told(house.tenant)[1:] == [("credit.used_up", 100)]


def test_people_choose_when_they_are_told(cast: Cast, house: House) -> None:
    finance = as_member(make_person("fay", cast.tenant, Role.FINANCE), cast.tenant)
    assert thresholds_of(cast.tenant) == Thresholds((20, 5), None)
    choose_thresholds(by=finance, wanted=Thresholds([], 50 * EUR))
    take(house.tenant, 51 * EUR)
    assert told(house.tenant) == [("credit.low", 49 * EUR)]
    for wrong in (Thresholds([0], None), Thresholds([101], None), Thresholds([1, 2, 3, 4, 5, 6], None)):
        with pytest.raises(Invalid, match="percents"):
            choose_thresholds(by=finance, wanted=wrong)
    with pytest.raises(Forbidden):
        choose_thresholds(by=as_member(cast.bob, cast.tenant), wanted=Thresholds([10], None))


def test_the_end_of_a_lot_is_told_a_month_and_a_week_before(house: House) -> None:
    for days, told_so_far in ((31, 0), (29, 1), (8, 1), (6, 2)):
        end_in(house.tenant, timedelta(days=days))
        assert told(house.tenant) == [("credit.ending", 100 * EUR)] * told_so_far


def end_in(tenant: Tenant, time: timedelta) -> None:
    """Only the owner of the tables can."""
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner:
        owner.execute("alter table billing_credit_entry disable trigger refuse_change")
        query = "update billing_credit_entry set expires_at = clock_timestamp() + %s where tenant_id = %s"
        owner.execute(query, [time, tenant.pk])
        owner.execute("alter table billing_credit_entry enable trigger refuse_change")
