"""Names and addresses beside the chain, checkpoints."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("identity", "0006_key_rotation")]
    operations = []
