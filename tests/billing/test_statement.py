"""A month's statement adds up to what the ledger charged, and its export is safe to open."""

import csv
import io
from collections.abc import Iterator
from datetime import date

import pytest
from django.utils import timezone

from billing.limits.standing import budgets_on
from billing.models import Scope as Holder
from billing.money import exact_eur
from billing.usage.by_project import figures_of_projects
from billing.usage.statement import csv_of, month_of, statement
from identity.projects import change_project
from tests.support.ledger import House, LedgerGateway, ledger_gateway, make_house
from tests.support.people import TESTS


@pytest.fixture
def gateway(database: None, gateway_database_url: str) -> Iterator[LedgerGateway]:
    with ledger_gateway(gateway_database_url) as gateway:
        yield gateway


@pytest.fixture
def house(database: None) -> House:
    return make_house()


def test_a_statement_has_a_line_a_project_and_model_that_add_up(gateway: LedgerGateway, house: House) -> None:
    second = house.project_called("Second")
    first_key, second_key = house.key(), house.key(project=second)
    for key in (first_key, first_key, second_key):
        gateway.complete(house, key.row)
    shown = statement(house.tenant, timezone.localdate())
    by_project = {line.project_id: (line.requests, line.cost_nano_eur) for line in shown.lines}
    assert by_project == {house.project.pk: (2, 90_000), second.pk: (1, 45_000)}
    assert (shown.requests, shown.total_nano_eur) == (3, 135_000)


def test_an_export_takes_no_name_for_a_formula(gateway: LedgerGateway, house: House) -> None:
    change_project(house.project, name="=cmd|' /C calc'!A0", cost_centre="@SUM(1)", actor=TESTS)
    gateway.complete(house, house.key().row)
    rows = list(csv.DictReader(io.StringIO(csv_of(statement(house.tenant, timezone.localdate())))))
    assert (rows[0]["project"], rows[0]["cost_centre"]) == ("'=cmd|' /C calc'!A0", "'@SUM(1)")
    assert rows[0]["cost_eur"] == exact_eur(45_000)
    assert (rows[-1]["project"], rows[-1]["cost_eur"]) == ("total", exact_eur(45_000))


def test_a_month_is_that_of_the_tenants_time_zone(house: House) -> None:
    first, following = month_of(house.tenant, date(2026, 12, 31))
    assert (first.isoformat(), following.isoformat()) == ("2026-12-01T00:00:00+01:00", "2027-01-01T00:00:00+01:00")


def test_a_project_shows_its_own_money_budgets_and_live_keys(gateway: LedgerGateway, house: House) -> None:
    second, others = house.project_called("Second"), make_house()
    key = house.key(project=second)
    house.budget(Holder.PROJECT, second.pk, 10**9)
    gateway.complete(house, key.row)
    found = figures_of_projects(house.tenant, [house.project.pk, second.pk, others.project.pk], now=timezone.now())
    assert set(found) == {house.project.pk, second.pk}
    mine = found[second.pk]
    assert (mine.spent_nano_eur, mine.keys) == (45_000, 1)
    assert mine.projected_nano_eur > mine.spent_nano_eur
    assert mine.budget is not None
    assert mine.budget.used_nano_eur == 45_000
    assert (found[house.project.pk].spent_nano_eur, found[house.project.pk].budget) == (0, None)
    assert budgets_on(others.tenant.pk, "project", second.pk) == []
