"""Models that a tenant sees by agreement, for its time; gateways read which."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0034_exports_of_all_are_valid")]
    operations = [
        migrations.AddField(
            "Agreement",
            "model_ids",
            django.contrib.postgres.fields.ArrayField(
                base_field=models.BigIntegerField(), blank=True, db_default=models.Value("{}"), default=list, size=None
            ),
        ),
        migrations.RunSQL(
            "grant select (tenant_id, model_ids, starts_at, ends_at, closed_at) on billing_agreement to beffroi_gateway",
            "revoke select (tenant_id, model_ids, starts_at, ends_at, closed_at) on billing_agreement from beffroi_gateway",
        ),
    ]
