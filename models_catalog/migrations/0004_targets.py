"""What the operator promises of a model: the share of minutes that answer, the time to the first token."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("models_catalog", "0003_visibility")]
    operations = [
        migrations.AddField("languagemodel", "target_answered", models.PositiveIntegerField(blank=True, null=True)),
        migrations.AddField(
            "languagemodel", "target_first_token_ms", models.PositiveIntegerField(blank=True, null=True)
        ),
    ]
