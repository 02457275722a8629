"""A platform for an agent to join: it takes tokens, signs assignments and reads reports over a Valkey of its own."""

import base64
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import jwt
import redis
from celery import Celery
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from console.supervisor.processes import Command, spawn, stop
from console.supervisor.valkey import EmbeddedValkey
from tests.support.servers import ROOT

PATIENCE = 30.0
"""Seconds that anything may take, on a machine that is busy with other tests."""
NODE = "paris-1"
QUEUE, REPORTS = f"beffroi.node.{NODE}", "beffroi.reports"
UNACKED = tuple(f"{QUEUE}.{name}" for name in ("unacked", "unacked_index", "unacked_mutex"))

COMMANDS = (
    *("-@all", "+auth", "+ping", "+select", "+hello", "+client|setinfo", "+client|setname", "+multi", "+exec"),
    *("+discard", "+watch", "+unwatch", "+lpush", "+rpush", "+brpop", "+rpop", "+llen", "+exists", "+zadd", "+zrem"),
    *("+zrange", "+zrevrangebyscore", "+hset", "+hget", "+hdel", "+set", "+get", "+del", "+pexpire", "+expire"),
    *("+eval", "+evalsha", "+script|load"),
)
"""All that a node's user of the broker may do, to its own keys; to the reports' it may only add."""


def eventually(condition: Callable[[], bool], within: float = PATIENCE) -> bool:
    """Whether it comes true in time (seconds)."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def runs(pid: int) -> bool:
    """Whether there is such a process that has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Platform:
    """What the agent sees of Beffroi. A context manager that ends what it started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key, self.token, self.generation = Ed25519PrivateKey.generate(), f"bfn_{secrets.token_hex(16)}", 0
        self.node_key: Ed25519PublicKey | None = None
        self.joins: list[dict[str, Any]] = []
        self.lose_next_answer = False
        self.refusal = ""
        self._password = secrets.token_hex(16)
        self._valkey = EmbeddedValkey(folder / "valkey.sock")
        self._process: subprocess.Popen[bytes] | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._read: dict[str, Any] = {}
        self._celery = Celery("fake-platform", broker=self._valkey.url, set_as_current=False)

    def __enter__(self) -> Self:
        self.start_broker()
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._celery.close()
        self.stop_broker()
        self._server.shutdown()
        self._server.server_close()

    @property
    def broker_url(self) -> str:
        """As the node's own user."""
        return f"redis+socket://node-{NODE}:{self._password}@{self._valkey.socket_path}"

    def start_broker(self) -> None:
        """With a user for the node that may touch its queue and what lies beside it, and add reports."""
        process = self._process = spawn(
            self._valkey.command(), {"PATH": os.environ.get("PATH", os.defpath)}, self.folder / "valkey.log"
        )
        self._valkey.wait_until_ready(lambda: process.poll() is None)
        with self.broker() as client:
            client.execute_command(
                *("ACL", "SETUSER", f"node-{NODE}", "reset", "on", f">{self._password}"),
                *(f"~{key}" for key in (QUEUE, *UNACKED)),
                f"%W~{REPORTS}",
                *COMMANDS,
            )

    def stop_broker(self) -> None:
        """At once, as a crash would."""
        if self._process is not None:
            stop(self._process, signal.SIGKILL, 5)
            self._process = None

    def broker(self) -> redis.Redis:
        """A client that may do everything."""
        return redis.Redis(unix_socket_path=str(self._valkey.socket_path))

    def assign(self, *replicas: Mapping[str, Any], **claims: Any) -> int:
        """Send the node its whole assignment, of the next generation. `claims` replace those that are right."""
        self.generation += 1
        self.send(self.signed(*replicas, **claims))
        return self.generation

    def signed(self, *replicas: Mapping[str, Any], key: Ed25519PrivateKey | None = None, **claims: Any) -> str:
        """An assignment as a signed message; `key`: another one than the platform's."""
        now = int(time.time())
        told = {"iss": "beffroi", "aud": f"node:{NODE}", "iat": now, "exp": now + 60, "generation": self.generation}
        return jwt.encode({**told, "replicas": list(replicas), **claims}, key or self.key, algorithm="EdDSA")

    def send(self, signed: str) -> None:
        """Put a message into the node's queue."""
        self._celery.send_task("node.assign", kwargs={"assignment": signed}, queue=QUEUE, expires=60)

    def report(self) -> dict[str, Any]:
        """The newest report so far; {} where there is none."""
        with self.broker() as client:
            while (data := client.rpop(REPORTS)) is not None:
                message = json.loads(data)
                assert message["headers"]["task"] == "pools.take_report"
                _, kwargs, _ = json.loads(base64.b64decode(message["body"]))
                self._read = self._opened(kwargs["report"])
        return self._read

    def replica(self, number: int) -> dict[str, Any]:
        """What the newest report says of a replica; {} where it does not name it."""
        return next((one for one in self.report().get("replicas", []) if one["id"] == number), {})

    def wait_for(self, number: int, state: str, within: float = PATIENCE) -> dict[str, Any]:
        """What is reported of a replica once it is in that state; with what is reported instead, a failure."""
        assert eventually(lambda: self.replica(number).get("state") == state, within), self.report()
        return self.replica(number)

    def _opened(self, report: str) -> dict[str, Any]:
        assert self.node_key is not None
        claims: dict[str, Any] = jwt.decode(
            report, self.node_key, algorithms=["EdDSA"], audience="beffroi", issuer=f"node:{NODE}"
        )
        assert claims["sequence"] > self._read.get("sequence", 0)
        return claims

    def join(self, asked: dict[str, Any]) -> dict[str, Any] | None:
        """What the platform answers to a machine; None to one that it does not know."""
        self.joins.append(asked)
        known = self.joins[0]["public_key"] if len(self.joins) > 1 else asked["public_key"]
        if asked["token"] != self.token or asked["public_key"] != known:
            return None
        self.node_key = Ed25519PublicKey.from_public_bytes(base64.b64decode(asked["public_key"]))
        return {
            "name": NODE,
            "broker_url": self.broker_url,
            "queue": QUEUE,
            "reports_queue": REPORTS,
            "platform_public_key": base64.b64encode(self.key.public_key().public_bytes_raw()).decode(),
        }

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        platform = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                answer = platform.join(asked) if self.path == "/api/nodes/join" else None
                if platform.lose_next_answer:
                    platform.lose_next_answer = False
                    return
                if platform.refusal:
                    answer = {"status": 409, "code": "conflict", "detail": platform.refusal}
                data = json.dumps(answer or {}).encode()
                self.send_response(409 if platform.refusal else 200 if answer else 404)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *said: object) -> None:
                pass

        return Handler


class AgentProcess:
    """`manage.py node`, as an operator runs it."""

    def __init__(self, platform: Platform, home: Path, *flags: str, **environment: str) -> None:
        self._platform, self.home, self._flags = platform, home, flags
        self._environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **environment}
        self.log = platform.folder / "agent.log"
        self.process = self.start()

    def start(self) -> "subprocess.Popen[bytes]":
        """Start it, again."""
        argv = [sys.executable, str(ROOT / "manage.py"), "node", f"--home={self.home}", *self._flags]
        argv += [f"--platform={self._platform.url}", f"--token={self._platform.token}"]
        self.process = spawn(Command(argv), self._environment, self.log)
        return self.process

    def has_logged(self, text: str) -> bool:
        """Whether it said so, also before it was started again."""
        return text in self.log.read_text()

    def kill(self) -> None:
        """SIGKILL it alone; its engines are in sessions of their own."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """As an operator stops it."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)


def spec(number: int, **members: Any) -> dict[str, Any]:
    """A replica of an assignment, served by a simulated engine."""
    return {
        "id": number,
        "pool": "demo",
        "served_name": "demo/chat",
        "kind": "chat",
        "engine": "simulated",
        "weights": {"source": "none"},
        "api_key": f"key-of-{number}",
        "ready_within_s": 60,
        **members,
    }
