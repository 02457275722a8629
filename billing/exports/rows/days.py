"""Usage added up by day, project, key and model, day after day of the time zone.

Days that ended long before the cut are the ledger's own hourly sums. For the last ones, which still grow, the records
settled until the cut are added up: the same export gives the same sums. An hour counts to the day in which it begins.
"""

# ruff: noqa: S608  # queries are made of constants of ours

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from django.db import connection

from billing.exports.formats.table import Column, Type, eur
from billing.exports.rows.names import Names
from billing.exports.rows.requests import bounds
from billing.exports.rows.source import SETTLED_WITHIN, Batch, Scope
from billing.pricing import METERS
from models_catalog.models import LanguageModel

_SUMMED = (
    Column("requests", Type.WHOLE, is_summed=True),
    Column("failed_requests", Type.WHOLE, is_summed=True),
    *(Column(f"{meter}_quantity", Type.WHOLE, is_summed=True) for meter in METERS),
    eur("cost_eur"),
    eur("uncharged_eur"),
)
COLUMNS: tuple[Column, ...] = (
    Column("day", Type.DAY),
    Column("project_id", Type.WHOLE),
    Column("project"),
    Column("cost_centre"),
    Column("key_id"),
    Column("key"),
    Column("model"),
    Column("mode"),
    *_SUMMED,
)
_COST = 4 + len(_SUMMED) - 2
_OF_HOURS = [column.name.replace("_eur", "_nano_eur") for column in _SUMMED]
_OF_RECORDS = ["count(*)", "count(*) filter (where http_status >= 400)", *(f"sum({name})" for name in _OF_HOURS[2:])]
_NARROWED = """
    and (%(project)s::bigint is null or project_id = %(project)s) and (%(key)s::bigint is null or key_id = %(key)s)
"""
_AFTER = "(key_id, project_id, model_id, mode) > (%(key_after)s, %(project_after)s, %(model_after)s, %(mode_after)s)"
_FROM_HOURS = f"""
    select key_id, project_id, model_id, mode, {", ".join(f"sum({name})::bigint" for name in _OF_HOURS)}
    from billing_usage_hour
    where tenant_id = %(tenant)s and hour >= %(day_begins)s and hour < %(day_ends)s and {_AFTER} {_NARROWED}
        and (%(model)s = '' or model_id in (select id from models_catalog_languagemodel where name = %(model)s))
    group by 1, 2, 3, 4 order by 1, 2, 3, 4 limit %(size)s
"""
_FROM_RECORDS = f"""
    select key_id, project_id, model_id, mode, {", ".join(f"{figure}::bigint" for figure in _OF_RECORDS)}
    from billing_usage_record
    where tenant_id = %(tenant)s and request_id > %(after)s and request_id < %(before)s and settled_at <= %(cut)s
        and date_trunc('hour', admitted_at, 'UTC') >= %(day_begins)s
        and date_trunc('hour', admitted_at, 'UTC') < %(day_ends)s
        and {_AFTER} {_NARROWED} and (%(model)s = '' or model = %(model)s)
    group by 1, 2, 3, 4 order by 1, 2, 3, 4 limit %(size)s
"""


def read(scope: Scope, cursor: list[Any], size: int) -> Batch:
    """The sums of the next days, or of the next keys of a day that has many."""
    found: list[tuple[Any, ...]] = []
    day, after = (date.fromisoformat(cursor[0]), cursor[1:]) if cursor else (scope.first_day, [])
    last = scope.last_day
    while day <= last and len(found) < size:
        wanted = size - len(found)
        sums = _of_day(scope, day, after, wanted)
        found += [(day, *row) for row in sums]
        day, after = (day, list(sums[-1][:4])) if len(sums) == wanted else (day + timedelta(days=1), [])
    names = Names(scope, ((row[0], row[2], row[1]) for row in found))
    models = dict(LanguageModel.objects.filter(pk__in={row[3] for row in found}).values_list("pk", "name"))
    rows = []
    for used_on, key_id, project_id, model_id, mode, *figures in found:
        project, key = names.project(used_on, project_id), names.key(used_on, key_id)
        rows.append(
            (used_on, project_id, project.name, project.ref, key.ref, key.name, models[model_id], mode, *figures)
        )
    return Batch(
        rows,
        [day.isoformat(), *after] if day <= last else None,
        scope.midnight(min(day, last)),
        sum(row[1 + _COST] for row in found),
    )


def day_bounds(scope: Scope, day: date) -> dict[str, Any]:
    """When a day of the scope begins and ends, and between which ids its records are."""
    begins, ends = scope.midnight(day), scope.midnight(day + timedelta(days=1))
    return {"day_begins": begins, "day_ends": ends} | bounds(replace(scope, since=begins, until=ends))


def _of_day(scope: Scope, day: date, after: list[Any], size: int) -> list[tuple[Any, ...]]:
    bounded = day_bounds(scope, day)
    key_after, project_after, model_after, mode_after = after or (0, 0, 0, "")
    place = {
        "key_after": key_after,
        "project_after": project_after,
        "model_after": model_after,
        "mode_after": mode_after,
        "size": size,
    }
    is_settled = scope.is_final or bounded["day_ends"] + SETTLED_WITHIN <= scope.cut_at
    with connection.cursor() as reader:
        reader.execute(_FROM_HOURS if is_settled else _FROM_RECORDS, scope.parameters() | bounded | place)
        rows: list[tuple[Any, ...]] = reader.fetchall()
    return rows
