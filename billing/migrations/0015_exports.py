"""Exports: what was asked for, the parts of the files, names that stay, and what is made every month."""

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0014_tiers_of_operators"),
        ("identity", "0027_certificates"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Export",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, unique=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[("requests", "Requests"), ("days", "Days"), ("ledger", "Ledger"), ("focus", "Focus")],
                        max_length=16,
                    ),
                ),
                (
                    "format",
                    models.CharField(
                        choices=[("csv", "Csv"), ("xlsx", "Xlsx"), ("jsonl", "Jsonl"), ("parquet", "Parquet")],
                        max_length=16,
                    ),
                ),
                ("first_day", models.DateField()),
                ("last_day", models.DateField()),
                ("time_zone", models.CharField(max_length=64)),
                ("since", models.DateTimeField()),
                ("until", models.DateTimeField()),
                ("project_id", models.BigIntegerField(null=True)),
                ("key_id", models.BigIntegerField(null=True)),
                ("model", models.CharField(blank=True, max_length=200)),
                ("actor_kind", models.CharField(max_length=16)),
                ("actor", models.CharField(max_length=64)),
                ("is_scheduled", models.BooleanField(default=False)),
                ("cut_at", models.DateTimeField()),
                ("after_xid", models.BigIntegerField()),
                ("is_final", models.BooleanField(default=False)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("running", "Running"),
                            ("done", "Done"),
                            ("failed", "Failed"),
                            ("cancelled", "Cancelled"),
                            ("expired", "Expired"),
                        ],
                        default="waiting",
                        max_length=16,
                    ),
                ),
                (
                    "fault",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("", "None"),
                            ("too_many_rows", "Too Many Rows"),
                            ("no_room", "No Room"),
                            ("not_kept", "Not Kept"),
                            ("broken", "Broken"),
                            ("too_slow", "Too Slow"),
                        ],
                        max_length=16,
                    ),
                ),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("lease", models.UUIDField(null=True)),
                ("lease_until", models.DateTimeField(null=True)),
                ("served_at", models.DateTimeField(null=True)),
                ("cursor", models.JSONField(default=list)),
                ("format_state", models.JSONField(default=dict)),
                ("is_written", models.BooleanField(default=False)),
                ("parts_count", models.PositiveIntegerField(default=0)),
                ("percent", models.PositiveSmallIntegerField(default=0)),
                ("rows", models.BigIntegerField(default=0)),
                ("total_nano_eur", models.DecimalField(decimal_places=0, default=0, max_digits=30)),
                ("size_bytes", models.BigIntegerField(default=0)),
                ("stored_bytes", models.BigIntegerField(default=0)),
                ("sha256", models.CharField(blank=True, max_length=64)),
                ("created_at", models.DateTimeField()),
                ("began_at", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
                ("expires_at", models.DateTimeField(null=True)),
                (
                    "person",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="identity.tenant"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ExportName",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("month", models.DateField()),
                ("kind", models.CharField(choices=[("project", "Project"), ("key", "Key")], max_length=8)),
                ("named_id", models.BigIntegerField()),
                ("name", models.CharField(max_length=200)),
                ("ref", models.CharField(blank=True, max_length=200)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="identity.tenant",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ExportPart",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField()),
                ("content", models.BinaryField()),
                ("note", models.JSONField(null=True)),
                (
                    "export",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="parts",
                        to="billing.export",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ExportSchedule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[("requests", "Requests"), ("days", "Days"), ("ledger", "Ledger"), ("focus", "Focus")],
                        max_length=16,
                    ),
                ),
                (
                    "format",
                    models.CharField(
                        choices=[("csv", "Csv"), ("xlsx", "Xlsx"), ("jsonl", "Jsonl"), ("parquet", "Parquet")],
                        max_length=16,
                    ),
                ),
                ("next_month", models.DateField()),
                ("actor_kind", models.CharField(max_length=16)),
                ("actor", models.CharField(max_length=64)),
                ("created_at", models.DateTimeField()),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="export_schedules",
                        to="identity.tenant",
                    ),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name="export",
            index=models.Index(fields=["tenant", "-id"], name="export_by_tenant"),
        ),
        migrations.AddIndex(
            model_name="export",
            index=models.Index(
                condition=models.Q(("state__in", ["waiting", "running"])), fields=["served_at"], name="export_due"
            ),
        ),
        migrations.AddConstraint(
            model_name="export",
            constraint=models.CheckConstraint(
                condition=models.Q(("since__lt", models.F("until"))), name="export_period_has_a_length"
            ),
        ),
        migrations.AddConstraint(
            model_name="exportname",
            constraint=models.UniqueConstraint(
                fields=("tenant", "month", "kind", "named_id"), name="export_name_is_said_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="exportpart",
            constraint=models.UniqueConstraint(fields=("export", "number"), name="export_part_is_written_once"),
        ),
        migrations.AddConstraint(
            model_name="exportschedule",
            constraint=models.UniqueConstraint(
                fields=("tenant", "kind", "format"), name="export_schedule_is_made_once"
            ),
        ),
        # Parts are compressed already: PostgreSQL need not try again.
        migrations.RunSQL(
            "alter table billing_exportpart alter column content set storage external", migrations.RunSQL.noop
        ),
    ]
