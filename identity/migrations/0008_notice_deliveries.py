"""Deliveries, preferences, webhooks."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("identity", "0007_audit_side_table")]
    operations = []
