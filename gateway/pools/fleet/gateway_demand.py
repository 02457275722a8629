"""What gateways say of requests (`gateway/relay/demand_notes.py`), added up: who waits for a place at an engine, there
or not, and when a pool that may have none was asked for last.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.pools.fleet_tables import GatewayDemand
from gateway.pools.models import Pool

COUNTS = timedelta(seconds=15)  # a gateway tells every five seconds; one that died is missed after these
LATELY = timedelta(seconds=30)  # whoever is being answered counts as asking, as each gateway tells again
_KEPT_ROUGHLY = timedelta(seconds=15)  # when it was asked last, so that a busy pool's row is not written at every step


@dataclass(frozen=True, slots=True)
class Asked:
    """Requests `waiting` in the gateways for a model, or a pool's part of them, and when somebody asked last (None:
    nobody they know of).
    """

    waiting: int = 0
    at: datetime | None = None

    def is_recent(self, now: datetime) -> bool:
        """Whether somebody asks, or is being answered."""
        return self.at is not None and now - self.at < LATELY


def asked_of(pools: Sequence[Pool], now: datetime) -> Mapping[int, Asked]:
    """By model of these pools (`asking.py` says which of them are asked)."""
    waiting: Counter[int] = Counter()
    last: dict[int, datetime] = {}
    models = {pool.model_id for pool in pools}
    for row in GatewayDemand.objects.filter(model__in=models):
        if now - row.at < COUNTS:
            waiting[row.model_id] += row.waiting
        if row.asked_at is not None:
            last[row.model_id] = max(row.asked_at, last.get(row.model_id, row.asked_at))
    return {model_id: Asked(waiting[model_id], last.get(model_id)) for model_id in models}


def note_asked(pools: Sequence[Pool], asked: Mapping[int, Asked]) -> None:
    """Remember when pools that may have none were asked for last; the gateways' own words are soon gone."""
    for pool in pools:
        at, before = asked[pool.pk].at, pool.asked_at
        if not pool.wakes or at is None or (before is not None and at <= before):
            continue
        pool.asked_at = at
        if before is None or at - before >= _KEPT_ROUGHLY or not pool.wanted:
            pool.save(update_fields=["asked_at"])
