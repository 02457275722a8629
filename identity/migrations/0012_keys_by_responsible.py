"""Whose keys need a new responsible person is asked on every overview."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("identity", "0011_key_rules_are_valid")]
    operations = [
        AddIndexConcurrently(
            "apikey",
            models.Index(
                fields=["tenant", "responsible"],
                name="api_key_by_responsible",
                condition=models.Q(owner=None, revoked_at=None, kind="api"),
            ),
        ),
    ]
