"""Nodes with simulated engines on a network of their own, before gateways of ours; who harms which is up to a test."""

import asyncio
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from billing.models import RateCard
from billing.models import Scope as Holder
from gateway.pools.models import Replica
from gateway.pools.registry import register_pool, register_replica, set_state
from models_catalog.models import LanguageModel
from tests.crash import audit
from tests.crash.clients import Door, Transcript, Wish, ask
from tests.crash.journals import Attempt, Journal, by_request
from tests.crash.keeper import Keeper
from tests.crash.rules import Violation
from tests.crash.watch import Watch
from tests.crash.world import SILENT_S
from tests.support.gateway import GatewayProcess
from tests.support.ledger import HeldKey, House, make_house, make_model, make_price
from tests.support.machines import Machine, Site
from tests.support.outage import OwnPostgres
from tests.support.people import TESTS

ENGINE_KEY = "engine-key"
PORTS = 8_000
PLENTY = 10**14  # nano-EUR
_FAILED = re.compile(r"request ([0-9a-f-]{36}): replica (\S+) ")


@dataclass
class Engine:
    """An engine on a node. A killed one may be started again at the same address."""

    name: str
    model: str
    url: str
    command: list[str]
    process: "subprocess.Popen[bytes]"

    def send(self, number: signal.Signals) -> None:
        """A signal, such as SIGSTOP."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def start(self) -> None:
        """Once more."""
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE)


@dataclass
class Node:
    """A machine and the engines that run there."""

    machine: Machine
    engines: list[Engine] = field(default_factory=list)

    def kill(self) -> None:
        """kill -9 of all that runs there."""
        for engine in self.engines:
            engine.process.kill()
        for engine in self.engines:
            engine.kill()


class _Gateway(GatewayProcess):
    """A gateway beside the switch, which takes its clients where we are."""

    def __init__(self, site: Site, folder: Path, limits: str, environment: Mapping[str, str]) -> None:
        self.before = site.inside
        super().__init__(folder, limits, **environment)


class Fleet:
    """So many nodes, each with an engine of `shares` of the models in turn; and gateways, with a ledger of their own.

    A context manager, to be entered where Django may use the database. Raises NoMachines.
    """

    def __init__(self, *, nodes: int, models: int = 1, shares: int = 1, gateways: int = 1, limits: str = "") -> None:
        self._shape = (nodes, models, shares, gateways)
        self._limits = limits
        self._stack = ExitStack()
        self.nodes: list[Node] = []
        self.gateways: list[GatewayProcess] = []
        self.models: list[str] = []
        self.journals: list[Journal] = []

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            starting.push(self._stack)
            self._start()
            self._stack = starting.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    # ---- the start
    def _start(self) -> None:
        nodes, models, shares, gateways = self._shape
        self.site = self._stack.enter_context(Site())
        self.postgres = self._stack.enter_context(OwnPostgres(durable=False))
        self.folder = self.postgres.folder / "fleet"
        self.folder.mkdir()
        audit.install(self.owner_url)
        self.nodes = [Node(self.site.machine()) for _ in range(nodes)]
        for node in self.nodes:
            self._stack.callback(node.kill)
        with self.postgres.used_by_django():
            house = self._furnish(models)
            self.key = self._key(house)
            for number, node in enumerate(self.nodes):
                for share in range(shares):
                    self._add_engine(node, number, self._catalog[(number * shares + share) % models])
        for engine in self.engines:
            assert engine.process.stdout is not None
            assert b"listening" in engine.process.stdout.readline()
        self.watch = Watch(self.journals, Keeper(self.folder), self.prices, SILENT_S)
        environment = self.postgres.environment
        for _ in range(gateways):
            gateway: GatewayProcess = _Gateway(self.site, self.folder, self._limits, environment)
            self._stack.callback(gateway.close)
            self.gateways.append(gateway)
        for gateway in self.gateways:
            gateway.wait_until_ready()
            gateway.await_key(self.key.text)

    def _furnish(self, models: int) -> House:
        house = make_house()
        card = RateCard.objects.get(pk=house.price_version.rate_card_id)
        self._catalog = [house.model, *(make_model() for _ in range(models - 1))]
        for model in self._catalog[1:]:
            make_price(card, model)
        self.models = [model.name for model in self._catalog]
        self.prices = house.prices
        return house

    def _key(self, house: House) -> HeldKey:
        key = house.key()
        house.budget(Holder.TENANT, house.tenant.pk, PLENTY)
        house.budget(Holder.KEY, key.row.pk, PLENTY)
        return key

    def _add_engine(self, node: Node, number: int, model: LanguageModel) -> None:
        name, port = f"node-{number}-{len(node.engines)}", PORTS + len(node.engines)
        journal = self.folder / f"{name}.journal"
        self.journals.append(Journal(name, journal))
        command = [
            *node.machine.inside, sys.executable, "-m", "gateway.simulated_engine", f"--host={node.machine.address}",
            f"--port={port}", f"--journal={journal}", f"--api-key={ENGINE_KEY}", f"--model={model.name}=chat",
            "--max-model-len=8192", "--first-token-ms=30",
        ]  # fmt: skip
        url = f"http://{node.machine.address}:{port}"
        node.engines.append(Engine(name, model.name, url, command, subprocess.Popen(command, stdout=subprocess.PIPE)))
        pool = register_pool(model=model, served_name=model.name, actor=TESTS)
        replica = register_replica(pool=pool, url=url, api_key=ENGINE_KEY, is_simulated=True, actor=TESTS)
        set_state(replica=replica, state=Replica.State.READY, reason="", actor=TESTS)

    # ---- what a test asks
    @property
    def engines(self) -> list[Engine]:
        """Those of all nodes."""
        return [engine for node in self.nodes for engine in node.engines]

    @property
    def owner_url(self) -> str:
        """For the auditor's questions."""
        return self.postgres.environment["DATABASE_OWNER_URL"]

    def failures(self) -> dict[str, list[str]]:
        """By request, the replicas (host:port) that the gateways say failed it before its first byte."""
        found: dict[str, list[str]] = {}
        for gateway in self.gateways:
            for request_id, replica in _FAILED.findall(gateway.log.read_text()):
                found.setdefault(request_id, []).append(replica)
        return found


class Crowd:
    """Clients of a fleet, and the auditor of what they and the engines saw (`tests/crash`)."""

    def __init__(self, fleet: Fleet, seed: int = 1) -> None:
        self._fleet, self.dice = fleet, random.Random(seed)
        self._doors = [Door(str(number), gateway.port) for number, gateway in enumerate(fleet.gateways)]
        self._begun: set[asyncio.Task[None]] = set()
        self._before = Counter(fleet.watch.sums.records)
        self.told: list[Transcript] = []
        """What each client saw, in the order of their beginnings."""

    def begin(self, wish: Wish, model: str = "") -> Transcript:
        """One request, to a gateway by chance."""
        door, label = self.dice.choice(self._doors), f"n{len(self._fleet.watch.transcripts)}"
        told = self._fleet.watch.transcripts[label] = Transcript(label, door.name, wish)
        self.told.append(told)
        task = asyncio.create_task(ask(door, self._fleet.key.text, model or self._fleet.models[0], told))
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)
        return told

    async def arrive(self, rate: float, seconds: float, wish: Callable[[random.Random], Wish]) -> None:
        """Requests at random moments, so many a second, whatever became of those before; models by chance."""
        now = loop_now = asyncio.get_running_loop().time()
        while now < loop_now + seconds:
            now += self.dice.expovariate(rate)
            await asyncio.sleep(now - asyncio.get_running_loop().time())
            self.begin(wish(self.dice), self.dice.choice(self._fleet.models))

    async def end(self) -> None:
        """Wait for what is under way: each client has its patience."""
        while self._begun:
            await asyncio.wait(set(self._begun))

    def audit(self) -> list[Violation]:
        """Whatever is wrong with the books, and with each request by rule I2, all being over."""
        with psycopg.connect(self._fleet.owner_url) as connection:
            deadline = time.monotonic() + 15
            while connection.execute("select 1 from billing_hold").fetchone() and time.monotonic() < deadline:
                connection.rollback()
                time.sleep(0.1)
            return self._fleet.watch.look_last(connection)

    def statuses(self) -> Counter[str]:
        """The usage records of these clients that were audited, by status."""
        return self._fleet.watch.sums.records - self._before

    def attempts(self) -> list[list[Attempt]]:
        """What engines began to work on: of each request that reached one."""
        for journal in self._fleet.journals:
            journal.read_on()
        found = by_request(self._fleet.journals)
        return [found[told.request_id] for told in self.told if told.request_id in found]

    def begun(self, engine: Engine) -> int:
        """How many requests an engine ever began."""
        [journal] = [journal for journal in self._fleet.journals if journal.engine == engine.name]
        journal.read_on()
        return len(journal.attempts)
