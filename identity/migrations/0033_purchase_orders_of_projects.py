"""A project may have a purchase-order number, which its lines of an invoice name."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("identity", "0032_closed_tenants"),
    ]

    operations = [
        migrations.AddField(
            model_name="project",
            name="purchase_order",
            field=models.CharField(blank=True, db_default="", default="", max_length=64),
        ),
    ]
