"""How long before it begins a price's rise is told, and why where that was shorter."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0028_budget_raises")]
    operations = [
        migrations.AddField(
            "BillingSettings", "rise_notice_days", models.PositiveSmallIntegerField(db_default=30, default=30)
        ),
        migrations.AddField(
            "PriceVersion", "reason", models.CharField(blank=True, db_default="", default="", max_length=300)
        ),
    ]
