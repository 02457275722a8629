"""Every project's line in the list says how many keys it has: from an index alone, not from the keys."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("identity", "0018_models_of_a_project")]
    operations = [
        AddIndexConcurrently(
            "apikey",
            models.Index(fields=["project"], name="api_key_live_by_project", condition=models.Q(revoked_at=None)),
        ),
    ]
