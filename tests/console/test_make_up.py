"""The whole of `make up`, for real: start, kill, start again. One installation for the file; its tests run in order."""

import json
import os
import signal
from collections.abc import Iterator

import pytest

from tests.support.installation import Installation, is_running, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    with Installation(is_closed=True) as made:
        yield made


def test_it_says_how_to_use_it_and_that_works(installation: Installation) -> None:
    demo = installation.demo
    assert list(demo["login_urls"]) == ["owner", "finance", "developer", "operator", "billing"]
    assert len(demo["pids"]["gateway"]) == 2
    assert all(is_running(pid) for pid in installation.pids())
    assert installation.home.demo_file.stat().st_mode & 0o077 == 0
    assert installation.chat_status() == 200
    assert "failed" not in installation.terminal.read_text()


def test_no_secret_is_in_a_log(installation: Installation) -> None:
    secrets = json.loads(installation.home.secrets_file.read_text())
    hidden = [*secrets.pop("database_passwords").values(), *secrets.values(), installation.demo["api_key"]]
    for log in installation.home.logs.iterdir():
        text = log.read_text(errors="replace")
        assert not [secret for secret in hidden if secret in text], log


@pytest.mark.parametrize("kind", ["gateway", "django", "engine", "node", "valkey", "worker", "postgres"])
def test_each_process_that_is_killed_comes_back(installation: Installation, kind: str) -> None:
    before = set(installation.pids())
    victim = installation.pids(kind)[0]
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: victim not in installation.pids() and len(installation.pids()) == len(before), installation.said)
    assert all(is_running(pid) for pid in installation.pids())
    wait_for(lambda: installation.chat_status() == 200, installation.said)


def test_killed_as_a_whole_it_comes_back_as_it_was(installation: Installation) -> None:
    before = installation.demo
    processes = installation.pids()
    installation.process.kill()
    installation.process.wait()
    wait_for(lambda: not any(is_running(pid) for pid in processes), installation.said)
    installation.start()
    after = installation.demo
    assert (after["api_key"], after["models"]) == (before["api_key"], before["models"])
    assert not set(after["login_urls"].values()) & set(before["login_urls"].values())
    assert installation.chat_status() == 200


def test_even_if_every_process_is_killed_at_once(installation: Installation) -> None:
    for pid in [installation.process.pid, *installation.pids()]:
        os.kill(pid, signal.SIGKILL)
    installation.process.wait()
    installation.start()
    assert installation.chat_status() == 200


def test_ctrl_c_stops_everything(installation: Installation) -> None:
    processes = installation.pids()
    installation.process.send_signal(signal.SIGINT)
    assert installation.process.wait(90) == 0
    assert "killed" not in installation.terminal.read_text()
    assert not installation.home.demo_file.exists()
    assert not any(is_running(pid) for pid in processes)
