"""What was used by day of a time zone, from few rows: a tenant may have nearly as many hourly sums as requests.

The ledger keeps the sums of each day in UTC, without the key (`billing_usage_day`). Most hours of such a day are of one
day of the time zone. Of the others, the hourly sums say how much belongs to the day before or after, and that much is
moved there. So the result is that of adding up all hourly sums, each counted to the day in which it begins, to the last
unit; and a page reads a row a day, project and model, and the hourly sums of some hours of the night.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from billing.pricing import METERS

SUMS = ("requests", "failed_requests", *(f"{meter}_quantity" for meter in METERS), "cost_nano_eur")
_HOUR, _DAY, _NOON = timedelta(hours=1), timedelta(days=1), timedelta(hours=12)
MINE = "(%(projects)s::bigint[] is null or u.project_id = any(%(projects)s))"
_ADDED, _TAKEN = (", ".join(f"{sign}u.{name} as {name}" for name in SUMS) for sign in ("", "-"))
# For `with {DAYS_USED} select ... from used`: rows of (local_day, project_id, model_id, SUMS), several a day, some of
# them negative. Parameters: those of `DaysUsed`.
DAYS_USED = f"""
    whole as (
        select * from unnest(%(utc_days)s::timestamptz[], %(days)s::date[]) as w (utc_day, local_day)
    ), moved as (
        select * from unnest(%(hours)s::timestamptz[], %(taken_from)s::date[], %(added_to)s::date[])
            as m (hour, taken_from, added_to)
    ), used as (
        select w.local_day, u.project_id, u.model_id, {_ADDED}
        from whole w join billing_usage_day u on u.tenant_id = %(tenant)s and u.day = w.utc_day and {MINE}
            and u.day between %(utc_first)s and %(utc_last)s
        union all
        select m.added_to, u.project_id, u.model_id, {_ADDED}
        from moved m join billing_usage_hour u on u.tenant_id = %(tenant)s and u.hour = m.hour and {MINE}
        where m.added_to between %(first)s and %(last)s
        union all
        select m.taken_from, u.project_id, u.model_id, {_TAKEN}
        from moved m join billing_usage_hour u on u.tenant_id = %(tenant)s and u.hour = m.hour and {MINE}
        where m.taken_from between %(first)s and %(last)s
    )
"""  # noqa: S608  # constants of ours

# The same of the hourly sums alone, for a few hours or one key: rows of (hour, project_id, key_id, model_id, SUMS).
HOURS_USED = f"""
    used as (
        select u.hour, u.project_id, u.key_id, u.model_id, {_ADDED} from billing_usage_hour u
        where u.tenant_id = %(tenant)s and u.hour >= %(since)s and u.hour < %(until)s and {MINE}
            and (%(key)s::bigint is null or u.key_id = %(key)s)
    )
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class DaysUsed:
    """Of whom and of when: days of the time zone, both included. `projects` None: of all of them.

    `only_totals`: the days of `used` need not be right, only their sum. Hours that would move from one of the days to
    another one stay where they are, so that a long time costs little more than its days.
    """

    tenant_id: int
    first: date
    last: date
    time_zone: str
    projects: Collection[int] | None = None
    only_totals: bool = False

    def parameters(self) -> dict[str, Any]:
        """Of a statement with `DAYS_USED`."""
        zone = ZoneInfo(self.time_zone)
        utc_days, days = [], []
        hours, taken_from, added_to = [], [], []
        for utc_day in self._utc_days():
            home = (utc_day + _NOON).astimezone(zone).date()
            if self._has(home):
                utc_days.append(utc_day)
                days.append(home)
            for hour in (utc_day + number * _HOUR for number in range(24)):
                day = hour.astimezone(zone).date()
                if day != home and self._moves(home, day):
                    hours.append(hour)
                    taken_from.append(home)
                    added_to.append(day)
        projects = None if self.projects is None else sorted(self.projects)
        return {
            "tenant": self.tenant_id,
            "projects": projects,
            "first": self.first,
            "last": self.last,
            "days": days,
            "utc_days": utc_days,
            "utc_first": min(utc_days),
            "utc_last": max(utc_days),
            "hours": hours,
            "taken_from": taken_from,
            "added_to": added_to,
        }

    def _utc_days(self) -> list[datetime]:
        """Those of which an hour may be of one of the days."""
        first = datetime(self.first.year, self.first.month, self.first.day, tzinfo=UTC) - _DAY
        return [first + number * _DAY for number in range((self.last - self.first).days + 3)]

    def _moves(self, home: date, day: date) -> bool:
        inside = self._has(home), self._has(day)
        return inside[0] != inside[1] if self.only_totals else any(inside)

    def _has(self, day: date) -> bool:
        return self.first <= day <= self.last
