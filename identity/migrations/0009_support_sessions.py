"""Support sessions of the operator, invitations, access reviews."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("identity", "0008_notice_deliveries")]
    operations = []
