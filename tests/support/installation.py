"""The whole of `make up`, started for real, and what its API tells of usage and money."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from console.supervisor.home import Home
from console.supervisor.processes import ROOT, Command, python, spawn
from tests.support.ports import free_port
from tests.support.servers import servers

START_SECONDS = 400
STOP_SECONDS = 90
GATEWAYS = 2


class Installation:
    """`manage.py up` in a home and on a port of its own; a context manager that stops it and removes what it left.

    `is_closed`: nobody else may enter the folder. Started by root, PostgreSQL has an account of its own, and then keeps
    its data elsewhere, behind a link.
    """

    def __init__(self, *, is_closed: bool = False, **environment: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="beffroi-journey-", dir="/tmp"))
        self.folder.chmod(0o700 if is_closed else 0o711)
        self.home = Home(self.folder / "home")
        self.port = free_port()
        self.terminal = self.folder / "terminal"
        ours = servers.environment().keys()  # an installation makes its own servers and secrets
        self.environment = {name: value for name, value in os.environ.items() if name not in ours}
        self.environment |= {"BEFFROI_HOME": str(self.home.folder), "BEFFROI_PORT": str(self.port)}
        self.environment |= {"BEFFROI_GATEWAYS": str(GATEWAYS), "BEFFROI_DEMO_HISTORY": "0"} | environment

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def start(self) -> None:
        """Start and wait until demo.json says that all is ready; what the terminal said is the message of a failure."""
        last = self.launch()
        wait_for(
            lambda: self._published_at() not in (0, last) or self.process.poll() is not None, self.said, START_SECONDS
        )
        assert self.process.poll() is None, self.said()
        # demo.json comes first, the words for people after it.
        wait_for(lambda: "Ctrl-C stops everything" in self.terminal.read_text(), self.said)

    def launch(self) -> int:
        """Start, and wait for nothing. Returns: when the start before this one was ready, 0 if there was none."""
        last = self._published_at()
        self.terminal.unlink(missing_ok=True)
        # It gets a SIGTERM should these tests be killed.
        self.process = spawn(self.command(), self.environment, self.terminal)
        return last

    def command(self) -> Command:
        """What is started."""
        return python("manage.py", "up")

    def end(self) -> None:
        """Stop as Ctrl-C does and remove everything."""
        try:
            if hasattr(self, "process") and self.process.poll() is None:
                self.process.send_signal(signal.SIGINT)
                self.process.wait(STOP_SECONDS)
        finally:
            for folder in ((self.home.folder / "postgres").resolve(), self.home.sockets, self.folder):
                shutil.rmtree(folder, ignore_errors=True)

    def _published_at(self) -> int:
        try:
            return self.home.demo_file.stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def said(self) -> str:
        """What a person saw in the terminal, and the end of each log: enough to see what went wrong."""
        ends = {log.name: log.read_text(errors="replace")[-1500:] for log in sorted(self.home.logs.glob("*.log"))}
        parts = [f"---- the end of {name}\n{end}" for name, end in ends.items() if end]
        return "\n".join([self.terminal.read_text(), *parts])

    @property
    def demo(self) -> dict[str, Any]:
        """demo.json as it is now."""
        content: dict[str, Any] = json.loads(self.home.demo_file.read_text())
        return content

    @property
    def base_url(self) -> str:
        """What an OpenAI client is given."""
        return f"http://127.0.0.1:{self.port}/v1"

    def pids(self, kind: str = "") -> list[int]:
        """The processes of a kind, or all of them."""
        entries = self.demo["pids"]
        wanted = [entries[kind]] if kind else entries.values()
        return [pid for entry in wanted for pid in (entry if isinstance(entry, list) else [entry])]

    def manage(self, *arguments: str) -> str:
        """What a command of manage.py beside the running installation prints."""
        command = python("manage.py", *arguments).argv
        done = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def is_answering(self) -> bool:
        """Whether the management API answers."""
        try:
            self.get("/api/key")
        except (AssertionError, OSError):
            return False
        return True

    def chat_status(self) -> int:
        """The status of a small chat completion; 0 where nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        demo = self.demo
        body = {"model": demo["models"]["chat"], "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3}
        headers = {"Authorization": f"Bearer {demo['api_key']}", "Content-Type": "application/json"}
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    def get(self, path: str, key: str = "") -> Any:
        """What the management API answers to a key (the demo's unless another is given)."""
        headers = {"Authorization": f"Bearer {key or self.demo['api_key']}"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise AssertionError(f"GET {path}: {error.code} {error.read().decode()}") from error

    def record(self, request_id: str) -> dict[str, Any]:
        """The usage record of a request. It is there before an answer ends; a client that left is a moment ahead."""
        path = f"/api/usage/records?request_id={request_id}"
        found: list[dict[str, Any]] = []

        def is_there() -> bool:
            found[:] = self.get(path)["results"]
            return bool(found)

        wait_for(is_there, lambda: f"{path} shows nothing", 10)
        assert len(found) == 1
        return found[0]

    def records(self) -> list[dict[str, Any]]:
        """Every usage record of the organisation, page by page."""
        found: list[dict[str, Any]] = []
        path = "/api/usage/records?limit=500"
        while path:
            page = self.get(path)
            found += page["results"]
            path = (page["next"] or "").removeprefix(f"http://127.0.0.1:{self.port}")
        return found

    def budgets(self) -> dict[tuple[str, str], dict[str, Any]]:
        """The budgets that the demo's key is bound by, by scope and start of the period."""
        rows = self.get("/api/key")["budgets"]
        return {(row["scope"], row["starts_at"]): row for row in rows}


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(is_true: Callable[[], Any], explain: Callable[[], str], seconds: float = 60) -> None:
    """Wait until it is; the explanation is the message of a failure."""
    deadline = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s:\n{explain()}")
        time.sleep(0.05)
