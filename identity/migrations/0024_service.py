"""What the operator says of the installation as a whole."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("identity", "0023_job_runs"),
    ]

    operations = [
        migrations.CreateModel(
            name="Service",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("is_the_one", models.BooleanField(default=True, unique=True)),
                ("name", models.CharField(blank=True, max_length=60)),
                ("support_email", models.CharField(blank=True, max_length=254)),
                ("support_phone", models.CharField(blank=True, max_length=100)),
                ("support_url", models.CharField(blank=True, max_length=500)),
                (
                    "trade",
                    models.CharField(
                        blank=True, choices=[("seller", "Seller"), ("chargeback", "Chargeback")], max_length=16
                    ),
                ),
                ("legal_name", models.CharField(blank=True, max_length=200)),
                ("registration_number", models.CharField(blank=True, max_length=64)),
                ("vat_number", models.CharField(blank=True, max_length=32)),
                ("postal_address", models.CharField(blank=True, max_length=500)),
                ("country", models.CharField(blank=True, max_length=2)),
                (
                    "languages",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=8), blank=True, default=list, size=None
                    ),
                ),
                ("default_language", models.CharField(default="en", max_length=8)),
                ("usage_months", models.PositiveSmallIntegerField(blank=True, null=True)),
                ("logo", models.BinaryField(blank=True, null=True)),
                ("logo_type", models.CharField(blank=True, max_length=16)),
                ("logo_digest", models.CharField(blank=True, max_length=64)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("is_the_one", True)), name="service_is_the_only_one"),
                    models.CheckConstraint(
                        condition=models.Q(("trade__in", ["", "seller", "chargeback"])),
                        name="service_trade_is_a_known_one",
                    ),
                ],
            },
        ),
    ]
