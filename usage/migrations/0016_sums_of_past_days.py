"""Sums of days that are over by fewer dimensions, and of their weeks by all: what pages of months and years add up.

`usage/services/past.py` gathers them once they are over, and a booking into one of them takes it away again.
"""

from django.db import migrations

# What most pages read comes first, at offsets that are the same in every row: to add it up costs half as much. So does a
# histogram in columns of its own: each look into an array unpacks all of it.
_TABLE = """
CREATE TABLE rollup_past (
    use_case_id bigint NOT NULL,
    offering_id bigint NOT NULL,
    team_id bigint NOT NULL,
    gateway_id bigint NOT NULL,
    day date NOT NULL,
    correction_of integer NOT NULL,
    tier smallint NOT NULL,
    status smallint NOT NULL,
    lacks_price boolean NOT NULL,
    requests bigint NOT NULL,
    uncached_input_tokens bigint NOT NULL,
    cache_read_tokens bigint NOT NULL,
    cache_write_5m_tokens bigint NOT NULL,
    cache_write_1h_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    audio_input_tokens bigint NOT NULL,
    audio_output_tokens bigint NOT NULL,
    image_input_tokens bigint NOT NULL,
    image_output_tokens bigint NOT NULL,
    web_searches bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    unpriced_tokens bigint NOT NULL,
    unpriced_requests bigint NOT NULL,
    uncounted_requests bigint NOT NULL,
    fallback_requests bigint NOT NULL,
    latency_ms bigint NOT NULL,
    cost_usd numeric(38,18) NOT NULL,
    reason text COLLATE "C" NOT NULL,
    list_cost_usd numeric(38,18) NOT NULL,
    avoided_usd numeric(38,18) NOT NULL,
    reported_cost_usd numeric(38,18) NOT NULL,
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
    PRIMARY KEY (use_case_id, day, offering_id, team_id, gateway_id, tier, status, correction_of, reason, lacks_price)
);
CREATE INDEX rollup_past_day ON rollup_past (day);
CREATE INDEX rollup_past_offering ON rollup_past (offering_id, day);
CREATE INDEX rollup_past_team ON rollup_past (team_id, day);
"""
# The same of weeks that begin on a Monday, by what a request was, why it went where, and whether it was answered.
_WEEKS = """
CREATE TABLE rollup_past_week (
    use_case_id bigint NOT NULL,
    team_id bigint NOT NULL,
    offering_id bigint NOT NULL,
    requests bigint NOT NULL,
    tokens bigint NOT NULL,
    fallback_requests bigint NOT NULL,
    week date NOT NULL,
    first_day date NOT NULL,
    last_day date NOT NULL,
    rules_version integer NOT NULL,
    tier smallint NOT NULL,
    ok boolean NOT NULL,
    cost_usd numeric(38,18) NOT NULL,
    environment text COLLATE "C" NOT NULL,
    rule text COLLATE "C" NOT NULL,
    reason text COLLATE "C" NOT NULL,
    task text COLLATE "C" NOT NULL,
    requested_model text COLLATE "C" NOT NULL,
    PRIMARY KEY (
        use_case_id, week, team_id, offering_id, rules_version, tier, ok, environment, rule, reason, task,
        requested_model
    )
);
CREATE INDEX rollup_past_week_week ON rollup_past_week (week);
"""
# The days and weeks that are in them, whole.
_GATHERED = """
CREATE TABLE rollup_past_days (day date PRIMARY KEY);
CREATE TABLE rollup_past_weeks (week date PRIMARY KEY);
"""


class Migration(migrations.Migration):
    dependencies = [("usage", "0015_find_sums_of_corrections")]

    operations = [
        migrations.RunSQL(_TABLE, "DROP TABLE rollup_past"),
        migrations.RunSQL(_WEEKS, "DROP TABLE rollup_past_week"),
        migrations.RunSQL(_GATHERED, "DROP TABLE rollup_past_days, rollup_past_weeks"),
    ]
