"""What restating would come to, from sums instead of entries: costs are linear in the counts that share a card.

Entries are summed apart wherever their card could differ: by offering, service tier, gateway, the span of time between
two changes of a price, the context tier, the hours that hold, and which meters were used at all. They are summed apart
by the rate that they are priced with so far, too: of entries that cost too little and others that cost too much, or are
right, no sum tells. Each group is then priced like one call, so the figure is exact to the last decimal, and a hundred
thousand entries take one query.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection

from catalog.models import Amendment, AmendmentKind
from catalog.rules import INPUT_METERS, REQUESTS, Book, Hours, edges
from catalog.rules.pricing import ContextEdges
from core import periods
from usage.models import Month
from usage.rules.postings import METER_COLUMNS, STATUS_NUMBERS
from usage.rules.rating import NOT_COUNTED, atto, rate, usd
from usage.rules.restating import Place
from usage.selectors import concerned as concerns
from usage.selectors import kept

_MONEY = ("cost_usd", "list_cost_usd", "avoided_usd")
_INPUT = " + ".join(f"e.{METER_COLUMNS[index]}" for index in INPUT_METERS)
_CACHE_HIT = STATUS_NUMBERS["cache_hit"]


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What some entries cost before and after, in USD; `unpriced` are tokens without a cost."""

    entries: int
    tokens: int
    before_usd: Decimal
    after_usd: Decimal
    unpriced_before: int
    unpriced_after: int

    @property
    def difference_usd(self) -> Decimal:
        return self.after_usd - self.before_usd


@dataclass(frozen=True, kw_only=True)
class MonthEffect:
    """The effect on one month of the organisation; what concerns a closed one is booked in the open month."""

    month: date
    closed: bool
    effect: Effect


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a change of the catalogue would restate: entries that would be corrected, and nothing else."""

    summaries: tuple[str, ...]
    total: Effect
    months: tuple[MonthEffect, ...]
    use_cases: tuple[tuple[str, Effect], ...]  # dearest difference first
    not_kept: tuple[date, ...] = ()  # UTC months that it concerns and that the ledger does not hold any more


class _Group(NamedTuple):
    """Entries of one use case that share a card, now and before: their sums, and one of their instants and sizes."""

    use_case_id: int
    offering_id: int
    team_id: int
    gateway_id: int
    tier: int
    service_tier: str
    cache_hit: bool
    unpriced: int
    reported_model: str
    at: datetime
    input_tokens: int
    entries: int
    money: tuple[int, int, int]  # cost, list cost and avoided cost in attodollars, adjustments included
    meters: tuple[int, ...]


class Calendar(NamedTuple):
    """The organisation's zone, and its closed months as (label, start, end)."""

    zone: str
    closed: tuple[tuple[date, datetime, datetime], ...]

    def month(self, at: datetime) -> tuple[date, bool]:
        for label, starts_at, ends_at in self.closed:
            if starts_at <= at < ends_at:
                return label, True
        return periods.local_day(at, self.zone).replace(day=1), False


def calendar(zone: str) -> Calendar:
    """Return the calendar that bookings go by. One query."""
    rows = Month.objects.order_by("label").values_list("label", "starts_at", "ends_at")
    return Calendar(zone, tuple(rows))


def estimate(*, amendments: Sequence[Amendment], book: Book, calendar: Calendar, until: datetime) -> Estimate:
    """Say what restating the amendments would come to. `until` is the present; three queries per amendment.

    Amendments of one change concern the same entries seldom; where they do, those are counted with each.
    """
    tally = _Tally()
    for amendment in amendments:
        for group in _groups(amendment, book, calendar, until):
            _weigh(tally, amendment, group, book, calendar)
    lost = {month for one in amendments for month in kept.dropped_within(one.starts_at, one.ends_at)}
    found = tally.result(tuple(one.summary for one in amendments), book.use_case_names)
    return replace(found, not_kept=tuple(sorted(lost)))


def _weigh(tally: _Tally, amendment: Amendment, group: _Group, book: Book, calendar: Calendar) -> None:
    """Add a group to the tally if restating it would book anything."""
    place = concerns.place(
        amendment, book, use_case_id=group.use_case_id, team_id=group.team_id, offering_id=group.offering_id,
        tier=group.tier, reported_model=group.reported_model, occurred_at=group.at,
    )  # fmt: skip
    before = None if group.unpriced else group.money
    after = before
    if concerns.reprices(amendment, group.offering_id, place):
        after = _after(group, place, book)
    month, closed = calendar.month(group.at)
    stays = place == Place(group.use_case_id, group.team_id, group.offering_id, group.tier)
    if before == after and (stays or closed):
        return
    tally.add(group, before and before[0], after and after[0], month, closed)


def _after(group: _Group, place: Place, book: Book) -> tuple[int, int, int] | None:
    """Price a group like one call of the size and time of each of its own; None where it has no price."""
    if group.unpriced == NOT_COUNTED:
        return None
    rated = rate(
        book=book, offering=place.offering_id, service_tier=group.service_tier, timestamp=group.at.timestamp(),
        meters=group.meters, gateway=group.gateway_id, input_tokens=group.input_tokens,
    )  # fmt: skip
    if rated.cost is None or rated.list_cost is None:
        return None
    return (0, 0, rated.cost) if group.cache_hit else (rated.cost, rated.list_cost, 0)


class _Tally:
    """Sums of effects: of all, by month, by use case."""

    def __init__(self) -> None:
        self._total = [0] * 6
        self._months: dict[tuple[date, bool], list[int]] = {}
        self._use_cases: dict[int, list[int]] = {}

    def add(self, group: _Group, before: int | None, after: int | None, month: date, closed: bool) -> None:
        tokens = sum(group.meters[:REQUESTS])
        row = (
            group.entries, tokens, before or 0, after or 0, tokens if before is None else 0,
            tokens if after is None else 0,
        )  # fmt: skip
        of_month = self._months.setdefault((month, closed), [0] * 6)
        of_use_case = self._use_cases.setdefault(group.use_case_id, [0] * 6)
        for sums in (self._total, of_month, of_use_case):
            for index, value in enumerate(row):
                sums[index] += value

    def result(self, summaries: tuple[str, ...], names: dict[int, str]) -> Estimate:
        months = [
            MonthEffect(month=month, closed=closed, effect=_effect(sums))
            for (month, closed), sums in sorted(self._months.items())
        ]
        use_cases = [(names.get(id_, f"#{id_}"), _effect(sums)) for id_, sums in self._use_cases.items()]
        use_cases.sort(key=lambda one: (-abs(one[1].difference_usd), one[0]))
        return Estimate(
            summaries=summaries, total=_effect(self._total), months=tuple(months), use_cases=tuple(use_cases)
        )


def _effect(sums: Sequence[int]) -> Effect:
    entries, tokens, before, after, unpriced_before, unpriced_after = sums
    return Effect(
        entries=entries,
        tokens=tokens,
        before_usd=usd(before),
        after_usd=usd(after),
        unpriced_before=unpriced_before,
        unpriced_after=unpriced_after,
    )


def _groups(amendment: Amendment, book: Book, calendar: Calendar, until: datetime) -> list[_Group]:
    concerned = concerns.by(amendment)
    cut = _cuts(amendment, book)
    months = _month_starts(concerned.starts_at, until, calendar)
    parameters = concerned.parameters | {
        "instants": sorted({*cut.instants, *months, *_tier_changes(amendment, book)}),
        "levels": list(cut.levels),
    }
    held = [holding(hours, index, parameters) for index, hours in enumerate(cut.hours)]
    used = " + ".join(
        f"CASE WHEN e.{name} > 0 THEN {1 << index} ELSE 0 END" for index, name in enumerate(METER_COLUMNS)
    )
    reported = "e.reported_model" if amendment.kind == AmendmentKind.OFFERING else "''"
    key = (
        "e.use_case_id", "e.offering_id", "e.team_id", "e.gateway_id", "e.tier", "e.service_tier",
        f"e.status = {_CACHE_HIT}", "e.unpriced", reported,
    )  # fmt: skip
    apart = (
        "coalesce(a.rate_id, e.rate_id)",
        "width_bucket(e.occurred_at, %(instants)s::timestamptz[])",
        f"width_bucket(({_INPUT})::bigint, %(levels)s::bigint[])",
        used,
        *held,
    )
    sql = f"""
        WITH a AS MATERIALIZED (
            SELECT c.corrects_id, bool_or(c.kind = 2) AS reversed,
                (max(ARRAY[c.id, c.rate_id]) FILTER (WHERE c.kind = 3))[2] AS rate_id,
                {", ".join(f"sum(c.{m}) AS {m}" for m in _MONEY)}
            FROM ledger c WHERE c.corrects_id IS NOT NULL AND c.kind IN (2, 3) AND {concerned.sql("c")}
            GROUP BY c.corrects_id
        )
        SELECT {", ".join(key)}, min(e.occurred_at), min({_INPUT}), count(*),
            {", ".join(f"coalesce(sum(e.{m}), 0) + coalesce(sum(a.{m}), 0)" for m in _MONEY)},
            {", ".join(f"sum(e.{m})" for m in METER_COLUMNS)}
        FROM ledger e
        LEFT JOIN a ON a.corrects_id = e.id
        WHERE e.kind = 1 AND {concerned.sql()} AND a.reversed IS NOT TRUE
        GROUP BY {", ".join([*(str(place + 1) for place in range(len(key))), *apart])}
    """
    with connection.cursor() as cursor:
        # The planner takes the groups for many and would sort all entries by them; with room it hashes.
        cursor.execute("SELECT set_config('work_mem', '128MB', true)")
        cursor.execute(sql, parameters)
        return [
            _Group._make([*row[:12], tuple(map(atto, row[12:15])), tuple(map(int, row[15:]))])
            for row in cursor.fetchall()
        ]


def _cuts(amendment: Amendment, book: Book) -> ContextEdges:
    """Return where the cards of any offering change that the calls may be priced with."""
    offerings = {*amendment.offerings, *((amendment.into_id,) if amendment.kind == AmendmentKind.OFFERING else ())}
    if amendment.kind == AmendmentKind.CONTRACT and not amendment.offerings:
        offerings = set(book.priced_offerings)
    if amendment.kind not in concerns.REPRICED:
        return ContextEdges((), (), ())
    gateways = (0, *book.contract_gateways)
    tiers: dict[int, set[str]] = {}
    for offering, tier in (*book.listed, *((offering, tier) for _, offering, tier in book.contract_prices)):
        tiers.setdefault(offering, set()).add(tier)
    tables = (
        book.table(offering, tier, gateway)
        for offering in offerings
        if offering is not None
        for tier in tiers.get(offering, ())
        for gateway in gateways
    )
    return edges(table for table in tables if table is not None)


def _tier_changes(amendment: Amendment, book: Book) -> set[datetime]:
    found = set()
    for offering in (*amendment.offerings, amendment.into_id):
        facts = book.offerings.get(offering or 0)
        if facts is not None and amendment.kind in (AmendmentKind.TIER, AmendmentKind.OFFERING):
            found |= {one.starts_at for one in facts.tiers if one.starts_at is not None}
    return found


def _month_starts(starts_at: datetime | None, until: datetime, calendar: Calendar) -> Iterable[datetime]:
    """Return where months begin, so that no group lies in two of them; over five years at most."""
    day = periods.local_day(until, calendar.zone).replace(day=1)
    found = [instant for _, *bounds in calendar.closed for instant in bounds]
    for back in range(-1, 60):
        start = periods.month(periods.add_months(day, -back), calendar.zone).starts_at
        found.append(start)
        if starts_at is not None and start < starts_at:
            break
    return found


def holding(hours: Hours, index: int, parameters: dict[str, Any]) -> str:
    """Write `Hours.hold` of a ledger entry `e` in SQL, and put what that needs into the parameters."""
    local, day = f"(e.occurred_at AT TIME ZONE %(zone{index})s)", f"%(days{index})s::int[]"
    starts, ends = f"%(starts{index})s::time", f"%(ends{index})s::time"
    parameters |= {
        f"zone{index}": hours.zone,
        f"days{index}": sorted(hours.weekdays),
        f"starts{index}": hours.starts,
        f"ends{index}": hours.ends,
    }
    # ISO's Monday is 1, ours 0.
    today = f"(extract(isodow FROM {local})::int - 1 = ANY({day}) AND {local}::time >= {starts})"
    if hours.starts < hours.ends:
        return f"({today} AND {local}::time < {ends})"
    return f"({today} OR ((extract(isodow FROM {local})::int + 5) %% 7 = ANY({day}) AND {local}::time < {ends}))"
