"""How the nightly checks of the ledger went."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0016_withdrawn_prices")]
    operations = [
        migrations.CreateModel(
            name="LedgerCheck",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("began_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(null=True)),
                ("differences", models.PositiveIntegerField(default=0)),
                ("first", models.CharField(blank=True, max_length=500)),
            ],
            options={"indexes": [models.Index(fields=["-began_at"], name="ledger_check_newest")]},
        )
    ]
