"""An engine that is silent is asked whether it is there; one that is not gets nothing until it answers.

Here with times of a test; on a real network, with those of production: `tests/failures`.
"""

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.relay.limits import Limits
from gateway.relay.looks import Looks
from gateway.relay.routing import Replica
from gateway.relay.upstream import Pool
from tests.gateway.relay.bills import assert_exact, await_model, house_served_by, key_with_budget
from tests.gateway.relay.conftest import MODELS, Scene
from tests.gateway.simulated_engine.process import EngineProcess, eventually
from tests.support.gateway import GatewayProcess, error_of, running_gateway, serve
from tests.support.ledger import make_house
from tests.support.silent_machine import silent_machine

SLACK_S = 3.0  # this machine is busy


@pytest.fixture(scope="module")
def curious(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway that looks soon, and waits for little."""
    limits = "look_after_s=0.3,look_every_s=0.5,look_s=1,connect_s=0.5,away_s=1.5,ejected_s=0.01,ejected_most_s=0.01"
    with running_gateway(tmp_path_factory.mktemp("curious"), limits) as gateway:
        yield gateway


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineProcess]:
    """One that a test may stop."""
    flags = ("--tokens-per-second=0", "--first-token-ms=0", "--max-model-len=8192")
    with EngineProcess(MODELS, tmp_path / "journal.jsonl", "engine-key", *flags) as engine:
        yield engine
        engine.process.send_signal(signal.SIGCONT)


class Gone:
    """Where an engine should be."""

    key = "engine-key"

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"


def test_a_machine_that_is_switched_off_costs_one_wait_and_no_more(scene: Scene, curious: GatewayProcess) -> None:
    house = make_house()
    with silent_machine() as port:
        serve(house.model, Gone(port))  # type: ignore[arg-type]  # it has a url and a key
        serve(house.model, scene.engine)
        await_model(curious, house)
        key = key_with_budget(house, curious)
        for _ in range(30):
            assert curious.chat(house.model.name, key.text, max_tokens=2).status == 200
        assert curious.log.read_text().count(f"replica 127.0.0.1:{port} cannot be reached") == 1
    assert_exact(house, key.row)


def test_an_engine_that_hangs_is_left_for_another_one_and_used_again(
    scene: Scene, curious: GatewayProcess, engine: EngineProcess
) -> None:
    house = house_served_by(curious, engine, scene.engine)
    key = key_with_budget(house, curious)
    engine.process.send_signal(signal.SIGSTOP)
    for stream in (False, True, False, True):
        assert curious.chat(house.model.name, key.text, stream=stream, max_tokens=2).status == 200
    name = engine.url.removeprefix("http://")
    assert curious.log.read_text().count(f"replica {name} is away") == 2  # once for all, once for a request
    engine.process.send_signal(signal.SIGCONT)
    assert eventually(lambda: f"replica {name} answers again" in curious.log.read_text(), 5)
    assert eventually(
        lambda: curious.chat(house.model.name, key.text, max_tokens=2).status == 200 and has_worked(engine)
    )
    assert_exact(house, key.row)


def has_worked(engine: EngineProcess) -> bool:
    return any(line["e"] == "usage" for line in engine.journal())


def test_where_there_is_no_other_one_it_is_waited_for_a_while(
    scene: Scene, curious: GatewayProcess, engine: EngineProcess
) -> None:
    house = house_served_by(curious, engine)
    key = key_with_budget(house, curious)
    engine.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    refused = curious.chat(house.model.name, key.text, max_tokens=2)
    assert (refused.status, error_of(refused)["code"]) == (502, "engine_failed")
    assert 1.5 < time.monotonic() - began < 0.3 + 1.5 + 2 + SLACK_S
    engine.process.send_signal(signal.SIGCONT)
    assert eventually(lambda: curious.chat(house.model.name, key.text, max_tokens=2).status == 200, 5)
    assert_exact(house, key.row)


def test_looks_that_nobody_answers_count_as_failures_of_the_engine() -> None:
    """No request goes there any more that could: the alert would end while the engine is away."""
    missed: list[Replica] = []
    replica = a_replica("a")

    async def look_twice() -> None:
        looks = Looks(Limits(), lambda _: Pool(refuse, Limits()), missed.append)
        looks.look(replica, 100)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        looks.tick({replica.place}, 101)  # too soon
        looks.tick({replica.place}, 102)
        await asyncio.sleep(0.01)

    asyncio.run(look_twice())
    assert missed == [replica, replica]
    assert replica.away_since == 100


async def refuse(_: object) -> None:
    raise ConnectionRefusedError


# ---- for how long an answer is waited for; nobody is asked here


def a_replica(name: str) -> Replica:
    return Replica(
        replica_id=1, name=name, url="http://127.0.0.1:1", api_key="", served_name="m", pool="p", node="", site=""
    )


def waits(replica: Replica, *others: Replica, now: float, is_relayed: bool) -> bool:
    """Whether an answer that is silent for 5 s is waited for at this moment."""

    def nobody(_: Replica) -> Pool:
        raise AssertionError

    replica.looked_at = now
    looks = Looks(Limits(), nobody, lambda _: None)
    return not looks.trouble_of(replica, 5.0, [replica, *others], now, is_relayed=is_relayed)


@pytest.mark.parametrize("is_relayed", [False, True])
def test_one_that_is_there_is_waited_for(*, is_relayed: bool) -> None:
    assert waits(a_replica("a"), a_replica("b"), now=100, is_relayed=is_relayed)


def test_of_one_that_is_away_only_what_another_one_can_answer_is_taken_away_at_once() -> None:
    away, well, also_away = a_replica("a"), a_replica("b"), a_replica("c")
    for replica in (away, also_away):
        replica.went_away(100)
    assert waits(away, well, now=101, is_relayed=False)  # one lost packet is no proof
    assert not waits(away, well, now=104, is_relayed=False)
    assert waits(away, well, now=104, is_relayed=True)
    assert waits(away, also_away, now=104, is_relayed=False)
    assert waits(away, now=104, is_relayed=False)
    assert not waits(away, now=116, is_relayed=False)
    assert not waits(away, well, now=116, is_relayed=True)
