"""How the models are served, and what the last reconciliation found: for the operator's first page. Reads only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connection

from gateway.pools.availability import Share, day_since, is_answering
from gateway.pools.models import ModelProbe, Reconciliation
from gateway.pools.reconciliation import TOLERATED_SHARE
from gateway.pools.targets import Day, Targets

_MODELS_MAX = 200
_MODELS = """
    select m.id, m.name, r.every, r.ready, r.failed, w.wakes, m.target_answered, m.target_first_token_ms,
        d.answered, d.probed, d.first_token_ms, l.minute, l.outcome, l.first_token_ms, l.duration_ms, l.tokens
    from models_catalog_languagemodel m
    cross join lateral (
        select count(*) as every, count(*) filter (where state = 'ready' and silent_since is null) as ready,
            count(*) filter (where state = 'failed') as failed
        from pools_pool p join pools_replica r on r.pool_id = p.id
        where p.model_id = m.id and r.state not in ('requested', 'starting', 'warming', 'stopping', 'sleeping')
    ) r
    cross join lateral (
        select count(*) > 0 as wakes from pools_pool p
        where p.model_id = m.id and p.policy = 'automatic' and p.zero_after_s is not null and p.maximum > 0
            and not p.is_stuck
    ) w
    cross join lateral (
        select count(*) filter (where outcome = 'answered') as answered, count(*) as probed,
            percentile_disc(0.95) within group (order by first_token_ms) filter (where outcome = 'answered')
                as first_token_ms
        from pools_modelprobe where model_id = m.id and minute >= %(since)s and minute <= %(now)s and outcome <> ''
    ) d
    left join lateral (
        select minute, outcome, first_token_ms, duration_ms, tokens from pools_modelprobe
        where model_id = m.id and minute >= %(since)s and minute <= %(now)s and outcome <> ''
        order by minute desc limit 1
    ) l on true
    where r.every > 0 or (
        m.published_at is not null and m.visibility <> 'nobody' and (m.retired_on is null or m.retired_on > %(today)s)
    )
    order by m.name limit %(most)s
"""


@dataclass(frozen=True, slots=True)
class ModelHealth:
    """A model that has replicas or is published: how many of them take requests, and how many failed their probe;
    its last probe, its last 24 hours by the probes, and what is aimed at. Replicas of the fleet count while they run.
    """

    id: int
    name: str
    replicas: int
    ready: int
    failed: int
    wakes: bool
    targets: Targets
    probe: ModelProbe | None
    answers: bool | None
    day: Day

    @property
    def state(self) -> str:
        """`answers`, `degraded` (a replica is missing), `asleep` (it wakes when asked) or `away`."""
        if not self.ready:
            return "asleep" if self.wakes else "away"
        return "degraded" if self.ready < self.replicas else "answers"

    @property
    def is_met(self) -> bool | None:
        """Whether it meets its targets; None where it has none, or nothing was probed."""
        return self.day.met(self.targets)


@dataclass(frozen=True, slots=True)
class LastReconciliation:
    """The last period that was compared; `unexplained`: the pools whose difference nothing explains."""

    ends_at: datetime
    unexplained: tuple[str, ...]


def models_health(now: datetime) -> list[ModelHealth]:
    """Every model that is published or has replicas, those in trouble first; in one query."""
    today = now.astimezone(UTC).date()
    values: dict[str, Any] = {"now": now, "since": day_since(now), "today": today, "most": _MODELS_MAX}
    with connection.cursor() as cursor:
        cursor.execute(_MODELS, values)
        found = [_health(row, now) for row in cursor.fetchall()]
    order = ("away", "degraded", "answers", "asleep")
    return sorted(found, key=lambda one: (one.answers is not False, order.index(one.state), one.is_met is not False))


def _health(row: Sequence[Any], now: datetime) -> ModelHealth:
    model_id, name, replicas, ready, failed, wakes, answered, first_token_ms, minutes, probed, p95, *last = row
    columns = ("minute", "outcome", "first_token_ms", "duration_ms", "tokens")
    probe = ModelProbe(model_id=model_id, **dict(zip(columns, last, strict=True))) if last[0] else None
    return ModelHealth(
        id=model_id,
        name=name,
        replicas=replicas,
        ready=ready,
        failed=failed,
        wakes=wakes,
        targets=Targets(answered, first_token_ms),
        probe=probe,
        answers=is_answering(probe, now=now),
        day=Day(Share(minutes, probed), p95),
    )


def last_reconciliation() -> LastReconciliation | None:
    """Of all pools in the period that ended last; None where nothing was compared yet."""
    last = Reconciliation.objects.order_by("-ends_at").values("ends_at")[:1]
    rows = list(Reconciliation.objects.filter(ends_at=last).order_by("pool"))
    if not rows:
        return None
    return LastReconciliation(rows[0].ends_at, tuple(row.pool for row in rows if not _is_tolerated(row)))


def _is_tolerated(row: Reconciliation) -> bool:
    pairs = (
        (row.unexplained_prompt_tokens, row.charged_prompt_tokens, row.engine_prompt_tokens),
        (row.unexplained_generation_tokens, row.charged_generation_tokens, row.engine_generation_tokens),
    )
    return all(abs(unexplained) <= TOLERATED_SHARE * max(charged, engine) for unexplained, charged, engine in pairs)
