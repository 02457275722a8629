"""What was done to one thing is found without a walk through the whole chain."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("identity", "0016_project_responsible")]
    operations = [
        AddIndexConcurrently(
            "auditevent",
            models.Index(fields=["target", "tenant", "target_kind", "sequence"], name="audit_event_by_target"),
        )
    ]
