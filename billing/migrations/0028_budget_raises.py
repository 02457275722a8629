"""Temporary raises of budgets."""

from pathlib import Path

from django.db import migrations, models

SQL = Path(__file__).parent / "sql/0028_budget_raises.sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0027_payers_and_invoice_files")]
    operations = [
        migrations.CreateModel(
            "BudgetRaise",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("budget_id", models.BigIntegerField()),
                ("base_nano_eur", models.BigIntegerField()),
                ("raised_nano_eur", models.BigIntegerField()),
                ("raised_until", models.DateTimeField()),
                ("made_at", models.DateTimeField(auto_now_add=True)),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                ("told_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(ended_at__isnull=True),
                        fields=["raised_until"],
                        name="budget_raise_that_runs",
                    ),
                    models.Index(
                        condition=models.Q(ended_at__isnull=False, told_at__isnull=True),
                        fields=["ended_at"],
                        name="budget_raise_to_be_told",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(ended_at__isnull=True), fields=["budget_id"], name="budget_has_one_raise"
                    )
                ],
            },
        ),
        migrations.RunSQL(SQL.read_text(), migrations.RunSQL.noop),
    ]
