"""Organisations that groups of the shared provider make and fill."""

import django.db.models.deletion
from django.db import migrations, models

ROLES = ["owner", "administrator", "developer", "finance", "auditor"]


class Migration(migrations.Migration):
    dependencies = [
        ("identity", "0027_certificates"),
    ]

    operations = [
        migrations.CreateModel(
            name="OrganisationRule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("code", models.CharField(max_length=63, unique=True)),
                ("pattern", models.CharField(max_length=255, unique=True)),
                ("role", models.CharField(choices=[(role, role) for role in ROLES], max_length=16)),
                ("makes", models.BooleanField()),
                ("tier", models.CharField(blank=True, max_length=32)),
                ("time_zone", models.CharField(max_length=64)),
                ("name_pattern", models.CharField(max_length=120)),
                ("made_max", models.PositiveIntegerField()),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("role__in", ROLES)), name="organisation_rule_role_is_a_known_one"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("pattern__regex", "^[^*]*[*][^*]*$")),
                        name="organisation_rule_pattern_has_one_star",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("makes", False), models.Q(("tier", ""), _negated=True), _connector="OR"),
                        name="organisation_rule_that_makes_has_a_tier",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="GroupFeed",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("word", models.CharField(max_length=63, unique=True)),
                ("gives_administrators", models.BooleanField()),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "rule",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="feeds",
                        to="identity.organisationrule",
                    ),
                ),
                (
                    "tenant",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="group_feed", to="identity.tenant"
                    ),
                ),
            ],
        ),
    ]
