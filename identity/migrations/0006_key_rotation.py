"""Two secrets a key, who answers for it, an operator's block, keys of "Try it", a tenant's rules for keys, last use."""

from pathlib import Path

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models

SQL = Path(__file__).parent / "sql/0006_key_use.sql"


class Migration(migrations.Migration):
    dependencies = [("identity", "0005_providers")]
    operations = [
        migrations.AddField("apikey", "blocked_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddField(
            "apikey", "blocked_reason", models.CharField(blank=True, default="", db_default="", max_length=200)
        ),
        migrations.AddField(
            "apikey",
            "kind",
            models.CharField(
                choices=[("api", "key"), ("playground", "playground")], db_default="api", default="api", max_length=16
            ),
        ),
        migrations.AddField("apikey", "previous_digest", models.BinaryField(max_length=32, null=True)),
        migrations.AddField("apikey", "previous_ends_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddField("apikey", "previous_pepper_id", models.PositiveSmallIntegerField(null=True)),
        migrations.AddField(
            "apikey",
            "responsible",
            models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField("apikey", "rotated_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddField(
            "apikey", "rotation_request", models.CharField(blank=True, default="", db_default="", max_length=64)
        ),
        AddConstraintNotValid(
            "apikey",
            models.CheckConstraint(
                condition=models.Q(previous_digest=None, previous_ends_at=None, previous_pepper_id=None)
                | models.Q(
                    previous_digest__isnull=False,
                    previous_ends_at__isnull=False,
                    previous_pepper_id__isnull=False,
                    rotated_at__isnull=False,
                ),
                name="api_key_previous_secret_is_whole",
            ),
        ),
        AddConstraintNotValid(
            "apikey",
            models.CheckConstraint(
                condition=models.Q(kind__in=["api", "playground"]), name="api_key_kind_is_a_known_one"
            ),
        ),
        AddConstraintNotValid(
            "apikey",
            models.CheckConstraint(
                condition=models.Q(blocked_at=None, blocked_reason="")
                | (models.Q(blocked_at__isnull=False) & ~models.Q(blocked_reason="")),
                name="api_key_is_blocked_for_a_reason",
            ),
        ),
        migrations.CreateModel(
            name="KeyUse",
            fields=[
                (
                    "key",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="use",
                        serialize=False,
                        to="identity.apikey",
                    ),
                ),
                ("last_used_at", models.DateTimeField(null=True)),
                ("previous_last_used_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="TenantKeyRules",
            fields=[
                (
                    "tenant",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="key_rules",
                        serialize=False,
                        to="identity.tenant",
                    ),
                ),
                ("longest_life_days", models.PositiveSmallIntegerField(blank=True, null=True)),
                ("default_life_days", models.PositiveSmallIntegerField(blank=True, null=True)),
                (
                    "ip_ranges",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=64), blank=True, default=list, size=None
                    ),
                ),
                (
                    "creators",
                    models.CharField(
                        choices=[
                            ("developers", "developers and administrators"),
                            ("administrators", "administrators only"),
                        ],
                        default="developers",
                        max_length=16,
                    ),
                ),
                ("personal_keys", models.BooleanField(default=True)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(creators__in=["developers", "administrators"]),
                        name="key_rules_creators_are_known_ones",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(longest_life_days=None) | models.Q(longest_life_days__gt=0),
                        name="key_rules_longest_life_is_a_life",
                    ),
                ]
            },
        ),
        migrations.RunSQL(SQL.read_text(), migrations.RunSQL.noop),
    ]
