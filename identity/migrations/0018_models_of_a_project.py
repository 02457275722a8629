"""Which models the keys of a project may call."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("identity", "0017_audit_by_target")]
    operations = [
        migrations.AddField(
            "project",
            "allowed_models",
            django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=200),
                blank=True,
                db_default=models.Value("{}"),
                default=list,
                size=None,
            ),
        )
    ]
