"""What servers showed of their certificates."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("identity", "0026_backups"),
    ]

    operations = [
        migrations.CreateModel(
            name="Certificate",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("host", models.CharField(max_length=255)),
                ("port", models.PositiveIntegerField()),
                (
                    "used_for",
                    models.CharField(
                        choices=[
                            ("public", "public address"),
                            ("provider", "identity provider"),
                            ("engine", "engine"),
                            ("collector", "collector of the audit"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "names",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=255), default=list, size=None
                    ),
                ),
                ("issuer", models.CharField(blank=True, max_length=300)),
                ("ends_at", models.DateTimeField(null=True)),
                ("looked_at", models.DateTimeField()),
                ("error", models.CharField(blank=True, max_length=200)),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("host", "port"), name="certificate_is_one_a_server")],
            },
        ),
    ]
