"""Attempts and their latencies by weeks that are over: what a table of offerings adds up over months.

They are gathered with `rollup_past_week`, so the weeks that are there are gathered anew.
"""

from django.db import migrations

_TABLE = """
CREATE TABLE rollup_past_attempts (
    use_case_id bigint NOT NULL,
    team_id bigint NOT NULL,
    offering_id bigint NOT NULL,
    week date NOT NULL,
    tier smallint NOT NULL,
    status smallint NOT NULL,
    requests bigint NOT NULL,
    tokens bigint NOT NULL,
    unpriced_tokens bigint NOT NULL,
    latency_ms bigint NOT NULL,
    latency_0 bigint NOT NULL,
    latency_1 bigint NOT NULL,
    latency_2 bigint NOT NULL,
    latency_3 bigint NOT NULL,
    latency_4 bigint NOT NULL,
    latency_5 bigint NOT NULL,
    latency_6 bigint NOT NULL,
    latency_7 bigint NOT NULL,
    latency_8 bigint NOT NULL,
    latency_9 bigint NOT NULL,
    latency_10 bigint NOT NULL,
    latency_11 bigint NOT NULL,
    latency_12 bigint NOT NULL,
    latency_13 bigint NOT NULL,
    latency_14 bigint NOT NULL,
    latency_15 bigint NOT NULL,
    PRIMARY KEY (use_case_id, week, team_id, offering_id, tier, status)
);
CREATE INDEX rollup_past_attempts_week ON rollup_past_attempts (week);
"""
_ANEW = "DELETE FROM rollup_past_week; DELETE FROM rollup_past_weeks"


class Migration(migrations.Migration):
    dependencies = [("usage", "0016_sums_of_past_days")]

    operations = [
        migrations.RunSQL(_TABLE, "DROP TABLE rollup_past_attempts"),
        migrations.RunSQL(_ANEW, migrations.RunSQL.noop),
    ]
