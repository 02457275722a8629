"""What the worker does for pools. A task may run twice, or late: it looks at the rows and writes what it found."""

from celery import shared_task

from gateway.pools.models import Replica
from gateway.pools.probes import probe_replica
from gateway.pools.schedule import PROBE_EVERY_SECONDS


@shared_task(name="pools.probe_replicas", ignore_result=True)  # type: ignore[untyped-decorator]
def probe_replicas() -> None:
    """Have every replica probed that waits for its first probe or failed the last."""
    waiting = Replica.objects.filter(state__in=(Replica.State.REGISTERED, Replica.State.FAILED))
    for replica_id in waiting.values_list("pk", flat=True):
        probe_one.apply_async((replica_id,), expires=PROBE_EVERY_SECONDS)


@shared_task(name="pools.probe_replica", ignore_result=True)  # type: ignore[untyped-decorator]
def probe_one(replica_id: int) -> None:
    """Probe a replica, if there still is one."""
    replica = Replica.objects.filter(pk=replica_id).select_related("pool__model").first()
    if replica is not None:
        probe_replica(replica)
