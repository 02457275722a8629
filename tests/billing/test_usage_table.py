"""Usage by day and group, against requests that are known."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from billing.usage import table as module
from billing.usage.records import Grouping, Reader
from billing.usage.span import Days
from billing.usage.table import Measure, UsageTable, usage_table
from tests.support.history import History, history_of
from tests.support.ledger import House, make_house, make_model

NOW = datetime.now(UTC)


@pytest.fixture
def house(database: None) -> House:
    return make_house(time_zone="UTC")


@pytest.fixture
def history(house: House, owner_database_url: str) -> Iterator[History]:
    with history_of(house, owner_database_url) as history:
        yield history


def table(house: House, by: Grouping, measure: Measure = Measure.COST, reader: Reader | None = None) -> UsageTable:
    days = Days((NOW - timedelta(days=10)).date(), NOW.date(), "UTC")
    return usage_table(reader or Reader(house.tenant.pk), days, by=by, measure=measure)


def test_the_largest_come_first_and_the_others_together(
    house: House, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GROUPS_MAX", 2)
    key = house.key().row
    models = [make_model() for _ in range(4)]
    for number, model in enumerate(models, start=1):
        for day in range(number):
            history.record(key, NOW - timedelta(days=day), model=model, cost=10_000)
    history.record(key, NOW - timedelta(days=30), model=models[0])

    found = table(house, Grouping.MODEL)

    assert [(group.name, group.totals.cost_nano_eur) for group in found.groups] == [
        (models[3].name, 40_000), (models[2].name, 30_000), ("", 30_000),
    ]  # fmt: skip
    assert found.totals.requests == 10
    assert {day: totals.requests for day, totals in found.groups[2].days.items()} == {
        NOW.date(): 2,
        (NOW - timedelta(days=1)).date(): 1,
    }


def test_each_measure_ranks_by_itself(house: House, history: History) -> None:
    dear, busy = house.key().row, house.key().row
    history.record(dear, NOW, cost=10**6)
    for _ in range(3):
        history.record(busy, NOW, cost=1)
    names = {
        measure: [group.ref for group in table(house, Grouping.KEY, measure).groups]
        for measure in (Measure.COST, Measure.REQUESTS, Measure.TOKENS)
    }
    assert names[Measure.COST] == [dear.lookup, busy.lookup]
    assert names[Measure.REQUESTS] == names[Measure.TOKENS] == [busy.lookup, dear.lookup]


def test_a_member_of_one_project_sees_only_its_usage_I6(house: House, history: History) -> None:
    mine = house.project_called("Mine")
    history.record(house.key(project=mine).row, NOW, cost=7)
    history.record(house.key().row, NOW, cost=1_000)
    found = table(house, Grouping.PROJECT, reader=Reader(house.tenant.pk, project_ids=frozenset({mine.pk})))
    assert [(group.name, group.ref) for group in found.groups] == [("Mine", str(mine.pk))]
    assert found.totals.cost_nano_eur == 7
    nobody = Reader(house.tenant.pk, project_ids=frozenset())
    assert table(house, Grouping.MODEL, reader=nobody).groups == []
