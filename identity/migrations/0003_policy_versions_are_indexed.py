"""Gateways poll for what was changed since a version: without an index every poll reads every tenant."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("identity", "0002_rules")]
    operations = [
        AddIndexConcurrently("tenant", models.Index(fields=["policy_version"], name="tenant_by_policy_version")),
    ]
