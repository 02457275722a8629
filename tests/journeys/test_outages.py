"""PostgreSQL and Valkey that were given to `make up`: away at its start, restarted, gone for long, frozen."""

import http.client
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.supervisor.processes import spawn, stop
from console.supervisor.valkey import EmbeddedValkey
from tests.support.installation import Installation, wait_for
from tests.support.load import Ask, Load, chat, page
from tests.support.outage import OwnPostgres

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

QUICK = {"first_token_ms": 5, "tokens_per_second": 0}
DAILY_JOB = "identity.forget_notices"
PAUSE_S = 0.3  # below the 1,000 requests a minute of the demo's tier


class OwnValkey:
    """A broker that these tests start and stop."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="beffroi-valkey-", dir="/tmp")
        self.server = EmbeddedValkey(Path(self.folder.name) / "valkey.sock")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        process = spawn(self.server.command(), {"PATH": os.defpath}, Path(self.folder.name) / "log")
        self.server.wait_until_ready(lambda: process.poll() is None)
        self.process = process

    def kill(self) -> None:
        if self.process is not None:
            stop(self.process, signal.SIGKILL, 10)

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)


@pytest.fixture(scope="module")
def postgres() -> Iterator[OwnPostgres]:
    with OwnPostgres() as postgres:
        postgres.stop()
        yield postgres


@pytest.fixture(scope="module")
def valkey() -> Iterator[OwnValkey]:
    valkey = OwnValkey()
    yield valkey
    valkey.kill()
    valkey.folder.cleanup()


@pytest.fixture(scope="module")
def given(postgres: OwnPostgres, valkey: OwnValkey) -> Iterator[Installation]:
    """Launched while both were away; the first test lets it start."""
    limits = "heartbeat_s=1,admit_wait_s=8"
    environment = {**postgres.environment, "VALKEY_URL": valkey.server.url, "BEFFROI_LIMITS": limits}
    made = Installation(is_closed=False, **environment)
    try:
        made.launch()
        yield made
    finally:
        made.end()


def load(given: Installation) -> Load:
    model, key = given.demo["models"]["chat"], given.demo["api_key"]
    asks: list[Ask] = [
        chat(model, key, stream=False, simulate=QUICK),
        chat(model, key, stream=True, simulate=QUICK),
        page("/sign-in"),
        page("/api/key", key),
    ]
    return Load(lambda: http.client.HTTPConnection("127.0.0.1", given.port, timeout=60), asks * 2, PAUSE_S)


def ask(given: Installation, path: str, key: str = "") -> tuple[int, dict[str, str]]:
    """Status and headers of a GET."""
    connection = http.client.HTTPConnection("127.0.0.1", given.port, timeout=60)
    connection.request("GET", path, headers={"authorization": f"Bearer {key}"} if key else {})
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status, {name.lower(): value for name, value in response.getheaders()}


def test_started_before_its_servers_it_says_what_it_waits_for_then_works(
    given: Installation, postgres: OwnPostgres
) -> None:
    wait_for(lambda: "Waiting for the database of DATABASE_URL: connection" in given.terminal.read_text(), given.said)
    time.sleep(2.5)
    said = given.terminal.read_text()
    assert said.count("Waiting for the database") == 1
    assert "Traceback" not in said
    postgres.start()
    wait_for(lambda: "Ctrl-C stops everything" in given.terminal.read_text(), given.said, 120)
    assert "Nobody answers at VALKEY_URL" in given.terminal.read_text()
    assert [ask(given, path, given.demo["api_key"])[0] for path in ("/sign-in", "/v1/models")] == [200, 200]


def test_worker_and_nodes_begin_when_their_broker_comes_and_do_what_they_are_told(
    given: Installation, valkey: OwnValkey
) -> None:
    valkey.start()
    assert_worker_answers(given)
    wait_for(lambda: given.chat_status() == 200 and len(given.demo["pids"].get("engine", [])) == 6, given.said, 60)
    runs = f"from identity.models import JobRun; runs = JobRun.objects.filter(name={DAILY_JOB!r}); "
    run_now = f"runs.delete(); from console.operator_jobs import run_now; run_now({DAILY_JOB!r})"
    given.manage("shell", "--no-imports", "-c", runs + run_now)
    found = f"{runs}print(sum(run.went_well_at is not None for run in runs))"
    wait_for(lambda: given.manage("shell", "--no-imports", "-c", found).strip() == "1", given.said, 40)


def assert_worker_answers(given: Installation) -> None:
    """One worker hears what is said through the broker."""
    ping = "from console.celery import app; print(len(app.control.ping(timeout=1)))"
    wait_for(lambda: given.manage("shell", "--no-imports", "-c", ping).strip() == "1", given.said, 40)


def assert_worker_works(given: Installation) -> None:
    """A replica that failed is probed by the worker, told so by its clock, within half a minute; then it is ready."""
    change = "from gateway.pools.models import Replica as R; r = R.objects.order_by('pk').first(); "
    given.manage("shell", "--no-imports", "-c", f"{change}R.objects.filter(pk=r.pk).update(state='failed')")
    wait_for(lambda: state(given, change) == "ready", given.said, 60)


def state(given: Installation, change: str) -> str:
    return given.manage("shell", "--no-imports", "-c", f"{change}print(r.state)").strip()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["fast", "kill -9"])
def test_postgresql_restarted_under_load_fails_no_request_and_no_page(
    given: Installation, postgres: OwnPostgres, how: signal.Signals
) -> None:
    pids = given.demo["pids"]
    with load(given) as clients:
        postgres.stop(how)
        time.sleep(0.5)
        postgres.start()
        clients.wait_for_more(40)
    print(clients.report(f"PostgreSQL restarted ({how.name})"))
    assert not clients.failures
    assert given.demo["pids"] == pids


def test_postgresql_away_for_long_is_told_and_healed_without_a_restart(
    given: Installation, postgres: OwnPostgres
) -> None:
    pids, key = given.demo["pids"], given.demo["api_key"]
    postgres.stop()
    try:
        wait_for(lambda: ask(given, "/health/ready")[0] == 503, given.said, 10)
        assert ask(given, "/health/live")[0] == 200
        assert ask(given, "/v1/models", key)[0] == 200
        status, headers = ask(given, "/api/key", key)
        assert (status, headers["retry-after"]) == (503, "5")
    finally:
        postgres.start()
    wait_for(lambda: ask(given, "/health/ready")[0] == 200, given.said, 20)
    with load(given) as clients:
        clients.wait_for_more(20)
    assert not clients.failures
    assert given.demo["pids"] == pids


def test_killed_while_postgresql_is_away_they_start_and_wait_for_it(given: Installation, postgres: OwnPostgres) -> None:
    kinds = ("gateway", "django", "worker")
    before = {kind: given.pids(kind)[0] for kind in kinds}
    postgres.stop()
    try:
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: have_successors(given, before), given.said, 30)
        time.sleep(2)
    finally:
        postgres.start()
    for _ in range(10):  # whichever gateway takes it
        wait_for(lambda: ask(given, "/health/ready")[0] == 200, given.said, 30)
    with load(given) as clients:
        clients.wait_for_more(20)
    assert not clients.failures
    assert_worker_answers(given)


def have_successors(given: Installation, before: dict[str, int]) -> bool:
    now = given.demo["pids"]  # without those that are dead just now
    return all(kind in now and pid not in given.pids(kind) for kind, pid in before.items())


def test_without_valkey_neither_inference_nor_pages_notice(given: Installation, valkey: OwnValkey) -> None:
    key = given.demo["api_key"]
    with load(given) as clients:
        clients.wait_for_more(30)
        usual = sorted(told.waited for told in clients.told)
        clients.told.clear()
        valkey.send(signal.SIGSTOP)
        clients.wait_for_more(30)
        valkey.send(signal.SIGCONT)
        valkey.kill()
        clients.wait_for_more(30)
        status, _ = ask(given, "/api/keys", key)
        assert status in (200, 403)
    print(clients.report("Valkey frozen, then killed"))
    assert not clients.failures
    waited = sorted(told.waited for told in clients.told)
    assert waited[len(waited) // 2] < 3 * usual[len(usual) // 2] + 0.1
    assert waited[-1] < 5
    valkey.start()
    assert_worker_works(given)
