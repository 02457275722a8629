"""An admission that waited while another one turned a window begins anew: it was counted in a window that began after
it, so that a limit's old window got more than it allows by the time of admission.
"""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql/0008_admit.sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0007_engine_refused_is_valid")]
    operations = [migrations.RunSQL(SQL.read_text(), migrations.RunSQL.noop)]
