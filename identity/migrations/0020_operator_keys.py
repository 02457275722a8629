"""Keys of programs that run the platform; what their systems call a tenant, and why it is suspended."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("identity", "0019_keys_of_projects_are_counted")]
    operations = [
        migrations.CreateModel(
            name="OperatorKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=200)),
                ("lookup", models.CharField(max_length=16, unique=True)),
                ("digest", models.BinaryField(max_length=32)),
                ("pepper_id", models.PositiveSmallIntegerField()),
                (
                    "scopes",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=64), default=list, size=None
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("expires_at", models.DateTimeField()),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                ("last_used_at", models.DateTimeField(blank=True, null=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=~models.Q(lookup=""), name="operator_key_has_a_lookup")
                ],
            },
        ),
        migrations.AddField("tenant", "external_id", models.CharField(blank=True, max_length=128, null=True)),
        migrations.AddField("tenant", "suspended_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddField(
            "tenant", "suspended_reason", models.CharField(blank=True, db_default="", default="", max_length=200)
        ),
    ]
