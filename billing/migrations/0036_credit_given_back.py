"""What of a closed month's prepaid credit went back to the credit, as its bill had no room for it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0035_models_by_agreement")]
    operations = [
        migrations.AddField("Closing", "credit_returned_nano_eur", models.BigIntegerField(default=0, db_default=0)),
    ]
