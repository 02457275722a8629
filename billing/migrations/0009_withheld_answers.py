"""An answer that was withheld because its charge was not confirmed in time is free (I1): where the charge was durable
all the same, it is given back.
"""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql/0009_withheld.sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0008_windows_turned_meanwhile")]
    operations = [migrations.RunSQL(SQL.read_text(), migrations.RunSQL.noop)]
