"""What the whole platform does now, all tenants together, and which tenants come near a cap. For operators. Reads only.

Taken from the newest `SAMPLE` usage records of the last minutes, so that it costs the same on a busy platform. Probes,
which run on the platform's own account, are none of it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

from billing.usage.records import lowest_request_id

SPAN = timedelta(minutes=5)
SAMPLE = 5_000
NEAR_PERCENT = 80
_TENANTS_MAX = 10
_PULSE = """
    with ours as materialized (select id from identity_tenant where is_platform), newest as materialized (
        select admitted_at, http_status, ttft_ms, output_quantity + reasoning_quantity as tokens
        from billing_usage_record where request_id >= %(since)s and tenant_id not in (select id from ours)
        order by request_id desc limit %(sample)s
    )
    select count(*), count(*) filter (where http_status >= 400), coalesce(sum(tokens), 0)::bigint,
        percentile_disc(0.5) within group (order by ttft_ms), percentile_disc(0.95) within group (order by ttft_ms),
        min(admitted_at), (select count(*) from billing_hold where tenant_id not in (select id from ours)),
        (select count(*) from identity_tenant where not is_platform and closed_at is null)
    from newest
"""
_NEAR = """
    select t.slug, t.name, p.spent_nano_eur + p.held_nano_eur, coalesce(p.cap_nano_eur, b.limit_nano_eur), count(*) over ()
    from billing_budget b
    join identity_tenant t on t.id = b.tenant_id
    join billing_budget_period p on p.budget_id = b.id and p.ends_at > now()
    where b.scope = 'tenant' and b.is_active
        and (p.spent_nano_eur + p.held_nano_eur) * 100 > %(percent)s::bigint * coalesce(p.cap_nano_eur, b.limit_nano_eur)
    order by (p.spent_nano_eur + p.held_nano_eur)::numeric / greatest(coalesce(p.cap_nano_eur, b.limit_nano_eur), 1) desc, t.id
    limit %(most)s
"""  # noqa: E501


@dataclass(frozen=True, slots=True)
class PlatformPulse:
    """The last minutes: `seconds` of them are behind the figures. Times in milliseconds, None without an answer."""

    seconds: float
    requests: int
    failed: int
    tokens: int
    first_token_p50_ms: int | None
    first_token_p95_ms: int | None
    running: int
    tenants: int

    @property
    def requests_a_second(self) -> float:
        """Answered, whatever came of them."""
        return self.requests / self.seconds

    @property
    def tokens_a_second(self) -> float:
        """Written by all engines together."""
        return self.tokens / self.seconds


@dataclass(frozen=True, slots=True)
class NearCap:
    """A tenant that has used more than `NEAR_PERCENT` of a budget of its own; nano-EUR."""

    slug: str
    name: str
    used_nano_eur: int
    cap_nano_eur: int


def platform_pulse(now: datetime) -> PlatformPulse:
    """In one query, from the records of the minutes before `now`."""
    with connection.cursor() as cursor:
        cursor.execute(_PULSE, {"since": lowest_request_id(now - SPAN), "sample": SAMPLE})
        requests, failed, tokens, p50, p95, oldest, running, tenants = cursor.fetchone()
    seconds = SPAN.total_seconds()
    if requests == SAMPLE:  # they are all of a shorter time
        seconds = max((now - oldest).total_seconds(), 1.0)
    return PlatformPulse(seconds, requests, failed, tokens, p50, p95, running, tenants)


def tenants_near_cap() -> tuple[list[NearCap], int]:
    """Those nearest to their cap, and how many there are."""
    with connection.cursor() as cursor:
        cursor.execute(_NEAR, {"percent": NEAR_PERCENT, "most": _TENANTS_MAX})
        rows = cursor.fetchall()
    return [NearCap(*row[:4]) for row in rows], rows[0][4] if rows else 0
