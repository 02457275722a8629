"""What engines printed until they were ready."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pools", "0011_sleep")]

    operations = [
        migrations.CreateModel(
            name="EngineLog",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("pool", models.CharField(max_length=100)),
                ("replica", models.CharField(max_length=100, unique=True)),
                ("node", models.CharField(max_length=100)),
                ("at", models.DateTimeField()),
                ("text", models.TextField()),
            ],
            options={
                "indexes": [
                    models.Index(fields=["pool", "-at"], name="engine_log_by_pool"),
                    models.Index(fields=["at"], name="engine_log_by_time"),
                ],
            },
        ),
    ]
