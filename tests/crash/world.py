"""Everything that a campaign runs: the processes of an installation, each in its own right, and what they know."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import psycopg

from billing.models import RateCard
from billing.models import Scope as Holder
from console.supervisor.home import Home
from console.supervisor.plan import worker_service
from console.supervisor.processes import ROOT, Command, python
from console.supervisor.service import Service
from gateway.pools.models import Replica
from gateway.pools.registry import register_pool, register_replica, set_state
from models_catalog.models import LanguageModel
from tests.crash import audit
from tests.crash.clients import CHAT, COMPLETIONS, EMBEDDINGS, Door
from tests.crash.journals import Journal
from tests.crash.keeper import Keeper, Kept
from tests.crash.postgres_proxy import PostgresProxy
from tests.crash.trigger import Trigger
from tests.support.ledger import House, make_house, make_model, make_price
from tests.support.outage import OwnPostgres
from tests.support.people import TESTS
from tests.support.ports import free_port
from tests.support.servers import servers

# The product's own limits (I1, I2), an eighth of them or so: a round is to last seconds.
SILENT_S, GRACE_S, SETTLE_WAIT_S = 3.0, 4.5, 3.0
SCALED = (
    f"heartbeat_s=0.3,checkpoint_s=0.3,silent_s={SILENT_S},grace_s={GRACE_S},admit_wait_s=4,settle_wait_s={SETTLE_WAIT_S},"
    "call_s=1.5,keep_alive_s=1,silence_s=3,first_byte_s=4,connect_s=1,ejected_s=0.3,ejected_most_s=2"
)
# Nobody strikes the steady gateway, so the sweeper that is to be struck has to be another's: its own comes later. A
# long stream may begin or end while the database is stopped: as with the product's own limits, it outwaits any strike.
STEADY_LIMITS = (
    SCALED.replace(f"silent_s={SILENT_S}", f"silent_s={SILENT_S + 2}")
    .replace("admit_wait_s=4", "admit_wait_s=15")
    .replace(f"settle_wait_s={SETTLE_WAIT_S}", "settle_wait_s=30")
)
ARMED, STEADY = "armed", "steady"
WINDOW = 32_768
ENGINE_KEY = "engine-key"
PLENTY, LITTLE = 10**13, 3 * 10**7  # nano-EUR


@dataclass(frozen=True)
class Keys:
    """What clients send: keys with much money, one with little, one that counts what it does at once."""

    rich: str
    poor: str
    counted: str


class World:
    """PostgreSQL (fsync on), Valkey, Django, the worker, three engines, one gateway that nobody harms and two armed
    ones that share a listening socket. A context manager; `limits` as BEFFROI_LIMITS.
    """

    def __init__(self, limits: str = SCALED, *, has_pages: bool = True) -> None:
        self.limits, self.has_pages = limits, has_pages
        self.postgres = OwnPostgres()
        self.folder = (
            self.postgres.folder / "campaign"
        )  # that one is removed even after a kill -9 of us, by the next run
        self.folder.mkdir()
        self.keeper = Keeper(self.folder)
        self.trigger = Trigger(self.folder)
        self.proxy = PostgresProxy(self.postgres._cluster.sockets, self.folder / "proxy")
        self._listening = [socket.create_server(("127.0.0.1", 0), backlog=512) for _ in range(2)]
        self.doors = {
            name: Door(name, listening.getsockname()[1])
            for name, listening in zip((ARMED, STEADY), self._listening, strict=True)
        }
        self.kept: dict[str, list[Kept]] = {}
        self.journals: list[Journal] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self.thaw_all()
        if self.keeper.is_alive():
            self.keeper.end()
        for listening in self._listening:
            listening.close()
        self.postgres.__exit__(None, None, None)

    # ---- the start
    def _start(self) -> None:
        self.postgres.__enter__()
        audit.install(self.owner_url)
        ports = {name: free_port() for name in ("east", "west", "calm")}
        self._furnish(ports)
        self.postgres.stop()  # from here on its life is the keeper's, like everybody's
        for name, port in ports.items():
            self._keep_engine(name, port)
        cluster = self.postgres._cluster
        server = Service("postgres", "postgres", cluster.command(), 20, before_start=cluster.clear_leftovers)
        self._keep(server, lambda _: {"PATH": os.environ.get("PATH", os.defpath)})
        if self.has_pages:
            self._keep_pages()
        for number in (1, 2):
            self._keep(self._gateway(ARMED, f"armed {number}"), self._armed_environment)
        self._keep(self._gateway(STEADY, "steady"), self._steady_environment)
        self.keeper.start()

    def _furnish(self, ports: Mapping[str, int]) -> None:
        """A tenant, its keys and budgets, and the engines' addresses."""
        from django.db import connections  # only now are there settings

        with self.postgres.used_by_django():
            house = make_house(make_model(context_window=WINDOW))
            card = RateCard.objects.get(pk=house.price_version.rate_card_id)
            others = {
                "calm": make_model(context_window=WINDOW),
                "embed": make_model(kind=LanguageModel.Kind.EMBEDDING, context_window=WINDOW),
            }
            for model in others.values():
                make_price(card, model)
            self.models = {CHAT: house.model.name, COMPLETIONS: house.model.name, EMBEDDINGS: others["embed"].name}
            self.calm_model = others["calm"].name
            for engine in ("east", "west"):
                _serve(house.model, "demo/chat", ports[engine])
                _serve(others["embed"], "demo/embed", ports[engine])
            _serve(others["calm"], "demo/chat", ports["calm"])
            self.prices = house.prices
            self.keys = _keys(house)
            connections.close_all()

    def _keep_engine(self, name: str, port: int) -> None:
        journal = self.folder / f"{name}.journal"
        self.journals.append(Journal(name, journal))
        command = python(
            "-m", "gateway.simulated_engine", f"--port={port}", f"--journal={journal}", f"--api-key={ENGINE_KEY}",
            "--model=demo/chat=chat", "--model=demo/embed=embedding", f"--max-model-len={WINDOW}",
            "--first-token-ms=20",
        )  # fmt: skip
        service = Service(name, "calm engine" if name == "calm" else "engine", command, 5)
        self._keep(service, lambda _: os.environ)

    def _keep_pages(self) -> None:
        servers.start_valkey()
        socket_path = self.folder / "django.sock"
        command = python(
            "-m", "uvicorn", "console.asgi:application", "--uds", str(socket_path), "--lifespan", "off",
            "--log-level", "warning", "--no-access-log", "--timeout-graceful-shutdown", "3",
        )  # fmt: skip
        self._keep(Service("django", "django", command, 10), self._django_environment)
        self._keep(worker_service(Home(self.folder)), self._django_environment)

    def _gateway(self, door: str, name: str) -> Service:
        listening = self._listening[0 if door == ARMED else 1].fileno()
        module = "tests.crash.armed_gateway" if door == ARMED else "gateway.relay"
        command: Command = python("-m", module, "--fd", str(listening), pass_fds=[listening])
        return Service(name, f"{door} gateway", command, 10)

    def _keep(self, service: Service, environment: Any) -> None:
        self.kept.setdefault(service.kind, []).append(self.keeper.keep(service, environment))

    # ---- environments
    @property
    def owner_url(self) -> str:
        """For the campaign's own questions."""
        return self.postgres.environment["DATABASE_OWNER_URL"]

    def _django_environment(self, _: int) -> dict[str, str]:
        socket_path = str(self.folder / "django.sock")
        return os.environ | self.postgres.environment | {"BEFFROI_DJANGO_SOCKET": socket_path}

    def _gateway_environment(self, life: int) -> dict[str, str]:
        url = f"{self.postgres.environment['DATABASE_GATEWAY_URL']}&options=-c%20crash.life%3D{life}"
        told = {"DATABASE_GATEWAY_URL": url, "BEFFROI_LIMITS": self.limits, "CRASH_TRIGGER": str(self.folder)}
        return self._django_environment(life) | told

    def _steady_environment(self, life: int) -> dict[str, str]:
        limits = STEADY_LIMITS if self.limits == SCALED else self.limits
        return self._gateway_environment(life) | {"BEFFROI_LIMITS": limits}

    def _armed_environment(self, life: int) -> dict[str, str]:
        environment = self._gateway_environment(life)
        straight, proxied = str(self.postgres._cluster.sockets), str(self.folder / "proxy")
        environment["DATABASE_GATEWAY_URL"] = environment["DATABASE_GATEWAY_URL"].replace(straight, proxied)
        return environment

    # ---- what a round needs
    def pids(self, kind: str) -> list[int]:
        """Who runs of a kind."""
        return [kept.pid for kept in self.kept.get(kind, []) if kept.pid is not None]

    @property
    def engine_ports(self) -> dict[str, int]:
        """The engines that may be harmed: process numbers by port."""
        found = {}
        for kept in self.kept["engine"]:
            port = next(part for part in kept.service.command.argv if part.startswith("--port="))
            if kept.pid is not None:
                found[port.removeprefix("--port=")] = kept.pid
        return found

    def _ask(self, query: str, *values: object) -> list[Any]:
        """The first column of what the database says; nothing where it is away."""
        try:
            with psycopg.connect(self.owner_url, connect_timeout=5) as connection:
                return [row[0] for row in connection.execute(query, values)]
        except psycopg.OperationalError:
            return []

    def gateways_that_hold(self, labels: str) -> list[int]:
        """The process numbers of gateways that are at requests with such labels (a pattern of LIKE)."""
        query = "select i.pid from billing_hold h join billing_incarnation i on i.id = h.incarnation"
        return self._ask(f"{query} where h.description ->> 'label' like %s", labels)

    def holds(self) -> int | None:
        """How many requests are held; None where the database is away."""
        found = self._ask("select count(*) from billing_hold")
        return found[0] if found else None

    def gateways_backends(self) -> list[int]:
        """PostgreSQL's processes that serve gateways."""
        return self._ask("select pid from pg_stat_activity where application_name like 'beffroi%%'")

    def are_fenced(self, pids: list[int]) -> bool:
        """Whether the youngest incarnation of each of these processes is fenced."""
        query = (
            "select distinct on (pid) fenced_at from billing_incarnation where pid = any(%s) order by pid, number desc"
        )
        found = self._ask(query, pids)
        return len(found) == len(pids) and None not in found

    def all_began(self) -> bool:
        """Whether each gateway that runs has an incarnation that lives."""
        pids = self.pids(f"{ARMED} gateway") + self.pids(f"{STEADY} gateway")
        found = self._ask("select pid from billing_incarnation where pid = any(%s) and fenced_at is null", pids)
        return set(found) == set(pids)

    def living_and_fenced(self) -> list[int]:
        """Gateways that run although they are fenced."""
        pids = self.pids(f"{ARMED} gateway") + self.pids(f"{STEADY} gateway")
        return [pid for pid in pids if self.are_fenced([pid])]

    def verify_ledger(self) -> list[str]:
        """What the product's own `manage.py verify_ledger` objects to."""
        done = subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), "verify_ledger"],
            env=self._django_environment(0), capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        return [] if done.returncode == 0 else (done.stdout + done.stderr).splitlines()

    def thaw_all(self) -> None:
        """SIGCONT to everybody: whoever is not stopped takes no notice."""
        for kept in [kept for group in self.kept.values() for kept in group]:
            if kept.pid is not None:
                os.kill(kept.pid, signal.SIGCONT)
        self.postgres.thaw()

    async def connect(self, within_s: float = 60) -> psycopg.Connection[Any]:
        """The campaign's own connection, waiting for the database where it is away."""
        async with asyncio.timeout(within_s):
            while True:
                try:
                    return await asyncio.to_thread(psycopg.connect, self.owner_url, connect_timeout=5)
                except psycopg.OperationalError:
                    await asyncio.sleep(0.05)


def _keys(house: House) -> Keys:
    rich, poor, counted = house.key(), house.key(), house.key()
    house.budget(Holder.TENANT, house.tenant.pk, PLENTY)
    house.budget(Holder.PROJECT, house.project.pk, PLENTY, is_hard=False)
    house.budget(Holder.KEY, rich.row.pk, PLENTY)
    house.budget(Holder.KEY, poor.row.pk, LITTLE)
    house.limit(Holder.KEY, counted.row.pk, "concurrent", "none", 40)
    return Keys(rich.text, poor.text, counted.text)


def _serve(model: LanguageModel, served_name: str, port: int) -> None:
    """Make the engine a replica that takes requests at once; `serve` of tests/support wants a running one."""
    pool = register_pool(model=model, served_name=served_name, actor=TESTS)
    url = f"http://127.0.0.1:{port}"
    replica = register_replica(pool=pool, url=url, api_key=ENGINE_KEY, is_simulated=True, actor=TESTS)
    set_state(replica=replica, state=Replica.State.READY, reason="", actor=TESTS)
