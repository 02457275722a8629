"""Two real OpenID providers: npm's certified `oidc-provider`, and PyPI's `canaille` in an environment of its own."""

import fcntl
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import Queue
from typing import Any
from urllib.parse import parse_qs

import pytest

from console.supervisor import packages
from console.supervisor.processes import ROOT

CANAILLE = "canaille[oidc]==0.3.6"
ENVIRONMENT = ROOT / ".venv-idp"
_SUPPORT = Path(__file__).resolve().parent


@dataclass
class RealProvider:
    """A provider that runs; `settings` is what it was started with."""

    issuer: str
    settings: dict[str, str]
    process: subprocess.Popen[str] = field(repr=False)


@contextmanager
def oidc_provider(settings: dict[str, str]) -> Iterator[RealProvider]:
    """npm's. `settings`: CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, LOGOUT_URI, AFTER_URI, and PORT to come back on."""
    with _started([str(packages.NODE), str(_SUPPORT / "oidc_provider.mjs")], settings) as provider:
        yield provider


@contextmanager
def canaille(settings: dict[str, str]) -> Iterator[RealProvider]:
    """PyPI's; as above, and EMAIL, PASSWORD, GROUP of its one person."""
    python = _canaille_python()
    with _started([str(python), str(_SUPPORT / "canaille_provider.py")], settings) as provider:
        yield provider


@contextmanager
def back_channel() -> Iterator[tuple[str, "Queue[str]"]]:
    """An address to send logout tokens to, and those that came."""
    came: Queue[str] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            came.put(parse_qs(body)["logout_token"][0])
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/logout", came
    server.shutdown()
    server.server_close()
    thread.join(5)


@contextmanager
def _started(command: list[str], settings: dict[str, str]) -> Iterator[RealProvider]:
    environment = {"PATH": os.environ["PATH"], "NODE_PATH": str(ROOT / "node_modules")} | settings
    process = subprocess.Popen(
        command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout
    try:
        said = [line := process.stdout.readline()]
        while line and not line.startswith("{"):  # warnings that it is not in production
            said.append(line := process.stdout.readline())
        assert line, "".join(said)[-3000:]
        issuer = json.loads(line)["issuer"]
        yield RealProvider(issuer, settings | {"PORT": issuer.rpartition(":")[2]}, process)
    finally:
        process.kill()
        process.communicate()


def _canaille_python() -> Path:
    """The Python of an environment with canaille, made once. Skips, loudly, where it cannot be had."""
    python, made = ENVIRONMENT / "bin/python", ENVIRONMENT / f".has-{CANAILLE}"
    with (ROOT / "requirements-dev.txt").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if made.exists():
            return python
        steps = [
            [sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)],
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", CANAILLE],
        ]
        for step in steps:
            done = subprocess.run(step, capture_output=True, text=True, timeout=300)
            if done.returncode:
                assert not os.environ.get("CI"), done.stderr
                pytest.skip(f"NO SECOND IDENTITY PROVIDER: {CANAILLE} cannot be installed: {done.stderr[-300:]}")
        made.touch()
    return python
