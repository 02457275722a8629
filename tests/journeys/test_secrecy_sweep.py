"""I5: what is said through an installation is written nowhere, whatever becomes of the request or of the processes.

A random word goes through every address, on success and on failure, and is in flight when processes die. Then every
place that could have been written to is searched for it. A word that was put there on purpose has to be found in each
of these places by the same search. A new address of the management API or a new page is swept by itself; a new
inference address fails the sweep until `canary_requests.good_bodies` has a request for it.
"""

import contextlib
import json
import mmap
import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.gateway.relay.leaving import half_close, reset
from tests.journeys import canary_requests, echoing_engine
from tests.journeys.canaries import Family, Found, cores, family_of, files_of, open_files_of, search
from tests.journeys.canary_requests import CHAT, Request, send
from tests.journeys.conversation import talk
from tests.journeys.spies import Broker, Bystander, Statements, rows_of, superuser, tell
from tests.support.installation import Installation, wait_for
from tests.support.wire import request as wire_request

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LIMITS = (
    "first_byte_s=1.5,silence_s=1.5,admit_wait_s=2,settle_wait_s=2,heartbeat_s=1,checkpoint_s=0.3,"
    "ejected_s=0.01,ejected_most_s=0.05"
)
SAID, LABEL, KEPT, SOUGHT, CONTROL = map(Family, ("said", "labl", "kept", "find", "ctrl"))
HIDDEN = ("billing_usage_record", "identity_auditevent", "billing_refusal")
IN_THE_DATABASE = {"rows", "data files", "write-ahead log", "statements"}


@dataclass
class Sweep:
    """An installation through which canaries are sent."""

    beffroi: Installation
    temporary: Path
    keys: dict[str, str]
    began_at: float

    @property
    def models(self) -> dict[str, str]:
        models: dict[str, str] = self.beffroi.demo["models"]
        return models

    def send(self, requests: Sequence[Request], key: str) -> list[tuple[Request, int]]:
        """All of them, several at a time; each with its status."""
        with ThreadPoolExecutor(8) as senders:
            port = self.beffroi.port
            return list(zip(requests, senders.map(lambda one: send(port, key, one), requests), strict=True))

    def open_stream(self) -> socket.socket:
        """A stream that says the word, ten times a second, for as long as it may."""
        simulate = {"chunk_text": SAID.at("stream"), "tokens_per_second": 10}
        messages = [{"role": "user", "content": SAID.at("streamed")}]
        body = {"model": self.models["chat"], "messages": messages, "stream": True, "max_tokens": 900}
        data = json.dumps(body | {"simulate": simulate}).encode()
        connection = socket.create_connection(("127.0.0.1", self.beffroi.port), timeout=20)
        key = self.beffroi.demo["api_key"]
        connection.sendall(wire_request("POST", CHAT, data, f"authorization: Bearer {key}"))
        received = b""
        while received.count(SAID.word.encode()) < 3:
            data = connection.recv(65_536)
            assert data, received
            received += data
        return connection


@pytest.fixture(scope="module")
def sweep() -> Iterator[Sweep]:
    began_at = time.time()
    with (
        tempfile.TemporaryDirectory(prefix="beffroi-sweep-", dir="/tmp") as folder,
        echoing_engine.engine() as engine,
        Installation(BEFFROI_LIMITS=LIMITS, TMPDIR=folder) as beffroi,
    ):
        Path(folder).chmod(0o1777)  # as /tmp is
        file = beffroi.folder / "keys.json"
        beffroi.manage(
            "shell", "--no-imports", "-c",
            "from tests.journeys import echoing_engine, keys;"
            f"keys.make({str(file)!r}); echoing_engine.register({engine.url!r}, {engine.key!r})",
        )  # fmt: skip
        yield Sweep(beffroi, Path(folder), json.loads(file.read_text()), began_at)


@dataclass
class Outcome:
    """What the search found, and how the requests ended."""

    found: Found
    statuses: dict[str, list[tuple[str, int]]]
    limits: dict[int, str]
    cores: list[str]
    said_in_the_console: str


@pytest.fixture(scope="module")
def outcome(sweep: Sweep) -> Outcome:
    """Send everything, kill everything, search everywhere; several tests then look at the outcome."""
    beffroi, home = sweep.beffroi, sweep.beffroi.home
    statements, broker = Statements(home), Broker(home)
    bystander = Bystander(beffroi.port, sweep.keys["stranger"], sweep.models["chat"], CONTROL.at("bystander"))
    statuses = speak(sweep)
    limits = {pid: Path(f"/proc/{pid}/limits").read_text() for pid in beffroi.pids()}
    said_in_the_console = talk(beffroi, sweep.models["chat"], SAID.at("message"), SAID.at("instructions"))
    leave(sweep)
    kill(sweep)
    statuses |= lose_database(sweep)
    time.sleep(1.5)  # refusals are written with the next heartbeat
    with control(sweep) as own_pid, superuser(home) as connection:
        connection.execute("checkpoint")
        time.sleep(0.2)  # the spies look
        statements.is_over = bystander.is_over = True
        everything = [
            *open_files_of([own_pid, *family_of(beffroi.process.pid)]), *statements.written(), *broker.written(),
            *rows_of(home), *files_of(beffroi, sweep.temporary, sweep.began_at), *bystander.written(),
        ]  # fmt: skip
        broker.close()
        secrets = [text.split("_")[2] for text in sweep.keys.values()]
        found = search(everything, (SAID, LABEL, KEPT, SOUGHT, CONTROL), secrets)
    return Outcome(found, statuses, limits, cores(sweep.began_at), said_in_the_console)


def speak(sweep: Sweep) -> dict[str, list[tuple[str, int]]]:
    """Requests to every address; the statuses by path."""
    beffroi, manager = sweep.beffroi, sweep.keys["manager"]
    wait_for(
        lambda: send(beffroi.port, manager, Request("", "GET", f"/v1/models/{echoing_engine.MODEL}")) == 200,
        beffroi.said,
    )
    asked = [
        *canary_requests.inference(SAID, LABEL, sweep.models),
        *canary_requests.management(SAID, KEPT, SOUGHT, beffroi.get("/api/schema")),
        *canary_requests.pages(SAID, SOUGHT),
        *canary_requests.odd_addresses(SAID),
    ]
    statuses: dict[str, list[tuple[str, int]]] = {}
    for request, status in sweep.send(asked, manager):
        statuses.setdefault(f"{request.method} {request.path}", []).append((request.about, status))
    good = next(request for request in asked if request.path == CHAT)
    own = Request("its own key", "GET", "/api/key")
    keys = {name: key for name, key in sweep.keys.items() if name != "stranger"}
    for name, key in {**keys, "canary": SAID.word, "like a key": f"bfr_{SAID.word[:10]}_{SAID.word}"}.items():
        for request in (good, own):
            statuses.setdefault(f"as {name}", []).append((request.path, send(beffroi.port, key, request)))
    return statuses


def leave(sweep: Sweep) -> None:
    """Clients that leave in the middle of what is said to them."""
    for way in (reset, half_close):
        with sweep.open_stream() as stream:
            way(stream)


def kill(sweep: Sweep) -> None:
    """Processes die in every way while the word is in flight; they come back."""
    beffroi = sweep.beffroi
    page = Request("", "POST", "/api/keys", json.dumps({"name": SAID.at("in flight"), "x": 1}).encode())
    for kind, number in (
        ("gateway", signal.SIGKILL), ("gateway", signal.SIGSEGV), ("engine", signal.SIGABRT),
        ("engine", signal.SIGKILL), ("django", signal.SIGSEGV), ("worker", signal.SIGABRT),
    ):  # fmt: skip
        with sweep.open_stream(), sweep.open_stream(), sweep.open_stream():
            sweep.send([page] * 5, sweep.keys["manager"])
            before = beffroi.pids()
            os.kill(beffroi.pids(kind)[0], number)
            wait_for(lambda before=before: _has_replaced_one(beffroi, before), beffroi.said)  # type: ignore[misc]
        wait_for(lambda: beffroi.chat_status() == 200, beffroi.said)


def _has_replaced_one(beffroi: Installation, before: list[int]) -> bool:
    now = beffroi.pids()
    return len(now) == len(before) and set(now) != set(before)


def lose_database(sweep: Sweep) -> dict[str, list[tuple[str, int]]]:
    """PostgreSQL fails in the middle of requests, then dies; meanwhile everybody goes on speaking. The statuses."""
    beffroi, manager = sweep.beffroi, sweep.keys["manager"]
    described = beffroi.get("/api/schema")
    inference = [
        replace(request, headers={}) for request in canary_requests.inference(SAID, LABEL, sweep.models)
        if request.about in ("good 0", "trailing")
    ]  # fmt: skip
    management = canary_requests.management(SAID, KEPT, SOUGHT, described)
    with hidden_tables(sweep):
        hidden = sweep.send([*inference, *management], manager)
    with sweep.open_stream():
        os.kill(beffroi.pids("postgres")[0], signal.SIGKILL)
        away = sweep.send(inference, manager)
    wait_for(lambda: beffroi.is_answering() and beffroi.chat_status() == 200, beffroi.said)
    return {
        when: [(request.path, status) for request, status in told]
        for when, told in (("tables hidden", hidden), ("database away", away))
    }


@contextlib.contextmanager
def hidden_tables(sweep: Sweep) -> Iterator[None]:
    """Tables that nobody finds: views and the ledger's functions fail in the middle, in a way that nobody foresaw."""
    with superuser(sweep.beffroi.home) as connection:
        for table in HIDDEN:
            connection.execute(f"alter table {table} rename to {table}_hidden")
        yield
        for table in HIDDEN:
            connection.execute(f"alter table {table}_hidden rename to {table}")


@contextlib.contextmanager
def control(sweep: Sweep) -> Iterator[int]:
    """Put a word into each kind of place. Gives the process that has it in a file without a name: our own."""
    home, word = sweep.beffroi.home, CONTROL.at("control")
    folders = [home.folder, sweep.temporary, Path("/var/log")]
    files = [folder / "beffroi-control" for folder in folders if os.access(folder, os.W_OK)]
    files += [home.logs / "control.log", sweep.temporary / "core.1"]
    tell(home.sockets / "valkey.sock", "SET", "control", word)
    with (
        superuser(home) as connection, sweep.beffroi.terminal.open("a") as terminal,
        tempfile.TemporaryFile() as nameless, tempfile.NamedTemporaryFile(dir="/dev/shm") as shared,
    ):  # fmt: skip
        connection.execute("create table control as select %s::text as word", [word])
        connection.execute(f"do $$ begin raise warning '{word}'; end $$")
        time.sleep(0.3)  # it is the session's last statement, which the spy sees
        for file in files:
            file.write_text(word)
        terminal.write(word)
        terminal.flush()
        for opened in (nameless, shared):
            opened.write(word.encode())
            opened.flush()
        try:
            with mmap.mmap(shared.fileno(), 0):
                yield os.getpid()
        finally:
            for file in files:
                file.unlink()


def test_I5_what_was_said_is_written_nowhere(outcome: Outcome) -> None:
    assert outcome.found.of(SAID) == {}


def test_I5_the_search_finds_what_is_there(outcome: Outcome) -> None:
    kinds = outcome.found.kinds
    assert set(outcome.found.of(CONTROL)) == kinds
    assert kinds >= IN_THE_DATABASE | {"postgres log", "logs", "terminal", "broker", "broker traffic", "cores"}
    assert kinds >= {"home", "temporary files", "deleted files", "shared memory", "answers to others"}


def test_I5_what_is_kept_by_design_is_in_the_database_only(outcome: Outcome) -> None:
    for family in (LABEL, KEPT):
        assert {"rows", "data files"} <= set(outcome.found.of(family)) <= IN_THE_DATABASE


def test_I5_what_one_searches_for_is_in_a_session_s_last_statement_at_most(outcome: Outcome) -> None:
    """Django writes it into the text of its statements, which PostgreSQL shows to its superuser. Only there."""
    assert set(outcome.found.of(SOUGHT)) <= {"statements"}


def test_I5_no_key_is_written_anywhere(outcome: Outcome) -> None:
    assert outcome.found.of_secrets() == {}


def test_I5_no_process_leaves_a_core(outcome: Outcome) -> None:
    for pid, limits in outcome.limits.items():
        [core] = [line.split() for line in limits.splitlines() if line.startswith("Max core file size")]
        assert core[4:6] == ["1", "1"], pid
    assert not outcome.cores


def test_every_way_to_fail_was_taken(outcome: Outcome) -> None:
    """A sweep whose requests all end at the door would find nothing anywhere."""
    statuses = outcome.statuses
    assert {200, 400, 404, 415, 502, 503} <= {status for _, status in statuses[f"POST {CHAT}"]}
    for path in canary_requests.inference_paths():
        told = statuses[f"POST {path}"]
        assert all(status == 200 for about, status in told if about.startswith("good")), told
        assert {400, 404, 415} <= {status for _, status in told}
    assert 201 in {status for _, status in statuses["POST /api/keys"]}
    assert {200, 400} <= {status for path, told in statuses.items() if "/api/" in path for _, status in told}
    by_key = {name: told for name, told in statuses.items() if name.startswith("as ")}
    assert {status for told in by_key.values() for _, status in told} >= {200, 401, 403, 429}
    # They waited for the database, or were told to come back: it may be away for a shorter time than they wait.
    assert set() < {status for _, status in statuses["database away"]} <= {200, 400, 503}
    assert {200, 500, 503} <= {status for _, status in statuses["tables hidden"]}


def test_what_was_said_in_the_console_was_answered(outcome: Outcome) -> None:
    assert "chat.completion.chunk" in outcome.said_in_the_console
    assert "[DONE]" in outcome.said_in_the_console
