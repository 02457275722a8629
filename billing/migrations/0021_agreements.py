"""Agreements on values of a contract; discounts and fixed lines of a bill; when a contract turns by itself."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0020_tier_choices"),
        ("identity", "0032_closed_tenants"),
    ]

    operations = [
        migrations.AddField(
            model_name="contract",
            name="turns_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.CreateModel(
            name="Agreement",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("is_cap_agreed", models.BooleanField(default=False)),
                ("monthly_cap_nano_eur", models.BigIntegerField(blank=True, null=True)),
                ("limits", models.JSONField(default=list)),
                ("availability_millionths", models.PositiveIntegerField(blank=True, null=True)),
                ("support_class", models.CharField(blank=True, max_length=100)),
                ("reference", models.CharField(blank=True, max_length=200)),
                ("document_url", models.CharField(blank=True, max_length=500)),
                ("starts_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField(blank=True, null=True)),
                ("begun_at", models.DateTimeField(blank=True, null=True)),
                ("closed_at", models.DateTimeField(blank=True, null=True)),
                ("is_told", models.BooleanField(db_default=True, default=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "rate_card",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="agreements",
                        to="billing.ratecard",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="agreements",
                        to="identity.tenant",
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="contract",
            name="agreement",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="contracts",
                to="billing.agreement",
            ),
        ),
        migrations.CreateModel(
            name="ContractTerm",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("percent", "discount"),
                            ("steps", "discount by volume"),
                            ("commitment", "committed spend"),
                            ("fee", "monthly fee"),
                            ("service", "one-off service"),
                        ],
                        max_length=16,
                    ),
                ),
                ("description", models.CharField(blank=True, max_length=200)),
                ("amount_nano_eur", models.BigIntegerField(blank=True, null=True)),
                ("share_millionths", models.PositiveIntegerField(blank=True, null=True)),
                ("steps", models.JSONField(default=list)),
                ("first_month", models.DateField()),
                ("last_month", models.DateField(blank=True, null=True)),
                ("withdrawn_at", models.DateTimeField(blank=True, null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="contract_terms",
                        to="identity.tenant",
                    ),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name="agreement",
            index=models.Index(fields=["tenant"], name="agreement_by_tenant"),
        ),
        migrations.AddIndex(
            model_name="agreement",
            index=models.Index(
                condition=models.Q(("closed_at__isnull", True)), fields=["id"], name="agreement_that_is_open"
            ),
        ),
        migrations.AddIndex(
            model_name="agreement",
            index=models.Index(condition=models.Q(("is_told", False)), fields=["id"], name="agreement_to_be_told"),
        ),
        migrations.AddConstraint(
            model_name="agreement",
            constraint=models.UniqueConstraint(
                condition=models.Q(("begun_at__isnull", False), ("closed_at__isnull", True)),
                fields=("tenant",),
                name="tenant_has_one_agreement_in_force",
            ),
        ),
        migrations.AddConstraint(
            model_name="agreement",
            constraint=models.CheckConstraint(
                condition=models.Q(("ends_at__gt", models.F("starts_at"))), name="agreement_ends_after_it_starts"
            ),
        ),
        migrations.AddConstraint(
            model_name="agreement",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("monthly_cap_nano_eur__gte", 0), ("monthly_cap_nano_eur__lte", 1000000000000000000)
                ),
                name="agreed_cap_is_a_sane_amount",
            ),
        ),
        migrations.AddIndex(
            model_name="contractterm",
            index=models.Index(fields=["tenant", "first_month"], name="contract_term_by_tenant"),
        ),
        migrations.AddConstraint(
            model_name="contractterm",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount_nano_eur__gt", 0), ("amount_nano_eur__lte", 1000000000000000000)),
                name="term_amount_is_a_sane_amount",
            ),
        ),
        migrations.AddConstraint(
            model_name="contractterm",
            constraint=models.CheckConstraint(
                condition=models.Q(("share_millionths__lte", 1000000)), name="term_share_is_at_most_the_whole"
            ),
        ),
        migrations.AddConstraint(
            model_name="contractterm",
            constraint=models.CheckConstraint(
                condition=models.Q(("last_month__gte", models.F("first_month"))),
                name="term_ends_in_or_after_its_first_month",
            ),
        ),
        migrations.AddConstraint(
            model_name="contractterm",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "commitment"), _negated=True), ("last_month__isnull", False), _connector="OR"
                ),
                name="commitment_has_a_period",
            ),
        ),
    ]
