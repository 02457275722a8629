"""Processes are restarted as for an upgrade while clients ask on, on connections that they keep: nobody fails."""

import http.client
import os
import signal

import pytest

from tests.support.installation import Installation, wait_for
from tests.support.load import Ask, Load, chat, form, page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

QUICK = {"first_token_ms": 5, "tokens_per_second": 0}
SLOW = {"first_token_ms": 5, "tokens_per_second": 20, "output_tokens": 60}  # a stream of three seconds
KINDS = ("gateway", "django", "worker", "postgres", "valkey", "node", "engine")
PAUSE_S = 0.3  # below the 1,000 requests a minute of the demo's tier


def load(beffroi: Installation) -> Load:
    """Whole answers, streams, pages, the management API, and a form, which the gateway may not send twice."""
    model, key = beffroi.demo["models"]["chat"], beffroi.demo["api_key"]
    asks: list[Ask] = [
        chat(model, key, stream=False, simulate=QUICK),
        chat(model, key, stream=True, simulate=QUICK),
        chat(model, key, stream=True, max_tokens=60, simulate=SLOW),
        page("/sign-in"),
        page("/api/key", key),
        form("/sign-out", 403),
    ]
    return Load(lambda: http.client.HTTPConnection("127.0.0.1", beffroi.port, timeout=60), asks * 2, PAUSE_S)


def pids(beffroi: Installation) -> dict[str, list[int]]:
    return {kind: beffroi.pids(kind) for kind in KINDS}


def assert_nobody_failed(beffroi: Installation, load: Load, what: str) -> None:
    print(load.report(what))
    assert not load.failures
    billed = {row["request_id"] for row in beffroi.records() if row["status"] == "completed"}
    chats = {told.request_id for told in load.told if "chat" in told.what}
    assert chats <= billed
    wait_for(lambda: not any(row["held_nano_eur"] for row in beffroi.budgets().values()), lambda: "held", 10)


def test_a_hang_up_signal_starts_pages_worker_and_gateways_anew_in_turn(beffroi: Installation) -> None:
    before = pids(beffroi)
    with load(beffroi) as clients:
        beffroi.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "  Done." in beffroi.terminal.read_text() or clients.failures, beffroi.said)
        clients.wait_for_more(40)
    assert_nobody_failed(beffroi, clients, "all restarted in turn")
    after = pids(beffroi)
    for kind in ("gateway", "django", "worker"):
        assert not set(after[kind]) & set(before[kind]), kind
        assert len(after[kind]) == len(before[kind])
    for kind in ("postgres", "valkey", "node", "engine"):
        assert after[kind] == before[kind]
    wait_for(lambda: not any(is_there(pid) for pid in before["gateway"]), beffroi.said)


@pytest.mark.parametrize("kind", ["gateway", "django"])
def test_all_processes_of_a_kind_end_at_once(beffroi: Installation, kind: str) -> None:
    """Their successors find the connections of meanwhile waiting in the supervisor's socket."""
    before = beffroi.pids(kind)
    with load(beffroi) as clients:
        for pid in before:
            os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not set(beffroi.pids(kind)) & set(before) or clients.failures, beffroi.said)
        clients.wait_for_more(40)
    assert_nobody_failed(beffroi, clients, f"every {kind} restarted at once")


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
