"""Where budgets and limits stand is what the ledger would decide on."""

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import psycopg
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.limits.standing import budgets_of_tenant, budgets_on_path, limits_of_tenant, limits_on_path
from billing.models import Scope
from billing.pricing import Quantities
from tests.support.ledger import House, LedgerGateway, ledger_gateway, make_house


@pytest.fixture
def house(database: None) -> House:
    return make_house()


@pytest.fixture
def gateway(database: None, gateway_database_url: str) -> Iterator[LedgerGateway]:
    with ledger_gateway(gateway_database_url) as gateway:
        yield gateway


def test_a_budget_shows_what_is_spent_held_and_left(house: House, gateway: LedgerGateway) -> None:
    key = house.key().row
    house.budget(Scope.TENANT, house.tenant.pk, 2_000_000)
    gateway.complete(house, key, Quantities(input=100, output=50))
    gateway.admit(house, key, input_tokens=1_000, output_tokens=1_000)

    [standing] = budgets_of_tenant(house.tenant.pk, size=10)

    assert (standing.limit_nano_eur, standing.cap_nano_eur) == (2_000_000, 2_000_000)
    assert (standing.spent_nano_eur, standing.held_nano_eur) == (45_000, 750_000)
    assert standing.left_nano_eur == 2_000_000 - 45_000 - 750_000
    paris = ZoneInfo("Europe/Paris")
    this_month = datetime.now(paris).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    assert standing.starts_at == this_month
    assert standing.resets_at is not None
    assert standing.resets_at.astimezone(paris).day == 1


def test_a_budget_that_no_request_has_opened_stands_at_nothing(house: House) -> None:
    house.budget(Scope.TENANT, house.tenant.pk, 5, period="day")
    house.budget(Scope.TENANT, house.tenant.pk, 7, period="once", is_hard=False)

    daily, once = budgets_of_tenant(house.tenant.pk, size=10)

    assert (daily.cap_nano_eur, daily.spent_nano_eur, daily.held_nano_eur, daily.left_nano_eur) == (5, 0, 0, 5)
    assert daily.starts_at is not None
    assert daily.resets_at is not None
    assert daily.starts_at <= datetime.now(UTC) < daily.resets_at
    assert (once.cap_nano_eur, once.starts_at, once.resets_at) == (None, None, None)


def test_a_limit_lowered_under_what_is_spent_leaves_nothing_and_never_less(
    house: House, gateway: LedgerGateway
) -> None:
    key = house.key().row
    budget = house.budget(Scope.KEY, key.pk, 1_000_000)
    gateway.complete(house, key, Quantities(input=100, output=50))
    with connection.cursor() as cursor:
        cursor.execute("select set_budget_limit_v1(%s, %s)", [budget.pk, 10_000])

    [standing] = budgets_of_tenant(house.tenant.pk, size=10)

    assert (standing.limit_nano_eur, standing.cap_nano_eur, standing.left_nano_eur) == (10_000, 45_000, 0)


def test_limits_show_what_is_used_of_their_window(house: House, gateway: LedgerGateway) -> None:
    key = house.key().row
    house.limit(Scope.KEY, key.pk, "requests", "minute", 10)
    house.limit(Scope.TENANT, house.tenant.pk, "tokens", "month", 100_000)
    house.limit(Scope.PROJECT, house.project.pk, "concurrent", "none", 4)
    gateway.complete(house, key, Quantities(input=100, output=50))
    gateway.admit(house, key, input_tokens=1_000, output_tokens=1_000)

    requests, tokens, at_once = limits_of_tenant(house.tenant.pk, size=10)

    assert (requests.used, requests.left) == (2, 8)
    assert (tokens.used, tokens.left) == (150 + 2_000, 97_850)
    assert (at_once.used, at_once.left, at_once.resets_at) == (1, 3, None)
    assert requests.resets_at is not None
    assert 0 < (requests.resets_at - datetime.now(UTC)).total_seconds() <= 60


def test_a_window_whose_time_is_over_stands_at_nothing(
    house: House, gateway: LedgerGateway, owner_database_url: str
) -> None:
    key = house.key().row
    limit = house.limit(Scope.KEY, key.pk, "requests", "minute", 10)
    gateway.complete(house, key)
    with psycopg.connect(owner_database_url, autocommit=True) as owner:
        owner.execute("update billing_limit_window set ends_at = now() where limit_id = %s", [limit.pk])

    [standing] = limits_of_tenant(house.tenant.pk, size=10)

    assert (standing.used, standing.left) == (0, 10)
    assert standing.resets_at is not None
    assert standing.resets_at > datetime.now(UTC)


def test_a_path_has_what_binds_the_key_and_nothing_beside(house: House) -> None:
    key, other = house.key().row, house.key().row
    elsewhere = house.project_called("Elsewhere")
    own = [
        house.budget(Scope.TENANT, house.tenant.pk, 1).pk,
        house.budget(Scope.PROJECT, house.project.pk, 2).pk,
        house.budget(Scope.KEY, key.pk, 3).pk,
    ]
    house.budget(Scope.PROJECT, elsewhere.pk, 4)
    house.budget(Scope.KEY, other.pk, 5)
    house.budget(Scope.KEY, key.pk, 6, period="day", is_active=False)
    house.limit(Scope.KEY, other.pk, "requests", "minute", 1)
    stranger = make_house()
    stranger.budget(Scope.TENANT, stranger.tenant.pk, 7)

    assert [standing.id for standing in budgets_on_path(house.tenant.pk, house.project.pk, key.pk)] == own
    assert limits_on_path(house.tenant.pk, house.project.pk, key.pk) == []


def test_a_long_list_comes_in_pages_of_one_query_each(house: House) -> None:
    budgets = [house.budget(Scope.KEY, house.key().row.pk, 1).pk for _ in range(5)]
    with CaptureQueriesContext(connection) as queries:
        first = budgets_of_tenant(house.tenant.pk, size=3)
        rest = budgets_of_tenant(house.tenant.pk, after=first[-1].id, size=3)
    assert [standing.id for standing in first + rest] == budgets
    assert len(queries) == 2
