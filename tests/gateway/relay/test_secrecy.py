"""I5 in a gateway by itself: what it logs of the unforeseen, and that it leaves no core. For the whole house:
tests/journeys/test_secrecy_sweep.py.
"""

import asyncio
import signal
import time
from pathlib import Path

import pytest

from gateway.relay.failures import log_uncaught
from tests.gateway.relay.conftest import Scene
from tests.gateway.relay.leaving import see_events
from tests.gateway.simulated_engine.process import eventually
from tests.journeys.canaries import cores
from tests.support.gateway import GatewayProcess

WORD = "Xanthippe0Kanarienvogel"


def test_I5_what_nobody_caught_is_logged_by_kind_and_place(caplog: pytest.LogCaptureFixture) -> None:
    def fail(word: str) -> None:
        raise ValueError(word)

    async def forget_a_task() -> None:
        async def fails() -> None:
            fail(WORD)

        loop = asyncio.get_running_loop()
        loop.set_exception_handler(log_uncaught)
        loop.call_soon(fail, WORD)
        task = loop.create_task(fails(), name=WORD)
        await asyncio.sleep(0.01)
        del task
        loop.call_exception_handler({"message": f"about {WORD}"})

    asyncio.run(forget_a_task())
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 3
    assert all(line.startswith("not caught: ValueError at test_secrecy.py:") for line in told[:2])
    assert WORD not in caplog.text


def test_I5_a_gateway_that_crashes_leaves_no_core_and_no_word_of_its_streams(scene: Scene, tmp_path: Path) -> None:
    """Started by whatever, it sets its own limit: 1, which also keeps a dump from a program that would take it."""
    began_at = time.time()
    with GatewayProcess(tmp_path) as gateway:
        key = scene.key()
        gateway.await_key(key.text)
        limits = Path(f"/proc/{gateway.process.pid}/limits").read_text().splitlines()
        [core] = [line.split() for line in limits if line.startswith("Max core file size")]
        assert core[4:6] == ["1", "1"]
        with gateway.open_stream(scene.model, key.text, WORD, simulate={"chunk_text": WORD, "hang_after": 5}) as stream:
            see_events(stream, 5)
            gateway.process.send_signal(signal.SIGSEGV)
            assert gateway.process.wait(15) == -signal.SIGSEGV
    assert not cores(began_at)
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and WORD.encode() in file.read_bytes()]
    assert eventually(lambda: scene.engine.metric("num_requests_running") == 0)
