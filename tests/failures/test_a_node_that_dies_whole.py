"""A node dies with its agent and its engines: what it served is placed elsewhere, and no client notices.

Real agents with simulated engines, a real gateway, the platform's own verbs over a real broker. Only the two minutes
that the platform waits for a lost node are not waited for: its last report is made older.
"""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import jwt
import pytest
import redis
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from console.node_reports import report_in
from console.supervisor.processes import Command, spawn
from gateway.pools.fleet.assignments import send_assignments
from gateway.pools.fleet.broker import REPORTS_QUEUE
from gateway.pools.fleet.broker_users import reconcile_broker_users
from gateway.pools.fleet.joining import join
from gateway.pools.fleet.managed_pools import Count, Wish, manage_pool
from gateway.pools.fleet.nodes import add_node
from gateway.pools.fleet.reconciler import reconcile_fleet
from gateway.pools.fleet.reports import take_report
from gateway.pools.fleet_tables import Node
from gateway.pools.models import Pool, Replica
from gateway.pools.probes import probe_replica
from tests.gateway.relay.bills import assert_exact, await_model, key_with_budget
from tests.support.gateway import GatewayProcess, running_gateway
from tests.support.ledger import House, make_house, unique
from tests.support.operators import RUNS
from tests.support.servers import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PATIENCE_S = 90.0  # on a busy machine
LOST = timedelta(seconds=125)


@dataclass
class Agent:
    """`manage.py node --simulated` on this machine, which joined already. `said`: its newest report."""

    name: str
    process: "subprocess.Popen[bytes]"
    said: dict[str, Any] = field(default_factory=dict)

    def kill(self) -> None:
        """kill -9 of it and its engines."""
        self.process.kill()
        self.process.wait()
        for replica in self.said.get("replicas", []):
            with suppress(ProcessLookupError):
                os.kill(replica["pid"], signal.SIGKILL)

    def stop(self) -> None:
        """As an operator would; a simulated node stops its engines too."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


@dataclass
class Platform:
    """What a worker and its clock do, step by step; nodes that a label keeps apart from those of other tests."""

    broker: redis.Redis
    folder: Path
    word: str
    agents: list[Agent] = field(default_factory=list)

    def add_agent(self) -> None:
        """One more node."""
        _, token = add_node(name=unique("node"), labels={"fleet": self.word}, by=RUNS)
        key = Ed25519PrivateKey.generate()
        public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
        membership = join(token=token, public_key=public, version="1")
        home = self.folder / membership.name
        home.mkdir(mode=0o700)
        (home / "key").write_bytes(base64.b64encode(key.private_bytes_raw()))
        names = ("name", "broker_url", "queue", "reports_queue", "platform_public_key")
        (home / "joined.json").write_text(json.dumps({name: getattr(membership, name) for name in names}))
        argv = [sys.executable, str(ROOT / "manage.py"), "node", f"--home={home}", "--simulated", "--address=127.0.0.1"]
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}
        self.agents.append(Agent(membership.name, spawn(Command(argv), environment, home / "log")))

    def step(self) -> None:
        """Hear what nodes say, decide, tell them, and probe what warms up."""
        while (data := cast("bytes | None", self.broker.rpop(REPORTS_QUEUE))) is not None:
            report = report_in(json.loads(base64.b64decode(json.loads(data)["body"])))
            assert report is not None
            told = jwt.decode(report, options={"verify_signature": False})
            for agent in self.agents:
                if told["iss"] == f"node:{agent.name}":
                    agent.said = told
                    take_report(report)
        reconcile_fleet()
        send_assignments()
        for replica in Replica.objects.filter(machine__name__in=self.names, state=Replica.State.WARMING):
            probe_replica(replica)

    @property
    def names(self) -> list[str]:
        """Those of the nodes."""
        return [agent.name for agent in self.agents]

    def step_until(self, is_true: Callable[[], bool]) -> None:
        """Step by step, until it is."""
        deadline = time.monotonic() + PATIENCE_S
        while not is_true():
            assert time.monotonic() < deadline, [agent.said for agent in self.agents]
            self.step()
            time.sleep(0.2)

    def ready(self) -> list[str]:
        """The nodes of the replicas that take requests."""
        found = Replica.objects.filter(machine__name__in=self.names, state=Replica.State.READY)
        return sorted(found.values_list("node", flat=True))


@pytest.fixture
def platform(database: None, valkey: str, tmp_path: Path) -> Iterator[Platform]:
    """Two nodes; gone after the test, as the reconciler looks at everything that there is."""
    with redis.Redis.from_url(valkey.replace("redis+socket", "unix")) as broker:
        broker.delete(REPORTS_QUEUE)
        made = Platform(broker, tmp_path, unique("fleet"))
        try:
            reconcile_broker_users()
            for _ in range(2):
                made.add_agent()
            yield made
        finally:
            for agent in made.agents:
                agent.stop()
            Replica.objects.filter(machine__name__in=made.names).delete()
            Node.objects.filter(name__in=made.names).delete()
            broker.delete(REPORTS_QUEUE)


@pytest.fixture
def gateway(database: None, tmp_path: Path) -> Iterator[GatewayProcess]:
    with running_gateway(tmp_path) as gateway:
        yield gateway


@pytest.fixture
def house(platform: Platform) -> Iterator[House]:
    """Its model has two replicas, one on each node."""
    house = make_house()
    wish = Wish(gpu_memory_mb=10_000, labels={"fleet": platform.word}, engine="simulated")
    pool = manage_pool(model=house.model, wish=wish, count=Count(0, 20, 2), by=RUNS)
    platform.step_until(lambda: platform.ready() == sorted(platform.names))
    yield house
    Pool.objects.filter(pk=pool.pk).update(policy=Pool.Policy.UNMANAGED)


def test_it_is_replaced_and_nobody_notices(platform: Platform, gateway: GatewayProcess, house: House) -> None:
    await_model(gateway, house)
    key = key_with_budget(house, gateway)
    dead, alive = platform.agents
    statuses: list[int] = []
    over = threading.Event()

    def ask_on() -> None:
        while not over.wait(0.1):
            quick = {"first_token_ms": 20, "tokens_per_second": 0}
            statuses.append(gateway.chat(house.model.name, key.text, max_tokens=3, simulate=quick).status)

    clients = [threading.Thread(target=ask_on) for _ in range(4)]
    for client in clients:
        client.start()
    dead.kill()
    long_ago = Node.objects.get(name=dead.name).reported_at
    assert long_ago is not None
    Node.objects.filter(name=dead.name).update(reported_at=long_ago - LOST)
    platform.step_until(lambda: platform.ready() == [alive.name] * 2)
    over.set()
    for client in clients:
        client.join()
    assert len(statuses) > 20
    assert set(statuses) == {200}
    assert_exact(house, key.row)
