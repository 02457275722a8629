"""How the worker's scheduled jobs went."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("identity", "0022_platform_account")]
    operations = [
        migrations.CreateModel(
            name="JobRun",
            fields=[
                ("name", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("began_at", models.DateTimeField()),
                ("took_ms", models.IntegerField()),
                ("went_well_at", models.DateTimeField(null=True)),
                ("failed_at", models.DateTimeField(null=True)),
                ("error", models.CharField(blank=True, max_length=100)),
            ],
        )
    ]
