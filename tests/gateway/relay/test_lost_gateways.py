"""A gateway that is killed or stopped: another one settles for it, and the lost one may never speak again (I2 d)."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from pytest_django import DjangoDbBlocker

from billing.models import Hold, Incarnation, UsageRecord
from gateway.pools.models import Pool
from gateway.pools.registry import register_pool
from tests.gateway.relay.bills import assert_exact, await_model, key_with_budget, only_record_of, record_of
from tests.gateway.simulated_engine.process import EngineProcess, eventually, read_to_end, read_until
from tests.support.gateway import GatewayProcess, serve
from tests.support.ledger import HeldKey, House, make_house
from tests.support.outage import OwnPostgres
from tests.support.people import TESTS

# A database of their own: so short a patience would fence the gateways of other tests.
LIMITS = "heartbeat_s=0.3,checkpoint_s=0.3,silent_s=2,grace_s=0.1"
PACE = {"tokens_per_second": 20, "output_tokens": 400}


@pytest.fixture(scope="module")
def house(
    own_postgres: OwnPostgres, relay_engine: EngineProcess, django_db_blocker: DjangoDbBlocker
) -> Iterator[House]:
    with django_db_blocker.unblock(), own_postgres.used_by_django():
        house = make_house()
        serve(house.model, relay_engine)
        yield house


@pytest.fixture(scope="module")
def survivor(
    house: House, own_postgres: OwnPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    """A gateway that outlives the others."""
    with GatewayProcess(tmp_path_factory.mktemp("survivor"), LIMITS, **own_postgres.environment) as gateway:
        yield gateway


@pytest.fixture
def victim(
    house: House,
    own_postgres: OwnPostgres,
    survivor: GatewayProcess,
    tmp_path: Path,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[GatewayProcess]:
    with (
        django_db_blocker.unblock(),
        GatewayProcess(tmp_path, LIMITS, **own_postgres.environment) as gateway,
    ):
        yield gateway


@pytest.fixture
def key(house: House, victim: GatewayProcess, survivor: GatewayProcess) -> HeldKey:
    key = key_with_budget(house, victim)
    survivor.await_key(key.text)
    return key


def checkpointed(key: HeldKey) -> int:
    """The output tokens in the last checkpoint of the key's only stream, 0 before the first."""
    hold = Hold.objects.filter(key_id=key.row.pk).first()
    return int((hold.checkpoint or {}).get("output", 0)) if hold is not None else 0


def test_a_killed_gateway_starts_again_as_another_incarnation_and_serves(
    house: House, victim: GatewayProcess, key: HeldKey
) -> None:
    before = set(Incarnation.objects.filter(fenced_at=None).values_list("pk", flat=True))
    victim.kill()
    victim.start()
    victim.wait_until_ready()
    assert victim.chat(house.model.name, key.text, max_tokens=2).status == 200
    assert set(Incarnation.objects.filter(fenced_at=None).values_list("pk", flat=True)) - before
    assert_exact(house, key.row)


@pytest.mark.parametrize("elder", ["survivor", "victim"])
def test_a_stopped_gateway_is_fenced_cuts_its_streams_and_ends(
    house: House, victim: GatewayProcess, survivor: GatewayProcess, key: HeldKey, elder: str, tmp_path: Path
) -> None:
    """Whichever of the two swept last: a stopped sweeper must not keep itself from being fenced."""
    stream = victim.open_stream(house.model.name, key.text, max_tokens=400, simulate=PACE)
    assert eventually(lambda: checkpointed(key) >= 5, 5)
    request_id = str(Hold.objects.get(key_id=key.row.pk).request_id)
    if elder == "victim":
        time.sleep(2.2)  # it has swept by now
    victim.process.send_signal(signal.SIGSTOP)
    try:
        record = record_of(request_id, 15)
        charged = record.output_quantity
        assert record.status == "gateway_lost"
    finally:
        victim.process.send_signal(signal.SIGCONT)
    assert victim.process.wait(15) == 0
    assert b"[DONE]" not in read_to_end(stream)
    stream.close()
    assert "fenced" in victim.log.read_text()
    assert UsageRecord.objects.filter(key_id=key.row.pk).count() == 1
    assert only_record_of(key.row).output_quantity == charged
    assert_exact(house, key.row)
    assert survivor.chat(house.model.name, key.text, max_tokens=2).status == 200


def test_a_gateway_that_ends_leaves_nothing_to_the_sweeper(house: House, victim: GatewayProcess, key: HeldKey) -> None:
    pace = {"tokens_per_second": 20, "output_tokens": 20}
    stream = victim.open_stream(house.model.name, key.text, max_tokens=20, simulate=pace)
    read_until(stream, lambda received: b"data:" in received)
    victim.process.send_signal(signal.SIGTERM)
    assert b"[DONE]" in read_until(stream, lambda received: b"[DONE]" in received)
    assert victim.process.wait(15) == -signal.SIGTERM
    stream.close()
    assert Incarnation.objects.get(pid=victim.process.pid).fenced_at is not None
    record = UsageRecord.objects.get(key_id=key.row.pk)
    assert (record.status, record.output_quantity) == ("completed", 20)
    assert_exact(house, key.row)


def test_a_hold_that_its_own_gateway_lost_sight_of_is_settled_at_nothing(
    house: House, victim: GatewayProcess, key: HeldKey, own_postgres: OwnPostgres
) -> None:
    """An admission whose answer was lost: nobody works on it."""
    stream = victim.open_stream(house.model.name, key.text, max_tokens=400, simulate=PACE)
    assert eventually(lambda: Hold.objects.filter(key_id=key.row.pk).exists(), 5)
    hold = Hold.objects.get(key_id=key.row.pk)
    lost = "00" + str(hold.request_id)[2:-1] + "0"
    with psycopg.connect(own_postgres.environment["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute(
            "insert into billing_hold select (jsonb_populate_record(h, jsonb_build_object('request_id', %s::text,"
            " 'checkpoint', null, 'period_ids', '[]'::jsonb))).* from billing_hold h where request_id = %s",
            [lost, hold.request_id],
        )
        owner.execute(
            "update billing_hold set admitted_at = now() - interval '2 minutes' where key_id = %s", [key.row.pk]
        )
    record = record_of(lost, 20)
    assert (record.status, record.cost_nano_eur) == ("gateway_lost", 0)
    assert Hold.objects.filter(request_id=hold.request_id).exists()
    stream.close()
    assert record_of(str(hold.request_id)).status == "client_left"


def test_a_stream_that_outlasts_the_draining_is_cut_and_charged_by_its_own_gateway(
    house: House,
    own_postgres: OwnPostgres,
    survivor: GatewayProcess,
    tmp_path: Path,
    django_db_blocker: DjangoDbBlocker,
) -> None:
    with (
        django_db_blocker.unblock(),
        GatewayProcess(tmp_path, f"{LIMITS},drain_s=1", **own_postgres.environment) as gateway,
    ):
        key = key_with_budget(house, gateway)
        stream = gateway.open_stream(house.model.name, key.text, max_tokens=400, simulate=PACE)
        read_until(stream, lambda received: received.count(b"data:") > 3)
        gateway.process.send_signal(signal.SIGTERM)
        read_to_end(stream)
        stream.close()
        gateway.process.wait(15)
        record = UsageRecord.objects.get(key_id=key.row.pk)
        assert record.status == "gateway_lost"
        assert record.output_quantity > 3
        assert_exact(house, key.row)


def test_what_it_held_for_a_model_that_sleeps_comes_back(
    house: House, victim: GatewayProcess, survivor: GatewayProcess
) -> None:
    sleepy = make_house()
    pool = register_pool(model=sleepy.model, served_name="demo/chat", actor=TESTS)
    Pool.objects.filter(pk=pool.pk).update(policy="automatic", zero_after_s=600, maximum=1)
    await_model(victim, sleepy)
    key = key_with_budget(sleepy, victim)
    streams = [victim.open_stream(sleepy.model.name, key.text, f"Lost {number}") for number in range(5)]
    assert eventually(lambda: Hold.objects.filter(model_id=sleepy.model.pk).count() == 5, 5)
    victim.kill()
    for stream in streams:
        stream.close()
    assert eventually(lambda: not Hold.objects.filter(model_id=sleepy.model.pk).exists(), 20)
    records = UsageRecord.objects.filter(key_id=key.row.pk)
    assert [(record.status, record.cost_nano_eur) for record in records] == [("gateway_lost", 0)] * 5
    assert_exact(sleepy, key.row)
