"""Backups that the operator's script told of."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("identity", "0025_log_exports")]
    operations = [
        migrations.CreateModel(
            name="Backup",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("made_at", models.DateTimeField(db_index=True)),
                ("size_bytes", models.BigIntegerField()),
                ("noted_at", models.DateTimeField(auto_now_add=True)),
            ],
        )
    ]
