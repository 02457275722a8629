"""The bench's client against its engine, and against a proxy between the two that breaks what passes."""

import select
import socket
import socketserver
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import pytest

from bench.load import Outcome, Work
from bench.machine import cores, free_ports
from bench.mock import Counts
from bench.rivals import Target, answers
from bench.session import NGINX, Session
from console.supervisor.processes import ROOT
from tests.support.installation import wait_for

TOKENS = 20


@pytest.fixture(scope="module")
def engine() -> Iterator[int]:
    """The engine's port."""
    [port] = free_ports(1)
    process = subprocess.Popen([sys.executable, "-m", "bench.mock", str(port)], cwd=ROOT)
    try:
        wait_for(lambda: answers(port, ""), lambda: "the engine does not answer")
        yield port
    finally:
        process.kill()
        process.wait()


def measured(port: int, **work: bool | float) -> Outcome:
    """What the client saw: four connections, three requests each."""
    order = msgspec.json.encode(Work(port=port, connections=4, each=3, tokens=TOKENS, **work))  # type: ignore[arg-type]
    done = subprocess.run([sys.executable, "-m", "bench.load"], input=order, capture_output=True, cwd=ROOT, timeout=60)
    assert not done.stderr, done.stderr.decode()
    return msgspec.json.decode(done.stdout, type=Outcome)


@contextmanager
def proxy(engine: int, change: Callable[[bytes], bytes]) -> Iterator[int]:
    """A proxy whose port is given, which changes each piece of an answer."""

    class PassOn(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            client: socket.socket = self.request
            with socket.create_connection(("127.0.0.1", engine)) as there:
                while True:
                    for end in select.select([client, there], [], [])[0]:
                        piece = end.recv(65536)
                        if not piece:
                            return
                        if end is client:
                            there.sendall(piece)
                        else:
                            client.sendall(change(piece))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), PassOn) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.parametrize("pause_ms", [0, 5])
def test_every_chunk_of_every_stream_is_counted(engine: int, pause_ms: int) -> None:
    outcome = measured(engine, is_stream=True, pause_ms=pause_ms)
    assert not outcome.faults
    assert (outcome.requests, outcome.chunks) == (12, 12 * (TOKENS + 1))


def test_large_prompts_are_answered(engine: int) -> None:
    outcome = measured(engine, prompt_bytes=400 * 1024)
    assert (outcome.requests, outcome.faults) == (12, {})


def test_the_engine_counts_what_it_says(engine: int) -> None:
    before = said(engine)
    measured(engine, is_stream=True)
    measured(engine)
    after = said(engine)
    assert after.requests - before.requests == after.answers - before.answers == 24
    assert after.completion_tokens - before.completion_tokens == 24 * TOKENS
    assert after.prompt_tokens - before.prompt_tokens == 24 * 27


def said(engine: int) -> Counts:
    """What the engine counted so far."""
    with urllib.request.urlopen(f"http://127.0.0.1:{engine}/stats", timeout=10) as answer:
        return msgspec.json.decode(answer.read(), type=Counts)


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_proxy_that_changes_nothing_is_right(engine: int, is_stream: bool) -> None:
    with proxy(engine, lambda piece: piece) as port:
        assert measured(port, is_stream=is_stream).faults == {}


@pytest.mark.parametrize(
    ("is_stream", "old", "new"),
    [
        (False, b" 200 OK", b" 500 Oh"),
        (False, b"gateway", b"getaway"),
        (True, b'"content":" ', b'"content":"_'),
        (True, b"[DONE]", b"[GONE]"),
        (True, b"data: {", b"dato: {"),
        (True, b"0\r\n\r\n", b""),
    ],
)
def test_what_a_proxy_changes_is_a_fault(engine: int, is_stream: bool, old: bytes, new: bytes) -> None:
    with proxy(engine, lambda piece: piece.replace(old, new)) as port:
        outcome = measured(port, is_stream=is_stream, pause_ms=1, patience_s=3)
    assert outcome.faults
    assert outcome.requests == 0


def test_an_answer_for_somebody_else_is_a_fault(engine: int) -> None:
    with proxy(engine, lambda piece: piece.replace(b"(1)", b"(2)")) as port:
        faults = measured(port).faults
    assert [fault.count for what, fault in faults.items() if "another text" in what] == [1]


def test_a_fault_makes_the_whole_run_wrong(engine: int) -> None:
    session = Session(rounds=1, is_quick=True)
    session.cores = cores()
    with proxy(engine, lambda piece: piece.replace(b"gateway", b"getaway")) as port:
        session._targets = {NGINX: Target(NGINX, port, "", {})}
        session.in_turn((NGINX,), Work(connections=1, each=1))
    assert len(session.wrong) == 2
    assert session.wrong[0].startswith("nginx: 1 x another text than the engine's; for example: ")


def test_nobody_who_answers_is_a_fault() -> None:
    [port] = free_ports(1)
    assert measured(port).faults["no connection"].count == 4
