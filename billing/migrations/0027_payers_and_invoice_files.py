"""Who pays for a tenant where that is another legal entity; work on the files of invoices."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0026_usage_label_of_before"),
        ("identity", "0033_purchase_orders_of_projects"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="InvoiceDrawing",
            fields=[
                (
                    "invoice",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="drawing",
                        serialize=False,
                        to="billing.invoice",
                    ),
                ),
                ("lease_until", models.DateTimeField()),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("fault", models.CharField(blank=True, max_length=500)),
            ],
        ),
        migrations.CreateModel(
            name="Payer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("legal_name", models.CharField(blank=True, max_length=200)),
                ("registration_number", models.CharField(blank=True, max_length=64)),
                ("vat_number", models.CharField(blank=True, max_length=16)),
                ("address", models.CharField(blank=True, max_length=300)),
                ("postcode", models.CharField(blank=True, max_length=16)),
                ("city", models.CharField(blank=True, max_length=100)),
                ("country", models.CharField(blank=True, max_length=2)),
                ("billing_email", models.CharField(blank=True, max_length=254)),
                ("buyer_reference", models.CharField(blank=True, max_length=100)),
                ("contract_reference", models.CharField(blank=True, max_length=100)),
                ("purchase_order", models.CharField(blank=True, max_length=100)),
                ("language", models.CharField(blank=True, max_length=8)),
                ("named_at", models.DateTimeField()),
                ("accepted_at", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="payers",
                        to="identity.tenant",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at", None)),
                        fields=("tenant",),
                        name="tenant_has_one_payer_at_a_time",
                    )
                ]
            },
        ),
        migrations.CreateModel(
            name="PayerPerson",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("email", models.EmailField(max_length=254)),
                ("invited_at", models.DateTimeField()),
                ("joined_at", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "payer",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="people",
                        to="billing.payer",
                    ),
                ),
                (
                    "person",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["email"], name="payer_person_by_email")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at", None)),
                        fields=("payer", "email"),
                        name="payer_has_an_address_once",
                    )
                ],
            },
        ),
    ]
