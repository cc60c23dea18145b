"""What gateways reported beside what we say, for entries that have both: the sums that a difference is shown from."""

from django.db import migrations

_KEY = (
    "offering_id", "team_id", "gateway_id", "tier", "status", "rules_version", "environment", "rule", "reason", "task",
    "requested_model",
)  # fmt: skip
_MONTH = "coalesce(extract(year FROM correction_of) * 100 + extract(month FROM correction_of), 0)::integer"


def _added(table: str, column: str, bucket: str) -> str:
    return f"""
        ALTER TABLE {table}
            ADD COLUMN compared_cost_usd numeric(38,18) NOT NULL DEFAULT 0,
            ADD COLUMN compared_list_usd numeric(38,18) NOT NULL DEFAULT 0,
            ADD COLUMN compared_reported_usd numeric(38,18) NOT NULL DEFAULT 0;
        UPDATE {table} AS r
        SET compared_cost_usd = l.ours, compared_list_usd = l.listed, compared_reported_usd = l.theirs FROM (
            SELECT use_case_id, {bucket} AS bucket, {_MONTH} AS correction_of, {", ".join(_KEY)},
                sum(cost_usd) AS ours, sum(list_cost_usd) AS listed, sum(reported_cost_usd) AS theirs
            FROM ledger WHERE cost_usd IS NOT NULL AND reported_cost_usd IS NOT NULL
            GROUP BY 1, 2, 3, {", ".join(_KEY)}
        ) AS l
        WHERE r.use_case_id = l.use_case_id AND r.{column} = l.bucket AND r.correction_of = l.correction_of
            AND {" AND ".join(f"r.{name} = l.{name}" for name in _KEY)};
    """


_COLUMNS = ("compared_cost_usd", "compared_list_usd", "compared_reported_usd")
_REMOVED = "ALTER TABLE {table} " + ", ".join(f"DROP COLUMN {name}" for name in _COLUMNS) + ";"


class Migration(migrations.Migration):
    dependencies = [("usage", "0003_room_in_sums")]

    operations = [
        migrations.RunSQL(
            _added("rollup_15min", "bucket", "date_bin('15 minutes', booked_at, '2000-01-01Z')"),
            _REMOVED.format(table="rollup_15min"),
        ),
        migrations.RunSQL(
            _added("rollup_day", "day", "(booked_at AT TIME ZONE (SELECT zone FROM core_organisation))::date"),
            _REMOVED.format(table="rollup_day"),
        ),
    ]
