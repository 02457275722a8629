"""Contracts turn by themselves, at the instant at which an agreement begins or ends."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql/0023_turning_contracts.sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0022_credit")]
    operations = [migrations.RunSQL(SQL.read_text(), migrations.RunSQL.noop)]
