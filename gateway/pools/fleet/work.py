"""What engines have to do, and what they take: demand against capacity, now and in the last hour. Reads only."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F, Max
from django.db.models.functions import TruncMinute
from django.utils import timezone

from gateway.pools.fleet.demand import Advice, advice_for
from gateway.pools.fleet.reading import read_rows, read_world, wanted_of
from gateway.pools.fleet_tables import PoolLoad
from gateway.pools.models import EngineSample, Pool, Replica

SAMPLE_COUNTS = timedelta(minutes=5)  # engines that no agent looks after are asked once a minute
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Work:
    """Requests that engines have under way and in their own lines, and how many they take at once together (None: as
    many as come). `kv_cache_use`: of the engine whose cache is the fullest, 0 to 1.
    """

    running: int
    waiting: int
    places: int | None
    kv_cache_use: float = 0.0

    @property
    def asked(self) -> int:
        """All of them."""
        return self.running + self.waiting


@dataclass(frozen=True, slots=True)
class Minute:
    """The most requests that a pool's engines had in a minute, and the most replicas that took them."""

    starts_at: datetime
    asked: int
    ready: int


@dataclass(frozen=True, slots=True)
class PoolDemand:
    """What a managed pool has to do now and had to in the last hour, and how many replicas it would get for it."""

    pool: Pool
    work: Work
    ready: int
    advice: Advice | None
    minutes: tuple[Minute, ...]

    @property
    def wanted(self) -> int:
        """As many replicas as there are to be."""
        return wanted_of(self.pool)


def pool_demand(name: str) -> PoolDemand | None:
    """Of the pool of that name; None where it never was managed. Minutes are noted of pools that follow the demand."""
    rows, now = read_rows(), timezone.now()
    pool = next((one for one in rows.pools if one.name == name), None)
    if pool is None:
        return None
    replicas = [one for one in rows.replicas if one.pool_id == pool.pk]
    is_automatic = pool.policy == Pool.Policy.AUTOMATIC
    advice = advice_for(rows.pools, read_world(rows, {}, now)).get(pool.pk) if is_automatic else None
    loads = PoolLoad.objects.filter(pool=pool, at__gt=now - HOUR).annotate(minute=TruncMinute("at")).values("minute")
    most = loads.annotate(asked=Max(F("running") + F("waiting")), most_ready=Max("ready")).order_by("minute")
    return PoolDemand(
        pool=pool,
        work=work_of(replicas),
        ready=sum(one.takes_requests for one in replicas),
        advice=advice,
        minutes=tuple(Minute(one["minute"], one["asked"], one["most_ready"]) for one in most),
    )


def work_of(replicas: Iterable[Replica], samples: Mapping[tuple[str, str], tuple[int, int]] | None = None) -> Work:
    """What these engines have to do: as their node's last report says, or else their last sample (`samples`, by pool
    and replica: running and waiting).
    """
    running = waiting = places = 0
    fullest, has_bound = 0.0, True
    for replica in replicas:
        seen = replica.observed if replica.observed.get("state") == "running" else {}
        sampled = (samples or {}).get((replica.pool.name, replica.name), (0, 0))
        running += seen.get("running", sampled[0])
        waiting += seen.get("waiting", sampled[1])
        fullest = max(fullest, seen.get("kv_cache_use", 0.0))
        if replica.takes_requests:
            has_bound = has_bound and replica.pool.requests_at_once is not None
            places += replica.pool.requests_at_once or 0
    return Work(running, waiting, places if has_bound else None, fullest)


def together(works: Sequence[Work]) -> Work:
    """The sum; no places where one of them has no bound."""
    places = [work.places for work in works if work.places is not None]
    return Work(
        sum(work.running for work in works),
        sum(work.waiting for work in works),
        sum(places) if len(places) == len(works) else None,
    )


def last_samples(replicas: Sequence[Replica]) -> dict[tuple[str, str], tuple[int, int]]:
    """Running and waiting requests by pool and replica; without a query where there is nobody to ask about."""
    if not replicas:
        return {}
    rows = EngineSample.objects.filter(at__gt=timezone.now() - SAMPLE_COUNTS).order_by("pool", "replica", "-at")
    last = rows.distinct("pool", "replica").values_list("pool", "replica", "running", "waiting")
    return {(pool, replica): (running or 0, waiting or 0) for pool, replica, running, waiting in last}
