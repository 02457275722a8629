"""The figures of the first page, against requests whose cost and time are known."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.models import Scope
from billing.usage.overview import Totals, overview
from billing.usage.records import Reader
from tests.support.history import History, history_of
from tests.support.ledger import House, LedgerGateway, ledger_gateway, make_house, make_model

NOW = datetime.now(UTC)


@pytest.fixture
def house(database: None) -> House:
    return make_house(time_zone="UTC")


@pytest.fixture
def history(house: House, owner_database_url: str) -> Iterator[History]:
    with history_of(house, owner_database_url) as history:
        yield history


@pytest.fixture
def gateway(database: None, gateway_database_url: str) -> Iterator[LedgerGateway]:
    with ledger_gateway(gateway_database_url) as gateway:
        yield gateway


def test_the_last_day_and_the_last_thirty_are_added_up_by_model(house: House, history: History) -> None:
    key, other = house.key().row, make_model()
    history.record(key, NOW - timedelta(hours=2))
    history.record(key, NOW - timedelta(hours=3), http_status=502, status="engine_failed", cost=0)
    history.record(key, NOW - timedelta(days=3), model=other)
    history.record(key, NOW - timedelta(days=40))
    history.refusal(key, NOW - timedelta(hours=1), is_listed=False)
    history.refusal(key, NOW - timedelta(hours=30), code="insufficient_quota")

    found = overview(Reader(house.tenant.pk), now=NOW)

    assert found.last_day == Totals(2, 1, 45_000, 200, 100)
    assert found.last_days == Totals(3, 1, 90_000, 300, 150)
    assert dict(found.models) == {
        house.model.name: Totals(2, 1, 45_000, 200, 100),
        other.name: Totals(1, 0, 45_000, 100, 50),
    }
    assert {day.day for day in found.days} <= {(NOW - timedelta(days=back)).date() for back in range(5)}
    assert (found.pulse.refusals, found.pulse.refusals_before) == (1, 1)
    assert found.pulse.commonest_code == "rate_limit_exceeded"


def test_first_token_times_are_those_of_the_last_hour(house: House, history: History) -> None:
    key = house.key().row
    for ttft in range(1, 21):
        history.record(key, NOW - timedelta(minutes=ttft), ttft=ttft * 10)
    history.record(key, NOW - timedelta(minutes=90), ttft=99_999)

    pulse = overview(Reader(house.tenant.pk), now=NOW).pulse

    assert (pulse.timed, pulse.first_token_p50_ms, pulse.first_token_p95_ms) == (20, 100, 190)


def test_a_tenant_that_used_nothing_has_figures_too(house: House) -> None:
    found = overview(Reader(house.tenant.pk), now=NOW)

    assert found.last_days == Totals()
    assert found.models == []
    assert (found.month.used_nano_eur, found.month.projected_nano_eur, found.month.limit_nano_eur) == (0, 0, None)
    assert found.pulse.first_token_p50_ms is None


def test_the_month_shows_the_budget_that_binds_first(house: House, gateway: LedgerGateway) -> None:
    key = house.key().row
    house.budget(Scope.TENANT, house.tenant.pk, 10**12, source="tier")
    house.budget(Scope.TENANT, house.tenant.pk, 10**9)
    gateway.complete(house, key)
    held = gateway.admit(house, key)
    assert held.verdict == "admitted"

    month = overview(Reader(house.tenant.pk), now=NOW).month

    assert (month.limit_nano_eur, month.spent_nano_eur, month.is_hard) == (10**9, 45_000, True)
    assert month.reserved_nano_eur > 0
    assert month.projected_nano_eur >= month.used_nano_eur


def test_a_member_of_one_project_sees_only_its_figures_I6(
    house: House, history: History, gateway: LedgerGateway
) -> None:
    mine = house.project_called("Mine")
    my_key, their_key = house.key(project=mine).row, house.key().row
    house.budget(Scope.TENANT, house.tenant.pk, 10**12)
    house.budget(Scope.PROJECT, house.project.pk, 5 * 10**9)
    house.budget(Scope.PROJECT, mine.pk, 2 * 10**9)
    gateway.complete(house, my_key)
    for _ in range(3):
        gateway.complete(house, their_key)
        gateway.admit(house, their_key)
        history.refusal(their_key, NOW - timedelta(minutes=5))

    found = overview(Reader(house.tenant.pk, project_ids=frozenset({mine.pk})), now=NOW)

    assert (found.month.limit_nano_eur, found.month.spent_nano_eur) == (2 * 10**9, 45_000)
    assert (found.month.reserved_nano_eur, found.pulse.running, found.pulse.refusals) == (0, 0, 0)
    assert found.last_day.requests == found.pulse.timed == 1
    assert [(budget.scope, budget.scope_id) for budget in found.budgets] == [("project", mine.pk)]


def test_three_queries_whatever_there_is(house: House, history: History, owner_database_url: str) -> None:
    key = house.key().row
    for hours in range(30):
        history.record(key, NOW - timedelta(hours=hours), model=make_model() if hours % 10 == 0 else None)
    with CaptureQueriesContext(connection) as queries:
        overview(Reader(house.tenant.pk), now=NOW)
    assert len(queries) == 3


def test_a_day_begins_at_midnight_of_the_time_zone(database: None, owner_database_url: str) -> None:
    house = make_house(time_zone="Pacific/Auckland")
    with history_of(house, owner_database_url) as history, psycopg.connect(owner_database_url) as owner:
        at = NOW - timedelta(days=2)
        history.record(house.key().row, at)
        row = owner.execute("select (%s::timestamptz at time zone 'Pacific/Auckland')::date", [at]).fetchone()
    assert row is not None
    assert [day.day for day in overview(Reader(house.tenant.pk), now=NOW).days] == [row[0]]
