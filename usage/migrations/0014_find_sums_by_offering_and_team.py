"""Find the days of one model or one team without reading those of all others.

Neither column of an index ever changes in a row, so a booking that adds to a sum touches none of them.
"""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("usage", "0013_carried_prompts")]

    operations = [
        migrations.RunSQL(
            "CREATE INDEX rollup_day_offering ON rollup_day (offering_id, day)", "DROP INDEX rollup_day_offering"
        ),
        migrations.RunSQL("CREATE INDEX rollup_day_team ON rollup_day (team_id, day)", "DROP INDEX rollup_day_team"),
    ]
