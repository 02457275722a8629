"""What runs in an installation: each process, what it needs and how it stops."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from console.env import integer
from console.supervisor.account import Account
from console.supervisor.home import Home, Secrets
from console.supervisor.listening import listen_on_path
from console.supervisor.postgres import DATABASE, SUPERUSER, EmbeddedPostgres
from console.supervisor.processes import python
from console.supervisor.readiness import ReadyPipe
from console.supervisor.service import Alive, Pause, Renewal, Service
from console.supervisor.valkey import EmbeddedValkey
from gateway.node_agent.processes import boot_id, noted

MOST_GATEWAYS = 16  # what PostgreSQL's connections suffice for
SIMULATED_NODES = {"simulated-1": "127.0.0.1", "simulated-2": "127.0.0.2"}  # each at an address of its own, as machines


def postgres_service(home: Home, secrets: Secrets, account: Account | None) -> Service:
    """The embedded PostgreSQL, ready once its roles and our database exist."""
    server = EmbeddedPostgres(
        data=home.postgres_data(account),
        sockets=home.sockets / "postgres",
        superuser_password=secrets.database_passwords[SUPERUSER],
        account=account,
    )
    server.sockets.mkdir(mode=0o700, exist_ok=True)
    server.hand_over(server.sockets)
    server.initialise()

    def wait_until_ready(is_alive: Alive, pause: Pause) -> None:
        server.wait_until_ready(is_alive, pause)
        roles = {role: password for role, password in secrets.database_passwords.items() if role != SUPERUSER}
        server.prepare(DATABASE, roles)

    # A fast stop writes a checkpoint: as much as a busy disk needs for what is in memory.
    return Service("postgres", "postgres", server.command(), 60, wait_until_ready, server.clear_leftovers)


def valkey_service(home: Home) -> Service:
    """The embedded Valkey."""
    server = EmbeddedValkey(home.sockets / "valkey.sock")
    return Service("valkey", "valkey", server.command(), 10, server.wait_until_ready)


def simulated_nodes(home: Home) -> list[Service]:
    """Agents of nodes that `manage.py simulated_fleet prepare` let join: their GPUs and engines are simulated."""
    return [
        Service(
            name,
            "node",
            python("-m", "gateway.node_agent", "--home", str(home.nodes / name), "--simulated", "--address", address),
            20,
        )
        for name, address in SIMULATED_NODES.items()
    ]


def engine_pids(home: Home) -> list[int]:
    """The engines that the agents of the simulated nodes run now."""
    boot = boot_id()
    found = (noted(note, boot) for note in sorted(home.nodes.glob("*/engines/*/process")))
    return [process.pid for process in found if process is not None and process.is_alive()]


def django_service(environment: Mapping[str, str]) -> Service:
    """Pages and the management API, on a Unix socket behind the gateways."""
    listener = listen_on_path(Path(environment["BEFFROI_DJANGO_SOCKET"]))
    return _server("django", "django", "console.server", listener, 15)


def gateway_services(listener: socket.socket) -> list[Service]:
    """The gateways: they share the listening socket, the kernel shares out the connections."""
    # Running streams may finish, and charges wait for the database: the gateway itself ends what takes too long.
    return [
        _server(f"gateway {number}", "gateway", "gateway.relay", listener, 105)
        for number in range(1, gateway_count() + 1)
    ]


def _server(name: str, kind: str, module: str, listener: socket.socket, patience_seconds: float) -> Service:
    """A process that serves on a socket of ours. It may be replaced by one that shares it."""
    ready, descriptor = ReadyPipe(), os.dup(listener.fileno())
    flags = ["--fd", str(descriptor), "--ready-fd", str(ready.writer)]
    return Service(
        name,
        kind,
        python("-m", module, *flags, pass_fds=[descriptor, ready.writer]),
        patience_seconds,
        ready.wait_until_ready,
        ready.clear,
        Renewal.BESIDE,
    )


def worker_service(home: Home) -> Service:
    """Celery with its clock: probes, exports, closings. Threads, as tasks wait far more than they compute."""
    schedule = str(home.folder / "celery-schedule")
    options = ["--beat", "--schedule", schedule, "--pool", "threads", "--concurrency", "4", "--loglevel", "WARNING"]
    options += ["--without-gossip", "--without-mingle"]
    command = python("-m", "celery", "-A", "console", "worker", *options)
    return Service("worker", "worker", command, 20, renewal=Renewal.AFTER)


def gateway_count() -> int:
    """How many gateways to run: BEFFROI_GATEWAYS, or one a core."""
    cores = min(len(os.sched_getaffinity(0)), MOST_GATEWAYS)
    return integer("BEFFROI_GATEWAYS", cores, minimum=1, maximum=MOST_GATEWAYS)
