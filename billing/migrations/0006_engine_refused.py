"""A request that an engine rejects with a 400 is `engine_refused`: `engine_failed` read as if the engine were at fault.

The rule changes hands under a lock of milliseconds; behind a long reader it gives up and is run again. The old rows
are looked through by the next migration, which keeps no charge waiting.
"""

from django.db import migrations

RULE = "usage_record_status_is_known"


class Migration(migrations.Migration):
    dependencies = [("billing", "0005_refusal_counts_by_tenant")]
    operations = [
        migrations.RunSQL(
            f"""set local lock_timeout = '2s';
            alter table billing_usage_record
                add constraint {RULE} check (
                    status in (
                        'completed', 'client_left', 'client_left_early', 'engine_died', 'engine_failed', 'engine_refused',
                        'gateway_lost', 'unmetered', 'zero_usage', 'clamped', 'undelivered'
                    )
                ) not valid,
                drop constraint billing_usage_record_status_check""",
            migrations.RunSQL.noop,
        )
    ]
