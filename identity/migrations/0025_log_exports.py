"""The operator's collectors of the audit, and how far each is."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("identity", "0024_service"),
    ]

    operations = [
        migrations.CreateModel(
            name="LogExport",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=200)),
                (
                    "protocol",
                    models.CharField(
                        choices=[
                            ("syslog_tls", "syslog over TLS"),
                            ("syslog_tcp", "syslog over TCP, unencrypted"),
                            ("otlp", "OTLP over HTTP"),
                        ],
                        max_length=16,
                    ),
                ),
                ("address", models.CharField(max_length=500)),
                ("trusted", models.TextField(blank=True)),
                ("sealed_authorization", models.BinaryField(null=True)),
                ("with_names", models.BooleanField(default=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("busy_until", models.DateTimeField(null=True)),
                ("next_try_at", models.DateTimeField(null=True)),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("went_well_at", models.DateTimeField(null=True)),
                ("failed_at", models.DateTimeField(null=True)),
                ("fault", models.CharField(blank=True, max_length=32)),
                ("fault_status", models.PositiveSmallIntegerField(null=True)),
                ("sent", models.BigIntegerField(default=0)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("protocol", "address"), name="log_export_is_one_an_address")
                ],
            },
        ),
        migrations.CreateModel(
            name="ExportCursor",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("sequence", models.BigIntegerField()),
                (
                    "tenant",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="identity.tenant"
                    ),
                ),
                (
                    "export",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="cursors", to="identity.logexport"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("export", "tenant"), name="export_cursor_is_one_a_chain", nulls_distinct=False
                    )
                ],
            },
        ),
    ]
