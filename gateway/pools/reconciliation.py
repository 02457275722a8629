"""Charged tokens against the engines' own counters, a pool and period: an audit that no bill can talk itself out of.

An engine's counters are known when they were sampled, so a period begins and ends, for each replica, with its last
sample before: periods that follow each other leave nothing out and count nothing twice. In between the engine's tokens
are the sum of what its counters rose by, and the charged ones those of the requests that the ledger settled there.
What the two may differ by, and why, is told cause by cause (`docs/reconciliation.md`), each with the least and the most
that it can add to `engine - charged`; what is outside of all of them together is unexplained, and told to the operator.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, NamedTuple

from django.db import connection, transaction

from gateway.pools import reconciliation_queries as queries
from gateway.pools.models import EngineProbe, EngineSample, Reconciliation
from identity.models import Notice
from identity.notices import notify

TOLERATED_SHARE = Fraction(1, 1000)  # of the larger sum; counters are exact, and so is what explains them
UNCOMPARED_SHARE = Fraction(1, 20)  # three minutes an hour without a sample: an engine just started, or a worker away
SAMPLES_KEPT = timedelta(days=35)  # a month can be reconciled again, once it is over and somebody asks
RESULTS_KEPT = timedelta(days=400)  # a year, and time to look at it

Row = dict[str, Any]


class Cause(NamedTuple):
    """Why an engine may have counted other tokens than were charged: the least and the most of engine - charged."""

    name: str
    requests: int
    least_prompt: int
    most_prompt: int
    least_generation: int
    most_generation: int


_NO_EDGES = Cause(queries.EDGES, 0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Tally:
    """Tokens of one kind; `least` and `most` are what all causes together explain of the difference."""

    charged: int
    engine: int
    least: int
    most: int

    @property
    def difference(self) -> int:
        """Above 0 the engines counted more than was charged."""
        return self.engine - self.charged

    @property
    def unexplained(self) -> int:
        """What no cause explains of the difference."""
        return self.difference - min(max(self.difference, self.least), self.most)

    @property
    def is_tolerated(self) -> bool:
        """Whether what is unexplained is a small enough share."""
        return abs(self.unexplained) <= TOLERATED_SHARE * max(self.charged, self.engine)


@dataclass(frozen=True, slots=True)
class PoolResult:
    """A pool in a period. `uncompared`: tokens charged while no sample was there to compare them with."""

    pool: str
    since: datetime
    until: datetime
    replicas: int
    prompt: Tally
    generation: Tally
    causes: tuple[Cause, ...]
    uncompared: int

    @property
    def is_tolerated(self) -> bool:
        """Whether nobody has to look at it."""
        compared = self.prompt.charged + self.generation.charged
        is_compared = self.uncompared <= UNCOMPARED_SHARE * (compared + self.uncompared)
        return is_compared and self.prompt.is_tolerated and self.generation.is_tolerated


@dataclass(slots=True)
class _Pool:
    """What is gathered of a pool."""

    windows: list[Row] = field(default_factory=list)
    causes: list[Cause] = field(default_factory=list)
    uncompared: int = 0
    charged_prompt: int = 0
    charged_generation: int = 0
    largest_prompt: int = 0
    cut_prompt: int = 0
    cut_generation: int = 0


def reconcile(since: datetime, until: datetime) -> list[PoolResult]:
    """Compare each pool that counted or charged something in `[since, until)`."""
    # One snapshot, lest requests that end meanwhile are counted twice: as under way and as settled.
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("set transaction isolation level repeatable read")
        period = {"since": since, "until": until}
        windows = _rows(cursor, queries.WINDOWS, period)
        restarts = [restart for window in windows for restart in json.loads(window.pop("restarts"))]
        told = period | {"windows": json.dumps(windows), "restarts": json.dumps(restarts)}
        pools: dict[str, _Pool] = {}
        for window in windows:
            pools.setdefault(window["pool"], _Pool()).windows.append(window)
        for query in (queries.RECORDS, queries.UNDER_WAY, queries.LOST, queries.PROBES):
            for row in _rows(cursor, query, told):
                _add_cause(pools.setdefault(row["pool"], _Pool()), row)
        for row in _rows(cursor, queries.UNCOMPARED, told):
            pools.setdefault(row["pool"], _Pool()).uncompared = int(row["tokens"])
    return [_result(name, pool, since, until) for name, pool in sorted(pools.items())]


def reconcile_and_keep(since: datetime, until: datetime) -> list[PoolResult]:
    """Compare, keep the results, and tell the operators of what nobody can explain. Repeated it changes nothing."""
    results = reconcile(since, until)
    for result in results:
        _keep(result)
        if not result.is_tolerated:
            notify(
                None,
                "reconciliation.unexplained",
                level=Notice.Level.ALERT,
                context={
                    "pool": result.pool,
                    "since_at": since.isoformat(),
                    "until_at": until.isoformat(),
                    "unexplained_prompt_tokens": result.prompt.unexplained,
                    "unexplained_generation_tokens": result.generation.unexplained,
                    "uncompared_tokens": result.uncompared,
                },
                once_key=f"reconciliation:{result.pool}:{since.isoformat()}:{until.isoformat()}",
            )
    return results


def forget(now: datetime) -> None:
    """Remove samples and results that are older than they are kept."""
    EngineSample.objects.filter(at__lt=now - SAMPLES_KEPT).delete()
    EngineProbe.objects.filter(at__lt=now - SAMPLES_KEPT).delete()
    Reconciliation.objects.filter(ends_at__lt=now - RESULTS_KEPT).delete()


def _rows(cursor: Any, query: str, parameters: Mapping[str, object]) -> list[Row]:
    cursor.execute(query, parameters)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _add_cause(pool: _Pool, row: Row) -> None:
    cause = Cause(row["cause"], *(int(row[name]) for name in Cause._fields[1:]))
    if cause.name == queries.CHARGED:
        pool.charged_prompt, pool.charged_generation = cause.most_prompt, cause.most_generation
        pool.largest_prompt = row["largest_prompt"]
    else:
        pool.causes.append(cause)
    if cause.name == queries.CUT:
        pool.cut_prompt, pool.cut_generation = int(row["prompt"]), int(row["generation"])


def _result(name: str, pool: _Pool, since: datetime, until: datetime) -> PoolResult:
    causes = [*_of_engine(pool), *(_narrowed(cause, pool) for cause in pool.causes)]
    prompt, generation = (
        Tally(
            charged,
            _total(pool.windows, f"{kind}_tokens") or 0,
            sum(getattr(cause, f"least_{kind}") for cause in causes),
            sum(getattr(cause, f"most_{kind}") for cause in causes),
        )
        for kind, charged in (("prompt", pool.charged_prompt), ("generation", pool.charged_generation))
    )
    return PoolResult(name, since, until, len(pool.windows), prompt, generation, tuple(causes), pool.uncompared)


def _of_engine(pool: _Pool) -> Iterable[Cause]:
    """An answer of several choices charges its prompt once; the engine reads it once a choice, and says how many."""
    extra = _total(pool.windows, "extra_choices")
    if extra:
        yield Cause(queries.CHOICES, extra, 0, extra * pool.largest_prompt, 0, 0)


def _narrowed(cause: Cause, pool: _Pool) -> Cause:
    """A cut request is charged what was last reported. Its engine says how much in all it made for such requests."""
    if cause.name != queries.CUT:
        return cause
    edges = next((each for each in pool.causes if each.name == queries.EDGES), _NO_EDGES)
    prompt = _unfinished(pool.windows, "prompt", pool.cut_prompt + edges.least_prompt)
    generation = _unfinished(pool.windows, "generation", pool.cut_generation + edges.least_generation)
    return cause._replace(
        # Of several choices each read the prompt: here the engine alone knows.
        most_prompt=cause.most_prompt if prompt is None else prompt,
        most_generation=cause.most_generation if generation is None else min(cause.most_generation, generation),
    )


def _unfinished(windows: list[Row], kind: str, charged: int) -> int | None:
    """What the engines made for choices that did not come to their end, beyond what was charged."""
    finished = _total(windows, f"finished_{kind}_tokens")
    return None if finished is None else max(0, (_total(windows, f"{kind}_tokens") or 0) - finished - charged)


def _total(windows: list[Row], name: str) -> int | None:
    """None where an engine does not tell."""
    told = [window[name] for window in windows]
    return None if None in told else sum(told)


def _keep(result: PoolResult) -> None:
    Reconciliation.objects.update_or_create(
        pool=result.pool,
        starts_at=result.since,
        ends_at=result.until,
        defaults={
            "charged_prompt_tokens": result.prompt.charged,
            "engine_prompt_tokens": result.prompt.engine,
            "unexplained_prompt_tokens": result.prompt.unexplained,
            "charged_generation_tokens": result.generation.charged,
            "engine_generation_tokens": result.generation.engine,
            "unexplained_generation_tokens": result.generation.unexplained,
            "uncompared_tokens": result.uncompared,
            "causes": [cause._asdict() for cause in result.causes],
        },
    )
