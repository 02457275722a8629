"""The rules that PostgreSQL holds: rising policy versions, the append-only audit chain, the gateway's rights."""

from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("identity", "0001_initial")]
    operations = [migrations.RunSQL((Path(__file__).parent / "sql/0002_rules.sql").read_text(), migrations.RunSQL.noop)]
