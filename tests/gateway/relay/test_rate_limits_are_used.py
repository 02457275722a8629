"""Limits of a window over four gateway processes: never passed in any window, and used to 98 % where demand is there.

Windows are cut by the database's clock at whole minutes. Here the owner of the tables turns them, as the first
admission of a minute does, as soon as one is used up: in seconds, since the demand would use a minute's limit many
times. It goes on all the time, above all at the moment in which a window turns.
"""

import itertools
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

import psycopg
import pytest
from pytest_django import DjangoDbBlocker

from billing.models import Hold, Limit, LimitWindow
from billing.models import Scope as Holder
from tests.gateway.relay.bills import await_model
from tests.gateway.relay.conftest import MODELS
from tests.gateway.relay.demand import Demand
from tests.gateway.simulated_engine.process import EngineProcess, eventually
from tests.support.gateway import GatewayProcess, serve
from tests.support.ledger import HeldKey, House, make_house
from tests.support.wire import chat

GATEWAYS, WORKERS, WINDOWS = 4, 4, 3
SHARE = 0.98
# What a record counts for a limit. Estimates are several times that: without corrections a part would be used.
COUNTED = {
    "requests": "count(*)",
    "tokens": "coalesce(sum(input_quantity + cached_quantity + output_quantity + reasoning_quantity), 0)",
    "output_tokens": "coalesce(sum(output_quantity + reasoning_quantity), 0)",
}
AMOUNTS = {"requests": 200, "tokens": 12_000, "output_tokens": 4_000}
TEXT = "tower " * 15


@dataclass
class Place:
    """Four gateways, an engine, and a key for each limit."""

    house: House
    gateways: list[GatewayProcess]
    engine: EngineProcess
    keys: dict[str, HeldKey]
    limits: dict[str, Limit]

    def demand(self, *names: str, **members: Any) -> Demand:
        """Sixteen clients for each of these limits."""
        asks = {name: chat(self.house.model.name, self.keys[name].text, TEXT, **members) for name in names}
        return Demand([gateway.port for gateway in self.gateways], asks, WORKERS)


@pytest.fixture(scope="module")
def place(
    django_db_setup: None, tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker
) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("rates")
    flags = ("--tokens-per-second=0", "--first-token-ms=10", "--max-model-len=8192")
    with EngineProcess(MODELS, folder / "journal.jsonl", "engine-key", *flags) as engine:
        gateways = [GatewayProcess(folder) for _ in range(GATEWAYS)]
        try:
            with django_db_blocker.unblock():
                house = make_house()
                serve(house.model, engine)
                amounts = AMOUNTS | {"concurrent": 12}
                keys = {what: house.key() for what in amounts}
                limits = {
                    what: house.limit(
                        Holder.KEY, keys[what].row.pk, what, "none" if what == "concurrent" else "minute", amount
                    )
                    for what, amount in amounts.items()
                }
                for gateway in gateways:
                    gateway.wait_until_ready()
                    await_model(gateway, house)
                    for key in keys.values():
                        gateway.await_key(key.text)
            yield Place(house, gateways, engine, keys, limits)
        finally:
            for gateway in gateways:
                gateway.close()


class Watch(threading.Thread):
    """Looks at what is used of limits all the time; a context manager. `most` by limit."""

    def __init__(self, limits: list[Limit]) -> None:
        super().__init__(daemon=True)
        self._amounts = {limit.pk: limit.amount for limit in limits}
        self._is_over = threading.Event()
        self.samples = 0
        self.most = dict.fromkeys(self._amounts, 0)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self.join()

    def run(self) -> None:
        query = "select limit_id, used from billing_limit_window where limit_id = any(%s)"
        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
            while not self._is_over.wait(0.005):
                for limit, used in connection.execute(query, [list(self._amounts)]).fetchall():
                    self.samples += 1
                    self.most[limit] = max(self.most[limit], used)

    @property
    def overshoots(self) -> dict[int, int]:
        """Limits that were passed, and how far they got."""
        return {limit: most for limit, most in self.most.items() if most > self._amounts[limit]}


def used_since(owner: psycopg.Connection[Any], place: Place, what: str, since: datetime, until: datetime) -> int:
    """What the records of requests admitted in `[since, until)` count."""
    query = f"""select {COUNTED[what]} from billing_usage_record
        where key_id = %s and admitted_at >= %s and admitted_at < %s"""
    row = owner.execute(query, [place.keys[what].row.pk, since, until]).fetchone()
    assert row is not None
    return int(row[0])


def turn(owner: psycopg.Connection[Any], place: Place) -> datetime:
    """The windows of all limits begin anew; when."""
    row = owner.execute(
        """update billing_limit_window set used = 0, starts_at = w.at, ends_at = w.at + interval '1 hour'
        from (select clock_timestamp() as at from (
            select limit_id from billing_limit_window where limit_id = any(%s) order by limit_id for update
        ) locked limit 1) w where limit_id = any(%s) returning w.at""",
        [[place.limits[what].pk for what in COUNTED]] * 2,
    ).fetchone()
    assert row is not None
    at: datetime = row[0]
    return at


def test_a_limit_of_a_window_is_never_passed_and_used_to_98_percent(
    database: None, place: Place, owner_database_url: str
) -> None:
    far = datetime.max.replace(tzinfo=UTC)
    limits = [place.limits[what] for what in COUNTED]
    with psycopg.connect(owner_database_url, autocommit=True) as owner, Watch(limits) as watch:
        with place.demand(*COUNTED, max_tokens=40, simulate={"output_tokens": 10}) as demand:
            assert eventually(lambda: sum(demand.told["requests"].values()) > 0, 20)
            turns = [turn(owner, place)]
            for _ in range(WINDOWS):
                for what, amount in AMOUNTS.items():
                    full = lambda: used_since(owner, place, what, turns[-1], far) >= SHARE * amount  # noqa: B023, E731
                    assert eventually(full, 30), (what, turns, demand.told)
                time.sleep(0.3)  # it stays full while everybody asks
                turns.append(turn(owner, place))
        assert demand.failures == []
        assert eventually(lambda: not Hold.objects.filter(tenant_id=place.house.tenant.pk).exists(), 10)
        for what, amount in AMOUNTS.items():
            used = [used_since(owner, place, what, *window) for window in itertools.pairwise(turns)]
            shares = [f"{100 * each / amount:.1f}" for each in used]
            told = demand.told[what]
            print(f"{what}: {shares} % of {amount} a window, asked {sum(told.values())} times, admitted {told[200]}")
            assert all(SHARE * amount <= each <= amount for each in used), (what, used)
            assert set(told) == {200, 429}
    assert watch.overshoots == {}
    assert watch.samples > 100


def test_requests_at_once_are_never_more_than_the_limit_and_as_many_where_demand_is_there(
    database: None, place: Place
) -> None:
    limit = place.limits["concurrent"]
    with Watch([limit]) as watch:
        with place.demand("concurrent", max_tokens=5, simulate={"first_token_ms": 300}) as demand:
            running = []
            for _ in range(150):
                running.append(place.engine.metric("num_requests_running"))
                time.sleep(0.02)
        assert demand.failures == []
    told = demand.told["concurrent"]
    full = [each for each in running if each >= SHARE * limit.amount]
    print(f"{limit.amount} at once: full at {len(full)} of {len(running)} looks; {dict(told)}")
    assert max(running) == limit.amount
    assert watch.overshoots == {}
    assert watch.most[limit.pk] == limit.amount
    assert set(told) == {200, 429}
    assert eventually(lambda: not Hold.objects.filter(key_id=place.keys["concurrent"].row.pk).exists(), 10)
    assert LimitWindow.objects.get(limit_id=limit.pk).used == 0
