"""What a gateway called the model, kept with the entry: a name that is assigned later is resolved from it anew.

Entries from before have the empty text; they are found by the offering that was made for their name.
"""

from django.db import migrations

_ADD = "ALTER TABLE {table} ADD COLUMN reported_model text COLLATE \"C\" NOT NULL DEFAULT '';"
_DROP = "ALTER TABLE {table} DROP COLUMN reported_model;"


class Migration(migrations.Migration):
    dependencies = [("usage", "0004_compared_costs")]

    operations = [
        migrations.RunSQL(_ADD.format(table=table), _DROP.format(table=table)) for table in ("ledger", "ledger_unsummed")
    ]
