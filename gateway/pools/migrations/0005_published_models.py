"""What has engines is offered already: it is published, and probed from now on."""

from django.db import migrations, models

PUBLISH = """
    update models_catalog_languagemodel m set published_at = now()
    where published_at is null
        and exists (select from pools_pool p join pools_replica r on r.pool_id = p.id where p.model_id = m.id)
"""


class Migration(migrations.Migration):
    dependencies = [("pools", "0004_model_probes")]
    operations = [
        migrations.RunSQL(PUBLISH, migrations.RunSQL.noop),
        migrations.AlterField(
            "replica",
            "state",
            models.CharField(
                choices=[
                    ("registered", "registered"),
                    ("ready", "ready"),
                    ("failed", "failed"),
                    ("draining", "draining"),
                    ("ejected", "ejected"),
                ],
                default="registered",
                max_length=16,
            ),
        ),
    ]
