"""What API keys cost a gateway: `python -m bench.keys [--most 500000]`, at 10, 1,000, 100,000 and 500,000 of them.

load      a snapshot read from the database by a process of its own: wall time, its CPU time, the database's
memory    resident bytes a key: after the load, less before it
pause     the longest time (CPU) in which the process could do nothing else while it read
look-up   of a key that is there, and of one that is not
ready     from the start of a gateway process until it says that it is ready
revoked   from the commit of a revocation to the first request that is refused, over a kept connection
gap       100 streams at 20 ms a token while all keys are read again: p99 of the longest pause in each
"""

import argparse
import asyncio
import http.client
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import psycopg
import uvloop

from bench import load
from bench.accounts import environment_of
from bench.beffroi import Beffroi
from bench.machine import Cores, cores, description, free_ports, on, taken
from bench.population import Population
from console.supervisor.processes import python, spawn
from gateway.relay.config import config_from_environment
from gateway.relay.snapshot import Snapshot
from gateway.relay.snapshot_reader import SnapshotReader

SIZES = (10, 1_000, 100_000, 500_000)
LOOKUPS = 20_000
REVOCATIONS = 100
READY_S = 60
STREAM_S = 40  # all is read again within 30 s of a lost connection


class Read(msgspec.Struct):
    """A snapshot that was read: seconds, bytes, microseconds."""

    keys: int
    wall_s: float
    cpu_s: float
    database_s: float
    pause_s: float
    bytes: int
    known_us: float
    unknown_us: float


async def read() -> Read:
    """Read a snapshot in this process."""
    snapshot = Snapshot()
    reader = SnapshotReader(config_from_environment(), snapshot)
    await reader.read_catalog()  # what only the first reading makes is not a key's
    before, began, cpu = taken([os.getpid()]), time.perf_counter(), time.process_time()
    watch = asyncio.create_task(_longest_pause())
    await reader.read_all()
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    watch.cancel()
    found = Read(
        keys=len(snapshot.keys),
        wall_s=wall_s,
        cpu_s=cpu_s,
        database_s=wall_s - cpu_s,
        pause_s=_pauses[0],
        bytes=taken([os.getpid()]).rss_bytes - before.rss_bytes,
        known_us=0,
        unknown_us=0,
    )
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner:
        rows = owner.execute("select lookup from identity_apikey order by md5(lookup) limit %s", [LOOKUPS]).fetchall()
    known = [row[0] for row in rows]
    found.known_us = _look_up(snapshot, known)
    found.unknown_us = _look_up(snapshot, [lookup[::-1].upper() for lookup in known])
    await reader.close()
    return found


_pauses = [0.0]


async def _longest_pause() -> None:
    """CPU time of this process between two turns of ours; the first turn after a wait for the database is not one."""
    while True:
        began = time.thread_time()
        await asyncio.sleep(0)
        _pauses[0] = max(_pauses[0], time.thread_time() - began)


def _look_up(snapshot: Snapshot, lookups: list[str]) -> float:
    """CPU microseconds a look-up."""
    for lookup in lookups[:1000]:
        snapshot.keys.get(lookup)
    began = time.process_time()
    for lookup in lookups:
        snapshot.keys.get(lookup)
    return (time.process_time() - began) / len(lookups) * 1e6


class OwnGateway:
    """A gateway process of ours beside the installation's; a context manager."""

    def __init__(self, environment: Mapping[str, str], where: Cores, folder: Path) -> None:
        self.port = free_ports(1)[0]
        command = python("-m", "gateway.relay", "--port", str(self.port))
        began = time.perf_counter()
        with on(where.gateway):
            self.process = spawn(command, environment, folder / "gateway.log")
        while not self._is_ready():
            if self.process.poll() is not None or time.perf_counter() > began + READY_S:
                raise RuntimeError((folder / "gateway.log").read_text()[-2000:])
            time.sleep(0.01)
        self.ready_s = time.perf_counter() - began
        self.rss_bytes = taken([self.process.pid]).rss_bytes

    def _is_ready(self) -> bool:
        try:
            return self.get("/health/ready") == 200
        except OSError:
            return False

    def get(self, path: str) -> int:
        """The status of a page."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()

    def __enter__(self) -> "OwnGateway":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(30)


def revocations(gateway: OwnGateway, people: Population) -> list[float]:
    """Seconds from each commit to the first answer that was a refusal."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)

    def status(text: str) -> int:
        connection.request("GET", "/v1/models", headers={"authorization": f"Bearer {text}"})
        answer = connection.getresponse()
        answer.read()
        return answer.status

    took = []
    with psycopg.connect(people.url, autocommit=True) as owner:
        for text in people.live_keys(REVOCATIONS):
            while status(text) != 200:
                time.sleep(0.001)
            time.sleep(random.uniform(0, 0.02))  # noqa: S311  # no secret
            owner.execute("update identity_apikey set revoked_at = now() where lookup = %s", [text[4:14]])
            began = time.perf_counter()
            while status(text) == 200:
                pass
            took.append(time.perf_counter() - began)
    return took


def gaps_while_reading(gateway: OwnGateway, people: Population, where: Cores) -> load.Outcome:
    """Streams, and in their middle a lost connection, after which everything is read again."""
    key = people.live_keys(1)[0]
    time.sleep(0.5)
    work = load.Work(
        port=gateway.port, key=key, connections=100, is_stream=True, pause_ms=20, spread_s=2, window_s=STREAM_S
    )
    with on(where.load):
        client = subprocess.Popen([sys.executable, "-m", "bench.load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert client.stdin is not None
    client.stdin.write(msgspec.json.encode(work))
    client.stdin.close()
    time.sleep(3)
    with psycopg.connect(people.environment["DATABASE_GATEWAY_URL"], autocommit=True) as ours:
        ours.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'beffroi policy news'"
        )
    assert client.stdout is not None
    outcome = msgspec.json.decode(client.stdout.read(), type=load.Outcome)
    client.wait()
    return outcome


def measure(most: int) -> None:
    """All sizes, one after the other, in one installation."""
    where = cores()
    print(f"# {description()}\n", flush=True)  # noqa: T201
    print(  # noqa: T201
        "| keys | tenants | read s | gateway's CPU s | waiting for the database s | longest pause ms | bytes a key"
        " | look-up µs | unknown µs | start to ready s | gateway MB | revoked: p50 ms | p99 ms | p99 gap ms |\n"
        + "|---:" * 14
        + "|"
    )
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        port = free_ports(1)[0]
        with on(where.load):
            engine = spawn(python("-m", "bench.mock", str(port)), os.environ, folder / "engine.log")
        stack.callback(engine.wait)
        stack.callback(engine.terminate)
        installation = stack.enter_context(Beffroi(port, where))
        environment = environment_of(installation.home, installation.environment)
        people = Population(environment["DATABASE_OWNER_URL"], environment)
        for size in [size for size in SIZES if size <= most]:
            people.grow(size)
            print(_row(people, environment, where, folder), flush=True)  # noqa: T201


def _row(people: Population, environment: Mapping[str, str], where: Cores, folder: Path) -> str:
    with on(where.gateway):
        runs = [
            msgspec.json.decode(
                subprocess.run(
                    [sys.executable, "-m", "bench.keys", "--read"], env=environment, check=True, capture_output=True
                ).stdout,
                type=Read,
            )
            for _ in range(3)
        ]
    found = min(runs, key=lambda run: run.cpu_s)
    with OwnGateway(environment, where, folder) as gateway:
        took = sorted(revocations(gateway, people))
        outcome = gaps_while_reading(gateway, people, where)
    assert not outcome.faults, outcome.faults
    figures = (
        f"{found.keys:,}", f"{people.tenants:,}", f"{found.wall_s:.2f}", f"{found.cpu_s:.2f}",
        f"{found.database_s:.2f}", f"{found.pause_s * 1000:.1f}",
        f"{found.bytes / found.keys:.0f}" if found.keys > 10_000 else "-", f"{found.known_us:.1f}",
        f"{found.unknown_us:.1f}", f"{gateway.ready_s:.1f}", f"{gateway.rss_bytes / 1e6:.0f}",
        f"{1000 * statistics.median(took):.1f}", f"{1000 * took[len(took) * 99 // 100]:.1f}", f"{outcome.gap.p99:.0f}",
    )  # fmt: skip
    return f"| {' | '.join(figures)} |"


def main() -> None:
    """Measure, or be the process that reads."""
    parser = argparse.ArgumentParser(prog="python -m bench.keys", description="What API keys cost a gateway.")
    parser.add_argument("--most", type=int, default=SIZES[-1], help="the most keys to measure with")
    parser.add_argument("--read", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that installations are stopped and removed
    if arguments.read:
        sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(read())))
    else:
        measure(arguments.most)


if __name__ == "__main__":
    main()
