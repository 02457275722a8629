"""A model that has no engine and wakes when asked: requests for it are held, with their money, until one is ready."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest

from billing.clock import database_now
from billing.models import Hold
from console.database_line import line_options
from gateway.pools.fleet_tables import GatewayDemand
from gateway.pools.models import Pool, Replica
from gateway.pools.registry import register_pool, register_replica, set_state
from identity.models import Tenant
from tests.gateway.relay.bills import assert_exact, await_model, key_with_budget, only_record_of, records_of
from tests.gateway.relay.conftest import Scene
from tests.gateway.relay.leaving import close
from tests.gateway.simulated_engine.process import EngineProcess, eventually, read_until
from tests.support.gateway import GatewayProcess, error_of, running_gateway
from tests.support.ledger import House, make_house
from tests.support.people import TESTS

LIMITS = "wake_wait_s=6,engine_wait_s=20,keep_alive_s=1,waiting_for_engine=60"
AT_ONCE_S = 4.0  # the news; the poll would tell after five seconds


@pytest.fixture(scope="module")
def patient(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway that holds requests for six seconds."""
    with running_gateway(tmp_path_factory.mktemp("patient"), LIMITS) as gateway:
        yield gateway


@pytest.fixture
def house(scene: Scene, patient: GatewayProcess) -> House:
    """A house whose model sleeps."""
    house = make_house()
    pool = register_pool(model=house.model, served_name="demo/chat", actor=TESTS)
    Pool.objects.filter(pk=pool.pk).update(policy="automatic", zero_after_s=600, maximum=4, requests_at_once=8)
    await_model(patient, house)
    return house


def wake(house: House, engine: EngineProcess) -> Replica:
    """Its first engine is ready."""
    pool = Pool.objects.get(model=house.model)
    replica = register_replica(pool=pool, url=engine.url, api_key=engine.key, is_simulated=True, actor=TESTS)
    set_state(replica=replica, state=Replica.State.READY, reason="", actor=TESTS)
    return replica


def held(house: House) -> int:
    return Hold.objects.filter(model_id=house.model.pk).count()


def told_waiting(house: House) -> int:
    return sum(GatewayDemand.objects.filter(model=house.model).values_list("waiting", flat=True))


def test_a_model_that_sleeps_is_offered_like_any_other(patient: GatewayProcess, house: House) -> None:
    key = key_with_budget(house, patient)
    assert house.model.name in [one["id"] for one in patient.get("/v1/models", key.text).json["data"]]


def test_a_request_for_it_is_answered_as_soon_as_its_first_engine_is_ready_and_charged_once(
    scene: Scene, patient: GatewayProcess, house: House
) -> None:
    key = key_with_budget(house, patient)
    with ThreadPoolExecutor(1) as client, connection_that_listens() as ear:
        asked = client.submit(patient.chat, house.model.name, key.text, max_tokens=3)
        assert eventually(lambda: held(house) == 1, 4)
        assert next(ear.notifies(timeout=3)).channel == "beffroi_demand"
        assert told_waiting(house) == 1
        time.sleep(1.5)
        wake(house, scene.engine)
        ready_at = time.monotonic()
        assert asked.result().status == 200
        assert time.monotonic() - ready_at < AT_ONCE_S
    assert only_record_of(key.row).status == "completed"
    assert_exact(house, key.row)
    assert eventually(lambda: told_waiting(house) == 0, 7)


def test_fifty_that_are_held_are_each_answered_and_charged_once(
    scene: Scene, patient: GatewayProcess, house: House
) -> None:
    key = key_with_budget(house, patient)
    streams = [patient.open_stream(house.model.name, key.text, f"Held {number}", max_tokens=3) for number in range(50)]
    assert eventually(lambda: held(house) == 50, 5)
    wake(house, scene.engine)
    for stream in streams:
        stream.settimeout(20)
        assert b"[DONE]" in read_until(stream, lambda received: received.endswith(b"0\r\n\r\n"))
        stream.close()
    records = records_of(key.row)
    assert [record.status for record in records] == ["completed"] * 50
    assert len({record.request_id for record in records}) == 50
    assert_exact(house, key.row)


def test_who_waited_for_too_long_is_told_when_to_come_back_and_pays_nothing(
    patient: GatewayProcess, house: House
) -> None:
    key = key_with_budget(house, patient)
    waiting = patient.open_stream(house.model.name, key.text, max_tokens=2)
    began = time.monotonic()
    whole = patient.chat(house.model.name, key.text, max_tokens=2)
    assert 5 < time.monotonic() - began < 9
    assert (whole.status, error_of(whole)["code"], whole.headers["retry-after"]) == (503, "model_starting", "30")
    waiting.settimeout(20)
    assert b": keep-alive" in read_until(waiting, lambda received: b"model_starting" in received)
    close(waiting)
    assert [(one.status, one.http_status, one.cost_nano_eur) for one in records_of(key.row)] == [
        ("engine_failed", 503, 0)
    ] * 2
    assert_exact(house, key.row)


def test_who_leaves_while_held_pays_nothing_and_no_engine_hears_of_it(
    scene: Scene, patient: GatewayProcess, house: House
) -> None:
    key = key_with_budget(house, patient)
    streams = [patient.open_stream(house.model.name, key.text, f"Leaves {n}", max_tokens=3) for n in range(6)]
    assert eventually(lambda: held(house) == 6, 5)
    for stream in streams[:5]:
        close(stream)
    assert eventually(lambda: held(house) == 1, 4)
    begun = len(scene.engine.journal())
    wake(house, scene.engine)
    streams[5].settimeout(10)
    assert b"[DONE]" in read_until(streams[5], lambda received: received.endswith(b"0\r\n\r\n"))
    streams[5].close()
    assert sum(line["e"] == "start" for line in scene.engine.journal()[begun:]) == 1
    records = records_of(key.row)
    assert sorted(record.status for record in records) == ["client_left"] * 5 + ["completed"]
    assert sum(record.cost_nano_eur for record in records if record.status == "client_left") == 0
    assert_exact(house, key.row)


def test_where_nothing_can_be_started_nobody_is_held_and_those_who_were_are_told_at_once(
    patient: GatewayProcess, house: House
) -> None:
    key = key_with_budget(house, patient)
    with ThreadPoolExecutor(1) as client:
        asked = client.submit(patient.chat, house.model.name, key.text)
        assert eventually(lambda: held(house) == 1, 4)
        Pool.objects.filter(model=house.model).update(is_stuck=True)
        began = time.monotonic()
        assert error_of(asked.result())["code"] == "no_replica"
        assert time.monotonic() - began < AT_ONCE_S
    GatewayDemand.objects.filter(model=house.model).delete()
    refused = patient.chat(house.model.name, key.text)
    assert (refused.status, error_of(refused)["code"]) == (503, "no_replica")
    assert int(refused.headers["retry-after"]) > 0
    assert held(house) == 0
    assert eventually(lambda: GatewayDemand.objects.filter(model=house.model, asked_at__isnull=False).exists(), 7)


def test_a_model_that_does_not_wake_is_refused_at_once(patient: GatewayProcess, house: House) -> None:
    key = key_with_budget(house, patient)
    Pool.objects.filter(model=house.model).update(zero_after_s=None)
    time.sleep(0.3)
    assert eventually(lambda: error_of(patient.chat(house.model.name, key.text))["code"] == "no_replica", AT_ONCE_S)
    assert held(house) == 0


@pytest.fixture
def of_the_platform(house: House) -> Iterator[House]:
    """The house as if it were the platform's own account; others look for the real one."""
    Tenant.objects.filter(pk=house.tenant.pk).update(is_platform=True)
    yield house
    Tenant.objects.filter(pk=house.tenant.pk).update(is_platform=False)


def test_the_platform_s_own_probe_wakes_nobody(patient: GatewayProcess, of_the_platform: House) -> None:
    house = of_the_platform
    key = key_with_budget(house, patient)
    refused = patient.chat(house.model.name, key.text)
    assert (refused.status, error_of(refused)["code"]) == (503, "no_replica")
    time.sleep(6)
    assert not GatewayDemand.objects.filter(model=house.model).exists()


def test_a_bare_word_of_a_gateway_is_soon_forgotten(patient: GatewayProcess, house: House) -> None:
    """What gateways of before left in the table goes when one of now tells of anything."""
    old = GatewayDemand.objects.create(
        incarnation="00000000-0000-0000-0000-000000000001",
        model=house.model,
        waiting=3,
        at=database_now() - timedelta(hours=2),
    )
    key = key_with_budget(house, patient)
    stream = patient.open_stream(house.model.name, key.text)
    assert eventually(lambda: held(house) == 1, 4)
    close(stream)
    assert eventually(lambda: not GatewayDemand.objects.filter(pk=old.pk).exists(), 7)


def connection_that_listens() -> psycopg.Connection[object]:
    line: psycopg.Connection[object] = psycopg.connect(**line_options("a test"), autocommit=True)
    line.execute("listen beffroi_demand")
    return line
