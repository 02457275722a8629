"""Prepaid credit: entries, lots, orders and payments."""

from pathlib import Path

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

SQL = Path(__file__).parent / "sql/0022_credit.sql"
_TENANT = {"on_delete": django.db.models.deletion.PROTECT, "to": "identity.tenant"}
_TIER = {"blank": True, "null": True, "db_index": False, "on_delete": django.db.models.deletion.PROTECT}


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0021_agreements"),
        ("identity", "0032_closed_tenants"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.RunSQL(SQL.read_text(), migrations.RunSQL.noop),
        migrations.CreateModel(
            "CreditAlerts",
            fields=[
                ("tenant", models.OneToOneField(primary_key=True, related_name="+", serialize=False, **_TENANT)),
                (
                    "percents",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.PositiveSmallIntegerField(), db_default=models.Value("{20,5}"), size=None
                    ),
                ),
                ("amount_nano_eur", models.BigIntegerField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            "CreditOrder",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("amount_nano_eur", models.BigIntegerField()),
                ("purchase_order", models.CharField(blank=True, db_default="", default="", max_length=64)),
                (
                    "state",
                    models.CharField(
                        choices=[("open", "open"), ("paid", "paid"), ("cancelled", "cancelled")],
                        default="open",
                        max_length=16,
                    ),
                ),
                ("ordered_at", models.DateTimeField(auto_now_add=True)),
                ("closed_at", models.DateTimeField(blank=True, null=True)),
                ("reason", models.CharField(blank=True, db_default="", default="", max_length=500)),
                (
                    "ordered_by",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("tenant", models.ForeignKey(related_name="credit_orders", **_TENANT)),
                ("tier", models.ForeignKey(related_name="+", to="billing.tier", **_TIER)),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(state="open"), fields=["ordered_at"], name="credit_order_that_is_open"
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(amount_nano_eur__gt=0, amount_nano_eur__lte=10**18),
                        name="credit_order_is_an_amount",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(state="open", tier__isnull=False),
                        fields=["tenant"],
                        name="tenant_has_one_open_order_of_a_tier",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            "CreditPayment",
            fields=[
                ("entry_id", models.UUIDField(primary_key=True, serialize=False)),
                ("amount_nano_eur", models.BigIntegerField()),
                ("received_on", models.DateField()),
                ("reference", models.CharField(blank=True, db_default="", default="", max_length=100)),
                ("recorded_at", models.DateTimeField(auto_now_add=True)),
                (
                    "order",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="payment",
                        to="billing.creditorder",
                    ),
                ),
                ("tenant", models.ForeignKey(related_name="credit_payments", **_TENANT)),
            ],
        ),
        migrations.CreateModel(
            "CreditRule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("months", models.PositiveSmallIntegerField(blank=True, null=True)),
                ("tier", models.ForeignKey(related_name="credit_rules", to="billing.tier", **_TIER)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=["tier"], name="credit_has_one_rule_a_tier", nulls_distinct=False)
                ]
            },
        ),
        migrations.RunSQL("revoke update, delete on billing_creditpayment from beffroi_app", migrations.RunSQL.noop),
    ]
