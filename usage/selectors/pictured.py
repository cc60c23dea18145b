"""Everything that the first page draws of days, in one read of the sums of days (`past`).

# Note [One read for a page]
Each question of the page would read the same two months of sums: wide rows, read five times. So they are added up
once, by day, tier and use case, and these cells, some hundred a day, are added up again for each question.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection

from catalog.models import Tier
from core import periods
from usage.models import Status
from usage.selectors import past
from usage.selectors.drivers import INPUT, OUTPUT
from usage.selectors.overview import Part, Sums, UseCaseSums, Week, total

_OTHER, _COMPARABLE, _REST, _BEFORE = range(4)  # the part of the months that a day lies in
_BY_DAY, _BY_WEEK = 0b011, 0b101  # GROUPING of (day, week, span): a bit for each that is not grouped by


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """The month [first, until), what of it is compared (to `comparable_until`), and with which days."""

    first: date
    until: date
    comparable_until: date
    before: date
    before_until: date


@dataclass(frozen=True, kw_only=True)
class Pictured:
    days: dict[date, Sums]  # in order; those that have any
    tiers: list[Part]  # in order of days
    weeks: list[Week]  # answered requests by week and use case; the first week may be a part of one
    use_cases: list[UseCaseSums]  # of the month, dearest first


class _Row(NamedTuple):
    kind: int
    day: Any  # None, as those below, where it is not what is grouped by
    tier: Any
    week: Any
    span: Any
    use_case_id: Any
    use_case: Any
    cost: Decimal
    requests: int
    answered: int
    on_frontier: int
    on_open: int
    tokens: int
    unpriced_tokens: int
    unpriced_requests: int
    uncounted_requests: int
    late_sums: int

    @property
    def sums(self) -> Sums:
        return Sums(
            cost_usd=self.cost,
            requests=self.requests,
            answered=self.answered,
            on_frontier=self.on_frontier,
            on_open=self.on_open,
            tokens=self.tokens,
            unpriced_tokens=self.unpriced_tokens,
            unpriced_requests=self.unpriced_requests,
            uncounted_requests=self.uncounted_requests,
            late_sums=self.late_sums,
        )


def pictured(*, first: date, until: date, month: Ranges) -> Pictured:
    """Return the sums of [first, until), which holds all of `month`'s days. One query."""
    monday = periods.monday(first)
    by_day: dict[date, list[Sums]] = defaultdict(list)
    tiers, weeks = [], []
    spans: dict[int, dict[int, Sums]] = defaultdict(dict)
    names: dict[int, str] = {}
    titles = dict(Tier.choices)
    for row in _rows(first, until, monday, month):
        if row.kind == _BY_DAY:
            by_day[row.day].append(row.sums)
            tiers.append((row.day, row.tier, row.cost))
            continue
        if row.kind == _BY_WEEK:
            if row.answered:
                weeks.append(
                    Week(
                        monday=monday + timedelta(weeks=row.week),
                        use_case=row.use_case,
                        answered=row.answered,
                        on_frontier=row.on_frontier,
                        on_open=row.on_open,
                    )
                )
        else:
            names[row.use_case_id] = row.use_case
            spans[row.use_case_id][row.span] = row.sums
    use_cases = [_use_case(pk, names[pk], parts) for pk, parts in spans.items() if set(parts) - {_OTHER}]
    return Pictured(
        days={day: total(sums) for day, sums in sorted(by_day.items())},
        tiers=[Part(day=day, name=str(titles[tier]), cost_usd=cost) for day, tier, cost in sorted(tiers)],
        weeks=sorted(weeks, key=lambda week: (week.monday, week.use_case)),
        use_cases=sorted(use_cases, key=lambda one: (-one.cost_usd, one.name)),
    )


def _use_case(pk: int, name: str, parts: dict[int, Sums]) -> UseCaseSums:
    nothing = Sums()
    here = total([parts.get(_COMPARABLE, nothing), parts.get(_REST, nothing)])
    return UseCaseSums(
        id=pk,
        name=name,
        cost_usd=here.cost_usd,
        comparable_usd=parts.get(_COMPARABLE, nothing).cost_usd,
        before_usd=parts.get(_BEFORE, nothing).cost_usd,
        requests=here.requests,
        unpriced_requests=here.unpriced_requests,
        answered=here.answered,
        on_frontier=here.on_frontier,
    )


def _rows(first: date, until: date, monday: date, month: Ranges) -> list[_Row]:
    tokens = " + ".join(f"r.{meter}" for meter in (*INPUT, *OUTPUT))
    open_ = "r.offering_id IN (SELECT o.id FROM catalog_offering o JOIN catalog_model m ON m.id = o.model_id \
        WHERE m.open_weights)"
    answered = f"r.status = {int(Status.OK)}"
    cells = " UNION ALL ".join(
        f"""
            SELECT r.day, r.tier, r.use_case_id, sum(r.cost_usd) AS cost, sum(r.requests) AS requests,
                coalesce(sum(r.requests) FILTER (WHERE {answered}), 0) AS answered,
                coalesce(sum(r.requests) FILTER (WHERE {answered} AND {open_}), 0) AS on_open,
                sum({tokens}) AS tokens, sum(r.unpriced_tokens) AS unpriced_tokens,
                sum(r.unpriced_requests) AS unpriced_requests, sum(r.uncounted_requests) AS uncounted_requests,
                count(*) FILTER (WHERE r.correction_of <> 0) AS late_sums
            FROM {table} r
            WHERE r.day >= %(from)s AND r.day < %(to)s
            GROUP BY r.day, r.tier, r.use_case_id"""
        for table in past.parts_of_days(first="%(from)s", until="%(to)s")
    )
    sql = f"""
        WITH cells AS MATERIALIZED ({cells}
        ), placed AS (
            SELECT *, (day - %(monday)s::date) / 7 AS week, CASE
                WHEN day >= %(first)s AND day < %(comparable_until)s THEN {_COMPARABLE}
                WHEN day >= %(first)s AND day < %(until)s THEN {_REST}
                WHEN day >= %(before)s AND day < %(before_until)s THEN {_BEFORE}
                ELSE {_OTHER} END AS span
            FROM cells
        ), added AS (
            SELECT GROUPING(day, week, span) AS kind, day, tier, week, span, use_case_id, sum(cost) AS cost,
                sum(requests) AS requests, sum(answered) AS answered,
                coalesce(sum(answered) FILTER (WHERE tier = {int(Tier.FRONTIER)}), 0) AS on_frontier,
                sum(on_open) AS on_open, sum(tokens) AS tokens, sum(unpriced_tokens) AS unpriced_tokens,
                sum(unpriced_requests) AS unpriced_requests, sum(uncounted_requests) AS uncounted_requests,
                sum(late_sums) AS late_sums
            FROM placed GROUP BY GROUPING SETS ((day, tier), (week, use_case_id), (span, use_case_id))
        )
        SELECT a.kind, a.day, a.tier, a.week, a.span, a.use_case_id, u.name, a.cost, a.requests, a.answered,
            a.on_frontier, a.on_open, a.tokens, a.unpriced_tokens, a.unpriced_requests, a.uncounted_requests,
            a.late_sums
        FROM added a LEFT JOIN catalog_usecase u ON u.id = a.use_case_id
    """
    parameters: dict[str, Any] = {"from": first, "to": until, "monday": monday} | vars(month)
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return [_Row._make([*row[:8], *map(int, row[8:])]) for row in cursor.fetchall()]
