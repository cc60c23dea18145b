"""What requests cost that were sent elsewhere, and what the same tokens would have cost at another offering.

Read from the ledger, by the instant at which requests happened: sums of quarter hours know neither the size of a
request nor its service tier, and prices go by both. Entries are summed apart wherever their card could differ (see
`estimating`), so that a group is priced like one call, exactly. What was booked late for a closed month is left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection

from catalog.rules import INPUT_METERS, REQUESTS, Book, edges
from usage.models import Status
from usage.rules.postings import METER_COLUMNS
from usage.rules.rating import NOT_COUNTED, PRICED, atto, rate, usd
from usage.selectors import world
from usage.selectors.estimating import holding

# Attempts that reached an offering: what a gateway had in its own cache, or blocked, went nowhere.
_SENT = [int(status) for status in (Status.OK, Status.ERROR, Status.USAGE_MISSING)]
_INPUT = " + ".join(f"e.{METER_COLUMNS[index]}" for index in INPUT_METERS)
_FROM = """
    FROM unnest(%(starts)s::timestamptz[], %(ends)s::timestamptz[]) WITH ORDINALITY AS w(starts, ends, n)
    JOIN ledger e ON e.occurred_at >= w.starts AND e.occurred_at < w.ends
        AND e.booked_at >= w.starts AND e.booked_at < w.ends
    WHERE e.reason = %(reason)s AND e.correction_of IS NULL AND e.status = ANY(%(sent)s)
"""


class Span(NamedTuple):
    """A stretch of time, [starts_at, ends_at)."""

    starts_at: datetime
    ends_at: datetime


class Way(NamedTuple):
    """What sent requests somewhere: a rule of a version, within one of the spans that were asked about."""

    span: int  # its place among them
    environment: str
    rules_version: int  # 0: not reported
    rule: str  # empty: not reported, or none matched


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Requests with what they cost, and what the same tokens would have cost elsewhere, where both are known.

    Nothing is free for want of a price: a request with an unknown cost is in `unpriced_requests`, and whatever is
    unknown on either side is left out of all that is compared.
    """

    requests: int = 0
    tokens: int = 0
    cost_usd: Decimal = Decimal(0)  # of those with a known cost
    unpriced_requests: int = 0
    compared_requests: int = 0
    compared_usd: Decimal = Decimal(0)  # what these did cost
    instead_usd: Decimal = Decimal(0)  # and would have

    @property
    def difference_usd(self) -> Decimal | None:
        """Return what they cost more, negative where less; None where nothing can be compared."""
        return usd(atto(self.compared_usd) - atto(self.instead_usd)) if self.compared_requests else None


@dataclass(frozen=True, kw_only=True)
class Moved(Compared):
    """Requests of one way that one offering took."""

    way: Way
    offering: str


def ways(spans: Sequence[Span], *, reason: str) -> list[Way]:
    """Return which rules sent requests somewhere for a reason, by span. One query, none for no spans."""
    if not spans:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT w.n - 1, e.environment, e.rules_version, e.rule {_FROM} ORDER BY 1, 2, 3, 4",
            _parameters(spans, reason),
        )
        return [Way._make(row) for row in cursor.fetchall()]


def moved(spans: Sequence[Span], *, reason: str, instead: Mapping[Way, str]) -> list[Moved]:
    """Return what became of the requests of these ways, each beside the offering named for it; the most first.

    An empty name, or one that the catalogue does not have, is an offering that nobody knows: nothing is compared with
    it. Prices are those in force when each request happened. Two queries, one more where an offering was met a moment
    ago, none for no ways.
    """
    if not instead:
        return []
    book = world.current().book
    offerings = {way: book.offering_ids.get(name.lower()) for way, name in instead.items()}
    sums: dict[tuple[Way, int], Compared] = defaultdict(Compared)
    for (way, offering, *_), alike in _grouped(_groups(spans, reason, book, offerings.values())).items():
        if way in offerings:
            sums[way, offering] = total([sums[way, offering], _compared(alike, book, offerings[way])])
    # Offerings that another process met a moment ago are not in a book that was read before.
    unmet = [offering for _, offering in sums if offering not in book.offerings]
    met = world.offering_facts(unmet) if unmet else {}
    found = [
        Moved(way=way, offering=(book.offerings.get(offering) or met[offering]).name, **_values(one))
        for (way, offering), one in sums.items()
        if one.requests or one.cost_usd
    ]
    return sorted(found, key=lambda one: (-one.requests, one.way, one.offering))


def total(parts: Iterable[Compared]) -> Compared:
    """Add up, exactly."""
    every = list(parts)
    return Compared(
        requests=sum(one.requests for one in every),
        tokens=sum(one.tokens for one in every),
        cost_usd=_added(one.cost_usd for one in every),
        unpriced_requests=sum(one.unpriced_requests for one in every),
        compared_requests=sum(one.compared_requests for one in every),
        compared_usd=_added(one.compared_usd for one in every),
        instead_usd=_added(one.instead_usd for one in every),
    )


def _added(amounts: Iterable[Decimal]) -> Decimal:
    return usd(sum(map(atto, amounts)))


def _values(one: Compared) -> dict[str, Any]:
    return {field.name: getattr(one, field.name) for field in fields(Compared)}


class _Group(NamedTuple):
    """Entries that share a card, wherever they are priced: their sums, corrections among them, and the size of one."""

    way: Way
    offering_id: int
    gateway_id: int
    service_tier: str
    unpriced: int
    at: datetime
    input_tokens: int
    cost: int  # attodollars
    meters: tuple[int, ...]


def _grouped(groups: Iterable[_Group]) -> dict[tuple[Way, int, int, str, int], list[_Group]]:
    found: dict[tuple[Way, int, int, str, int], list[_Group]] = defaultdict(list)
    for group in groups:
        found[group.way, group.offering_id, group.gateway_id, group.service_tier, group.unpriced].append(group)
    return found


def _compared(groups: Sequence[_Group], book: Book, offering: int | None) -> Compared:
    """Compare groups that differ in nothing but time, size and which meters they used."""
    known = [(group, _instead(group, book, offering)) for group in groups]
    # An adjustment counts nothing and moves a cost: beside entries of which some cannot be compared, nobody knows
    # whose cost it moves, so none of them is.
    adjusts = any(group.cost and not any(group.meters) for group in groups)
    if adjusts and any(would is None and any(group.meters) for group, would in known):
        known = [(group, None) for group in groups]
    requests = sum(group.meters[REQUESTS] for group in groups)
    both = [(group, would) for group, would in known if would is not None and group.unpriced == PRICED]
    return Compared(
        requests=requests,
        tokens=sum(sum(group.meters[:REQUESTS]) for group in groups),
        cost_usd=usd(sum(group.cost for group in groups)),
        unpriced_requests=sum(group.meters[REQUESTS] for group in groups if group.unpriced != PRICED),
        compared_requests=sum(group.meters[REQUESTS] for group, _ in both),
        compared_usd=usd(sum(group.cost for group, _ in both)),
        instead_usd=usd(sum(would for _, would in both)),
    )


def _instead(group: _Group, book: Book, offering: int | None) -> int | None:
    """Return what a group would have cost at an offering, in attodollars; None where nobody knows."""
    if offering is None or group.unpriced == NOT_COUNTED:
        return None
    # A group that only takes back has all its counts negative, and costs are linear in them.
    sign = -1 if min(group.meters) < 0 else 1
    rated = rate(
        book=book, offering=offering, service_tier=group.service_tier, timestamp=group.at.timestamp(),
        meters=tuple(sign * count for count in group.meters), gateway=group.gateway_id,
        input_tokens=group.input_tokens,
    )  # fmt: skip
    return None if rated.cost is None else sign * rated.cost


def _parameters(spans: Sequence[Span], reason: str) -> dict[str, Any]:
    starts, ends = [span.starts_at for span in spans], [span.ends_at for span in spans]
    return {"starts": starts, "ends": ends, "reason": reason, "sent": _SENT}


def _groups(spans: Sequence[Span], reason: str, book: Book, offerings: Iterable[int | None]) -> list[_Group]:
    wanted = {one for one in offerings if one is not None}
    tiers = {(one, tier) for one, tier in book.listed if one in wanted}
    tiers |= {(one, tier) for _, one, tier in book.contract_prices if one in wanted}
    tables = [book.table(one, tier, gateway) for one, tier in tiers for gateway in (0, *book.contract_gateways)]
    cut = edges(table for table in tables if table is not None)
    parameters = _parameters(spans, reason) | {"instants": list(cut.instants), "levels": list(cut.levels)}
    held = [holding(hours, index, parameters) for index, hours in enumerate(cut.hours)]
    used = " + ".join(
        f"CASE WHEN e.{name} <> 0 THEN {1 << index} ELSE 0 END" for index, name in enumerate(METER_COLUMNS)
    )
    key = ("w.n - 1", "e.environment", "e.rules_version", "e.rule", "e.offering_id", "e.gateway_id", "e.service_tier",
           "e.unpriced")  # fmt: skip
    apart = (
        "width_bucket(e.occurred_at, %(instants)s::timestamptz[])",
        f"width_bucket(abs({_INPUT})::bigint, %(levels)s::bigint[])",
        used,
        *held,
    )
    sql = f"""
        SELECT {", ".join(key)}, min(e.occurred_at), min(abs({_INPUT})), coalesce(sum(e.cost_usd), 0),
            {", ".join(f"sum(e.{m})" for m in METER_COLUMNS)}
        {_FROM}
        GROUP BY {", ".join([*(str(place + 1) for place in range(len(key))), *apart])}
    """
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return [
            _Group._make([Way._make(row[:4]), *row[4:10], atto(row[10]), tuple(map(int, row[11:]))])
            for row in cursor.fetchall()
        ]
