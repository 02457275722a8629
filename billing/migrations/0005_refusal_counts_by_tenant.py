"""A tenant's refusals are counted from its own rows: the primary key began with the minute, so that every page read
what all tenants were refused in that time. `refuse_v1` names the columns, in whatever order the key has them.
"""

from django.db import migrations

INDEX = "refusal_count_by_tenant"


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("billing", "0004_sealed_totals")]
    operations = [
        migrations.RunSQL(
            [
                f"drop index concurrently if exists {INDEX}",  # what a try that failed may have left
                f"create unique index concurrently {INDEX} on billing_refusal_count (tenant_id, minute, key_id, project_id, code)",
                # The names change hands under a lock of milliseconds; behind a long reader it gives up and is run again.
                f"""begin;
                set local lock_timeout = '2s';
                alter table billing_refusal_count drop constraint billing_refusal_count_pkey,
                    add constraint billing_refusal_count_pkey primary key using index {INDEX};
                commit""",
            ],
            migrations.RunSQL.noop,
        )
    ]
