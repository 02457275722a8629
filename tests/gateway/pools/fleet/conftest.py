"""A fleet of each test's own: nodes and pools that a label keeps apart from those of other tests."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from gateway.pools.fleet.managed_pools import Count, Wish, manage_pool
from gateway.pools.fleet.reconciler import reconcile_fleet
from gateway.pools.fleet_tables import FleetEvent, Node
from gateway.pools.models import Pool, Replica
from gateway.pools.registry import set_state
from identity.audit import Actor
from tests.gateway.pools.fleet.fake_agent import FakeAgent
from tests.support.ledger import make_model, unique
from tests.support.operators import RUNS

PROBE = Actor.system("probe")


@dataclass
class TestFleet:
    """Agents without machines and pools that only they serve."""

    __test__ = False

    word: str
    agents: list[FakeAgent] = field(default_factory=list)
    pools: list[Pool] = field(default_factory=list)

    def add_agent(self, *gpus: int) -> FakeAgent:
        """One that has joined and reported."""
        agent = FakeAgent.joined(unique("node"), *gpus, labels={"fleet": self.word})
        agent.report()
        self.agents.append(agent)
        return agent

    def wish(self, **values: object) -> Wish:
        """A configuration for this fleet's nodes."""
        given = {"gpu_memory_mb": 10_000, "labels": {"fleet": self.word}, **values}
        return Wish(**given)  # type: ignore[arg-type]

    def add_pool(self, wanted: int, **values: object) -> Pool:
        """A managed pool of a new model."""
        count = Count(0, 20, wanted)
        pool = manage_pool(model=make_model(), wish=self.wish(**values), count=count, by=RUNS)
        self.pools.append(pool)
        return pool

    def replicas(self, pool: Pool, *states: str) -> list[Replica]:
        """Its replicas, in any of these states."""
        found = Replica.objects.filter(pool=pool).select_related("pool__model", "machine").order_by("pk")
        return list(found.filter(state__in=states) if states else found)

    def step(self) -> None:
        """The platform plans, the agents hear of it, work and report; what runs passes its probe."""
        reconcile_fleet()
        for agent in self.agents:
            agent.hear()
            agent.work()
            agent.report()
        self.probe()

    def probe(self) -> None:
        """Whatever warms up is sound."""
        for replica in Replica.objects.filter(pool__in=self.pools, state=Replica.State.WARMING):
            set_state(replica=replica, state=Replica.State.READY, reason="", actor=PROBE)

    def settle(self, pool: Pool, ready: int, steps: int = 40) -> None:
        """Steps until so many replicas of the pool are ready and none is anything else."""
        for _ in range(steps):
            self.step()
            found = [replica.state for replica in self.replicas(pool)]
            if found == ["ready"] * ready:
                return
        raise AssertionError(f"{found} after {steps} steps")

    def let_pass(self, seconds: float) -> None:
        """As if all that there is had happened so long before."""
        span = timedelta(seconds=seconds)
        for replica in Replica.objects.filter(pool__in=self.pools, state_since__isnull=False):
            assert replica.state_since
            Replica.objects.filter(pk=replica.pk).update(state_since=replica.state_since - span)
        for node in Node.objects.filter(name__in=[agent.name for agent in self.agents], reported_at__isnull=False):
            assert node.reported_at
            Node.objects.filter(pk=node.pk).update(reported_at=node.reported_at - span)
        for pool in self.pools:
            for setback in pool.setbacks.all():
                setback.last_at -= span
                setback.save()

    def kinds(self, pool: Pool) -> list[str]:
        """What happened to the pool and its replicas, in order."""
        return list(FleetEvent.objects.filter(pool=pool.name).order_by("pk").values_list("kind", flat=True))


@pytest.fixture
def fleet(database: None, valkey: str) -> Iterator[TestFleet]:
    """Gone after the test: the reconciler looks at everything that there is."""
    made = TestFleet(unique("fleet"))
    yield made
    Replica.objects.filter(pool__in=made.pools).delete()
    Pool.objects.filter(pk__in=[pool.pk for pool in made.pools]).update(policy=Pool.Policy.UNMANAGED)
    Replica.objects.filter(machine__name__in=[agent.name for agent in made.agents]).delete()
    Node.objects.filter(name__in=[agent.name for agent in made.agents]).delete()
