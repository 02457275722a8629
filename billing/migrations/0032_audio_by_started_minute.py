"""Prices that bill audio by the minute begun."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0031_raises_say_by_whom")]
    operations = [
        migrations.AddField(
            "PriceVersion", "audio_by_started_minute", models.BooleanField(db_default=False, default=False)
        ),
    ]
