"""Ten million usage records in an installation of the bench, and what they cost whoever holds, charges and reads.

The records are those of the last three months, of a thousand tenants of which the largest has a tenth of all. One in a
hundred of them is written and measured first: pages are as long then, and everything else is as it will be.
"""

import http.client
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec
import psycopg
from psycopg.sql import SQL, Identifier, Literal

from bench.commits import Took
from bench.machine import Cores, on
from bench.population import Population
from bench.rivals import Target

ROWS = 10_000_000
BATCH = 500_000
DAYS = 90
TENANTS = 1_000
REFUSAL_COUNTS = 1_000_000
ASKED = 20  # times each page
_RECORDS = """
    insert into billing_usage_record
    select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(h, 1, 3)
            || '8' || substr(h, 4, 15))::uuid,
        null, k.tenant_id, k.project_id, k.id, null, m.id, m.name, m.name, 'pool', 'replica-' || n %% 8, 'node-1', '',
        '/v1/chat/completions', 'api', 'standard', 1, 1, prompt, 0, answer, 0, 0, 0, 0,
        prompt * 150, 0, answer * 600, 0, 0, 0, 0, prompt * 150 + answer * 600, 0, null,
        case when n %% 100 = 0 then 'client_left' else 'completed' end, 200, 'stop', n %% 2 = 0, null, 1024, '', '',
        100, 2000, at, at + interval '2 seconds'
    from (
        select n, md5(n::text) as h, %(from)s::timestamptz + n * %(step)s::interval as at,
            floor(%(tenants)s * power(random(), 3))::int as place, floor(random() * 2)::int as which,
            300 + n %% 5000 as prompt, 50 + n %% 700 as answer
        from generate_series(%(first)s::int, %(last)s) n where (n %% 100 = 0) = %(sample)s
    ) x
    join bench_keys k on k.place = x.place and k.which = x.which
    cross join (select id, name from models_catalog_languagemodel order by id limit 1) m
"""
_KEYS = """
    create unlogged table bench_keys as
    select dense_rank() over (order by t.id)::int - 1 as place, k.which::int, k.id, k.tenant_id, k.project_id
    from identity_tenant t join lateral (
        select row_number() over (order by id) - 1 as which, id, tenant_id, project_id from identity_apikey
        where tenant_id = t.id order by id limit 2
    ) k on true where t.slug like 'bench-%'
"""
_HOURS = """
    insert into billing_usage_hour
    select date_trunc('hour', admitted_at, 'UTC'), tenant_id, project_id, key_id, model_id, mode, count(*), 0,
        sum(input_quantity), 0, sum(output_quantity), 0, 0, 0, 0, sum(cost_nano_eur), 0
    from billing_usage_record group by 1, 2, 3, 4, 5, 6 on conflict do nothing
"""
_DAYS = """
    insert into billing_usage_day
    select date_trunc('day', hour, 'UTC'), tenant_id, project_id, model_id, mode, sum(requests), 0,
        sum(input_quantity), 0, sum(output_quantity), 0, 0, 0, 0, sum(cost_nano_eur), 0
    from billing_usage_hour group by 1, 2, 3, 4, 5 on conflict do nothing
"""
_COUNTS = """
    insert into billing_refusal_count (minute, tenant_id, project_id, key_id, code, refusals)
    select date_trunc('minute', %(from)s::timestamptz + random() * interval '90 days', 'UTC'), k.tenant_id,
        k.project_id, k.id, 'rate_limit_exceeded', 3
    from generate_series(1, %(count)s) n
    join bench_keys k on k.place = floor(%(tenants)s * power((n %% 1000) / 1000.0, 3))::int
    where k.which = 0 on conflict do nothing
"""
_SIZES = """
    select 'table', sum(pg_relation_size(inhrelid)) from pg_inherits
        where inhparent = 'billing_usage_record'::regclass
    union all
    select p.relname, sum(pg_relation_size(x.indexrelid)) from pg_inherits i
    join pg_index x on x.indrelid = i.inhrelid join pg_inherits xi on xi.inhrelid = x.indexrelid
    join pg_class p on p.oid = xi.inhparent where i.inhparent = 'billing_usage_record'::regclass group by 1
    union all select 'billing_usage_hour, all in', pg_total_relation_size('billing_usage_hour')
    union all select 'billing_refusal_count, all in', pg_total_relation_size('billing_refusal_count')
"""


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: bytes
    seconds: float


def ask(port: int, path: str, key: str) -> Answer:
    """GET a page as a client does."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    began = time.perf_counter()
    try:
        connection.request("GET", path, headers={"authorization": f"Bearer {key}"})
        answer = connection.getresponse()
        body = answer.read()
        return Answer(answer.status, body, time.perf_counter() - began)
    finally:
        connection.close()


def measure(
    people: Population,
    target: Target,
    environment: Mapping[str, str],
    where: Cores,
    price: Callable[[], tuple[float, float]],
) -> None:
    """Write a hundredth, measure, write the rest, measure again."""
    reader = _reader_of_largest(people)
    fill(people, is_sample=True)
    few = _figures(target, reader, environment, where, price)
    began = time.monotonic()
    fill(people, is_sample=False)
    filled_s = time.monotonic() - began
    vacuumed_s = _vacuum(people.url)
    many = _figures(target, reader, environment, where, price)
    _say(f"\n| | {ROWS // 100:,} records | {ROWS:,} |\n|---|---:|---:|")
    for name, figure in many.items():
        _say(f"| {name} | {few[name]:.2f} | {figure:.2f} |")
    _say(f"\nWritten in {filled_s:.0f} s; the first VACUUM (freeze, analyze) took {vacuumed_s:.0f} s.\n")
    with psycopg.connect(people.url) as owner:
        for name, size in owner.execute(_SIZES):
            _say(f"- {name}: {int(size) / 1e9:.2f} GB, {int(size) / ROWS:.0f} bytes a record")


def fill(people: Population, *, is_sample: bool) -> None:
    """Write one record in a hundred, or the ninety-nine others."""
    start = datetime.now(UTC) - timedelta(days=DAYS)
    values = {"from": start, "step": timedelta(days=DAYS) / ROWS, "tenants": min(TENANTS, people.tenants)}
    with psycopg.connect(people.url, autocommit=True) as owner:
        owner.execute("set synchronous_commit = off")
        _make_partitions(owner, start)
        owner.execute(_KEYS)
        for first in range(0, ROWS, BATCH):
            owner.execute(_RECORDS, values | {"sample": is_sample, "first": first, "last": first + BATCH - 1})
        owner.execute("delete from billing_usage_hour")
        owner.execute(_HOURS)
        owner.execute("delete from billing_usage_day")
        owner.execute(_DAYS)
        owner.execute(_COUNTS, values | {"count": REFUSAL_COUNTS // 100 if is_sample else REFUSAL_COUNTS})
        owner.execute("drop table bench_keys")


def _make_partitions(owner: psycopg.Connection[Any], start: datetime) -> None:
    """Those of the months before the installation was made."""
    month = start.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    now = datetime.now(UTC)
    while (month.year, month.month) < (now.year, now.month):
        following = (month + timedelta(days=32)).replace(day=1)
        name = Identifier(f"billing_usage_record_{month:%Y_%m}")
        bounds = [Literal(f"{int(at.timestamp() * 1000):012x}".ljust(32, "0")) for at in (month, following)]
        statement = SQL("create table if not exists {} partition of billing_usage_record for values from ({}) to ({})")
        owner.execute(statement.format(name, *bounds))
        month = following


def _vacuum(url: str) -> float:
    began = time.monotonic()
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("vacuum (freeze, analyze) billing_usage_record")
        owner.execute("vacuum analyze billing_usage_hour, billing_usage_day")
        owner.execute("vacuum analyze billing_refusal_count")
    return time.monotonic() - began


def _figures(
    target: Target,
    key: str,
    environment: Mapping[str, str],
    where: Cores,
    price: Callable[[], tuple[float, float]],
) -> dict[str, float]:
    gateway, postgres = price()
    with on(where.gateway):
        done = subprocess.run(
            [sys.executable, "-m", "bench.commits", "300"], capture_output=True, env=dict(environment), check=True
        )
    took = msgspec.json.decode(done.stdout, type=Took)
    figures = {
        "gateway: CPU µs a request": gateway,
        "PostgreSQL: CPU µs a request": postgres,
        "hold, ms": took.admit,
        "charge, ms": took.settle,
    }
    return figures | {f"`{path}`, ms": _page_ms(target.port, path, key) for path in _paths()}


def _paths() -> list[str]:
    month = {"from": (datetime.now(UTC) - timedelta(days=30)).strftime("%Y-%m-%dT00:00:00Z")}
    return [
        "/api/usage/records",
        f"/api/usage/records?{urlencode(month | {'status': 'client_left'})}",
        f"/api/usage/records?{urlencode(month | {'status': 'engine_died'})}",  # there is none
        f"/api/usage/summary?{urlencode(month | {'by': 'model', 'interval': 'day'})}",
        f"/api/usage/summary?{urlencode(month | {'by': 'key', 'interval': 'all'})}",
        f"/api/usage/refusals/counts?{urlencode(month)}",
        "/api/budgets",
    ]


def _page_ms(port: int, path: str, key: str) -> float:
    """The median of some answers."""
    answers = [ask(port, path, key) for _ in range(ASKED)]
    assert {answer.status for answer in answers} == {200}, (path, answers[0])
    return 1000 * statistics.median(answer.seconds for answer in answers)


def _reader_of_largest(people: Population) -> str:
    """A key that reads the usage of the tenant which has most of it."""
    [text] = people.live_keys(1)
    with psycopg.connect(people.url) as owner:
        owner.execute(
            "update identity_apikey k set scopes = array['inference', 'usage:read:tenant'],"
            " tenant_id = p.tenant_id, project_id = p.id"
            " from identity_project p join identity_tenant t on t.id = p.tenant_id"
            " where t.slug = 'bench-1' and k.lookup = %s",
            [text[4:14]],
        )
    return text


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201
