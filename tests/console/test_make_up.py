"""The whole of `make up`, for real: start, kill, start again. One installation for the file; its tests run in order."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from console.supervisor.home import Home
from console.supervisor.listening import free_port
from console.supervisor.processes import ROOT
from tests.support.servers import servers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

START_SECONDS = 120


class Installation:
    """`manage.py up` in a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder)
        self.port = free_port()
        self._output = folder.with_suffix(".output")
        ours = servers.environment().keys()  # of the tests' own database: an installation makes its own
        self._environment = {name: value for name, value in os.environ.items() if name not in ours}
        self._environment |= {"BEFFROI_HOME": str(folder), "BEFFROI_PORT": str(self.port), "BEFFROI_GATEWAYS": "2"}
        self.process = self.launch()

    def launch(self) -> subprocess.Popen[bytes]:
        with self._output.open("wb") as output:
            command = [sys.executable, "manage.py", "up"]
            return subprocess.Popen(command, cwd=ROOT, env=self._environment, stdout=output, stderr=output)

    def start_again(self) -> None:
        self.process = self.launch()
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        pid = self.process.pid
        self.wait_for(lambda: "Beffroi is ready" in self.said() or self.process.poll() is not None, START_SECONDS)
        assert self.process.poll() is None, self.said()
        assert self.process.pid == pid

    def wait_for(self, is_true: Callable[[], Any], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not is_true():
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.1)

    def said(self) -> str:
        return self._output.read_text()

    def demo(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.home.demo_file.read_text())
        return content

    def pids(self) -> list[int]:
        numbers = self.demo()["pids"].values()
        return [pid for entry in numbers for pid in (entry if isinstance(entry, list) else [entry])]

    def ask(self) -> int:
        """The status of a small chat completion; 0 where nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        demo = self.demo()
        body = {"model": demo["models"]["chat"], "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3}
        headers = {"Authorization": f"Bearer {demo['api_key']}", "Content-Type": "application/json"}
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(90)
        # Root's data lie behind a link where PostgreSQL's account cannot enter the home, as here.
        for folder in ((self.home.folder / "postgres").resolve(), self.home.sockets):
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    made = Installation(folder / "home")
    try:
        made.wait_until_ready()
        yield made
    finally:
        made.end()
        shutil.rmtree(folder)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_it_says_how_to_use_it_and_that_works(installation: Installation) -> None:
    demo = installation.demo()
    assert list(demo["login_urls"]) == ["owner", "finance", "developer", "operator"]
    assert len(demo["pids"]["gateway"]) == 2
    assert all(is_running(pid) for pid in installation.pids())
    assert installation.home.demo_file.stat().st_mode & 0o077 == 0
    assert installation.ask() == 200


def test_a_second_start_beside_it_says_that_it_runs(installation: Installation) -> None:
    command = [sys.executable, "manage.py", "up"]
    done = subprocess.run(command, cwd=ROOT, env=installation._environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f"already runs in {installation.home.folder} (process {installation.process.pid})" in done.stderr
    assert installation.ask() == 200


def test_no_secret_is_in_a_log(installation: Installation) -> None:
    secrets = json.loads(installation.home.secrets_file.read_text())
    hidden = [*secrets.pop("database_passwords").values(), *secrets.values(), installation.demo()["api_key"]]
    for log in installation.home.logs.iterdir():
        text = log.read_text(errors="replace")
        assert not [secret for secret in hidden if secret in text], log


@pytest.mark.parametrize("kind", ["gateway", "django", "engine", "valkey", "worker", "postgres"])
def test_each_process_that_is_killed_comes_back(installation: Installation, kind: str) -> None:
    before = set(installation.pids())
    entry = installation.demo()["pids"][kind]
    victim = entry[0] if isinstance(entry, list) else entry
    os.kill(victim, signal.SIGKILL)
    installation.wait_for(lambda: victim not in installation.pids() and len(installation.pids()) == len(before))
    assert all(is_running(pid) for pid in installation.pids())
    installation.wait_for(lambda: installation.ask() == 200)


def test_killed_as_a_whole_it_comes_back_as_it_was(installation: Installation) -> None:
    before = installation.demo()
    processes = installation.pids()
    installation.process.kill()
    installation.process.wait()
    installation.wait_for(lambda: not any(is_running(pid) for pid in processes))
    installation.start_again()
    after = installation.demo()
    assert (after["api_key"], after["models"]) == (before["api_key"], before["models"])
    assert not set(after["login_urls"].values()) & set(before["login_urls"].values())
    assert installation.ask() == 200


def test_even_if_every_process_is_killed_at_once(installation: Installation) -> None:
    for pid in [installation.process.pid, *installation.pids()]:
        os.kill(pid, signal.SIGKILL)
    installation.process.wait()
    installation.start_again()
    assert installation.ask() == 200


def test_ctrl_c_stops_everything(installation: Installation) -> None:
    processes = installation.pids()
    installation.process.send_signal(signal.SIGINT)
    assert installation.process.wait(90) == 0
    assert "killed" not in installation.said()
    assert not installation.home.demo_file.exists()
    assert not any(is_running(pid) for pid in processes)
