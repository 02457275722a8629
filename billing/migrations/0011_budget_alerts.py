"""At which percentages of a budget people are told."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0010_records_that_did_not_complete")]
    operations = [
        migrations.AddField(
            "budget",
            "alert_percents",
            django.contrib.postgres.fields.ArrayField(
                base_field=models.PositiveSmallIntegerField(),
                blank=True,
                db_default=models.Value("{80,100}"),
                size=None,
            ),
        )
    ]
