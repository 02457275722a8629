"""Sums an hour of what clients labelled, which each charge adds to from now on; the next migration brings those of before."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql/0025_usage_label.sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0024_closings")]
    operations = [migrations.RunSQL(SQL.read_text(), migrations.RunSQL.noop)]
