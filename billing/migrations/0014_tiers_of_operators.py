"""Tiers that operators make, change and withdraw; which version of its tier a contract has."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0013_usage_day_of_before")]
    operations = [
        migrations.AddField(
            "tier", "description", models.CharField(blank=True, db_default="", default="", max_length=500)
        ),
        migrations.AddField(
            "tier",
            "rate_card",
            models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="tiers",
                to="billing.ratecard",
            ),
        ),
        migrations.AddField("tier", "version", models.PositiveIntegerField(db_default=1, default=1)),
        migrations.AddField("tier", "withdrawn_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddField("tier", "is_operators", models.BooleanField(db_default=False, default=False)),
        migrations.AddField("contract", "tier_version", models.PositiveIntegerField(db_default=1, default=1)),
    ]
