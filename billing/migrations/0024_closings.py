"""Closings of months, invoices, payments, and what an invoice is made with."""

import uuid
from pathlib import Path

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.expressions
from django.db import migrations, models

SQL = Path(__file__).parent / "sql/0024_issued_stays.sql"


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0023_turning_contracts"),
        ("identity", "0032_closed_tenants"),
    ]

    operations = [
        migrations.CreateModel(
            name="InvoiceSeries",
            fields=[
                ("code", models.CharField(max_length=32, primary_key=True, serialize=False)),
                ("last", models.BigIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="BillingSettings",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("is_the_one", models.BooleanField(default=True, unique=True)),
                ("iban", models.CharField(blank=True, max_length=34)),
                ("bic", models.CharField(blank=True, max_length=11)),
                ("account_name", models.CharField(blank=True, max_length=200)),
                ("legal_mention", models.CharField(blank=True, max_length=300)),
                ("payment_days", models.PositiveSmallIntegerField(default=30)),
                ("late_payment", models.CharField(blank=True, max_length=500)),
                ("recovery", models.CharField(blank=True, max_length=500)),
                ("early_payment", models.CharField(blank=True, max_length=500)),
                ("invoice_prefix", models.CharField(default="F", max_length=12)),
                ("credit_note_prefix", models.CharField(default="A", max_length=12)),
                ("is_vat_exempt", models.BooleanField(default=False)),
                ("exemption_text", models.CharField(blank=True, max_length=300)),
                ("needs_two_people", models.BooleanField(default=False)),
                (
                    "credit_invoiced",
                    models.CharField(choices=[("use", "At Use"), ("top_up", "At Top Up")], default="use", max_length=8),
                ),
                ("accounts", models.JSONField(default=dict)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("is_the_one", True)), name="billing_settings_are_the_only_ones"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("credit_invoiced__in", ["use", "top_up"])),
                        name="credit_is_invoiced_at_one_of_two",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Closing",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("month", models.DateField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("open", "Open"),
                            ("previewed", "Previewed"),
                            ("approved", "Approved"),
                            ("issued", "Issued"),
                        ],
                        default="open",
                        max_length=16,
                    ),
                ),
                ("starts_at", models.DateTimeField(null=True)),
                ("ends_at", models.DateTimeField(null=True)),
                ("asked_at", models.DateTimeField(null=True)),
                ("lease_until", models.DateTimeField(null=True)),
                ("previewed_at", models.DateTimeField(null=True)),
                ("used_nano_eur", models.BigIntegerField(default=0)),
                ("exact_nano_eur", models.BigIntegerField(default=0)),
                ("net_cents", models.BigIntegerField(default=0)),
                ("lines", models.PositiveIntegerField(default=0)),
                ("standing", models.CharField(blank=True, max_length=64)),
                ("fault", models.CharField(blank=True, max_length=500)),
                ("faults", models.JSONField(default=list)),
                (
                    "approvals",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=64),
                        db_default=models.Value("{}"),
                        default=list,
                        size=None,
                    ),
                ),
                ("issued_at", models.DateTimeField(null=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="closings",
                        to="identity.tenant",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="DraftLine",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveIntegerField()),
                ("covers_month", models.DateField()),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("usage", "Usage"),
                            ("uncharged", "Uncharged"),
                            ("entry", "Entry"),
                            ("term", "Term"),
                            ("top_up", "Top Up"),
                            ("credit", "Credit"),
                        ],
                        max_length=16,
                    ),
                ),
                ("project_id", models.BigIntegerField(null=True)),
                ("project", models.CharField(blank=True, max_length=200)),
                ("cost_centre", models.CharField(blank=True, max_length=64)),
                ("purchase_order", models.CharField(blank=True, max_length=100)),
                ("model_id", models.BigIntegerField(null=True)),
                ("model", models.CharField(blank=True, max_length=200)),
                ("mode", models.CharField(blank=True, max_length=16)),
                ("price_version_id", models.BigIntegerField(null=True)),
                ("meter", models.CharField(blank=True, max_length=16)),
                ("quantity", models.BigIntegerField(default=0)),
                ("price_nano_eur", models.BigIntegerField(null=True)),
                ("exact_nano_eur", models.BigIntegerField()),
                ("net_cents", models.BigIntegerField()),
                ("text", models.CharField(blank=True, max_length=500)),
                ("explained", models.CharField(blank=True, max_length=500)),
                ("entry_id", models.UUIDField(null=True)),
                ("entry_kind", models.CharField(blank=True, max_length=16)),
                ("term_key", models.CharField(blank=True, max_length=200)),
                (
                    "closing",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="drafts",
                        to="billing.closing",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Invoice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, unique=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[("invoice", "Invoice"), ("credit_note", "Credit Note"), ("statement", "Statement")],
                        max_length=16,
                    ),
                ),
                ("series", models.CharField(blank=True, max_length=32)),
                ("number", models.CharField(max_length=120, unique=True)),
                ("month", models.DateField()),
                ("reason", models.CharField(blank=True, max_length=500)),
                ("issued_at", models.DateTimeField()),
                ("issued_on", models.DateField()),
                ("due_on", models.DateField(null=True)),
                ("line_count", models.PositiveIntegerField()),
                ("exact_nano_eur", models.BigIntegerField()),
                ("net_cents", models.BigIntegerField()),
                ("tax_cents", models.BigIntegerField()),
                ("gross_cents", models.BigIntegerField()),
                ("prepaid_cents", models.BigIntegerField()),
                ("due_cents", models.BigIntegerField()),
                ("contents", models.TextField()),
                ("sha256", models.CharField(max_length=64)),
                ("actor", models.CharField(max_length=64)),
                (
                    "closing",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="invoice",
                        to="billing.closing",
                    ),
                ),
                (
                    "corrects",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="credit_notes",
                        to="billing.invoice",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="invoices",
                        to="identity.tenant",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="InvoiceFile",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("media_type", models.CharField(max_length=100)),
                ("content", models.BinaryField()),
                ("sha256", models.CharField(max_length=64)),
                ("made_at", models.DateTimeField(auto_now_add=True)),
                (
                    "invoice",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="files",
                        to="billing.invoice",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="InvoiceLine",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveIntegerField()),
                ("covers_month", models.DateField()),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("usage", "Usage"),
                            ("uncharged", "Uncharged"),
                            ("entry", "Entry"),
                            ("term", "Term"),
                            ("top_up", "Top Up"),
                            ("credit", "Credit"),
                        ],
                        max_length=16,
                    ),
                ),
                ("project_id", models.BigIntegerField(null=True)),
                ("project", models.CharField(blank=True, max_length=200)),
                ("cost_centre", models.CharField(blank=True, max_length=64)),
                ("purchase_order", models.CharField(blank=True, max_length=100)),
                ("model_id", models.BigIntegerField(null=True)),
                ("model", models.CharField(blank=True, max_length=200)),
                ("mode", models.CharField(blank=True, max_length=16)),
                ("price_version_id", models.BigIntegerField(null=True)),
                ("meter", models.CharField(blank=True, max_length=16)),
                ("quantity", models.BigIntegerField(default=0)),
                ("price_nano_eur", models.BigIntegerField(null=True)),
                ("exact_nano_eur", models.BigIntegerField()),
                ("net_cents", models.BigIntegerField()),
                ("text", models.CharField(blank=True, max_length=500)),
                ("explained", models.CharField(blank=True, max_length=500)),
                ("entry_id", models.UUIDField(null=True)),
                ("entry_kind", models.CharField(blank=True, max_length=16)),
                ("term_key", models.CharField(blank=True, max_length=200)),
                (
                    "credits",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="credited_by",
                        to="billing.invoiceline",
                    ),
                ),
                (
                    "invoice",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="lines",
                        to="billing.invoice",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="identity.tenant",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="LegalParty",
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
                (
                    "tenant",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="legal_party", to="identity.tenant"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Payment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("amount_cents", models.BigIntegerField()),
                ("paid_on", models.DateField()),
                ("reference", models.CharField(max_length=140)),
                ("source", models.CharField(max_length=8)),
                ("note", models.CharField(blank=True, max_length=300)),
                ("actor", models.CharField(max_length=64)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "invoice",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="payments",
                        to="billing.invoice",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="VatRate",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("country", models.CharField(max_length=2)),
                ("basis_points", models.PositiveSmallIntegerField()),
                ("valid_from", models.DateField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("country", "valid_from"), name="vat_rate_begins_once"),
                    models.CheckConstraint(
                        condition=models.Q(("basis_points__lte", 5000)), name="vat_rate_is_at_most_half"
                    ),
                ],
            },
        ),
        migrations.AddIndex(
            model_name="closing",
            index=models.Index(fields=["month"], name="closing_by_month"),
        ),
        migrations.AddIndex(
            model_name="closing",
            index=models.Index(
                condition=models.Q(("asked_at__isnull", False)), fields=["asked_at"], name="closing_asked"
            ),
        ),
        migrations.AddConstraint(
            model_name="closing",
            constraint=models.UniqueConstraint(fields=("tenant", "month"), name="month_of_a_tenant_is_closed_once"),
        ),
        migrations.AddConstraint(
            model_name="closing",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["open", "previewed", "approved", "issued"])),
                name="closing_state_is_a_known_one",
            ),
        ),
        migrations.AddConstraint(
            model_name="draftline",
            constraint=models.UniqueConstraint(fields=("closing", "position"), name="draft_line_has_one_place"),
        ),
        migrations.AddIndex(
            model_name="invoice",
            index=models.Index(fields=["tenant", "-issued_at"], name="invoice_by_tenant"),
        ),
        migrations.AddIndex(
            model_name="invoice",
            index=models.Index(fields=["month"], name="invoice_by_month"),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["invoice", "credit_note", "statement"])),
                name="invoice_kind_is_a_known_one",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "gross_cents",
                        django.db.models.expressions.CombinedExpression(
                            models.F("net_cents"), "+", models.F("tax_cents")
                        ),
                    )
                ),
                name="invoice_adds_up",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "due_cents",
                        django.db.models.expressions.CombinedExpression(
                            models.F("gross_cents"), "-", models.F("prepaid_cents")
                        ),
                    )
                ),
                name="invoice_due_adds_up",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoicefile",
            constraint=models.UniqueConstraint(fields=("invoice", "media_type"), name="invoice_file_is_made_once"),
        ),
        migrations.AddIndex(
            model_name="invoiceline",
            index=models.Index(fields=["tenant", "covers_month"], name="invoice_line_by_month"),
        ),
        migrations.AddConstraint(
            model_name="invoiceline",
            constraint=models.UniqueConstraint(fields=("invoice", "position"), name="invoice_line_has_one_place"),
        ),
        migrations.AddConstraint(
            model_name="invoiceline",
            constraint=models.UniqueConstraint(
                condition=models.Q(("entry_id__isnull", False)),
                fields=("entry_id",),
                name="ledger_entry_is_invoiced_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.UniqueConstraint(fields=("invoice", "reference"), name="payment_is_recorded_once"),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount_cents", 0), _negated=True), name="payment_is_some_money"
            ),
        ),
        migrations.RunSQL(SQL.read_text(), migrations.RunSQL.noop),
    ]
