"""Records of one model, project or label among very many others: the hourly sums say in which hours there are any.

By the index of all of a tenant's records, a page of what is rare reads the whole month; an index a model and project
would make every charge dearer. The sums are there already, and a page needs at most as many hours as it has lines.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Sum

from billing.models import UsageRecord
from billing.usage import labels
from billing.usage.records import ID_MARGIN, Filters, Reader, hours_found, id_made_at, lowest_request_id

_HOUR, _MILLISECOND = timedelta(hours=1), timedelta(milliseconds=1)
_RECORDS = """
    select r.* from unnest(%(hours)s::timestamptz[], %(lows)s::uuid[], %(highs)s::uuid[]) h (hour, low, high)
    cross join lateral (
        select u.* from billing_usage_record u
        where u.tenant_id = %(tenant)s and u.request_id >= h.low and u.request_id < least(h.high, %(below)s)
            and u.admitted_at >= greatest(h.hour, %(since)s)
            and u.admitted_at < least(h.hour + interval '1 hour', %(until)s)
            and (%(model)s = '' or u.model = %(model)s)
            and (%(label)s = '' or u.label = %(label)s)
            and (%(projects)s::bigint[] is null or u.project_id = any(%(projects)s))
        offset 0
    ) r order by r.request_id desc limit %(size)s
"""


def are_rare(reader: Reader, filters: Filters) -> bool:
    """Whether that is what is looked for: a model, project or label, and nothing that has an index of its own."""
    has_index = reader.key_id or filters.key_id or filters.status or filters.is_trouble or filters.request_id
    narrows = filters.model or filters.label or filters.project_id or reader.project_ids is not None
    return bool(narrows) and not has_index


def rare_records(reader: Reader, filters: Filters, *, below: UUID | None, size: int) -> list[UsageRecord]:
    """At most `size` records, the newest first, with ids below `below`."""
    hours = _hours(reader, filters, below, size)
    if not hours:
        return []
    projects = None if reader.project_ids is None else set(reader.project_ids)
    if filters.project_id:
        projects = {filters.project_id} if projects is None else projects & {filters.project_id}
    parameters = {
        "hours": hours,
        "lows": [lowest_request_id(hour - ID_MARGIN) for hour in hours],
        "highs": [lowest_request_id(hour + _HOUR + ID_MARGIN) for hour in hours],
        "tenant": reader.tenant_id,
        "below": below or UUID(int=2**128 - 1),
        "since": filters.since or "-infinity",
        "until": filters.until or "infinity",
        "model": filters.model,
        "label": filters.label,
        "projects": None if projects is None else sorted(projects),
        "size": size,
    }
    return list(UsageRecord.objects.raw(_RECORDS, parameters))


def _hours(reader: Reader, filters: Filters, below: UUID | None, size: int) -> list[datetime]:
    """The newest hours (UTC) in which enough such requests were admitted.

    An id is made before its request is admitted, at most `ID_MARGIN` before: hours so near to `below` may have nothing
    left, and of two hours so near to each other the older one may hold the newer id.
    """
    if below is not None:
        last = id_made_at(below) + ID_MARGIN + _MILLISECOND
        filters = replace(filters, until=min(filters.until or last, last))
    most = size + 2 + 2 * (ID_MARGIN // _HOUR)
    if filters.label:
        busy = labels.busy_hours(reader, filters, most=most)
    else:
        found = hours_found(reader, filters).values_list("hour")
        busy = list(found.annotate(total=Sum("requests")).order_by("-hour")[:most])
    hours: list[datetime] = []
    enough, total = None, 0
    for hour, requests in busy:
        if enough is not None and hour < enough - ID_MARGIN:
            break
        hours.append(hour)
        if below is None or hour + _HOUR + ID_MARGIN <= id_made_at(below):
            total += requests
        if enough is None and total >= size:
            enough = hour
    return hours
