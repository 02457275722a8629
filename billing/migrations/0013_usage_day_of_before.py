"""Adds the hourly sums of before up by day, a day a transaction, while charges go on.

A day's sums are made anew from its hours while nobody writes these: whoever did has ended, whoever will waits, for as
long as one day takes. So a charge that the last version of `settle_v1` began would be missing only if it wrote
its hour after that: all calls that were under way when it was replaced are waited for first. Each call of the ledger
holds an advisory lock from its first statement on. Behind a long transaction it gives up, and is run again from the start
(`migrate` does that).
"""

import time

from django.db import migrations, transaction

UNDER_WAY = """
    select virtualtransaction from pg_locks
    where locktype = 'advisory' and pid <> pg_backend_pid() and virtualtransaction not like '%%/0'
        and database = (select oid from pg_database where datname = current_database())
"""
DAYS = "select generate_series(date_trunc('day', min(hour), 'UTC'), now(), interval '1 day') from billing_usage_hour"
# Of each tenant, by its part of the primary key, which begins with the tenant.
TENANTS = """
    create temporary table tenant_with_usage as
    with recursive t as (
        select min(tenant_id) as id from billing_usage_hour
        union all
        select (select min(tenant_id) from billing_usage_hour where tenant_id > t.id) from t where t.id is not null
    )
    select id from t where id is not null
"""
SUMS = (
    "requests", "failed_requests", "input_quantity", "cached_quantity", "output_quantity", "reasoning_quantity",
    "audio_ms_quantity", "documents_quantity", "images_quantity", "cost_nano_eur", "uncharged_nano_eur",
)  # fmt: skip
FILL = f"""
    insert into billing_usage_day (day, tenant_id, project_id, model_id, mode, {", ".join(SUMS)})
    select %(day)s, t.id, u.project_id, u.model_id, u.mode, {", ".join(f"sum(u.{name})" for name in SUMS)}
    from tenant_with_usage t cross join lateral (
        select * from billing_usage_hour
        where tenant_id = t.id and hour >= %(day)s and hour < %(day)s + interval '1 day' offset 0
    ) u group by 2, 3, 4, 5 order by 2, 3, 4, 5
    on conflict (tenant_id, day, project_id, model_id, mode) do update set
        {", ".join(f"{name} = excluded.{name}" for name in SUMS)}
"""  # noqa: S608  # names of ours


def fill(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        _await_calls_under_way(cursor)
        cursor.execute(f"drop table if exists tenant_with_usage; {TENANTS}")
        cursor.execute(DAYS)
        for (day,) in cursor.fetchall():
            _fill_day(cursor, day)
        cursor.execute("drop table tenant_with_usage; analyze billing_usage_day")


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
        cursor.execute("lock table billing_usage_hour in share mode")
        cursor.execute(FILL, {"day": day})


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("billing", "0012_usage_day")]
    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
