"""What engines printed until they were ready: kept for those who wonder why one does not start."""

from datetime import timedelta

from billing.clock import database_now
from gateway.pools.fleet_tables import EngineLog
from gateway.pools.models import Pool, Replica
from identity.errors import NotFound

LENGTH_MAX = 16 * 1024  # characters, as agents send (`gateway/node_agent/engine_logs.py`)
KEPT = timedelta(days=7)
SHOWN = 50


def keep_log(replica: Replica, text: str) -> None:
    """Its log is this now."""
    EngineLog.objects.update_or_create(
        replica=replica.name,
        defaults={"pool": replica.pool.name, "node": replica.node, "at": database_now(), "text": text},
    )


def last_logs(pool: Pool) -> list[EngineLog]:
    """Of the pool, the newest first, without their texts."""
    return list(EngineLog.objects.filter(pool=pool.name).defer("text").order_by("-at")[:SHOWN])


def log_or_404(pool: Pool, log_id: int) -> EngineLog:
    """One of the pool. Raises `NotFound`."""
    found = EngineLog.objects.filter(pool=pool.name, pk=log_id).first()
    if found is None:
        raise NotFound("log")
    return found


def forget_logs() -> int:
    """Remove those that are older than they are kept; gives how many."""
    return EngineLog.objects.filter(at__lt=database_now() - KEPT).delete()[0]
