"""Changes of the replicas are told to the gateways, which may read them."""

from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("pools", "0001_initial"), ("identity", "0001_initial")]
    operations = [
        migrations.RunSQL((Path(__file__).parent / "sql/0002_notify.sql").read_text(), migrations.RunSQL.noop),
    ]
