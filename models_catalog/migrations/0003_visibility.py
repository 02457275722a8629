"""Who sees a model, and since when it is published."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("models_catalog", "0002_notify")]
    operations = [
        migrations.AddField(
            "languagemodel",
            "visibility",
            models.CharField(
                choices=[
                    ("everybody", "everybody"),
                    ("chosen", "chosen tiers and organisations"),
                    ("nobody", "nobody"),
                ],
                db_default="everybody",
                default="everybody",
                max_length=16,
            ),
        ),
        migrations.AddField(
            "languagemodel",
            "visible_tiers",
            django.contrib.postgres.fields.ArrayField(
                base_field=models.BigIntegerField(), blank=True, db_default=models.Value("{}"), default=list, size=None
            ),
        ),
        migrations.AddField(
            "languagemodel",
            "visible_tenants",
            django.contrib.postgres.fields.ArrayField(
                base_field=models.BigIntegerField(), blank=True, db_default=models.Value("{}"), default=list, size=None
            ),
        ),
        migrations.AddField("languagemodel", "published_at", models.DateTimeField(blank=True, null=True)),
    ]
