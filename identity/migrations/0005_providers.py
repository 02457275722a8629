"""Identity providers, sign-ins and break-glass."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("identity", "0004_key_versions_are_indexed")]
    operations = []
