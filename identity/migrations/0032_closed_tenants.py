"""An organisation that was made by mistake is closed."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("identity", "0031_organisation_rules_join")]
    operations = [migrations.AddField("tenant", "closed_at", models.DateTimeField(blank=True, null=True))]
