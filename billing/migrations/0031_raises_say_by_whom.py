"""A raise of a budget says who made it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0030_credit_of_closings")]
    operations = [
        migrations.AddField("BudgetRaise", "actor_kind", models.CharField(db_default="", default="", max_length=16)),
        migrations.AddField("BudgetRaise", "actor", models.CharField(db_default="", default="", max_length=64)),
    ]
