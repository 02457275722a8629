"""What the page of usage is asked, by its address. What makes no sense in it is as if it were not there."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from django.http import QueryDict
from django.utils.translation import gettext_lazy

from billing.usage.records import Filters, Grouping, Reader, reader_of_member
from billing.usage.span import Days, Hours, Span, month_of_days
from billing.usage.table import Measure
from identity import access
from identity.access import Caller
from identity.errors import NotFound
from identity.models import ApiKey, Project
from identity.permissions import Permission

SPANS = {
    "1": gettext_lazy("24 hours"),
    "7": gettext_lazy("7 days"),
    "30": gettext_lazy("30 days"),
    "90": gettext_lazy("90 days"),
}
USUAL_SPAN = "30"
PROJECTS_SHOWN = 200  # more are chosen on their own pages
_HOURS = 24
_MONTHS_BACK = 12
_MONTH = re.compile(r"(20[2-9][0-9])-(0[1-9]|1[0-2])")
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Asked:
    """A time, by what to add up, and which figure to draw."""

    span: str
    by: Grouping
    measure: Measure
    time: Span
    before: Span

    @classmethod
    def of(cls, query: QueryDict, *, now: datetime, today: date, time_zone: str) -> "Asked":
        """From the address. `span` is a number of days up to today, the last 24 hours, or a month of the time zone."""
        span = query.get("span", USUAL_SPAN)
        by, measure = query.get("by", ""), query.get("measure", "")
        time: Span
        if named := _MONTH.fullmatch(span):
            time = month = _month(date(int(named[1]), int(named[2]), 1), today, time_zone)
            before: Span = _month_before(month)
        else:
            span = span if span in SPANS else USUAL_SPAN
            time = _hours(now) if span == "1" else Days(today - (int(span) - 1) * _DAY, today, time_zone)
            before = time.before()
        return cls(
            span,
            Grouping(by) if by in tuple(Grouping) else Grouping.MODEL,
            Measure(measure) if measure in tuple(Measure) else Measure.COST,
            time,
            before,
        )

    @property
    def whole_month(self) -> Days:
        """All days of the month, those to come too. Only where it is one."""
        assert isinstance(self.time, Days)
        return month_of_days(self.time.first, self.time.time_zone)

    @property
    def is_month(self) -> bool:
        """Whether it is a month, whole or so far."""
        return self.span not in SPANS

    @property
    def is_hourly(self) -> bool:
        """Whether its bars are hours."""
        return isinstance(self.time, Hours)


@dataclass(frozen=True, slots=True)
class Narrowed:
    """What of the caller's usage is looked at; None: all of it. `projects` are those that can be chosen."""

    reader: Reader
    model: str
    project: Project | None
    key: ApiKey | None
    projects: Sequence[Project]

    @classmethod
    def of(cls, query: QueryDict, caller: Caller) -> "Narrowed":
        """From the address; only what the caller may see narrows. Raises `Forbidden`."""
        reader = reader_of_member(caller)
        projects = list(access.projects_for(caller)[:PROJECTS_SHOWN])
        project = _project(caller, query.get("project", ""), projects)
        key = _key(caller, query.get("key", ""))
        if project is not None:
            reader = replace(reader, project_ids=frozenset({project.pk}))
        if key is not None:
            reader = replace(reader, key_id=key.pk)
        return cls(reader, query.get("model", "")[:200], project, key, projects)

    @property
    def choices(self) -> Sequence[Project]:
        """Of projects, the one that is chosen among them."""
        more = [self.project] if self.project and self.project not in self.projects else []
        return [*self.projects, *more]

    @property
    def is_narrow(self) -> bool:
        """Whether it is less than all of it."""
        return bool(self.model or self.project or self.key)

    def filters(self, time: Span) -> Filters:
        """The same for lists of records and for files."""
        since, until = time.bounds()
        project_id = self.project.pk if self.project else None
        return Filters(since=since, until=until, model=self.model, project_id=project_id)


def months_until(today: date) -> list[date]:
    """The first days of the months that can be chosen, the newest first."""
    first, months = today.replace(day=1), []
    for _number in range(_MONTHS_BACK):
        months.append(first)
        first = (first - _DAY).replace(day=1)
    return months


def _month(first: date, today: date, time_zone: str) -> Days:
    month = month_of_days(first, time_zone)
    return replace(month, last=min(month.last, max(today, first)))


def _month_before(month: Days) -> Days:
    """The whole month before; of a month that goes on, as many days of it."""
    before = month_of_days((month.first - _DAY).replace(day=1), month.time_zone)
    is_over = (month.last + _DAY).day == 1
    return before if is_over else replace(before, last=min(before.last, before.first + (month.last - month.first)))


def _hours(now: datetime) -> Hours:
    this = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return Hours(this - timedelta(hours=_HOURS - 1), _HOURS)


def _project(caller: Caller, text: str, projects: Sequence[Project]) -> Project | None:
    if not text.isdecimal() or len(text) > 18:
        return None
    shown = next((one for one in projects if one.pk == int(text)), None)
    return shown or access.projects_for(caller).filter(pk=int(text)).first()


def _key(caller: Caller, lookup: str) -> ApiKey | None:
    try:
        return access.key_for(caller, lookup, Permission.USAGE_READ) if lookup else None
    except NotFound:
        return None
