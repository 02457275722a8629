"""The operator's billing adds up two months of all tenants, without a walk through the thirteen that are kept.

One entry a tenant, project, model and day; a charge updates the row and touches no index.
"""

from django.db import migrations


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("billing", "0018_exports_name_who_bills")]
    operations = [
        migrations.RunSQL(
            "create index concurrently if not exists usage_day_by_day on billing_usage_day (day)",
            "drop index concurrently if exists usage_day_by_day",
        )
    ]
