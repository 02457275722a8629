"""What an export of many requests takes: `python -m bench.exports [ROWS ...]` (100,000 and 1,000,000 unless told
otherwise), on a PostgreSQL of its own.

Each file is written in a process of its own, which tells its highest memory: it is to be the same for ten times the
rows. All requests are of one tenant and of one month.
"""

import resource
import subprocess
import sys
import time
from pathlib import Path

import django
import msgspec
import psycopg

ROOT = Path(__file__).resolve().parent.parent
FORMATS = ("csv", "jsonl", "xlsx", "parquet")
_RECORDS = """
    insert into billing_usage_record
    select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(h, 1, 3)
            || '8' || substr(h, 4, 15))::uuid,
        null, k.tenant_id, k.project_id, k.id, null, m.id, m.name, m.name, 'pool', 'replica-' || n %% 8, 'node-1', '',
        '/v1/chat/completions', 'api', 'standard', 1, p.id, prompt, 0, answer, 0, 0, 0, 0,
        prompt * 150, 0, answer * 600, 0, 0, 0, 0, prompt * 150 + answer * 600, 0, null, 'completed', 200, 'stop',
        n %% 2 = 0, null, 1024, '', '', 100, 2000, at, at + interval '2 seconds'
    from (
        select n, md5(n::text || %(key)s::text) as h,
            '2025-10-01T00:00Z'::timestamptz + n * interval '29 days' / %(rows)s as at,
            300 + n %% 5000 as prompt, 50 + n %% 700 as answer
        from generate_series(%(first)s::int, %(last)s) n
    ) x
    cross join (select id, tenant_id, project_id from identity_apikey where id = %(key)s) k
    cross join (select id, name from models_catalog_languagemodel where id = %(model)s) m
    cross join (select id from billing_priceversion where id = %(price)s) p
"""
_BATCH = 250_000


class Took(msgspec.Struct):
    """What one file took. `rss`: the highest memory in MB."""

    seconds: float
    rss_mb: float
    size_mb: float
    stored_mb: float
    rows: int


def main(counts: list[int]) -> None:
    """Measure, print the table."""
    from tests.support.servers import servers

    servers.start_database()
    django.setup()
    _say(
        "| rows | file | s | rows/s | highest memory, MB | file, MB | stored, MB |\n|---:|---|---:|---:|---:|---:|---:|"
    )
    for count in counts:
        tenant_id = _filled(servers.environment()["DATABASE_OWNER_URL"], count)
        for file_format in FORMATS:
            took = _written(tenant_id, file_format)
            if took.rows != count:
                raise SystemExit(f"{took.rows:,} rows of {count:,}")
            _say(
                f"| {count:,} | {file_format} | {took.seconds:.1f} | {took.rows / took.seconds:,.0f} |"
                f" {took.rss_mb:.0f} | {took.size_mb:.1f} | {took.stored_mb:.1f} |"
            )


def write(tenant_id: int, file_format: str) -> None:
    """Write one file and print what it took: in a process of its own."""
    django.setup()
    from datetime import date

    from billing.exports.exports import Wanted, ask_export
    from billing.exports.run import take_export, write_slice
    from billing.models import Export
    from identity.access import Caller
    from identity.models import Tenant

    tenant = Tenant.objects.get(pk=tenant_id)
    kind, days = Export.Kind.REQUESTS, (date(2025, 10, 1), date(2025, 10, 31))
    export = ask_export(by=Caller.system("bench", tenant), wanted=Wanted(kind, Export.Format(file_format), *days))
    began = time.monotonic()
    taken = take_export(export.public_id)
    assert taken is not None
    write_slice(taken, time.monotonic() + 3_600)
    seconds = time.monotonic() - began
    export.refresh_from_db()
    rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    took = Took(seconds, rss_mb, export.size_bytes / 1e6, export.stored_bytes / 1e6, export.rows)
    sys.stdout.write(msgspec.json.encode(took).decode())


def _written(tenant_id: int, file_format: str) -> Took:
    command = [sys.executable, "-m", "bench.exports", "--write", str(tenant_id), file_format]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr.decode()[-4000:])
    return msgspec.json.decode(done.stdout, type=Took)


def _filled(owner_url: str, count: int) -> int:
    from tests.support.ledger import make_house

    house = make_house(time_zone="UTC")
    values = {"rows": count, "key": house.key().row.pk, "model": house.model.pk, "price": house.price_version.pk}
    with psycopg.connect(owner_url, autocommit=True) as owner:
        for first in range(0, count, _BATCH):
            last = min(first + _BATCH, count) - 1
            owner.execute(_RECORDS, values | {"first": first, "last": last})
        owner.execute("vacuum analyze billing_usage_record")
    return house.tenant.pk


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        write(int(sys.argv[2]), sys.argv[3])
    else:
        main([int(argument.replace(",", "")) for argument in sys.argv[1:]] or [100_000, 1_000_000])
