"""Replicas that sleep instead of ending."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pools", "0010_wake")]

    operations = [
        migrations.AddField("poolconfiguration", "may_sleep", models.BooleanField(db_default=False, default=False)),
        migrations.AlterField(
            "replica",
            "state",
            models.CharField(
                choices=[
                    ("registered", "registered"),
                    ("ready", "ready"),
                    ("failed", "failed"),
                    ("draining", "draining"),
                    ("ejected", "ejected"),
                    ("requested", "requested"),
                    ("starting", "starting"),
                    ("warming", "warming up"),
                    ("stopping", "stopping"),
                    ("sleeping", "asleep"),
                ],
                default="registered",
                max_length=16,
            ),
        ),
    ]
