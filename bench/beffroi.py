"""An installation of ours for the measurements: `manage.py up`, complete, in a home of its own, removed afterwards."""

import json
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from bench import script
from bench.machine import Cores, cores_for, free_ports, move, on
from bench.rivals import Target
from console.supervisor.home import Home
from console.supervisor.processes import python, spawn, stop

START_S = 180
STOP_S = 90
# What would point the installation at servers or limits of somebody else's.
FOREIGN = ("BEFFROI_", "DATABASE_", "VALKEY_", "DJANGO_")


class DidNotStart(Exception):
    """The installation did not start; the message is what its terminal and logs said."""


class Beffroi:
    """A running installation in front of an engine's port; a context manager."""

    def __init__(self, engine: int, cores: Cores, gateways: int = 1) -> None:
        self._cores, self._gateways = cores, gateways
        self._folder = Path(tempfile.mkdtemp(prefix="beffroi-bench-", dir="/tmp"))
        self._folder.chmod(0o711)  # started by root, PostgreSQL has an account of its own, which passes through here
        self.home = Home(self._folder / "home")
        self._terminal = self._folder / "terminal"
        ours = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        self.environment = ours | {
            "BEFFROI_HOME": str(self.home.folder),
            "BEFFROI_PORT": str(free_ports(1)[0]),
            "BEFFROI_GATEWAYS": str(gateways),
            "BEFFROI_DEMO_TIER": "unlimited",
            "BEFFROI_DEMO_HISTORY": "0",
            "BEFFROI_ENGINES": f"{script.MODEL}=http://127.0.0.1:{engine}",
        }

    def __enter__(self) -> Self:
        try:
            with on(self._cores.others):
                self._process = spawn(python("manage.py", "up"), self.environment, self._terminal)
            self._wait()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_S
        while not self.home.demo_file.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise DidNotStart(self.said())
            time.sleep(0.1)
        for gateway in self.pids("gateway"):
            move(gateway, cores_for(self._gateways, self._cores))

    def _end(self) -> None:
        try:
            if hasattr(self, "_process"):
                stop(self._process, signal.SIGINT, STOP_S)
        finally:
            shutil.rmtree(self.home.sockets, ignore_errors=True)
            shutil.rmtree(self._folder, ignore_errors=True)

    def said(self) -> str:
        """The terminal and the end of each log."""
        ends = {log.name: log.read_text(errors="replace")[-1500:] for log in sorted(self.home.logs.glob("*.log"))}
        parts = [f"---- the end of {name}\n{end}" for name, end in ends.items() if end]
        return "\n".join([self._terminal.read_text(), *parts])

    @property
    def demo(self) -> dict[str, Any]:
        """demo.json."""
        content: dict[str, Any] = json.loads(self.home.demo_file.read_text())
        return content

    def pids(self, kind: str) -> list[int]:
        """The processes of a kind."""
        entry = self.demo["pids"][kind]
        return list(entry) if isinstance(entry, list) else [entry]

    @property
    def target(self) -> Target:
        """Where to send requests, and the processes to watch."""
        demo = self.demo
        port = urlsplit(demo["base_url"]).port
        assert port is not None  # demo.json always has it
        watch = {"gateway": self.pids("gateway"), "postgres": self.pids("postgres")}
        name = "Beffroi" if self._gateways == 1 else f"Beffroi, {self._gateways} processes"
        return Target(name, port, demo["api_key"], watch)
