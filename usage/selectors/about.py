"""What was booked for one use case, team or model, in as many ways as a page shows: one read of the sums of days.

Days are the organisation's, ranges are half-open [first, until). Sums go by `booked_at`, as everywhere. A request is an
attempt as a gateway reported it; an answered one has the status ok. Tokens per call, the share of the cache and
latencies are those of answered requests.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal, localcontext
from typing import Any

from django.db import connection

from catalog.models import Tier
from usage.models import Status
from usage.selectors import past
from usage.selectors.drivers import INPUT, OUTPUT
from usage.selectors.overview import share
from usage.selectors.routing import FALLBACK

# What rows can be told apart by, and the column of each; a use case, team, offering and gateway come as their ids.
COLUMNS = {
    "day": "day",
    "use_case": "use_case_id",
    "team": "team_id",
    "offering": "offering_id",
    "gateway": "gateway_id",
    "tier": "tier",
    "environment": "environment",
    "rules_version": "rules_version",
    "rule": "rule",
    "reason": "reason",
    "task": "task",
    "requested_model": "requested_model",
}

_OK = f"FILTER (WHERE status = {int(Status.OK)})"
_INPUT, _TOKENS = " + ".join(INPUT), " + ".join((*INPUT, *OUTPUT))
_SUMS = {
    "cost_usd": "sum(cost_usd)",
    "requests": "sum(requests)",
    "answered": f"sum(requests) {_OK}",
    "on_frontier": f"sum(requests) FILTER (WHERE status = {int(Status.OK)} AND tier = {int(Tier.FRONTIER)})",
    "failed": f"sum(requests) FILTER (WHERE status = {int(Status.ERROR)})",
    "blocked": f"sum(requests) FILTER (WHERE status = {int(Status.BLOCKED)})",
    "by_fallback": f"sum(CASE reason WHEN '{FALLBACK}' THEN requests ELSE fallback_requests END) {_OK}",
    "tokens": f"sum({_TOKENS})",
    "answered_tokens": f"sum({_TOKENS}) {_OK}",
    "answered_input": f"sum({_INPUT}) {_OK}",
    "cache_read": f"sum(cache_read_tokens) {_OK}",
    "unpriced_tokens": "sum(unpriced_tokens)",
    "latency_ms": f"sum(latency_ms) {_OK}",
}
MEASURES = tuple(_SUMS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Of:
    """Whose entries are asked for: of a use case, of a team, or of some offerings."""

    use_case_id: int | None = None
    team_id: int | None = None
    offering_ids: Collection[int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Measures of a row. `by_fallback` is of those answered; `latencies` are empty where they were not asked for."""

    cost_usd: Decimal = Decimal(0)
    requests: int = 0
    answered: int = 0
    on_frontier: int = 0
    failed: int = 0
    blocked: int = 0
    by_fallback: int = 0
    tokens: int = 0
    answered_tokens: int = 0
    answered_input: int = 0  # cached included
    cache_read: int = 0
    unpriced_tokens: int = 0
    latency_ms: int = 0
    latencies: tuple[int, ...] = ()

    @property
    def known(self) -> bool:
        """Whether what it cost can be told: unknown is not free."""
        return bool(self.cost_usd) or not self.unpriced_tokens

    @property
    def per_1000_usd(self) -> Decimal | None:
        return self.cost_usd * 1000 / self.requests if self.requests and self.known else None

    @property
    def frontier_share(self) -> Decimal | None:
        return share(self.on_frontier, self.answered)

    @property
    def failed_share(self) -> Decimal | None:
        return share(self.failed, self.requests)

    @property
    def fallback_share(self) -> Decimal | None:
        return share(self.by_fallback, self.answered)

    @property
    def cache_share(self) -> Decimal | None:
        """Share of the input that came from the provider's cache."""
        return share(self.cache_read, self.answered_input)

    @property
    def tokens_per_call(self) -> Decimal | None:
        return share(self.answered_tokens, self.answered)

    @property
    def priced_share(self) -> Decimal | None:
        return share(self.tokens - self.unpriced_tokens, self.tokens)

    @property
    def empty(self) -> bool:
        return not (self.requests or self.tokens or self.cost_usd)


_NAMES = tuple(one.name for one in fields(Sums) if one.name != "latencies")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Sums of one combination; `keys` in the order in which they were asked for."""

    keys: tuple[Any, ...]
    sums: Sums


def added(each: Iterable[Sums]) -> Sums:
    """Return the exact sum."""
    found = list(each)
    with localcontext() as context:
        context.prec = 80  # sums have more digits than the default context keeps
        sums: dict[str, Any] = {name: sum((getattr(one, name) for one in found), 0) for name in _NAMES}
    sums["cost_usd"] = Decimal(sums["cost_usd"])
    buckets = [one.latencies for one in found if one.latencies]
    return Sums(**sums, latencies=tuple(sum(column) for column in zip(*buckets, strict=True)))


def sums(
    *,
    of: Of,
    first: date,
    until: date,
    ways: Sequence[tuple[str, ...]],
    only: Collection[str] = MEASURES,
    latencies: bool = False,
) -> Mapping[tuple[str, ...], list[Row]]:
    """Return the sums of [first, until) in several ways, each by the dimensions that it names (`COLUMNS`).

    `only` says which measures are asked for, since each costs; others are zero. Rows come in the order of their keys;
    those of nothing are left out. One query, none for no offerings.
    """
    if of.offering_ids is not None and not of.offering_ids:
        return {way: [] for way in ways}
    named = list(dict.fromkeys(name for way in ways for name in way))
    columns = [COLUMNS[name] for name in named]
    where, given = _condition(of)
    table, buckets = "rollup_day", list(past.BUCKETS.values())
    if set(columns) <= set(past.KEY):
        table, buckets = past.sums_of_days(), list(past.BUCKETS)
    sets = ", ".join(f"({', '.join(COLUMNS[name] for name in way)})" for way in ways)
    wanted = [name for name in MEASURES if name in only]
    histogram = f", ARRAY[{', '.join(f'coalesce(sum({one}) {_OK}, 0)' for one in buckets)}]" if latencies else ""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT grouping({', '.join(columns)}), {', '.join(columns)}, "
            f"{', '.join(f'coalesce({_SUMS[name]}, 0)' for name in wanted)}{histogram} "
            f"FROM {table} r WHERE {where} AND day >= %(first)s AND day < %(until)s GROUP BY GROUPING SETS ({sets}) "
            f"ORDER BY {', '.join(str(n + 2) for n in range(len(columns)))}",
            {**given, "first": first, "until": until},
        )
        rows = cursor.fetchall()
    # PostgreSQL sets a bit for each column that a row is not told apart by, the first column's the highest.
    by_mask = {
        sum(1 << (len(named) - 1 - place) for place, name in enumerate(named) if name not in way): way for way in ways
    }
    found: dict[tuple[str, ...], list[Row]] = {way: [] for way in ways}
    for mask, *values in rows:
        way = by_mask[mask]
        keys, measures = values[: len(named)], values[len(named) :]
        summed: dict[str, Any] = {
            name: value if name == "cost_usd" else int(value) for name, value in zip(wanted, measures, strict=False)
        }
        counts = tuple(max(0, int(count)) for count in measures[-1]) if latencies else ()
        one = Sums(**summed, latencies=counts)
        if not one.empty:
            found[way].append(Row(keys=tuple(keys[named.index(name)] for name in way), sums=one))
    return found


def _condition(of: Of) -> tuple[str, dict[str, Any]]:
    """Return what picks the entries; indexes of both tables begin with each of the columns."""
    if of.use_case_id is not None:
        return "use_case_id = %(of)s", {"of": of.use_case_id}
    if of.team_id is not None:
        return "team_id = %(of)s", {"of": of.team_id}
    return "offering_id = ANY(%(of)s)", {"of": list(of.offering_ids or ())}


def tags(*, use_case_id: int, first: date, until: date, most: int) -> Mapping[str, list[tuple[str, Decimal, int]]]:
    """Return the values of each declared tag with what they cost and their requests, the dearest `most`. One query."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tag, value, cost_usd, requests FROM ("
            " SELECT tag, value, sum(cost_usd) AS cost_usd, sum(requests) AS requests, row_number() OVER"
            "  (PARTITION BY tag ORDER BY sum(cost_usd) DESC, sum(requests) DESC, value) AS place"
            " FROM rollup_day_tag WHERE use_case_id = %s AND day >= %s AND day < %s GROUP BY tag, value"
            ") AS each WHERE place <= %s AND requests <> 0 ORDER BY tag, place",
            [use_case_id, first, until, most],
        )
        found: dict[str, list[tuple[str, Decimal, int]]] = {}
        for tag, value, cost_usd, requests in cursor.fetchall():
            found.setdefault(tag, []).append((value, cost_usd, int(requests)))
    return found
