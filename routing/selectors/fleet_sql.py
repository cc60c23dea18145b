"""The statements behind `fleet`, each to be put behind `SEEN`; see Note [How an instance stands] there.

`SEEN` takes at, environment, gateways, replaced, live, heard and grace.
"""

from __future__ import annotations

SEEN = """
WITH polls AS (
    SELECT p.*, g.name AS gateway,
        max(p.polled_at) OVER (PARTITION BY p.gateway_id, p.environment) AS gateway_polled_at
    FROM routing_gatewaypoll p JOIN catalog_gateway g ON g.id = p.gateway_id
    WHERE g.retired_at IS NULL
    AND (%(environment)s::text IS NULL OR p.environment = %(environment)s)
    AND (%(gateways)s::bigint[] IS NULL OR p.gateway_id = ANY(%(gateways)s))
), placed AS (
    SELECT p.*, e.live_version, LEAST(newer.published_at, later.holds_from) AS late_since,
        -- Of what there is, and newer than what it runs: else it is history, or no word of ours.
        refused.number IS NOT NULL AND (
            p.version IS NULL OR p.rejected_version > p.version
            OR p.rejected_version = p.version AND p.rejected_revision > p.revision
        ) AS refuses,
        refused.published_at AS refused_published_at, refused.spec AS needs
    FROM polls p
    LEFT JOIN routing_environment e ON e.name = p.environment
    -- Numbers have no gaps: what came after the one it runs. The largest number has no next one.
    LEFT JOIN routing_version newer
        ON newer.environment_id = e.id AND newer.number = LEAST(p.version, 2147483646) + 1
    LEFT JOIN routing_staterevision later
        ON later.environment_id = e.id AND later.revision = LEAST(p.revision, 9223372036854775806) + 1
    LEFT JOIN routing_version refused ON refused.environment_id = e.id AND refused.number = p.rejected_version
), seen AS (
    SELECT p.*, CASE
        WHEN p.polled_at < p.gateway_polled_at - %(replaced)s THEN 'gone'
        WHEN p.refuses AND p.polled_at > %(live)s THEN 'refused'
        WHEN p.polled_at <= %(heard)s THEN 'unheard'
        WHEN p.live_version IS NULL THEN 'waiting'
        WHEN p.version IS NULL OR p.version > p.live_version THEN 'unsaid'
        WHEN p.late_since IS NULL THEN 'current'
        WHEN p.polled_at > p.late_since + %(grace)s THEN 'behind'
        ELSE 'updating'
    END AS state
    FROM placed p
)
"""
_INSTANCE = """
    s.gateway_id, s.gateway, s.environment, s.instance AS name, s.version, s.revision, s.given_version,
    s.given_revision, s.polled_at, s.state, s.late_since, s.rejected_version AS refused_version,
    s.rejected_revision AS refused_revision, s.rejected_reason AS refused_reason, s.spec, s.client
"""
GROUPS = """
, grouped AS (
    SELECT gateway_id, gateway, environment, state, version, client, count(*) AS instances,
        max(polled_at) AS polled_at, min(late_since) AS late_since, max(rejected_version) AS refused_version,
        max(given_version) AS given_version
    FROM seen GROUP BY gateway_id, gateway, environment, state, version, client
), connected AS (
    SELECT g.id, g.name, gk.environment, max(k.last_used_at) AS key_used_at
    FROM catalog_gateway g JOIN catalog_gatewaykey gk ON gk.gateway_id = g.id JOIN core_apikey k ON k.id = gk.key_id
    WHERE g.retired_at IS NULL AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > %(at)s)
    AND 'rules:read' = ANY(k.scopes)
    AND (%(environment)s::text IS NULL OR gk.environment = %(environment)s)
    AND (%(gateways)s::bigint[] IS NULL OR g.id = ANY(%(gateways)s))
    GROUP BY g.id, gk.environment
)
SELECT coalesce(s.gateway_id, c.id) AS gateway_id, coalesce(s.gateway, c.name) AS gateway,
    coalesce(s.environment, c.environment) AS environment, e.live_version, live.published_at AS live_since,
    c.key_used_at, own.takes_rules, s.state, s.version, s.client, s.instances, s.polled_at, s.late_since,
    s.refused_version, s.given_version
FROM grouped s
FULL JOIN connected c ON c.id = s.gateway_id AND c.environment = s.environment
JOIN catalog_gateway own ON own.id = coalesce(s.gateway_id, c.id)
LEFT JOIN routing_environment e ON e.name = coalesce(s.environment, c.environment)
LEFT JOIN routing_version live ON live.environment_id = e.id AND live.number = e.live_version
ORDER BY 2, 3
"""
FOLDED = f"""
SELECT {_INSTANCE} FROM (
    SELECT s.*, row_number() OVER (
        PARTITION BY s.gateway_id ORDER BY array_position(%(states)s, s.state), s.polled_at DESC, s.instance COLLATE "C"
    ) AS place FROM seen s
) s
WHERE s.place <= %(of_each)s
ORDER BY s.gateway, s.place LIMIT %(limit)s
"""
LISTED = f"""
SELECT {_INSTANCE} FROM seen s
WHERE (%(state)s::text IS NULL OR s.state = %(state)s)
AND (%(after_gateway)s::bigint IS NULL OR (s.gateway_id, s.instance) > (%(after_gateway)s, %(after_name)s))
ORDER BY s.gateway_id, s.instance LIMIT %(limit)s
"""
REFUSALS = """
SELECT s.gateway_id, s.gateway, s.environment, s.rejected_version AS version,
    max(s.refused_published_at) AS published_at, max(s.live_version) AS live_version, count(*) AS instances,
    array_agg(s.instance ORDER BY s.instance) AS names,
    array_agg(DISTINCT s.rejected_reason) AS reasons, array_agg(DISTINCT s.client) AS clients,
    array_agg(DISTINCT s.version) AS running, min(s.spec) AS spec, max(s.needs) AS needs
FROM seen s
WHERE s.state = 'refused' AND (%(version)s::int IS NULL OR s.rejected_version = %(version)s)
GROUP BY s.gateway_id, s.gateway, s.environment, s.rejected_version
ORDER BY s.environment, s.gateway, s.rejected_version DESC
"""
