"""Exports of all organisations are made every month too: their schedules have no tenant. A worker of the release before
joins the tenant, and so finds none of them.
"""

import django.db.models.deletion
from django.db import migrations, models

OF_ALL = models.Q(tenant__isnull=True, kind__startswith="all_")
OF_ONE = models.Q(tenant__isnull=False) & ~models.Q(kind__startswith="all_")


class Migration(migrations.Migration):
    dependencies = [("billing", "0037_usage_hours_by_hour")]
    operations = [
        migrations.AlterField(
            "ExportSchedule",
            "tenant",
            models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="export_schedules",
                to="identity.tenant",
            ),
        ),
        migrations.AddConstraint(
            "ExportSchedule",
            models.UniqueConstraint(
                fields=["kind", "format"],
                condition=models.Q(tenant__isnull=True),
                name="export_schedule_of_all_is_made_once",
            ),
        ),
        # A table of few rows: nobody waits for the check.
        migrations.AddConstraint(
            "ExportSchedule",
            models.CheckConstraint(condition=OF_ALL | OF_ONE, name="export_schedule_of_all_has_no_tenant"),
        ),
    ]
