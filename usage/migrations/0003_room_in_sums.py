"""Room in sums of money for any number of costs: a cost has up to 12 digits before the point, and sums had no more.

PostgreSQL rewrites no table for this: the scale stays as it is.
"""

from django.db import migrations

MONEY = ("cost_usd", "list_cost_usd", "avoided_usd", "reported_cost_usd")
COLUMNS = {"rollup_15min": MONEY, "rollup_day": MONEY, "rollup_day_tag": MONEY[:1], "rollup_day_user": MONEY[:1]}


def _typed(precision: int) -> str:
    return "\n".join(
        f"ALTER TABLE {table} {', '.join(f'ALTER COLUMN {name} TYPE numeric({precision},18)' for name in names)};"
        for table, names in COLUMNS.items()
    )


class Migration(migrations.Migration):
    dependencies = [("usage", "0002_ledger")]

    operations = [migrations.RunSQL(_typed(38), _typed(30))]
