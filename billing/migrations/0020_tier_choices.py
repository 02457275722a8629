"""Tiers that owners choose and that begin with the next month."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0019_days_by_day"), ("identity", "0024_service")]
    operations = [
        migrations.CreateModel(
            "TierChoice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("starts_at", models.DateTimeField()),
                ("chosen_at", models.DateTimeField(auto_now_add=True)),
                ("closed_at", models.DateTimeField(blank=True, null=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="tier_choices",
                        to="identity.tenant",
                    ),
                ),
                (
                    "tier",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="choices",
                        to="billing.tier",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(closed_at__isnull=True),
                        fields=["tenant"],
                        name="tenant_has_one_open_tier_choice",
                    )
                ]
            },
        ),
    ]
