"""What of a closed month was paid out of prepaid credit, so that what no bill had room for is counted by the next."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0029_notice_of_rises")]
    operations = [
        migrations.AddField("Closing", "credit_nano_eur", models.BigIntegerField(null=True)),
    ]
