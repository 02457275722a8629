"""Looks through the usage records there were when their statuses got a new rule; charges go on meanwhile."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("billing", "0006_engine_refused")]
    operations = [
        migrations.RunSQL(
            "alter table billing_usage_record validate constraint usage_record_status_is_known",
            migrations.RunSQL.noop,
        )
    ]
