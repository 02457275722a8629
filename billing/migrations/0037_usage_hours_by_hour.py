"""Which keys used most of some days is asked of the hourly sums, which grow with every month that is kept.

They are written in the order of their hours, so the least and the most of each 32 pages (a few hundred kilobytes for ten
million rows) is all that it takes to read the days alone. A charge that updates a row changes no hour, and so no index.
"""

from django.db import migrations


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("billing", "0036_credit_given_back")]
    operations = [
        migrations.RunSQL(
            "create index concurrently if not exists usage_hour_by_hour on billing_usage_hour using brin (hour)"
            " with (pages_per_range = 32, autosummarize = on)",
            "drop index concurrently if exists usage_hour_by_hour",
        )
    ]
