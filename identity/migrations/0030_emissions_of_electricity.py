from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("identity", "0029_log_lines")]
    operations = [
        migrations.AddField("service", "grams_co2e_per_kwh", models.PositiveSmallIntegerField(blank=True, null=True))
    ]
