"""SCIM."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("identity", "0009_support_sessions")]
    operations = []
