"""The ledger's functions again, as the state machine and the races found that they have to be."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0002_ledger")]
    operations = [
        migrations.RunSQL((SQL / name).read_text(), migrations.RunSQL.noop)
        for name in ("0003_admit.sql", "0003_settle.sql", "0003_around.sql")
    ]
