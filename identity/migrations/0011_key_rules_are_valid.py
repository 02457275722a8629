"""What 0006 demands of keys holds for those that were there before."""

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("identity", "0010_scim")]
    operations = [
        ValidateConstraint("apikey", "api_key_previous_secret_is_whole"),
        ValidateConstraint("apikey", "api_key_kind_is_a_known_one"),
        ValidateConstraint("apikey", "api_key_is_blocked_for_a_reason"),
        migrations.RunSQL(
            "alter table identity_apikey validate constraint api_key_previous_digest_is_a_digest",
            migrations.RunSQL.noop,
        ),
    ]
