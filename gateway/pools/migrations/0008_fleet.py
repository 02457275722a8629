"""Nodes, how managed pools are configured, what failed where, and what happened."""

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("pools", "0007_requests_at_once"),
    ]

    operations = [
        migrations.CreateModel(
            name="Node",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "name",
                    models.CharField(
                        max_length=63,
                        unique=True,
                        validators=[django.core.validators.RegexValidator("\\A[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\Z")],
                    ),
                ),
                ("labels", models.JSONField(default=dict)),
                (
                    "service",
                    models.CharField(
                        choices=[("in", "in service"), ("cordoned", "cordoned"), ("draining", "being drained")],
                        default="in",
                        max_length=16,
                    ),
                ),
                ("token_digest", models.BinaryField(null=True, unique=True)),
                ("token_expires_at", models.DateTimeField(null=True)),
                ("public_key", models.BinaryField(null=True)),
                ("command_key", models.PositiveSmallIntegerField(default=0)),
                ("sealed_broker_password", models.BinaryField(null=True)),
                ("token_used", models.BooleanField(default=False)),
                ("joined_at", models.DateTimeField(null=True)),
                ("generation", models.PositiveBigIntegerField(default=0)),
                ("assignment_digest", models.BinaryField(default=bytes)),
                ("acknowledged", models.PositiveBigIntegerField(default=0)),
                ("reported_at", models.DateTimeField(null=True)),
                ("agent_started_at", models.FloatField(default=0)),
                ("sequence", models.PositiveBigIntegerField(default=0)),
                ("observed", models.JSONField(default=dict)),
            ],
        ),
        migrations.AddField(
            model_name="pool",
            name="generation",
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="pool",
            name="maximum",
            field=models.PositiveSmallIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="pool",
            name="minimum",
            field=models.PositiveSmallIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="pool",
            name="policy",
            field=models.CharField(
                choices=[("unmanaged", "unmanaged"), ("manual", "manual"), ("automatic", "automatic")],
                db_default="unmanaged",
                default="unmanaged",
                max_length=16,
            ),
        ),
        migrations.AddField(
            model_name="pool",
            name="sound_generation",
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="pool",
            name="wanted",
            field=models.PositiveSmallIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="replica",
            name="generation",
            field=models.PositiveIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="replica",
            name="gpus",
            field=models.JSONField(db_default=[], default=list),
        ),
        migrations.AddField(
            model_name="replica",
            name="observed",
            field=models.JSONField(db_default={}, default=dict),
        ),
        migrations.AddField(
            model_name="replica",
            name="retires",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name="replica",
            name="state_since",
            field=models.DateTimeField(null=True),
        ),
        migrations.AlterField(
            model_name="replica",
            name="source",
            field=models.CharField(
                choices=[("environment", "environment"), ("operator", "operator"), ("fleet", "fleet")],
                default="operator",
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="replica",
            name="state",
            field=models.CharField(
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
                ],
                default="registered",
                max_length=16,
            ),
        ),
        migrations.CreateModel(
            name="FleetEvent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField()),
                ("began_at", models.DateTimeField(null=True)),
                ("kind", models.CharField(max_length=32)),
                ("pool", models.CharField(blank=True, max_length=100)),
                ("model", models.CharField(blank=True, max_length=200)),
                ("replica", models.CharField(blank=True, max_length=100)),
                ("node", models.CharField(blank=True, max_length=100)),
                ("from_state", models.CharField(blank=True, max_length=16)),
                ("to_state", models.CharField(blank=True, max_length=16)),
                ("reason", models.CharField(blank=True, max_length=300)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["pool", "-at"], name="fleet_event_by_pool"),
                    models.Index(fields=["node", "-at"], name="fleet_event_by_node"),
                    models.Index(fields=["at"], name="fleet_event_by_time"),
                ],
            },
        ),
        migrations.AddField(
            model_name="replica",
            name="machine",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="replicas",
                to="pools.node",
            ),
        ),
        migrations.CreateModel(
            name="PoolConfiguration",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("generation", models.PositiveIntegerField()),
                (
                    "engine",
                    models.CharField(choices=[("vllm", "vLLM"), ("simulated", "simulated engine")], max_length=16),
                ),
                ("arguments", models.JSONField(default=dict)),
                ("trust_remote_code", models.BooleanField(default=False)),
                ("weights", models.JSONField(default=dict)),
                ("gpus", models.PositiveSmallIntegerField()),
                ("gpu_memory_mb", models.PositiveIntegerField()),
                ("labels", models.JSONField(default=dict)),
                ("ready_within_s", models.PositiveIntegerField()),
                ("made_at", models.DateTimeField()),
                (
                    "pool",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="configurations",
                        to="pools.pool",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("pool", "generation"), name="configuration_has_one_generation")
                ],
            },
        ),
        migrations.CreateModel(
            name="Setback",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("generation", models.PositiveIntegerField()),
                ("failures", models.PositiveIntegerField()),
                ("last_at", models.DateTimeField()),
                ("reason", models.CharField(max_length=300)),
                (
                    "node",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="setbacks", to="pools.node"
                    ),
                ),
                (
                    "pool",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="setbacks",
                        to="pools.pool",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("pool", "generation", "node"), name="setbacks_are_counted_once_a_place"
                    )
                ],
            },
        ),
        # Events outlive what they tell of: nobody changes one; those that are over their time are removed.
        migrations.RunSQL("revoke update, truncate on pools_fleetevent from beffroi_app", migrations.RunSQL.noop),
    ]
