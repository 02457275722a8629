"""How costs grow: `python -m bench.scale [keys] [replicas] [connections] [rows]`, each with a table (docs/scale.md).

keys          CPU a request with 10 to 500,000 keys, a tenant to every hundred, requests of 16 tenants
replicas      CPU a request with 1 and with 48 replicas of the model
connections   how many connections to PostgreSQL each process has, by what it calls them
rows          with ten million usage records: a hold and a charge, the API's pages, sizes (bench/history.py)
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import msgspec
import psycopg

from bench import history, load, script
from bench.accounts import environment_of
from bench.beffroi import Beffroi
from bench.machine import Cores, cores, description, free_ports, on
from bench.population import Population
from console.supervisor.processes import python, spawn

SIZES = (10, 1_000, 100_000, 500_000)
REPLICAS = (1, 48)
ROUNDS = 5
EACH = 100
_MORE_REPLICAS = """
    insert into pools_replica (pool_id, name, url, state, state_reason, source, is_simulated, context_window, node)
    select r.pool_id, 'more-' || port, 'http://127.0.0.1:' || port, 'ready', '', 'operator', r.is_simulated,
        r.context_window, ''
    from pools_replica r, unnest(%s::int[]) port where r.id = (select min(id) from pools_replica)
"""
_CONNECTIONS = """
    select usename, case when application_name <> '' then application_name else 'Django' end, count(*)
    from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() group by 1, 2 order by 1, 2
"""


@dataclass
class Place:
    """An installation before an engine, with a population to come."""

    where: Cores
    installation: Beffroi
    environment: Mapping[str, str]
    people: Population
    engine_ports: list[int]

    @classmethod
    def made(cls, stack: ExitStack, gateways: int = 1, ports: int = 1) -> Self:
        """Start everything; the stack stops it."""
        where, engine_ports = cores(), free_ports(ports)
        folder = Path(stack.enter_context(TemporaryDirectory()))
        with on(where.load):
            command = python("-m", "bench.mock", *map(str, engine_ports))
            engine = spawn(command, os.environ, folder / "engine.log")
        stack.callback(engine.wait)
        stack.callback(engine.terminate)
        installation = stack.enter_context(Beffroi(engine_ports[0], where, gateways))
        environment = environment_of(installation.home, installation.environment)
        people = Population(environment["DATABASE_OWNER_URL"], environment)
        return cls(where, installation, environment, people, engine_ports)

    def price(self, keys: list[str]) -> tuple[float, float]:
        """CPU microseconds a request of the gateway and of PostgreSQL: medians of some rounds."""
        target = self.installation.target
        work = load.Work(port=target.port, keys=keys, connections=64, watch=dict(target.watch))
        rounds = []
        for _ in range(ROUNDS):
            with on(self.where.load):
                done = subprocess.run(
                    [sys.executable, "-m", "bench.load"],
                    input=msgspec.json.encode(work),
                    capture_output=True,
                    check=True,
                )
            outcome = msgspec.json.decode(done.stdout, type=load.Outcome)
            assert not outcome.faults, outcome.faults
            rounds.append([outcome.cpu_s[name] / outcome.requests * 1e6 for name in ("gateway", "postgres")])
        gateway, postgres = (statistics.median(column) for column in zip(*rounds, strict=True))
        return gateway, postgres

    def wal_bytes(self, keys: list[str]) -> float:
        """Bytes of WAL a request: what the disk and a standby take."""
        work = load.Work(port=self.installation.target.port, keys=keys, connections=64, each=EACH)
        before = self._wal()
        with on(self.where.load):
            subprocess.run(
                [sys.executable, "-m", "bench.load"], input=msgspec.json.encode(work), capture_output=True, check=True
            )
        return (self._wal() - before) / (64 * EACH)

    def _wal(self) -> int:
        with psycopg.connect(self.people.url) as owner:
            [[position]] = owner.execute("select pg_current_wal_lsn() - '0/0'::pg_lsn").fetchall()
            return int(position)

    def await_keys(self, keys: Iterable[str]) -> None:
        """Until the gateway knows them all."""
        for key in keys:
            while self.installation_status(key) != 200:
                time.sleep(0.1)

    def installation_status(self, key: str) -> int:
        """What a list of models is answered with."""
        return history.ask(self.installation.target.port, "/v1/models", key).status


def keys(most: int) -> None:
    """CPU a request as keys and tenants grow."""
    table("keys", "tenants", "gateway: CPU µs a request", "PostgreSQL: CPU µs a request", "WAL bytes a request")
    with ExitStack() as stack:
        place = Place.made(stack)
        for size in [size for size in SIZES if size <= most]:
            place.people.grow(size)
            live = place.people.live_keys(script.VARIANTS)
            place.await_keys(live)
            gateway, postgres = place.price(live)
            wal = place.wal_bytes(live)
            row(f"{size:,}", f"{place.people.tenants:,}", f"{gateway:.0f}", f"{postgres:.0f}", f"{wal:.0f}")


def replicas(most: int) -> None:
    """CPU a request as the replicas of a model grow."""
    table("replicas", "gateway: CPU µs a request", "PostgreSQL: CPU µs a request")
    with ExitStack() as stack:
        place = Place.made(stack, ports=max(REPLICAS))
        place.people.grow(min(most, 1_000))
        live = place.people.live_keys(script.VARIANTS)
        place.await_keys(live)
        for count in REPLICAS:
            with psycopg.connect(place.people.url) as owner:
                owner.execute(_MORE_REPLICAS, [place.engine_ports[1:count]])
            time.sleep(6)  # at the latest a poll finds them
            gateway, postgres = place.price(live)
            row(str(count), f"{gateway:.0f}", f"{postgres:.0f}")


def connections(_: int) -> None:
    """Who is connected while a gateway, then four, work."""
    for gateways in (1, 4):
        table(f"{gateways} gateway{'s' if gateways > 1 else ''}: role", "name", "connections")
        with ExitStack() as stack:
            place = Place.made(stack, gateways)
            place.people.grow(10)
            live = place.people.live_keys(script.VARIANTS)
            place.await_keys(live)
            place.price(live)
            with psycopg.connect(place.people.url) as owner:
                for role, name, count in owner.execute(_CONNECTIONS):
                    row(str(role), str(name), str(count))


def rows(most: int) -> None:
    """What ten million usage records change."""
    with ExitStack() as stack:
        place = Place.made(stack)
        place.people.grow(min(most, 100_000))
        [key] = place.people.live_keys(1)
        place.await_keys([key])
        history.measure(
            place.people, place.installation.target, place.environment, place.where, lambda: place.price([key])
        )


def table(*names: str) -> None:
    """Begin a table."""
    print(f"\n| {' | '.join(names)} |\n{'|---:' * len(names)}|", flush=True)  # noqa: T201


def row(*figures: str) -> None:
    """A row of it."""
    print(f"| {' | '.join(figures)} |", flush=True)  # noqa: T201


PARTS: Mapping[str, Callable[[int], None]] = {
    "keys": keys,
    "replicas": replicas,
    "connections": connections,
    "rows": rows,
}


def main() -> None:
    """Measure the parts that are named, all without a name."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description="How costs grow.")
    parser.add_argument("parts", nargs="*", help=", ".join(PARTS))
    parser.add_argument("--most", type=int, default=SIZES[-1], help="the most keys")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that installations are stopped and removed
    print(f"# {description()}", flush=True)  # noqa: T201
    for part in arguments.parts or PARTS:
        PARTS[part](arguments.most)


if __name__ == "__main__":
    main()
