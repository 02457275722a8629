"""Every export has a tenant or a kind of all."""

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("billing", "0033_exports_of_all")]
    operations = [ValidateConstraint("Export", "export_of_all_has_no_tenant")]
