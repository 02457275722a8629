"""Which tenant is the operator's own account."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("identity", "0021_tenant_external_id_is_unique")]
    operations = [
        migrations.AddField(
            "tenant", "is_platform", models.BooleanField(db_default=False, default=False, editable=False)
        ),
    ]
