"""What must hold after anything: sums that derive from the ledger equal a recount of it, to the last decimal.

The recount is SQL over the ledger and shares nothing with the code that keeps the sums.
"""

from __future__ import annotations

from typing import Any

from django.db import connection

from budgets.models import Counter

METERS = (
    "uncached_input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens",
    "audio_input_tokens", "audio_output_tokens", "image_input_tokens", "image_output_tokens", "requests",
    "web_searches",
)  # fmt: skip
INPUT = (
    "uncached_input_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens + audio_input_tokens "
    "+ image_input_tokens"
)
OUTPUT = "output_tokens + audio_output_tokens + image_output_tokens"

_DIMENSIONS = (
    "offering_id", "team_id", "gateway_id", "tier", "status", "rules_version", "correction_of", "environment", "rule",
    "reason", "task", "requested_model",
)  # fmt: skip
_RECOUNTED = tuple(
    "coalesce(extract(year FROM correction_of) * 100 + extract(month FROM correction_of), 0)::integer"
    if name == "correction_of"
    else name
    for name in _DIMENSIONS
)
_BOUNDS_MS = (25, 50, 100, 200, 350, 500, 750, 1000, 1500, 2000, 3000, 5000, 10_000, 20_000, 60_000)


def _histogram() -> str:
    above = (-1, *_BOUNDS_MS)
    upto = (*_BOUNDS_MS, 2**31 - 1)
    buckets = (
        f"coalesce(sum(sign(requests)) FILTER (WHERE latency_ms > {low} AND latency_ms <= {high}), 0)::bigint"
        for low, high in zip(above, upto, strict=True)
    )
    return f"ARRAY[{', '.join(buckets)}]"


_SUMS = {
    **{name: f"sum({name})::bigint" for name in METERS},
    "reasoning_tokens": "coalesce(sum(reasoning_tokens), 0)::bigint",
    "cost_usd": "coalesce(sum(cost_usd), 0)",
    "list_cost_usd": "coalesce(sum(list_cost_usd), 0)",
    "avoided_usd": "sum(avoided_usd)",
    "reported_cost_usd": "coalesce(sum(reported_cost_usd), 0)",
    "compared_cost_usd": "coalesce(sum(cost_usd) FILTER (WHERE reported_cost_usd IS NOT NULL), 0)",
    "compared_list_usd": "coalesce(sum(list_cost_usd) FILTER (WHERE reported_cost_usd IS NOT NULL), 0)",
    "compared_reported_usd": "coalesce(sum(reported_cost_usd) FILTER (WHERE cost_usd IS NOT NULL), 0)",
    "unpriced_tokens": f"coalesce(sum({INPUT} + {OUTPUT}) FILTER (WHERE cost_usd IS NULL), 0)::bigint",
    "unpriced_requests": "coalesce(sum(requests) FILTER (WHERE cost_usd IS NULL), 0)::bigint",
    "uncounted_requests": "coalesce(sum(requests) FILTER (WHERE NOT counted), 0)::bigint",
    "fallback_requests": "coalesce(sum(requests) FILTER (WHERE fallback_index > 0), 0)::bigint",
    "latency_ms": "coalesce(sum(sign(requests) * latency_ms), 0)::bigint",
    "latency_histogram": _histogram(),
}
_SMALL_SUMS = {
    "requests": "sum(requests)::bigint",
    "input_tokens": f"sum({INPUT})::bigint",
    "output_tokens": f"sum({OUTPUT})::bigint",
    "cost_usd": "coalesce(sum(cost_usd), 0)",
    "unpriced_tokens": f"coalesce(sum({INPUT} + {OUTPUT}) FILTER (WHERE cost_usd IS NULL), 0)::bigint",
    "uncounted_requests": "coalesce(sum(requests) FILTER (WHERE NOT counted), 0)::bigint",
}


def assert_rollups_equal_ledger() -> None:
    """Compare `rollup_15min`, `rollup_day` and `rollup_day_tag` with sums over the ledger, column by column.

    Also what was gathered of days and weeks that are over.
    """
    zone, tags = _query("SELECT zone, declared_tags FROM core_organisation")[0]
    day = "(booked_at AT TIME ZONE %(zone)s)::date"
    key = ("use_case_id", "bucket", *_DIMENSIONS)
    _assert_same(
        f"SELECT {', '.join((*key, *_SUMS))} FROM rollup_15min",
        f"SELECT use_case_id, date_bin('15 minutes', booked_at, '2000-01-01Z'), {', '.join(_RECOUNTED)}, "
        f"{', '.join(_SUMS.values())} FROM ledger GROUP BY {_places(len(key))}",
        {"zone": zone},
    )
    _assert_same(
        f"SELECT {', '.join((*key, *_SUMS)).replace('bucket', 'day', 1)} FROM rollup_day",
        f"SELECT use_case_id, {day}, {', '.join(_RECOUNTED)}, {', '.join(_SUMS.values())} "
        f"FROM ledger GROUP BY {_places(len(key))}",
        {"zone": zone},
    )
    key = ("use_case_id", "day", "tag", "value", "offering_id", "team_id", "gateway_id", "tier", "status")
    _assert_same(
        f"SELECT {', '.join((*key, *_SMALL_SUMS))} FROM rollup_day_tag",
        f"SELECT use_case_id, {day}, t.key, t.value, offering_id, team_id, gateway_id, tier, status, "
        f"{', '.join(_SMALL_SUMS.values())} FROM ledger, jsonb_each_text(tags) AS t "
        f"WHERE t.key = ANY(%(tags)s) GROUP BY {_places(len(key))}",
        {"zone": zone, "tags": list(tags)},
    )
    _assert_gathered_equals_ledger(day, zone)


def _assert_gathered_equals_ledger(day: str, zone: str) -> None:
    key = ("use_case_id", "offering_id", "team_id", "gateway_id", "tier", "status", "reason")
    sums = {name: sql for name, sql in _SUMS.items() if not name.startswith("compared") and name != "latency_histogram"}
    late = _RECOUNTED[_DIMENSIONS.index("correction_of")]
    _assert_same(
        f"SELECT day, correction_of, {', '.join(key)}, {', '.join(f'sum({name})' for name in sums)} FROM rollup_past "
        f"GROUP BY {_places(2 + len(key))}",
        f"SELECT {day} AS day, {late}, {', '.join(key)}, {', '.join(sums.values())} FROM ledger "
        f"WHERE {day} IN (SELECT day FROM rollup_past_days) GROUP BY {_places(2 + len(key))}",
        {"zone": zone},
    )
    week = f"date_trunc('week', {day})::date"
    key = (
        "use_case_id", "offering_id", "team_id", "tier", "rules_version", "environment", "rule", "reason", "task",
        "requested_model",
    )  # fmt: skip
    _assert_same(
        f"SELECT week, ok, {', '.join(key)}, first_day, last_day, requests, tokens, cost_usd, fallback_requests "
        "FROM rollup_past_week",
        f"SELECT {week}, status = 1, {', '.join(key)}, min({day}), max({day}), sum(requests), "
        f"sum({INPUT} + {OUTPUT}), {_SUMS['cost_usd']}, {_SUMS['fallback_requests']} FROM ledger "
        f"WHERE {week} IN (SELECT week FROM rollup_past_weeks) GROUP BY {_places(2 + len(key))}",
        {"zone": zone},
    )
    key = ("use_case_id", "team_id", "offering_id", "tier", "status")
    buckets = ", ".join(f"latency_{place}" for place in range(16))
    _assert_same(
        f"SELECT week, {', '.join(key)}, requests, tokens, unpriced_tokens, latency_ms, ARRAY[{buckets}] "
        "FROM rollup_past_attempts",
        f"SELECT {week}, {', '.join(key)}, sum(requests), sum({INPUT} + {OUTPUT}), {_SUMS['unpriced_tokens']}, "
        f"{_SUMS['latency_ms']}, {_SUMS['latency_histogram']} FROM ledger "
        f"WHERE {week} IN (SELECT week FROM rollup_past_weeks) GROUP BY {_places(1 + len(key))}",
        {"zone": zone},
    )


def assert_counters_equal_ledger() -> None:
    """Compare every counter with a recount of the ledger: entries of its scope and period that correct no closed month.

    Budgets with tags in their scope are left out.
    """
    names = {
        "use_case": "u.name", "team": "t.name", "model": "m.name", "offering": "o.name", "provider": "p.name",
        "gateway": "g.name", "tier": "(ARRAY['unclassified','frontier','middle','economy','self-hosted'])[l.tier + 1]",
    }  # fmt: skip
    measures = {
        "frontier_tokens": (f"sum({INPUT} + {OUTPUT})", "l.tier = 1 AND l.status IN (1, 2, 5)"),
        "tokens": (f"sum({INPUT} + {OUTPUT})", "l.status IN (1, 2, 5)"),
        "usd": ("sum(cost_usd)", "true"),
        "requests": ("sum(requests)", "l.status IN (1, 2, 4, 5)"),
    }
    for counter in Counter.objects.select_related("budget"):
        budget = counter.budget
        measure, condition = measures[budget.unit]
        conditions = [condition, "l.occurred_at >= %s", "l.occurred_at < %s", "l.correction_of IS NULL"]
        values: list[Any] = [counter.period_start, counter.period_end]
        for dimension, wanted in budget.scope.items():
            conditions.append(f"{names[dimension]} = ANY(%s)")
            values.append(wanted)
        recount = _query(
            f"SELECT coalesce({measure}, 0) FROM ledger l JOIN catalog_usecase u ON u.id = l.use_case_id "
            "JOIN catalog_team t ON t.id = l.team_id JOIN catalog_offering o ON o.id = l.offering_id "
            "JOIN catalog_model m ON m.id = o.model_id JOIN catalog_provider p ON p.id = o.provider_id "
            f"JOIN catalog_gateway g ON g.id = l.gateway_id WHERE {' AND '.join(conditions)}",
            values,
        )[0][0]
        assert counter.used == recount, f"counter of {budget}: {counter.used}, the ledger says {recount}"


def assert_each_counts_once(event_ids: set[str]) -> None:
    """Check that the ledger holds usage of exactly these events, each once."""
    rows = _query("SELECT event_id, sum(requests) FROM ledger GROUP BY event_id")
    booked = {str(event_id): int(requests) for event_id, requests in rows}
    assert {one for one, requests in booked.items() if requests != 1} == set()
    assert event_ids - booked.keys() == set(), "answered and not in the ledger"
    assert booked.keys() - event_ids == set(), "in the ledger and never sent"


def everything_in_the_database() -> str:
    """Return every row of every table as text, what receipts hold unpacked; for looking for what must not be there."""
    from usage.models import Receipt
    from usage.services import intake

    parts = [repr(intake.unpack(bytes(one))) for one in Receipt.objects.values_list("events", flat=True) if one]
    for (table,) in _query(
        "SELECT quote_ident(c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = 'public' AND c.relkind = 'r'"
    ):
        parts += [str(row) for (row,) in _query(f"SELECT r::text FROM {table} r")]
    return "\n".join(parts)


def _places(count: int) -> str:
    return ", ".join(str(place) for place in range(1, count + 1))


def _assert_same(kept: str, recounted: str, values: dict[str, Any]) -> None:
    missing = _query(f"({recounted}) EXCEPT ALL ({kept})", values)
    wrong = _query(f"({kept}) EXCEPT ALL ({recounted})", values)
    assert (missing, wrong) == ([], []), f"{kept.rpartition(' ')[2]} differs from the ledger"


def _query(sql: str, values: Any = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())
