"""What happened to replicas, pools and nodes: rows that only grow, kept for 90 days."""

from datetime import datetime, timedelta

from billing.clock import database_now
from gateway.pools.fleet_tables import FleetEvent, Node
from gateway.pools.models import Pool, Replica

KEPT = timedelta(days=90)
REASON_LENGTH, MODEL_LENGTH = 300, 200  # characters, as the columns


def note_replica(
    replica: Replica, kind: str, *, before: Replica | None = None, began_at: datetime | None = None, reason: str = ""
) -> None:
    """Something happened to a replica; `before`: as it was, where its state changed; else `began_at`: what ended here,
    since when.
    """
    FleetEvent.objects.create(
        at=database_now(),
        began_at=before.state_since if before else began_at,
        kind=kind,
        pool=replica.pool.name,
        model=replica.pool.model.name,
        replica=replica.name,
        node=replica.node,
        from_state=before.state if before else "",
        to_state=replica.state if before else "",
        reason=reason[:REASON_LENGTH],
    )


def note_pool(pool: Pool, kind: str, *, reason: str = "") -> None:
    """Something happened to a managed pool."""
    FleetEvent.objects.create(
        at=database_now(), kind=kind, pool=pool.name, model=pool.model.name, reason=reason[:REASON_LENGTH]
    )


def note_node(node: Node, kind: str, *, began_at: datetime | None = None) -> None:
    """Something happened to a node, and so to the models that have replicas there; `began_at`: since when."""
    models = Replica.objects.filter(machine=node).values_list("pool__model__name", flat=True)
    FleetEvent.objects.create(
        at=database_now(), began_at=began_at, kind=kind, node=node.name, model=_listed(sorted(set(models)))
    )


def _listed(names: list[str]) -> str:
    """As many of them as the column takes, and how many more there are."""
    for left_out in range(len(names)):
        more = f", +{left_out}" if left_out else ""
        text = ", ".join(names[: len(names) - left_out]) + more
        if len(text) <= MODEL_LENGTH:
            return text
    return ""


def forget_events() -> int:
    """Remove the events that are older than they are kept; gives how many."""
    return FleetEvent.objects.filter(at__lt=database_now() - KEPT).delete()[0]
