"""What a period of full hours comes to: by the ledger's sums in an instant, by its records for the lines of an invoice.

Of the sums, whole days (UTC) are rows of `billing_usage_day`, and the hours at both ends rows of `billing_usage_hour`.
The records of a period are read once, by their ids: a UUIDv7 begins with the time in which it was made, some seconds
before the admission.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection

from billing.closing.period import Period
from billing.pricing import METERS, Amounts, Quantities
from billing.usage.records import ID_MARGIN, lowest_request_id

_DAY = timedelta(days=1)
_AMOUNTS = 7 + len(METERS)  # where they begin in a row of `_GROUPS`
_SUMMED = """
    select coalesce(sum(cost), 0)::bigint from (
        select sum(u.cost_nano_eur) as cost from billing_usage_day u
        where u.tenant_id = %(tenant)s and u.day >= %(first_day)s and u.day < %(end_day)s
        union all
        select sum(u.cost_nano_eur) from billing_usage_hour u
        where u.tenant_id = %(tenant)s and u.hour >= %(since)s and u.hour < %(first_day)s
        union all
        select sum(u.cost_nano_eur) from billing_usage_hour u
        where u.tenant_id = %(tenant)s and u.hour >= %(end_day)s and u.hour < %(until)s
    ) parts
"""
_GROUPS = f"""
    select r.project_id, r.model_id, max(r.model), r.mode, r.price_version_id,
        sum(r.cost_nano_eur)::bigint, sum(r.uncharged_nano_eur)::bigint,
        {", ".join(f"sum(r.{meter}_quantity)::bigint" for meter in METERS)},
        {", ".join(f"sum(r.{meter}_nano_eur)::bigint" for meter in METERS)}
    from billing_usage_record r
    where r.tenant_id = %(tenant)s and r.request_id >= %(lowest)s and r.request_id < %(highest)s
        and r.admitted_at >= %(since)s and r.admitted_at < %(until)s
    group by r.project_id, r.model_id, r.mode, r.price_version_id
"""  # noqa: S608  # constants of ours
_UNDER_WAY = "select count(*) from billing_hold where tenant_id = %(tenant)s and admitted_at < %(until)s"


class Group(NamedTuple):
    """What a project used of a model in a mode at the prices of a version. The meters' amounts add up to cost and
    uncharged, in nano-EUR.
    """

    project_id: int
    model_id: int
    model: str
    mode: str
    price_version_id: int
    cost_nano_eur: int
    uncharged_nano_eur: int
    quantities: Quantities
    amounts: Amounts


def summed(tenant_id: int, period: Period) -> int:
    """What the ledger's sums of days and hours say that was charged, in nano-EUR. One query of some dozens of rows."""
    first_day = _day_from(period.starts_at)
    end_day = max(first_day, _midnight(period.ends_at))
    values: dict[str, Any] = {
        "tenant": tenant_id,
        "since": period.starts_at,
        "until": period.ends_at,
        "first_day": min(first_day, period.ends_at),
        "end_day": min(end_day, period.ends_at),
    }
    with connection.cursor() as cursor:
        cursor.execute(_SUMMED, values)
        found: int = cursor.fetchone()[0]
    return found


def groups(tenant_id: int, period: Period) -> list[Group]:
    """What the records say: one scan of the period's."""
    values: dict[str, Any] = {
        "tenant": tenant_id,
        "since": period.starts_at,
        "until": period.ends_at,
        "lowest": lowest_request_id(period.starts_at - ID_MARGIN),
        "highest": lowest_request_id(period.ends_at + ID_MARGIN),
    }
    with connection.cursor() as cursor:
        cursor.execute(_GROUPS, values)
        rows = cursor.fetchall()
    return [Group._make((*row[:7], Quantities(*row[7:_AMOUNTS]), Amounts(*row[_AMOUNTS:]))) for row in rows]


def under_way(tenant_id: int, period: Period) -> int:
    """How many requests of the period, or of before, are not settled yet."""
    with connection.cursor() as cursor:
        cursor.execute(_UNDER_WAY, {"tenant": tenant_id, "until": period.ends_at})
        found: int = cursor.fetchone()[0]
    return found


def _midnight(at: datetime) -> datetime:
    """Of the day (UTC)."""
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _day_from(at: datetime) -> datetime:
    """The first midnight (UTC) that is not before."""
    midnight = _midnight(at)
    return midnight if midnight == at else midnight + _DAY
