"""Organisation rules belong together, or apart: what one made another reaches only where it joins it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("identity", "0030_emissions_of_electricity"),
    ]

    operations = [
        migrations.AddField(
            model_name="organisationrule",
            name="joins",
            field=models.CharField(blank=True, db_default="", default="", max_length=63),
        ),
        migrations.AddField(
            model_name="organisationrule",
            name="id_pattern",
            field=models.CharField(db_default="*", default="*", max_length=63),
        ),
        migrations.AddField(
            model_name="groupfeed",
            name="is_made",
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]
