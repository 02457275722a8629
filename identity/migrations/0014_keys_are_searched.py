"""Lists of keys, also of a tenant with half a million: by state and last use."""

from django.db import migrations, models

STATE = [
    migrations.AddIndex("apikey", index)
    for index in [
        models.Index(fields=["tenant", "-id"], name="api_key_by_tenant", condition=models.Q(kind="api")),
        models.Index(fields=["tenant", "-id"], name="api_key_revoked", condition=models.Q(revoked_at__isnull=False)),
        models.Index(fields=["tenant", "-id"], name="api_key_blocked", condition=models.Q(blocked_at__isnull=False)),
        models.Index(fields=["tenant", "expires_at"], name="api_key_by_expiry", condition=models.Q(revoked_at=None)),
        models.Index(
            fields=["tenant", "previous_ends_at"],
            name="api_key_by_rotation",
            condition=models.Q(previous_ends_at__isnull=False),
        ),
    ]
]
STATE.append(migrations.AddIndex("keyuse", models.Index(fields=["-used_hour", "-key"], name="key_use_by_hour")))
MAKE = "create index concurrently if not exists"
SQL = [
    f"{MAKE} api_key_by_tenant on identity_apikey (tenant_id, id desc) where kind = 'api'",
    f"{MAKE} api_key_revoked on identity_apikey (tenant_id, id desc) where revoked_at is not null",
    f"{MAKE} api_key_blocked on identity_apikey (tenant_id, id desc) where blocked_at is not null",
    f"{MAKE} api_key_by_expiry on identity_apikey (tenant_id, expires_at) where revoked_at is null",
    f"{MAKE} api_key_by_rotation on identity_apikey (tenant_id, previous_ends_at) where previous_ends_at is not null",
    f"{MAKE} key_use_by_hour on identity_keyuse (used_hour desc, key_id desc)",
]


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("identity", "0013_key_use_by_hour")]
    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(SQL, migrations.RunSQL.noop)], state_operations=STATE
        )
    ]
