"""What the database tells of the ledger, the pools and the house. Reads only, in one snapshot and in bounded time."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
from django.db import connection, transaction

from gateway.metrics.families import FAMILIES
from gateway.pools.fleet.reading import wanted_of
from gateway.pools.health import last_reconciliation
from gateway.pools.models import Pool, Reconciliation, Replica
from gateway.relay.counts import Series
from identity.models import JobRun

# Prometheus gives up after ten seconds: then even what is known without the database would be lost.
CONNECT_SECONDS = 2
STATEMENT_MS = 2_000
SILENT_SECONDS = 20  # as gateways' `silent_s` (I2)

_HOLDS = """
    select count(*), coalesce(sum(h.amount_nano_eur), 0),
        coalesce(extract(epoch from now() - min(h.admitted_at)) * 1000, 0)::bigint,
        count(*) filter (where i.id is null)
    from billing_hold h
    left join billing_incarnation i
        on i.id = h.incarnation and i.fenced_at is null and i.heartbeat_at > now() - make_interval(secs => %s)
"""
_INCARNATIONS = """
    select count(*) from billing_incarnation
    where fenced_at is null and heartbeat_at > now() - make_interval(secs => %s)
"""
_CHECK = """
    select differences, (extract(epoch from ended_at) * 1000)::bigint from billing_ledgercheck
    where ended_at is not null order by began_at desc limit 1
"""
_REPLICAS = """
    select p.name, m.name, r.state, count(r.id) from pools_pool p
    join models_catalog_languagemodel m on m.id = p.model_id
    left join pools_replica r on r.pool_id = p.id
    group by 1, 2, 3
"""
_SAMPLES = """
    select p.name, r.name, s.running, s.waiting, s.kv_cache_usage, (extract(epoch from s.at) * 1000)::bigint
    from pools_replica r join pools_pool p on p.id = r.pool_id
    cross join lateral (
        select * from pools_enginesample where pool = p.name and replica = r.name and at > now() - interval '5 minutes'
        order by at desc limit 1
    ) s
"""
_PROBES = """
    select m.name, l.outcome = 'answered', l.first_token_ms, (extract(epoch from l.minute) * 1000)::bigint,
        m.target_first_token_ms
    from models_catalog_languagemodel m
    left join lateral (
        select outcome, first_token_ms, minute from pools_modelprobe
        where model_id = m.id and minute > now() - interval '10 minutes' and outcome <> '' order by minute desc limit 1
    ) l on true
    where m.published_at is not null and (m.retired_on is null or m.retired_on > current_date)
"""
_CERTIFICATES = """
    select used_for, (extract(epoch from min(ends_at)) * 1000)::bigint from identity_certificate
    where ends_at is not null group by 1
"""
_BACKUP = "select (extract(epoch from max(made_at)) * 1000)::bigint from identity_backup"


def database_answers() -> bool:
    """Whether a new connection is served in `CONNECT_SECONDS`: one of Django's pool would be waited for longer."""
    parameters = connection.get_connection_params() | {"connect_timeout": CONNECT_SECONDS}
    try:
        psycopg.connect(**parameters).close()
    except psycopg.Error:
        return False
    return True


def database_figures() -> list[Series]:
    """All of them. Raises `DatabaseError` where one takes longer than `STATEMENT_MS`."""
    parts: tuple[Callable[[], Iterator[Series]], ...] = (_ledger, _pools, _probes, _house)
    with transaction.atomic():
        _rows("set transaction isolation level repeatable read read only")
        _rows(f"set local statement_timeout = {STATEMENT_MS}")
        return [series for part in parts for series in part()]


def _ledger() -> Iterator[Series]:
    [(holds, held, oldest, orphaned)] = _rows(_HOLDS, SILENT_SECONDS)
    yield from _plain(
        beffroi_ledger_holds=holds,
        beffroi_ledger_held_euros=int(held),
        beffroi_ledger_oldest_hold_age_seconds=oldest,
        beffroi_ledger_orphaned_holds=orphaned,
        beffroi_ledger_live_incarnations=_rows(_INCARNATIONS, SILENT_SECONDS)[0][0],
    )
    for differences, ended in _rows(_CHECK):
        yield from _plain(beffroi_ledger_check_differences=differences, beffroi_ledger_check_timestamp_seconds=ended)
    last = last_reconciliation()
    if last is None:
        return
    yield from _plain(beffroi_reconciliation_end_timestamp_seconds=round(last.ends_at.timestamp() * 1000))
    for pool in Reconciliation.objects.filter(ends_at=last.ends_at).values_list("pool", flat=True):
        yield Series("beffroi_reconciliation_differs", (pool,), pool in last.unexplained)


def _pools() -> Iterator[Series]:
    """Each state of each pool, those included that no replica is in: a series that is missing alerts nobody."""
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for pool, model, state, count in _rows(_REPLICAS):
        counts.setdefault((pool, model), dict.fromkeys(Replica.State.values, 0))[state or Replica.State.READY] = count
    for (pool, model), states in sorted(counts.items()):
        for state, count in states.items():
            yield Series("beffroi_pool_replicas", (pool, model, state), count)
    for managed in Pool.objects.exclude(policy=Pool.Policy.UNMANAGED).select_related("model").order_by("name"):
        labels = (managed.name, managed.model.name, "true" if managed.wakes else "false")
        yield Series("beffroi_pool_wanted_replicas", labels, wanted_of(managed))
    for pool, replica, running, waiting, kv_cache_usage, at in _rows(_SAMPLES):
        figures = {
            "beffroi_engine_requests_running": running,
            "beffroi_engine_requests_waiting": waiting,
            "beffroi_engine_kv_cache_usage_ratio": kv_cache_usage,
            "beffroi_engine_sample_timestamp_seconds": at,
        }
        yield from (Series(name, (pool, replica), value) for name, value in figures.items() if value is not None)


def _probes() -> Iterator[Series]:
    for model, is_answered, first_token_ms, minute, target_ms in _rows(_PROBES):
        figures = {
            "beffroi_probe_success": is_answered,
            "beffroi_probe_first_token_seconds": first_token_ms,
            "beffroi_probe_timestamp_seconds": minute,
            "beffroi_model_target_first_token_seconds": target_ms,
        }
        yield from (Series(name, (model,), value) for name, value in figures.items() if value is not None)


def _house() -> Iterator[Series]:
    for run in JobRun.objects.all():
        yield Series("beffroi_job_failing", (run.name,), run.is_failing)
        if run.went_well_at is not None:
            at = round(run.went_well_at.timestamp() * 1000)
            yield Series("beffroi_job_success_timestamp_seconds", (run.name,), at)
    for used_for, ends in _rows(_CERTIFICATES):
        yield Series("beffroi_certificate_end_timestamp_seconds", (used_for,), ends)
    [(made,)] = _rows(_BACKUP)
    if made is not None:
        yield from _plain(beffroi_backup_timestamp_seconds=made)


def _plain(**figures: float) -> Iterator[Series]:
    """Those that have no labels."""
    assert figures.keys() <= FAMILIES.keys()
    return (Series(name, (), value) for name, value in figures.items())


def _rows(query: str, *parameters: int) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchall() if cursor.description else []
