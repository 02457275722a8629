"""Kept names of exports may be those of who bills and who is billed."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0017_ledger_checks")]
    operations = [
        migrations.AlterField(
            "exportname",
            "kind",
            models.CharField(
                choices=[("project", "Project"), ("key", "Key"), ("tenant", "Tenant"), ("seller", "Seller")],
                max_length=8,
            ),
        ),
    ]
