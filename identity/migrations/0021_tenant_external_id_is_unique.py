"""No two tenants have the same external id."""

from django.db import migrations, models

_NAME = "tenant_external_id_is_unique"


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("identity", "0020_operator_keys")]
    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    f"create unique index concurrently {_NAME} on identity_tenant (external_id) "
                    "where external_id is not null",
                    f"drop index concurrently if exists {_NAME}",
                )
            ],
            state_operations=[
                migrations.AddConstraint(
                    "tenant",
                    models.UniqueConstraint(
                        fields=["external_id"], condition=models.Q(external_id__isnull=False), name=_NAME
                    ),
                )
            ],
        )
    ]
