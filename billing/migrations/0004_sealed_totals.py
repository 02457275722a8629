"""Sealed totals of closed months, and when a budget was removed: from then on it counts no request."""

from pathlib import Path

from django.db import migrations, models

SQL = Path(__file__).parent / "sql/0004_sealed_totals.sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0003_ledger_under_fire")]
    operations = [
        migrations.RunSQL(SQL.read_text(), migrations.RunSQL.noop),
        migrations.CreateModel(
            "SealedMonth",
            fields=[
                ("month", models.DateField(primary_key=True, serialize=False)),
                ("requests", models.BigIntegerField()),
                ("cost_nano_eur", models.DecimalField(decimal_places=0, max_digits=30)),
                ("uncharged_nano_eur", models.DecimalField(decimal_places=0, max_digits=30)),
                ("digest", models.BinaryField()),
                ("sealed_at", models.DateTimeField()),
            ],
            options={"db_table": "billing_sealed_month", "managed": False},
        ),
        migrations.AddField("budget", "ended_at", models.DateTimeField(null=True, blank=True)),
    ]
