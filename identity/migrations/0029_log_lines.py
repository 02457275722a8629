"""A collector may get what the processes log too, and how far each is with it."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("identity", "0028_organisation_rules"),
    ]

    operations = [
        migrations.AddField(
            model_name="logexport",
            name="content",
            field=models.CharField(
                choices=[("audit", "the audit"), ("logs", "what the processes log"), ("both", "both")],
                db_default="audit",
                default="audit",
                max_length=8,
            ),
        ),
        migrations.AddField(
            model_name="logexport",
            name="lines_dropped",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="logexport",
            name="lines_sent",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="logexport",
            name="logs_from",
            field=models.DateTimeField(null=True),
        ),
        migrations.CreateModel(
            name="SpoolCursor",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("spool", models.UUIDField()),
                ("segment", models.BigIntegerField()),
                ("offset", models.BigIntegerField()),
                ("lines", models.BigIntegerField()),
                (
                    "export",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="spool_cursors",
                        to="identity.logexport",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("export", "spool"), name="spool_cursor_is_one_a_spool")
                ],
            },
        ),
    ]
