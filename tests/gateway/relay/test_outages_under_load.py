"""I1, I2: PostgreSQL goes away in every way while clients ask on: nobody fails, and every bill is exact."""

import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psycopg
import pytest
from pytest_django import DjangoDbBlocker

from tests.gateway.relay.bills import assert_exact, key_with_budget, records_of
from tests.gateway.simulated_engine.process import EngineProcess, read_until
from tests.support.gateway import GatewayProcess, serve
from tests.support.ledger import HeldKey, House, make_house
from tests.support.load import Ask, Load, chat
from tests.support.loose_path import LoosePath
from tests.support.outage import OwnPostgres

LIMITS = "heartbeat_s=0.5,checkpoint_s=0.5,call_s=1,silent_s=3,grace_s=2"
CLIENTS = 8
SOME = 80  # requests, after which every client had its turn
LONG = {"tokens_per_second": 20, "output_tokens": 40}  # a stream of two seconds


@dataclass
class Place:
    """Two gateways on one PostgreSQL, reached on a path that may be broken."""

    postgres: OwnPostgres
    path: LoosePath
    gateways: Sequence[GatewayProcess]
    house: House

    def key(self) -> HeldKey:
        """A key with a budget, known to both gateways."""
        key = key_with_budget(self.house, self.gateways[0])
        self.gateways[1].await_key(key.text)
        return key

    def load(self, key: HeldKey) -> Load:
        """Whole answers, short streams and long ones, on both gateways."""
        model = self.house.model.name
        asks: list[Ask] = [chat(model, key.text, stream=number % 2 == 0) for number in range(CLIENTS - 2)]
        asks += [chat(model, key.text, stream=True, max_tokens=40, simulate=LONG) for _ in self.gateways]
        return Load([gateway.http_connection for gateway in self.gateways], asks)

    def assert_nobody_failed(self, load: Load, key: HeldKey, what: str) -> None:
        """All got their answer, each is in the ledger once, and no more than these."""
        print(load.report(what))
        assert not load.failures
        records = {str(record.request_id): record for record in records_of(key.row)}
        assert set(records) == load.answered
        assert len(load.answered) == len(load.told)
        assert {record.status for record in records.values()} == {"completed"}
        assert_exact(self.house, key.row)
        for gateway in self.gateways:
            assert gateway.process.poll() is None


@pytest.fixture(scope="module")
def place(
    own_postgres: OwnPostgres,
    relay_engine: EngineProcess,
    tmp_path_factory: pytest.TempPathFactory,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("outage-under-load")
    with django_db_blocker.unblock(), own_postgres.used_by_django(), LoosePath(own_postgres) as path:
        house = make_house()
        serve(house.model, relay_engine)
        with (
            GatewayProcess(folder, LIMITS, **path.environment) as first,
            GatewayProcess(folder, LIMITS, **path.environment) as second,
        ):
            yield Place(own_postgres, path, (first, second), house)


@pytest.fixture(autouse=True)
def unblocked(place: Place, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Tests look into the ledger; the next one finds the gateways ready."""
    with django_db_blocker.unblock():
        yield
        for gateway in place.gateways:
            gateway.wait_until_ready()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL], ids=["fast", "immediate", "kill -9"])
def test_I1_postgresql_restarted_under_load_fails_nobody(place: Place, how: signal.Signals) -> None:
    key = place.key()
    with place.load(key) as load:
        place.postgres.stop(how)
        time.sleep(0.5)
        place.postgres.start()
        load.wait_for_more(SOME)
    place.assert_nobody_failed(load, key, f"PostgreSQL restarted ({how.name})")


def test_I2_every_connection_cut_ten_times_a_second_fails_nobody(place: Place) -> None:
    key = place.key()
    url = place.postgres.environment["DATABASE_GATEWAY_URL"]
    with psycopg.connect(url, autocommit=True) as gateway, place.load(key) as load:
        for _ in range(30):
            gateway.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where usename = current_user and application_name like 'beffroi %'"
            )
            time.sleep(0.1)
        load.wait_for_more(SOME)
    place.assert_nobody_failed(load, key, "every connection cut 30 times")


def test_I1_connections_that_die_without_a_word_fail_nobody(place: Place) -> None:
    """Half-open: our end believes in them, and nothing that it sends arrives."""
    key = place.key()
    with place.load(key) as load:
        for _ in range(2):
            place.path.lose()
            load.wait_for_more(SOME)
    place.assert_nobody_failed(load, key, "half-open connections")


def test_I1_a_network_that_swallows_everything_for_a_while_fails_nobody(place: Place) -> None:
    key = place.key()
    with place.load(key) as load:
        place.path.break_off()
        time.sleep(2)
        place.path.mend()
        load.wait_for_more(SOME)
    place.assert_nobody_failed(load, key, "network partition of 2 s")


def test_I2_a_server_that_stood_still_for_longer_than_a_gateway_may_be_silent_fences_nobody(place: Place) -> None:
    """A virtual machine that was moved or paused: it takes up all questions that waited, in any order."""
    key = place.key()
    pace = {"tokens_per_second": 10, "output_tokens": 80}
    streams = [
        gateway.open_stream(place.house.model.name, key.text, max_tokens=80, simulate=pace)
        for gateway in place.gateways
    ]
    for stream in streams:
        read_until(stream, lambda received: b'"content"' in received)
    place.postgres.freeze()
    time.sleep(5)
    place.postgres.thaw()
    for stream in streams:
        assert b"[DONE]" in read_until(stream, lambda received: b"[DONE]" in received)
        stream.close()
    assert {record.status for record in records_of(key.row)} == {"completed"}
    assert_exact(place.house, key.row)
    for gateway in place.gateways:
        assert gateway.process.poll() is None
        assert "fenced" not in gateway.log.read_text()
