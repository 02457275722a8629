"""What was used by label: what a client calls its requests in its own books (header `x-beffroi-label`)."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connection

from billing.usage.overview import Totals
from billing.usage.records import Filters, Reader

LABELS_MAX = 50
_WANTED = """
    tenant_id = %(tenant)s and hour >= %(since)s and hour < %(until)s
    and (%(projects)s::bigint[] is null or project_id = any(%(projects)s))
    and (%(model)s = '' or model_id in (select id from models_catalog_languagemodel where name = %(model)s))
"""
_BY_LABEL = f"""
    with l as (
        select label, sum(requests)::bigint as requests, sum(failed_requests)::bigint as failed,
            sum(cost_nano_eur)::bigint as cost, sum(input_tokens)::bigint as tokens_in,
            sum(output_tokens)::bigint as tokens_out
        from billing_usage_label where {_WANTED} group by 1
    ), ranked as (
        select l.*, row_number() over (order by cost desc, requests desc, label) <= %(most)s as is_named from l
    )
    select case when is_named then label end, sum(requests)::bigint, sum(failed)::bigint, sum(cost)::bigint,
        sum(tokens_in)::bigint, sum(tokens_out)::bigint
    from ranked group by is_named, case when is_named then label end
    order by is_named desc, 4 desc, 2 desc, 1
"""  # noqa: S608  # constants of ours
# Of each hour (UTC), the newest first.
_HOURS = f"""
    select hour, sum(requests)::bigint from billing_usage_label
    where {_WANTED} and label = %(label)s group by 1 order by 1 desc limit %(most)s
"""  # noqa: S608  # constants of ours


@dataclass(frozen=True, slots=True)
class LabelTotals:
    """What was used under a label; None: under the labels that are not named, together."""

    label: str | None
    totals: Totals


def usage_by_label(reader: Reader, filters: Filters, *, most: int = LABELS_MAX) -> list[LabelTotals]:
    """The dearest labels, then the others together; empty where nothing was labelled. One query.

    Of the whole hours (UTC) that begin in the filters' time, of their model and project. The sums know no key: the
    reader's and the filters' must be None.
    """
    with connection.cursor() as cursor:
        cursor.execute(_BY_LABEL, _parameters(reader, filters) | {"most": most})
        return [LabelTotals(label, Totals(*figures)) for label, *figures in cursor.fetchall()]


def busy_hours(reader: Reader, filters: Filters, *, most: int) -> list[tuple[datetime, int]]:
    """The newest hours (UTC) of the filters' time with requests of their label, and how many. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_HOURS, _parameters(reader, filters) | {"label": filters.label, "most": most})
        rows: list[tuple[datetime, int]] = cursor.fetchall()
    return rows


def _parameters(reader: Reader, filters: Filters) -> dict[str, Any]:
    assert reader.key_id is None
    assert filters.key_id is None
    projects = None if reader.project_ids is None else set(reader.project_ids)
    if filters.project_id:
        projects = {filters.project_id} if projects is None else projects & {filters.project_id}
    since = filters.since and filters.since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return {
        "tenant": reader.tenant_id,
        "since": since or "-infinity",
        "until": filters.until or "infinity",
        "projects": None if projects is None else sorted(projects),
        "model": filters.model,
    }
