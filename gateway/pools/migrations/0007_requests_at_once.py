"""How many requests gateways send to each replica of a pool at once; without a figure as many as come, as before. And
gateways may read what engines said of their queues.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pools", "0006_engine_load")]
    operations = [
        migrations.AddField("pool", "requests_at_once", models.PositiveIntegerField(blank=True, null=True)),
        migrations.RunSQL(
            "grant select (pool, replica, at, waiting) on pools_enginesample to beffroi_gateway", migrations.RunSQL.noop
        ),
    ]
