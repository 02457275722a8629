"""Who answers for the budget of a key is found by the key: it goes with it."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("identity", "0034_budget_duties")]

    operations = [
        AddIndexConcurrently(
            "budgetduty", models.Index(fields=["key"], name="duty_by_key", condition=models.Q(key__isnull=False))
        ),
    ]
