"""Pools that go to no replica at all, and what gateways say of the requests that wait for one."""

from pathlib import Path

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pools", "0009_demand"), ("models_catalog", "0001_initial")]

    operations = [
        migrations.AddField("pool", "zero_after_s", models.PositiveIntegerField(blank=True, null=True)),
        migrations.AddField("pool", "asked_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddField("pool", "is_stuck", models.BooleanField(db_default=False, default=False)),
        migrations.CreateModel(
            name="GatewayDemand",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("incarnation", models.UUIDField()),
                ("waiting", models.PositiveIntegerField()),
                ("asked_at", models.DateTimeField(null=True)),
                ("at", models.DateTimeField()),
                (
                    "model",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="models_catalog.languagemodel",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=["incarnation", "model"], name="gateway_tells_of_a_model_once")
                ],
            },
        ),
        migrations.RunSQL((Path(__file__).parent / "sql/0010_wake.sql").read_text(), migrations.RunSQL.noop),
    ]
