"""The ledger, its unsummed twin, event keys and rollups: partitioned tables, which Django does not make."""

from django.db import migrations

METERS = """
    uncached_input_tokens bigint NOT NULL DEFAULT 0,
    cache_read_tokens bigint NOT NULL DEFAULT 0,
    cache_write_5m_tokens bigint NOT NULL DEFAULT 0,
    cache_write_1h_tokens bigint NOT NULL DEFAULT 0,
    output_tokens bigint NOT NULL DEFAULT 0,
    audio_input_tokens bigint NOT NULL DEFAULT 0,
    audio_output_tokens bigint NOT NULL DEFAULT 0,
    image_input_tokens bigint NOT NULL DEFAULT 0,
    image_output_tokens bigint NOT NULL DEFAULT 0,
    requests bigint NOT NULL DEFAULT 0,
    web_searches bigint NOT NULL DEFAULT 0,
"""

# Text is compared byte by byte (COLLATE "C"): names are compared for being equal, never sorted for people here.
LEDGER = f"""
CREATE TABLE ledger (
    use_case_id bigint NOT NULL,
    booked_at timestamptz NOT NULL,
    id bigint NOT NULL,
    kind smallint NOT NULL,
    occurred_at timestamptz NOT NULL,
    source_id bigint NOT NULL,
    gateway_id bigint NOT NULL,
    environment text COLLATE "C" NOT NULL,
    team_id bigint NOT NULL,
    offering_id bigint NOT NULL,
    tier smallint NOT NULL,
    status smallint NOT NULL,
    requested_model text COLLATE "C" NOT NULL,
    {METERS}
    reasoning_tokens bigint,
    counted boolean NOT NULL,
    service_tier text COLLATE "C" NOT NULL,
    cost_usd numeric(30,18),
    list_cost_usd numeric(30,18),
    avoided_usd numeric(30,18) NOT NULL,
    reported_cost_usd numeric(30,18),
    rate_id bigint,
    unpriced smallint NOT NULL,
    latency_ms integer,
    task text COLLATE "C" NOT NULL,
    context_id bigint,
    sticky_key text COLLATE "C" NOT NULL,
    user_key text COLLATE "C" NOT NULL,
    rules_version integer NOT NULL,
    state_revision bigint NOT NULL,
    rule text COLLATE "C" NOT NULL,
    reason text COLLATE "C" NOT NULL,
    fallback_index smallint NOT NULL,
    call_group text COLLATE "C" NOT NULL,
    tags jsonb,
    flags text[],
    event_id text COLLATE "C" NOT NULL,
    receipt_id bigint,
    corrects_use_case_id bigint,
    corrects_booked_at timestamptz,
    corrects_id bigint,
    correction_of date,
    restatement_id bigint,
    CONSTRAINT ledger_kind_known CHECK (kind IN (1, 2, 3)),
    CONSTRAINT ledger_status_known CHECK (status BETWEEN 1 AND 5),
    CONSTRAINT ledger_tier_known CHECK (tier BETWEEN 0 AND 4),
    -- Unknown is not free: no cost exactly where a reason stands.
    CONSTRAINT ledger_priced_or_says_why CHECK (
        (unpriced = 0) = (cost_usd IS NOT NULL) AND (unpriced = 0) = (list_cost_usd IS NOT NULL)
    ),
    -- Only what corrects something may name it, and then in full.
    CONSTRAINT ledger_corrects_whole CHECK (
        (kind = 1) = (corrects_id IS NULL)
        AND num_nulls(corrects_use_case_id, corrects_booked_at, corrects_id) IN (0, 3)
    ),
    -- Booked when it happened, save where its month was closed.
    CONSTRAINT ledger_booked_when_it_happened CHECK (correction_of IS NOT NULL OR booked_at = occurred_at),
    CONSTRAINT ledger_meters_signed CHECK (
        kind <> 1 OR (
            uncached_input_tokens >= 0 AND cache_read_tokens >= 0 AND cache_write_5m_tokens >= 0
            AND cache_write_1h_tokens >= 0 AND output_tokens >= 0 AND audio_input_tokens >= 0
            AND audio_output_tokens >= 0 AND image_input_tokens >= 0 AND image_output_tokens >= 0
            AND requests >= 0 AND web_searches >= 0
        )
    ),
    PRIMARY KEY (use_case_id, booked_at, id)
) PARTITION BY RANGE (booked_at);

-- What waits for a price, by offering.
CREATE INDEX ledger_unpriced ON ledger (offering_id, id) WHERE unpriced > 0;
-- Whether an entry was corrected.
CREATE INDEX ledger_corrects ON ledger (corrects_id) WHERE corrects_id IS NOT NULL;
-- Ranges of time over all use cases; entries arrive nearly in order of time, so a few bytes per 128 pages do.
CREATE INDEX ledger_occurred ON ledger USING brin (occurred_at) WITH (pages_per_range = 32);

CREATE TABLE ledger_unsummed (LIKE ledger INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY RANGE (booked_at);
ALTER TABLE ledger_unsummed ADD PRIMARY KEY (use_case_id, booked_at, id);

-- Blocks of a thousand: whoever books takes one and numbers the entries of it itself.
CREATE SEQUENCE ledger_block INCREMENT BY 1000 MINVALUE 1 START 1;

CREATE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: its rows never change', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER ledger_row BEFORE UPDATE OR DELETE ON ledger FOR EACH ROW EXECUTE FUNCTION ledger_refuse();
CREATE TRIGGER ledger_all BEFORE TRUNCATE ON ledger EXECUTE FUNCTION ledger_refuse();
CREATE TRIGGER ledger_row BEFORE UPDATE OR DELETE ON ledger_unsummed FOR EACH ROW EXECUTE FUNCTION ledger_refuse();
CREATE TRIGGER ledger_all BEFORE TRUNCATE ON ledger_unsummed EXECUTE FUNCTION ledger_refuse();
"""

EVENT_KEY = """
CREATE TABLE event_key (
    source_id bigint NOT NULL,
    digest bytea NOT NULL,
    content bytea NOT NULL,
    use_case_id bigint NOT NULL,
    booked_at timestamptz NOT NULL,
    entry_id bigint NOT NULL,
    first_received_at timestamptz NOT NULL,
    CONSTRAINT event_key_digest_is_16_bytes CHECK (length(digest) = 16 AND length(content) = 16),
    PRIMARY KEY (source_id, digest)
);
-- Pruning by age; keys arrive in order of it.
CREATE INDEX event_key_age ON event_key USING brin (first_received_at) WITH (pages_per_range = 32);
"""

SUMS = f"""
    {METERS}
    reasoning_tokens bigint NOT NULL DEFAULT 0,
    cost_usd numeric(30,18) NOT NULL DEFAULT 0,
    list_cost_usd numeric(30,18) NOT NULL DEFAULT 0,
    avoided_usd numeric(30,18) NOT NULL DEFAULT 0,
    reported_cost_usd numeric(30,18) NOT NULL DEFAULT 0,
    unpriced_tokens bigint NOT NULL DEFAULT 0,
    unpriced_requests bigint NOT NULL DEFAULT 0,
    uncounted_requests bigint NOT NULL DEFAULT 0,
    fallback_requests bigint NOT NULL DEFAULT 0,
    latency_ms bigint NOT NULL DEFAULT 0,
    latency_histogram bigint[] NOT NULL
"""

DIMENSIONS = """
    offering_id bigint NOT NULL,
    team_id bigint NOT NULL,
    gateway_id bigint NOT NULL,
    tier smallint NOT NULL,
    status smallint NOT NULL,
    rules_version integer NOT NULL,
    correction_of integer NOT NULL,
    environment text COLLATE "C" NOT NULL,
    rule text COLLATE "C" NOT NULL,
    reason text COLLATE "C" NOT NULL,
    task text COLLATE "C" NOT NULL,
    requested_model text COLLATE "C" NOT NULL,
"""

KEY = (
    "offering_id, team_id, gateway_id, tier, status, rules_version, correction_of, environment, rule, reason, task, "
    "requested_model"
)

ROLLUPS = f"""
CREATE TABLE rollup_15min (
    use_case_id bigint NOT NULL,
    bucket timestamptz NOT NULL,
    {DIMENSIONS}
    {SUMS},
    CONSTRAINT rollup_15min_histogram_is_16 CHECK (array_length(latency_histogram, 1) = 16),
    PRIMARY KEY (use_case_id, bucket, {KEY})
) PARTITION BY RANGE (bucket);
-- The organisation's day or month over all use cases.
CREATE INDEX rollup_15min_bucket ON rollup_15min (bucket);

CREATE TABLE rollup_day (
    use_case_id bigint NOT NULL,
    day date NOT NULL,
    {DIMENSIONS}
    {SUMS},
    CONSTRAINT rollup_day_histogram_is_16 CHECK (array_length(latency_histogram, 1) = 16),
    PRIMARY KEY (use_case_id, day, {KEY})
);
CREATE INDEX rollup_day_day ON rollup_day (day);

CREATE TABLE rollup_day_tag (
    use_case_id bigint NOT NULL,
    day date NOT NULL,
    tag text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    offering_id bigint NOT NULL,
    team_id bigint NOT NULL,
    gateway_id bigint NOT NULL,
    tier smallint NOT NULL,
    status smallint NOT NULL,
    requests bigint NOT NULL DEFAULT 0,
    input_tokens bigint NOT NULL DEFAULT 0,
    output_tokens bigint NOT NULL DEFAULT 0,
    cost_usd numeric(30,18) NOT NULL DEFAULT 0,
    unpriced_tokens bigint NOT NULL DEFAULT 0,
    uncounted_requests bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (use_case_id, day, tag, value, offering_id, team_id, gateway_id, tier, status)
);

CREATE TABLE rollup_day_user (
    use_case_id bigint NOT NULL,
    day date NOT NULL,
    user_key text COLLATE "C" NOT NULL,
    requests bigint NOT NULL DEFAULT 0,
    input_tokens bigint NOT NULL DEFAULT 0,
    output_tokens bigint NOT NULL DEFAULT 0,
    cost_usd numeric(30,18) NOT NULL DEFAULT 0,
    unpriced_tokens bigint NOT NULL DEFAULT 0,
    uncounted_requests bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (use_case_id, day, user_key)
);
"""

# A partition gets its own TRUNCATE trigger: PostgreSQL hands row triggers down to partitions, but not this one.
# No default partition: a row in one would block the month's own. Made by whoever needs it first, under a lock, so that
# two who need the same month do not collide.
PARTITIONS = """
CREATE FUNCTION usage_make_partitions(first_month date, last_month date) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    month date := date_trunc('month', first_month)::date;
    made integer := 0;
    parent text;
    child text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('usage_make_partitions'));
    WHILE month <= last_month LOOP
        FOREACH parent IN ARRAY ARRAY['ledger', 'ledger_unsummed', 'rollup_15min'] LOOP
            child := parent || '_' || to_char(month, 'YYYYMM');
            IF to_regclass(child) IS NULL THEN
                EXECUTE format(
                    'CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', child, parent,
                    month::timestamp AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC'
                );
                IF parent <> 'rollup_15min' THEN
                    EXECUTE format(
                        'CREATE TRIGGER ledger_all BEFORE TRUNCATE ON %I EXECUTE FUNCTION ledger_refuse()', child
                    );
                END IF;
                made := made + 1;
            END IF;
        END LOOP;
        month := (month + interval '1 month')::date;
    END LOOP;
    RETURN made;
END
$$;
SELECT usage_make_partitions(
    (now() AT TIME ZONE 'UTC' - interval '2 months')::date, (now() AT TIME ZONE 'UTC' + interval '2 months')::date
);
"""


class Migration(migrations.Migration):
    dependencies = [("usage", "0001_records"), ("core", "0003_first_rows")]
    operations = [
        migrations.RunSQL(LEDGER, migrations.RunSQL.noop),
        migrations.RunSQL(EVENT_KEY, migrations.RunSQL.noop),
        migrations.RunSQL(ROLLUPS, migrations.RunSQL.noop),
        migrations.RunSQL(PARTITIONS, migrations.RunSQL.noop),
    ]
