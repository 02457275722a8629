"""What automatic pools had to do, and who grows first where GPUs are short."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pools", "0008_fleet")]

    operations = [
        migrations.AddField(
            model_name="pool", name="priority", field=models.SmallIntegerField(db_default=0, default=0)
        ),
        migrations.CreateModel(
            name="PoolLoad",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField()),
                ("ready", models.PositiveSmallIntegerField()),
                ("running", models.PositiveIntegerField()),
                ("waiting", models.PositiveIntegerField()),
                ("kv_cache_use", models.FloatField()),
                ("first_token_ms", models.PositiveIntegerField(null=True)),
                (
                    "pool",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="loads",
                        to="pools.pool",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["pool", "at"], name="pool_load_by_pool"),
                    models.Index(fields=["at"], name="pool_load_by_time"),
                ],
            },
        ),
    ]
