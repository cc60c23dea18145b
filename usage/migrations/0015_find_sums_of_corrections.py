"""Find what was booked late for closed months without reading all that was booked since.

Such rows are few, and a booking that adds to a sum never changes what this index holds of it.
"""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("usage", "0014_find_sums_by_offering_and_team")]

    operations = [
        migrations.RunSQL(
            "CREATE INDEX rollup_day_corrections ON rollup_day (correction_of, day) WHERE correction_of <> 0",
            "DROP INDEX rollup_day_corrections",
        )
    ]
