"""Since when an engine gives no answer."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pools", "0012_engine_logs")]

    operations = [
        migrations.AddField("replica", "silent_since", models.DateTimeField(null=True)),
    ]
