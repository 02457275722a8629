"""Two secrets, responsible people, key policies, last use."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("identity", "0005_providers")]
    operations = []
