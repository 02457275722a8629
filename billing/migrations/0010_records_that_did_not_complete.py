"""What went wrong is looked for by status, and is one record in a hundred: by the index of all of a tenant's records, a
large tenant's page of them reads the whole month. One of these alone costs no completed request anything.

PostgreSQL builds no index of a partitioned table concurrently: so one a partition, each then attached. What a try that
failed has made is found and gone on with; what it left half-built was dropped before (`migrate` does that).
"""

from django.db import migrations

INDEX = "usage_record_not_completed"
WHAT = "(tenant_id, request_id desc) where status <> 'completed'"
WITHOUT = """
    select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'billing_usage_record'::regclass and not exists (
        select from pg_index x join pg_inherits a on a.inhrelid = x.indexrelid
        where x.indrelid = c.oid and a.inhparent = %s::regclass
    ) order by 1
"""


def build(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(f"create index if not exists {INDEX} on only billing_usage_record {WHAT}")
        cursor.execute(WITHOUT, [INDEX])
        for (partition,) in cursor.fetchall():
            own = f"{partition}_not_completed"
            cursor.execute(f"create index concurrently if not exists {own} on {partition} {WHAT}")
            cursor.execute(f"alter index {INDEX} attach partition {own}")


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("billing", "0009_withheld_answers")]
    operations = [migrations.RunPython(build, migrations.RunPython.noop)]
