"""How fast models answer: medians over the newest requests of the last day, of all tenants together.

Read from the newest `SAMPLE` usage records, so that it costs the same on a busy platform, and kept for a minute.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.core.cache import cache
from django.db import connection
from django.utils import timezone

from billing.usage.records import lowest_request_id

SPAN = timedelta(hours=24)
SAMPLE = 10_000
FEWEST = 20  # requests: a median of fewer says nothing of a model, and too much of those who called it
KEPT_S = 60
_CACHE_KEY = "billing.speeds"
# Answers of some length only: the pace of three tokens is chance.
_SHORTEST_ANSWER = 16

_SPEEDS = """
    with newest as materialized (
        select model_id, ttft_ms, duration_ms - ttft_ms as flow_ms, output_quantity + reasoning_quantity as tokens,
            stream and status = 'completed' and ttft_ms is not null and door <> 'probe' as counts
        from billing_usage_record where request_id >= %(since)s order by request_id desc limit %(sample)s
    )
    select model_id, count(*), percentile_cont(0.5) within group (order by ttft_ms),
        count(*) filter (where tokens >= %(shortest)s and flow_ms > 0),
        percentile_cont(0.5) within group (order by tokens * 1000.0 / flow_ms)
            filter (where tokens >= %(shortest)s and flow_ms > 0)
    from newest where counts group by model_id
"""


@dataclass(frozen=True, slots=True)
class Speed:
    """Medians of a model's streamed answers: milliseconds to the first token, tokens a second after it.

    Each with the number of requests behind it; None where these are fewer than `FEWEST`.
    """

    first_token_ms: float | None
    first_token_requests: int
    tokens_per_second: float | None
    pace_requests: int


def speeds_today() -> dict[int, Speed]:
    """By model id, a minute old at most; models that nobody called are not there."""
    found: dict[int, Speed] = cache.get_or_set(_CACHE_KEY, lambda: measured_speeds(timezone.now()), KEPT_S) or {}
    return found


def measured_speeds(now: datetime) -> dict[int, Speed]:
    """By model id, from the 24 hours before `now`."""
    parameters: dict[str, UUID | int] = {
        "since": lowest_request_id(now - SPAN),
        "sample": SAMPLE,
        "shortest": _SHORTEST_ANSWER,
    }
    with connection.cursor() as cursor:
        cursor.execute(_SPEEDS, parameters)
        rows = cursor.fetchall()
    return {
        model_id: Speed(
            first_token_ms if requests >= FEWEST else None, requests, pace if paced >= FEWEST else None, paced
        )
        for model_id, requests, first_token_ms, paced, pace in rows
    }
