"""Adds what was labelled before up by hour and label, a day a transaction, while charges go on.

A day's sums are made of its records while nobody writes sums: whoever did has ended, whoever will waits, for as long as
one day takes. So a charge that the last version of `settle_v1` began would be missing only if it wrote its record after
that: all calls that were under way when it was replaced are waited for first. Each call of the ledger holds an advisory
lock from its first statement on. Behind a long transaction it gives up, and is run again from the start (`migrate`
does that).
"""

import time

from django.db import migrations, transaction

UNDER_WAY = """
    select virtualtransaction from pg_locks
    where locktype = 'advisory' and pid <> pg_backend_pid() and virtualtransaction not like '%%/0'
        and database = (select oid from pg_database where datname = current_database())
"""
DAYS = "select generate_series(date_trunc('day', min(hour), 'UTC'), now(), interval '1 day') from billing_usage_hour"
# The ids of a day's records, which are made an hour before their admission at most (UUIDv7: RFC 9562, 5.7).
ID = "rpad(lpad(to_hex(greatest((extract(epoch from {at}) * 1000)::bigint, 0)), 12, '0'), 32, '0')::uuid"
FIRST = ID.format(at="%(day)s - interval '1 hour'")
LAST = ID.format(at="%(day)s + interval '25 hours'")
SUMS = ("requests", "failed_requests", "input_tokens", "output_tokens", "cost_nano_eur")
FILL = f"""
    insert into billing_usage_label (hour, tenant_id, project_id, model_id, label, {", ".join(SUMS)})
    select date_trunc('hour', admitted_at, 'UTC'), tenant_id, project_id, model_id, label, count(*),
        count(*) filter (where http_status >= 400), sum(input_quantity + cached_quantity),
        sum(output_quantity + reasoning_quantity), sum(cost_nano_eur)
    from billing_usage_record
    where request_id >= {FIRST} and request_id < {LAST} and label <> ''
        and admitted_at >= %(day)s and admitted_at < %(day)s + interval '1 day'
    group by 1, 2, 3, 4, 5 order by 2, 1, 3, 4, 5
    on conflict (tenant_id, hour, project_id, model_id, label) do update set
        {", ".join(f"{name} = excluded.{name}" for name in SUMS)}
"""  # noqa: S608  # names of ours


def fill(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        _await_calls_under_way(cursor)
        cursor.execute(DAYS)
        for (day,) in cursor.fetchall():
            _fill_day(cursor, day)
        cursor.execute("analyze billing_usage_label")


def _await_calls_under_way(cursor):
    time.sleep(1)  # between the call of a function and its first statement
    cursor.execute(UNDER_WAY)
    waited_for = {row[0] for row in cursor.fetchall()}
    while waited_for:
        time.sleep(0.1)
        cursor.execute(UNDER_WAY)
        waited_for &= {row[0] for row in cursor.fetchall()}


def _fill_day(cursor, day):
    with transaction.atomic(using=cursor.db.alias):
        cursor.execute("lock table billing_usage_label in share mode")
        cursor.execute(FILL, {"day": day})


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("billing", "0025_usage_label")]
    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
