"""As the migration before, for keys: one index a migration, so that it can be run again when it was cut off."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("identity", "0003_policy_versions_are_indexed")]
    operations = [
        AddIndexConcurrently("apikey", models.Index(fields=["policy_version"], name="api_key_by_policy_version")),
    ]
