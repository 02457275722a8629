"""The two nodes of `make up`, whose GPUs and engines are simulated: what the demo's models run on without a machine."""

import time
from collections.abc import Collection
from dataclasses import asdict, replace
from pathlib import Path

from django.db.models import F

from console.supervisor.plan import SIMULATED_NODES
from gateway.node_agent import joining
from gateway.pools.environment import register_engines
from gateway.pools.fleet.broker_users import reconcile_broker_users
from gateway.pools.fleet.joining import membership_of, take_in
from gateway.pools.fleet.managed_pools import Count, Wish, manage_pool, scale_pool
from gateway.pools.fleet.nodes import add_node, remove_node
from gateway.pools.fleet_tables import Node
from gateway.pools.models import Pool, Replica
from gateway.pools.publishing import mark_published
from gateway.pools.registry import register_pool
from identity.operators import Operator
from identity.release import version
from models_catalog.models import LanguageModel

_LABEL = {"simulated": "yes"}  # that its pools ask for, and so stay off real machines
_WISH = Wish(engine="simulated", gpu_memory_mb=24 * 1024, labels=_LABEL)
_COUNT = Count(0, 4, 2)  # two replicas of each model: enough to see one fail and the other answer
_BY = Operator.system("make up")
_PAUSE_SECONDS = 0.3


def prepare(models: Collection[str], folder: Path) -> None:
    """Nodes that have joined, with the agents' folders below `folder`, and a managed pool for each of these models.

    What an operator changed since of a pool that is managed stays. Engines that the environment named before go.
    """
    register_engines([], wait_seconds=0, tell=lambda _: None)
    for name in SIMULATED_NODES:
        _join(name, folder / name)
    reconcile_broker_users()
    for model in LanguageModel.objects.filter(name__in=models):
        pool = register_pool(model=model, served_name=model.name, actor=_BY.actor)
        if pool.policy == Pool.Policy.UNMANAGED:
            wish = replace(_WISH, arguments={"--max-model-len": model.context_window})
            manage_pool(model=model, wish=wish, count=_COUNT, by=_BY)


def wait_until_ready(models: Collection[str], *, since: float, seconds: float) -> bool:
    """Wait for what is wanted of the models; then they are published. False where one is not served by then.

    Only what agents said that began after `since`, seconds since 1970, counts: rows of an earlier life say that all is
    well.
    """
    deadline = time.monotonic() + seconds
    managed = Pool.objects.filter(model__name__in=models).exclude(policy=Pool.Policy.UNMANAGED).select_related("model")
    waiting = {pool.pk: pool for pool in managed}
    while waiting and time.monotonic() < deadline:
        for pool in list(waiting.values()):
            if _ready(pool, since) >= min(pool.wanted, _COUNT.wanted):
                mark_published(pool.model, actor=_BY.actor)
                del waiting[pool.pk]
        time.sleep(_PAUSE_SECONDS)
    return not waiting


def retire() -> None:
    """Take the simulated nodes and what runs on them away: engines of the operator's own serve from now on."""
    nodes = Node.objects.filter(name__in=SIMULATED_NODES)
    managed = Pool.objects.exclude(policy=Pool.Policy.UNMANAGED)
    for pool in managed.filter(configurations__labels=_LABEL, configurations__generation=F("generation")):
        scale_pool(pool, Count(0, 0, 0), policy=Pool.Policy.UNMANAGED, by=_BY)
    Replica.objects.filter(machine__in=nodes).delete()
    for node in nodes:
        remove_node(node, by=_BY)


def _join(name: str, home: Path) -> None:
    """Make the node where there is none, and tell the agent's folder what it has to know as of now."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = joining.own_key(home).public_key().public_bytes_raw()
    node = Node.objects.filter(name=name).first()
    if node is not None and bytes(node.public_key or b"") == key:
        answer = membership_of(node)
    else:
        node = node or add_node(name=name, labels=_LABEL, by=_BY)[0]
        answer = take_in(node, key=key, version=version())
    joining.remember(home, joining.Joined(**asdict(answer)))


def _ready(pool: Pool, since: float) -> int:
    found = Replica.objects.filter(pool=pool, source=Replica.Source.FLEET, state=Replica.State.READY)
    return found.filter(machine__agent_started_at__gte=since, observed__state="running").count()
