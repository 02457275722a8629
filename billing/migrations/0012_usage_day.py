"""Sums a day (UTC) without the key, which each charge adds to from now on; the next migration brings those of before."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql/0012_usage_day.sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0011_budget_alerts")]
    operations = [migrations.RunSQL(SQL.read_text(), migrations.RunSQL.noop)]
