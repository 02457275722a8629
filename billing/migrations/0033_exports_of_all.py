"""Exports of all organisations: they have no tenant, and kinds of their own."""

import django.db.models.deletion
from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models

KINDS = [
    ("requests", "Requests"),
    ("days", "Days"),
    ("ledger", "Ledger"),
    ("focus", "Focus"),
    ("all_days", "All Days"),
    ("all_ledger", "All Ledger"),
    ("all_focus", "All Focus"),
]
OF_ALL = models.Q(tenant__isnull=True, kind__startswith="all_")
OF_ONE = models.Q(tenant__isnull=False) & ~models.Q(kind__startswith="all_")


class Migration(migrations.Migration):
    dependencies = [("billing", "0032_audio_by_started_minute")]
    operations = [
        migrations.AlterField(
            "Export",
            "tenant",
            models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="identity.tenant"
            ),
        ),
        migrations.AlterField("Export", "kind", models.CharField(choices=KINDS, max_length=16)),
        migrations.AlterField("ExportSchedule", "kind", models.CharField(choices=KINDS, max_length=16)),
        AddConstraintNotValid(
            "Export", models.CheckConstraint(condition=OF_ALL | OF_ONE, name="export_of_all_has_no_tenant")
        ),
    ]
