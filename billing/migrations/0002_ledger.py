"""The ledger: its tables, and the functions that alone write them."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial"), ("identity", "0001_initial")]
    operations = [
        migrations.RunSQL((SQL / name).read_text(), migrations.RunSQL.noop)
        for name in ("0002_tables.sql", "0002_admit.sql", "0002_settle.sql")
    ]
