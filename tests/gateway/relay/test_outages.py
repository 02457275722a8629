"""I1: no byte before its hold is durable, no normal end before its charge is, and what clients see meanwhile."""

import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pytest_django import DjangoDbBlocker

from billing.models import Hold, UsageRecord
from billing.models import Scope as Holder
from identity.api_keys import revoke_api_key
from identity.key_format import make_key
from tests.gateway.relay.bills import assert_exact, only_record_of, record_of
from tests.gateway.simulated_engine.process import Answered, EngineProcess, eventually, read_to_end, read_until
from tests.support.gateway import GatewayProcess, error_of, serve
from tests.support.ledger import HeldKey, House, make_house
from tests.support.outage import OwnPostgres
from tests.support.people import TESTS

BEATS = "heartbeat_s=0.5,checkpoint_s=0.5,keep_alive_s=1"
PATIENT = f"admit_wait_s=15,settle_wait_s=15,{BEATS}"
HASTY = f"admit_wait_s=1,settle_wait_s=2.5,{BEATS}"  # the server needs some seconds to recover


@dataclass
class Place:
    """A gateway on a PostgreSQL that may be stopped: a patient one for short outages, a hasty one for long ones."""

    postgres: OwnPostgres
    gateway: GatewayProcess
    engine: EngineProcess
    house: House

    def key(self) -> HeldKey:
        """A key with a budget, known to the gateway."""
        key = self.house.key()
        self.house.budget(Holder.KEY, key.row.pk, 10**12)
        self.gateway.await_key(key.text)
        return key

    def ask(self, key: HeldKey, **members: Any) -> Answered:
        """A small chat request."""
        return self.gateway.chat(self.house.model.name, key.text, max_tokens=5, **members)

    def ask_meanwhile(self, key: HeldKey, **members: Any) -> "Meanwhile":
        """The same in a thread of its own."""
        return Meanwhile(self, key, members)

    def is_worked_on(self) -> bool:
        """Whether the engine works on anything now."""
        return self.engine.metric("num_requests_running") > 0


class Meanwhile(threading.Thread):
    """A request under way; `answered()` waits for its end."""

    def __init__(self, place: Place, key: HeldKey, members: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self._place, self._key, self._members = place, key, members
        self._answered: Answered | None = None
        self.start()

    def run(self) -> None:
        self._answered = self._place.ask(self._key, **self._members)

    def answered(self) -> Answered:
        """The answer."""
        self.join(20)
        assert self._answered is not None
        return self._answered


@pytest.fixture(scope="module")
def places(
    own_postgres: OwnPostgres,
    relay_engine: EngineProcess,
    tmp_path_factory: pytest.TempPathFactory,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[list[Place]]:
    folder = tmp_path_factory.mktemp("outage")
    with django_db_blocker.unblock(), own_postgres.used_by_django():
        house = make_house()
        serve(house.model, relay_engine)
        with (
            GatewayProcess(folder, PATIENT, **own_postgres.environment) as patient,
            GatewayProcess(folder, HASTY, **own_postgres.environment) as hasty,
        ):
            yield [Place(own_postgres, gateway, relay_engine, house) for gateway in (patient, hasty)]


@pytest.fixture(autouse=True)
def running_again(places: list[Place], django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Whatever a test stopped runs when it is over, and the gateways found it by themselves."""
    with django_db_blocker.unblock():
        yield
        if not places[0].postgres.is_running:
            places[0].postgres.start()
        for place in places:
            place.gateway.wait_until_ready()


@pytest.fixture
def place(places: list[Place]) -> Place:
    return places[0]


@pytest.fixture
def hasty(places: list[Place]) -> Place:
    return places[1]


def test_I1_a_request_waits_for_a_short_outage_and_then_succeeds(place: Place) -> None:
    key = place.key()
    place.postgres.stop()
    asked = place.ask_meanwhile(key)
    time.sleep(0.7)
    assert asked.is_alive()
    assert not place.is_worked_on()
    place.postgres.start()
    answered = asked.answered()
    assert answered.status == 200
    assert record_of(answered.headers["x-request-id"]).status == "completed"
    assert_exact(place.house, key.row)


def test_I1_without_a_database_nothing_runs_and_the_client_is_told_to_come_back(hasty: Place) -> None:
    key = hasty.key()
    began = len(hasty.engine.journal())
    hasty.postgres.stop()
    asked = [hasty.ask_meanwhile(key, stream=number % 2 == 0) for number in range(6)]
    for each in asked:
        answered = each.answered()
        assert (answered.status, error_of(answered)["code"]) == (503, "ledger_unavailable")
        assert int(answered.headers["retry-after"]) >= 1
    assert len(hasty.engine.journal()) == began
    hasty.postgres.start()
    assert eventually(lambda: hasty.ask(key).status == 200, 5)
    assert [record.cost_nano_eur > 0 for record in UsageRecord.objects.filter(key_id=key.row.pk)].count(True) >= 1
    assert_exact(hasty.house, key.row)


def test_I1_readiness_says_so_and_liveness_does_not(hasty: Place) -> None:
    hasty.postgres.stop()
    assert eventually(lambda: hasty.gateway.get("/health/ready").status == 503, 5)
    assert hasty.gateway.get("/health/live").status == 200
    hasty.postgres.start()
    assert eventually(lambda: hasty.gateway.get("/health/ready").status == 200, 5)


def test_I1_a_stream_goes_on_and_ends_when_its_charge_is_durable(place: Place) -> None:
    key = place.key()
    simulated = {"tokens_per_second": 10, "output_tokens": 8}
    stream = place.gateway.open_stream(place.house.model.name, key.text, max_tokens=8, simulate=simulated)
    received = read_until(stream, lambda received: b'"content"' in received)
    place.postgres.stop()
    if b'"finish_reason":"' not in received:
        received += read_until(stream, lambda received: b'"finish_reason":"' in received)
    assert b'"finish_reason":"' in received
    assert b"[DONE]" not in received
    place.postgres.start()
    assert b"data: [DONE]" in read_until(stream, lambda received: b"[DONE]" in received)
    stream.close()
    record = only_record_of(key.row)
    assert (record.status, record.output_quantity) == ("completed", 8)
    assert_exact(place.house, key.row)


def test_I1_a_stream_whose_charge_is_late_says_so_and_does_not_end_normally(hasty: Place) -> None:
    key = hasty.key()
    simulated = {"tokens_per_second": 20, "output_tokens": 8}
    stream = hasty.gateway.open_stream(hasty.house.model.name, key.text, max_tokens=8, simulate=simulated)
    head = read_until(stream, lambda received: b'"content"' in received)
    hasty.postgres.stop()
    received = head + read_until(stream, lambda received: b"settlement_delayed" in received)
    assert b"settlement_delayed" in received
    assert b": keep-alive" in received
    assert b"[DONE]" not in received
    assert received.endswith(b"0\r\n\r\n") or stream.recv(10) in (b"", b"0\r\n\r\n")
    stream.close()
    hasty.postgres.start()
    record = only_record_of(key.row)
    assert (record.status, record.output_quantity) == ("completed", 8)
    assert_exact(hasty.house, key.row)


def test_I1_a_whole_answer_that_cannot_be_charged_is_not_delivered_and_costs_nothing(hasty: Place) -> None:
    key = hasty.key()
    asked = hasty.ask_meanwhile(key, simulate={"first_token_ms": 500})
    assert eventually(hasty.is_worked_on, 5)
    hasty.postgres.stop()
    answered = asked.answered()
    assert (answered.status, error_of(answered)["code"]) == (503, "settlement_delayed")
    hasty.postgres.start()
    record = only_record_of(key.row)
    assert (record.status, record.http_status, record.cost_nano_eur) == ("undelivered", 503, 0)
    assert (record.input_quantity, record.output_quantity) == (0, 0)
    assert_exact(hasty.house, key.row)


def test_I1_the_hold_of_a_first_byte_survives_the_servers_death(place: Place) -> None:
    key = place.key()
    simulated = {"tokens_per_second": 5}
    stream = place.gateway.open_stream(place.house.model.name, key.text, max_tokens=100, simulate=simulated)
    stream.recv(10)
    place.postgres.stop()
    place.postgres.start()
    assert Hold.objects.filter(key_id=key.row.pk).exists()
    stream.close()
    assert only_record_of(key.row).status == "client_left"
    assert_exact(place.house, key.row)


def test_I1_the_charge_of_an_answer_survives_the_servers_death(place: Place) -> None:
    key = place.key()
    answered = place.ask(key)
    place.postgres.stop()
    place.postgres.start()
    record = UsageRecord.objects.get(request_id=answered.headers["x-request-id"])
    assert record.cost_nano_eur == int(answered.headers["x-beffroi-cost-nano-eur"])
    assert_exact(place.house, key.row)


def test_I1_a_server_that_hangs_is_as_good_as_away(hasty: Place) -> None:
    """It closes no connection and refuses none."""
    key, other = hasty.key(), hasty.key()
    simulated = {"tokens_per_second": 20, "output_tokens": 8}
    stream = hasty.gateway.open_stream(hasty.house.model.name, other.text, max_tokens=8, simulate=simulated)
    read_until(stream, lambda received: b'"content"' in received)
    hasty.postgres.freeze()
    try:
        began = time.monotonic()
        answered = hasty.ask(key)
        assert (answered.status, error_of(answered)["code"]) == (503, "ledger_unavailable")
        assert time.monotonic() - began < 4
        assert b"settlement_delayed" in read_until(stream, lambda received: b"settlement_delayed" in received)
        assert hasty.gateway.get("/health/ready").status == 503
    finally:
        hasty.postgres.thaw()
    stream.close()
    assert eventually(lambda: hasty.ask(key).status == 200, 10)
    assert only_record_of(other.row).output_quantity == 8
    assert_exact(hasty.house, key.row)
    assert_exact(hasty.house, other.row)


def test_I1_a_gateway_that_starts_before_its_database_waits_for_it(place: Place, tmp_path: Path) -> None:
    key = place.key()
    place.postgres.stop()
    late = GatewayProcess(tmp_path, f"{HASTY},start_wait_s=1", **place.postgres.environment)
    try:
        assert eventually(lambda: is_up(late), 10)
        answered = late.chat(place.house.model.name, key.text)
        assert (answered.status, error_of(answered)["code"]) == (503, "starting")
        answered = late.get("/health/ready")
        assert (answered.status, answered.body) == (503, b"starting: waiting for the database\n")
        place.postgres.start()
        late.wait_until_ready()
        said = [
            line.split("beffroi.ledger ")[1] for line in late.log.read_text().splitlines() if "beffroi.ledger" in line
        ]
        assert "waiting for the database: connection" in said[0]
        assert len(said) == len(set(said))  # each reason once, however often it tried
        assert late.chat(place.house.model.name, key.text, max_tokens=2).status == 200
    finally:
        late.close()


def test_I1_nobody_is_told_that_a_key_is_wrong_while_the_database_is_away(hasty: Place) -> None:
    """It may have been made just before. A client that gets 401 throws its key away."""
    known, revoked, unknown = hasty.key(), hasty.key(), make_key()[0]
    revoke_api_key(revoked.row, actor=TESTS)
    texts = {"revoked": revoked.text, "unknown": unknown, "mistyped": "bfr_mistyped"}
    assert eventually(lambda: hasty.gateway.get("/v1/models", revoked.text).status == 401, 5)
    hasty.postgres.stop()
    assert eventually(lambda: hasty.gateway.get("/health/ready").status == 503, 5)
    assert hasty.gateway.get("/health/live").status == 200
    assert hasty.gateway.get("/v1/models", known.text).status == 200
    for what, text in texts.items():
        answered = hasty.gateway.chat(hasty.house.model.name, text)
        assert (answered.status, error_of(answered)["code"]) == (503, "ledger_unavailable"), what
        assert int(answered.headers["retry-after"]) >= 1
    assert hasty.gateway.chat(hasty.house.model.name, "").status == 401  # who sends none needs no look-up
    hasty.postgres.start()
    hasty.gateway.await_key(known.text)
    assert eventually(lambda: hasty.gateway.get("/v1/models", unknown).status == 401, 5)
    for what, text in texts.items():
        assert hasty.gateway.get("/v1/models", text).status == 401, what
    assert hasty.ask(hasty.key()).status == 200


def test_I1_asked_to_stop_while_the_database_is_away_it_tells_its_streams_and_charges_later(
    hasty: Place, tmp_path: Path
) -> None:
    limits = f"drain_s=1,admit_wait_s=1,settle_wait_s=20,{BEATS}"
    with GatewayProcess(tmp_path, limits, **hasty.postgres.environment) as gateway:
        key = hasty.key()
        gateway.await_key(key.text)
        pace = {"tokens_per_second": 20, "output_tokens": 8}
        stream = gateway.open_stream(hasty.house.model.name, key.text, max_tokens=8, simulate=pace)
        received = read_until(stream, lambda received: b'"content"' in received)
        hasty.postgres.stop()
        gateway.process.send_signal(signal.SIGTERM)
        received += read_to_end(stream)
        stream.close()
        assert b"settlement_delayed" in received
        assert b"[DONE]" not in received
        assert gateway.process.poll() is None
        hasty.postgres.start()
        assert gateway.process.wait(15) == -signal.SIGTERM
    record = only_record_of(key.row)
    assert (record.status, record.output_quantity) == ("completed", 8)
    assert_exact(hasty.house, key.row)


def is_up(gateway: GatewayProcess) -> bool:
    try:
        return gateway.get("/health/live").status == 200
    except OSError:
        return False


# ---- I8: what waits for the database is bounded


def test_I8_past_the_bound_of_waiting_requests_the_next_is_refused_at_once(hasty: Place, tmp_path: Path) -> None:
    with GatewayProcess(tmp_path, f"{PATIENT},waiting_admissions=2", **hasty.postgres.environment) as gateway:
        small = Place(hasty.postgres, gateway, hasty.engine, hasty.house)
        key = small.key()
        hasty.postgres.stop()
        waiting = []
        for _ in range(3):  # one is under way, two wait
            waiting.append(small.ask_meanwhile(key))
            time.sleep(0.3)
        assert error_code(small, key) == "overloaded"
        hasty.postgres.start()
        assert {200} == {asked.answered().status for asked in waiting}


def error_code(place: Place, key: HeldKey) -> str:
    began = time.monotonic()
    answered = place.ask(key)
    assert time.monotonic() - began < 1
    return str(error_of(answered)["code"])


def test_I8_past_the_bound_of_waiting_charges_a_stream_is_left_to_the_sweeper(hasty: Place, tmp_path: Path) -> None:
    limits = f"{HASTY},waiting_settlements=1,silent_s=1"
    with GatewayProcess(tmp_path, limits, **hasty.postgres.environment) as gateway:
        small = Place(hasty.postgres, gateway, hasty.engine, hasty.house)
        key = small.key()
        pace = {"tokens_per_second": 10, "output_tokens": 20}
        streams = [
            gateway.open_stream(small.house.model.name, key.text, max_tokens=20, simulate=pace) for _ in range(4)
        ]
        assert eventually(lambda: all_checkpointed(key, 4), 5)
        hasty.postgres.stop()
        for stream in streams:
            received = read_until(stream, lambda received: b"settlement_delayed" in received)
            assert b"settlement_delayed" in received
            stream.close()
        hasty.postgres.start()
        # One waits, and another where the first was under way already when it came.
        assert eventually(lambda: UsageRecord.objects.filter(key_id=key.row.pk).exists(), 40)
        with psycopg.connect(hasty.postgres.environment["DATABASE_OWNER_URL"], autocommit=True) as owner:
            owner.execute(
                "update billing_hold set admitted_at = now() - interval '2 minutes' where key_id = %s", [key.row.pk]
            )
        assert eventually(lambda: UsageRecord.objects.filter(key_id=key.row.pk).count() == 4, 40)
        records = list(UsageRecord.objects.filter(key_id=key.row.pk))
        assert {record.status for record in records} == {"completed", "gateway_lost"}
        assert all(0 < record.output_quantity <= 20 for record in records)
        assert_exact(small.house, key.row)


def all_checkpointed(key: HeldKey, count: int) -> bool:
    return Hold.objects.filter(key_id=key.row.pk, checkpoint__output__gt=0).count() == count
