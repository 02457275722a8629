"""Scheduled prices can be withdrawn before they begin."""

from pathlib import Path

from django.db import migrations, models

SQL = Path(__file__).parent / "sql/0016_withdrawn_prices.sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0015_exports")]
    operations = [
        migrations.RunSQL(SQL.read_text(), migrations.RunSQL.noop),
        migrations.CreateModel(
            "WithdrawnPrice",
            fields=[
                ("version_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("rate_card_id", models.BigIntegerField()),
                ("model_id", models.BigIntegerField()),
                ("mode", models.CharField(max_length=16)),
                ("valid_from", models.DateTimeField()),
                ("prices", models.JSONField()),
                ("withdrawn_at", models.DateTimeField()),
            ],
            options={"db_table": "billing_withdrawn_price", "managed": False},
        ),
    ]
