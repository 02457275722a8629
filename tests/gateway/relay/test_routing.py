"""Which replica takes a request, and what becomes of it where one is sick."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from gateway.pools.models import Replica as ReplicaRow
from gateway.pools.registry import set_state
from gateway.relay.limits import Limits
from gateway.relay.routing import Replica, choose, places_of, usable, with_room
from tests.gateway.relay.bills import assert_exact, house_served_by, key_with_budget, only_record_of, records_of
from tests.gateway.relay.conftest import MODELS, Scene
from tests.gateway.simulated_engine.process import EngineProcess, eventually, read_until
from tests.support.gateway import GatewayProcess, error_of, running_gateway, serve
from tests.support.people import TESTS

StartEngine = Callable[..., EngineProcess]


@pytest.fixture(scope="module")
def quick(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway that lets a sick replica come back within the patience of a test."""
    limits = "ejected_s=0.3,ejected_most_s=1,first_byte_s=2"
    with running_gateway(tmp_path_factory.mktemp("quick"), limits) as gateway:
        yield gateway


@pytest.fixture
def start_engine(tmp_path: Path) -> Iterator[StartEngine]:
    """Starts engines with flags of their own."""
    with ExitStack() as stack:

        def start(*flags: str) -> EngineProcess:
            journal = tmp_path / f"journal-{len(list(tmp_path.iterdir()))}.jsonl"
            quick = ("--tokens-per-second=0", "--first-token-ms=0", "--max-model-len=8192")
            return stack.enter_context(EngineProcess(MODELS, journal, "engine-key", *quick, *flags))

        yield start


def worked_on(engine: EngineProcess) -> list[str]:
    """The requests that an engine began to work on, or refused."""
    return [line["id"] for line in engine.journal() if line["e"] in ("start", "refused")]


def test_each_replica_gets_its_share(scene: Scene, quick: GatewayProcess, start_engine: StartEngine) -> None:
    engines = [start_engine(), start_engine()]
    house = house_served_by(quick, *engines)
    key = key_with_budget(house, quick)
    for _ in range(10):
        assert quick.chat(house.model.name, key.text, max_tokens=2).status == 200
    assert [len(worked_on(engine)) for engine in engines] == [5, 5]
    assert {record.replica for record in records_of(key.row)} == set(
        ReplicaRow.objects.filter(pool__model=house.model).values_list("name", flat=True)
    )


def test_a_busy_replica_gets_less(scene: Scene, quick: GatewayProcess, start_engine: StartEngine) -> None:
    engines = [start_engine(), start_engine()]
    house = house_served_by(quick, *engines)
    key = key_with_budget(house, quick)
    slow = quick.open_stream(house.model.name, key.text, max_tokens=200, simulate={"tokens_per_second": 5})
    read_until(slow, lambda received: b"data:" in received)
    for _ in range(6):
        assert quick.chat(house.model.name, key.text, max_tokens=2).status == 200
    assert sorted(len(worked_on(engine)) for engine in engines) == [1, 6]
    slow.close()
    assert_exact(house, key.row)


@pytest.mark.parametrize("fault", ["status=500", "status=429", "status=404", "close_before=true", "garbage=json"])
def test_before_the_first_byte_another_replica_is_tried(
    scene: Scene, quick: GatewayProcess, start_engine: StartEngine, fault: str
) -> None:
    sick, well = start_engine(f"--fault={fault}"), start_engine()
    house = house_served_by(quick, sick, well)
    key = key_with_budget(house, quick)
    for stream in (False, True, False, True):
        answered = quick.chat(house.model.name, key.text, stream=stream, max_tokens=3)
        assert answered.status == 200, answered.body
    records = records_of(key.row)
    assert [record.status for record in records] == ["completed"] * 4
    assert {record.replica for record in records} == {replica_name(house.model.pk, well)}
    # The sick one rests after its first failure; it is asked again only when that is over.
    assert len(worked_on(sick)) <= 2
    assert_exact(house, key.row)


def replica_name(model_id: int, engine: EngineProcess) -> str:
    return ReplicaRow.objects.get(pool__model_id=model_id, url=engine.url).name


def test_an_objection_to_the_request_is_not_put_to_another_replica(
    scene: Scene, quick: GatewayProcess, start_engine: StartEngine
) -> None:
    engines = [start_engine(), start_engine()]
    house = house_served_by(quick, *engines)
    key = key_with_budget(house, quick)
    assert quick.chat(house.model.name, key.text, simulate={"status": 400}).status == 400
    assert sum(len(worked_on(engine)) for engine in engines) == 1


def test_after_the_first_byte_nobody_else_is_tried(
    scene: Scene, quick: GatewayProcess, start_engine: StartEngine
) -> None:
    """Two half answers make no whole one."""
    engines = [start_engine("--fault=close_after=3"), start_engine("--fault=close_after=3")]
    house = house_served_by(quick, *engines)
    key = key_with_budget(house, quick)
    answered = quick.chat(house.model.name, key.text, stream=True, max_tokens=20)
    assert answered.status == 200
    assert answered.events[-1]["error"]["code"] == "engine_failed"
    assert sum(len(worked_on(engine)) for engine in engines) == 1
    assert only_record_of(key.row).status == "engine_died"
    assert_exact(house, key.row)


def test_no_more_replicas_are_tried_than_allowed(
    scene: Scene, quick: GatewayProcess, start_engine: StartEngine
) -> None:
    engines = [start_engine("--fault=status=500") for _ in range(4)]
    house = house_served_by(quick, *engines)
    key = key_with_budget(house, quick)
    assert error_of(quick.chat(house.model.name, key.text))["code"] == "engine_failed"
    assert sum(len(worked_on(engine)) for engine in engines) == Limits().attempts


def test_a_replica_that_died_and_came_back_serves_again(
    scene: Scene, quick: GatewayProcess, start_engine: StartEngine
) -> None:
    engine = start_engine()
    house = house_served_by(quick, engine)
    key = key_with_budget(house, quick)
    assert quick.chat(house.model.name, key.text, max_tokens=2).status == 200
    engine.process.kill()
    engine.process.wait(5)
    refused = quick.chat(house.model.name, key.text, max_tokens=2)
    assert (refused.status, error_of(refused)["code"]) == (502, "engine_failed")
    start_engine(f"--port={engine.port}")
    assert eventually(lambda: quick.chat(house.model.name, key.text, max_tokens=2).status == 200, 5)
    assert_exact(house, key.row)


def test_a_kept_connection_that_the_engine_closed_costs_nobody_a_request(
    scene: Scene, quick: GatewayProcess, start_engine: StartEngine
) -> None:
    engine = start_engine()
    house = house_served_by(quick, engine)
    key = key_with_budget(house, quick)
    for _ in range(5):
        assert quick.chat(house.model.name, key.text, max_tokens=2).status == 200
        engine.process.kill()
        engine.process.wait(5)
        engine = start_engine(f"--port={engine.port}")
    assert quick.chat(house.model.name, key.text, max_tokens=2).status == 200
    assert_exact(house, key.row)


def test_a_replica_that_comes_or_is_drained_is_known_at_once(
    scene: Scene, quick: GatewayProcess, start_engine: StartEngine
) -> None:
    first, second = start_engine(), start_engine()
    house = house_served_by(quick, first)
    key = key_with_budget(house, quick)
    assert quick.chat(house.model.name, key.text, max_tokens=2).status == 200
    serve(house.model, second)
    prompts = (f"Question {number}" for number in count())  # affinity keeps one prompt at one replica

    def ask() -> None:
        assert quick.chat(house.model.name, key.text, next(prompts), max_tokens=2).status == 200

    def the_second_works() -> bool:
        ask()
        return bool(worked_on(second))

    assert eventually(the_second_works, 4)  # milliseconds; the poll would tell after five seconds
    row = ReplicaRow.objects.get(pool__model=house.model, url=first.url)
    set_state(replica=row, state=ReplicaRow.State.DRAINING, reason="", actor=TESTS)

    def the_first_is_left_alone() -> bool:
        before = len(worked_on(first))
        for _ in range(8):
            ask()
        return len(worked_on(first)) == before

    assert eventually(the_first_is_left_alone, 4)
    assert the_first_is_left_alone()


def test_a_stream_under_way_outlives_the_draining_of_its_replica(
    scene: Scene, quick: GatewayProcess, start_engine: StartEngine
) -> None:
    engine = start_engine()
    house = house_served_by(quick, engine)
    key = key_with_budget(house, quick)
    stream = quick.open_stream(house.model.name, key.text, max_tokens=12, simulate={"tokens_per_second": 20})
    read_until(stream, lambda received: b"data:" in received)
    row = ReplicaRow.objects.get(pool__model=house.model)
    set_state(replica=row, state=ReplicaRow.State.DRAINING, reason="", actor=TESTS)
    assert eventually(lambda: quick.chat(house.model.name, key.text, max_tokens=1).status == 503, 4)
    stream.settimeout(10)
    assert b"[DONE]" in read_until(stream, lambda received: b"[DONE]" in received)
    stream.close()
    assert_exact(house, key.row)


def test_the_window_is_the_smallest_of_the_engines(
    scene: Scene, quick: GatewayProcess, start_engine: StartEngine
) -> None:
    engine = start_engine("--max-model-len=1000")
    house = house_served_by(quick, engine)
    ReplicaRow.objects.filter(pool__model=house.model).update(context_window=1000)
    key = key_with_budget(house, quick)
    path = f"/v1/models/{house.model.name}"
    assert eventually(lambda: quick.get(path, key.text).json["max_model_len"] == 1000, 4)
    answered = quick.chat(house.model.name, key.text, max_tokens=5_000)
    assert answered.status == 200
    assert int(answered.headers["x-beffroi-max-tokens"]) < 1000


# ---- the choice itself


def a_replica(name: str) -> Replica:
    return Replica(
        replica_id=1, name=name, url="http://127.0.0.1:1", api_key="", served_name="m", pool="p", node="", site=""
    )


def test_where_all_rest_the_one_that_comes_back_first_is_tried() -> None:
    first, second = a_replica("a"), a_replica("b")
    first.failed(9, Limits())
    first.failed(10, Limits())
    second.failed(10, Limits())
    assert choose([first, second], (), 10) is second
    assert choose([first, second], (second,), 10) is first
    assert choose([first, second], (first, second), 10) is None


def test_gateways_share_the_places_at_an_engine() -> None:
    assert [places_of(256, gateways) for gateways in (0, 1, 4, 5, 300)] == [256, 256, 64, 51, 1]
    assert places_of(None, 4) > 1_000_000


def test_one_that_rests_is_not_tried_while_another_is_merely_full() -> None:
    sick, full = a_replica("a"), a_replica("b")
    sick.failed(10, Limits())
    full.most = 1
    full.began()
    assert usable([sick, full], (), 10) == [full]
    assert with_room([sick, full]) == [sick]
    assert usable([sick, full], (full,), 10) == [sick]


def test_one_that_had_to_let_requests_wait_gets_less() -> None:
    queueing, idle = a_replica("a"), a_replica("b")
    queueing.queued = 3
    for _ in range(3):
        assert choose([queueing, idle], (), 0) is idle
        idle.began()


def test_rest_doubles_up_to_a_bound_and_ends_with_a_success() -> None:
    replica, limits = a_replica("a"), Limits()
    rests = []
    for _ in range(20):
        began = replica.rests_until
        replica.failed(began, limits)
        rests.append(replica.rests_until - began)
    assert rests[:4] == [1, 2, 4, 8]
    assert max(rests) == limits.ejected_most_s
    replica.succeeded()
    assert choose([replica], (), 0) is replica
    assert replica.failures == 0


def test_what_was_under_way_when_it_died_counts_once() -> None:
    replica = a_replica("a")
    for _ in range(50):
        replica.failed(10, Limits())
    assert replica.rests_until == 11


def test_a_replica_that_leaves_usage_out_is_not_even_tried() -> None:
    replica, limits = a_replica("a"), Limits()
    for _ in range(2):
        replica.left_out_usage(0, limits)
    assert choose([replica], (), 0) is replica
    replica.left_out_usage(0, limits)
    assert choose([replica], (), 0) is None
    assert choose([replica], (), limits.ejected_most_s) is replica
    replica.succeeded()  # a success without usage proves nothing
    replica.left_out_usage(100, limits)
    assert choose([replica], (), 100) is None
    replica.reported_usage()
    replica.left_out_usage(200, limits)
    assert choose([replica], (), 200) is replica
