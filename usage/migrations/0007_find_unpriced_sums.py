"""Find the sums that hold something without a price: the list of what needs attention is read often and is short.

A row is in the index only while something of it waits, so bookings of what has a price never touch it.
"""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("usage", "0006_corrections")]

    operations = [
        migrations.RunSQL(
            "CREATE INDEX rollup_day_unpriced ON rollup_day (offering_id) "
            "WHERE unpriced_requests <> 0 OR unpriced_tokens <> 0",
            "DROP INDEX rollup_day_unpriced",
        )
    ]
