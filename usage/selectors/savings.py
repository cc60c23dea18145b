"""What was saved against a baseline, from sums of days: usage/rules/savings.py has what is compared and how.

Days are the organisation's, ranges are half-open [first, until). A month is the part of it that lies in the range.
Calls that a gateway's own cache answered or that were blocked went nowhere and are on neither side; nor is what was
booked late for a closed month, nor what has no price. All of it stands in the spend that the shares are told of.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection

from catalog.models import Tier
from catalog.rules import METERS, Book, edges
from core import periods
from usage.models import Status
from usage.rules import day_prices, savings
from usage.rules.postings import METER_COLUMNS
from usage.rules.rating import atto, usd
from usage.selectors import past, world

_SENT = [int(status) for status in (Status.OK, Status.ERROR, Status.USAGE_MISSING)]
_SENT_PRICED, _UNPRICED, _NOWHERE = range(3)  # what became of calls


@dataclass(frozen=True, kw_only=True)
class MeterLine:
    """A meter of the calls that went elsewhere: as they were, and with the prompt cache that is granted."""

    meter: str
    count: int
    cost_usd: Decimal
    granted_count: int
    granted_cost_usd: Decimal


@dataclass(frozen=True, kw_only=True)
class Sums:
    """What was paid beside what the baseline would have cost, of the calls that can be compared. USD."""

    requests: int = 0
    own_requests: int = 0  # of them, those that went to the baseline: they cost there what they did cost
    paid_usd: Decimal = Decimal(0)
    at_baseline_usd: Decimal = Decimal(0)
    cache_lost_usd: Decimal = Decimal(0)  # prompt cache that routing lost; never negative
    left_out_requests: int = 0  # of use cases with a baseline, what has no price on one of the sides
    spend_usd: Decimal = Decimal(0)  # all of it, also what is not compared

    @property
    def net_usd(self) -> Decimal:
        """Return what was saved; negative where routing cost more."""
        return _exact(self.at_baseline_usd, -self.cache_lost_usd, -self.paid_usd)

    @property
    def baseline_usd(self) -> Decimal:
        """Return what the baseline would have cost, with the prompt cache that it is granted."""
        return _exact(self.at_baseline_usd, -self.cache_lost_usd)

    @property
    def share(self) -> Decimal | None:
        """Return what was saved, of what the baseline would have cost."""
        return self.net_usd / self.baseline_usd if self.baseline_usd > 0 else None

    @property
    def covered(self) -> Decimal | None:
        """Return the share of spend that is compared."""
        return self.paid_usd / self.spend_usd if self.spend_usd > 0 else None


@dataclass(frozen=True, kw_only=True)
class MonthSaved(Sums):
    """A use case in a month."""

    use_case_id: int
    use_case: str
    month: date
    baseline_id: int | None  # None: nobody chose one, and nothing is compared
    baseline: str  # empty: nobody chose one
    own_cache_share: Decimal | None = None  # of text input read from a prompt cache: calls of the baseline's own
    elsewhere_cache_share: Decimal | None = None
    lines: tuple[MeterLine, ...] = ()  # of calls that went elsewhere


@dataclass(frozen=True, kw_only=True)
class Savings:
    """Use cases by month: those with a baseline first, then by name, then by month."""

    first: date
    until: date
    rows: tuple[MonthSaved, ...]

    @property
    def total(self) -> Sums:
        return total(self.rows)

    @property
    def by_month(self) -> dict[date, Sums]:
        grouped: dict[date, list[Sums]] = defaultdict(list)
        for row in self.rows:
            grouped[row.month].append(row)
        return {month: total(rows) for month, rows in sorted(grouped.items())}

    @property
    def without_baseline(self) -> list[str]:
        """Return the use cases that spent something and that nobody chose a baseline for, dearest first."""
        spent: dict[str, Decimal] = defaultdict(Decimal)
        for row in self.rows:
            if row.baseline_id is None:
                spent[row.use_case] += row.spend_usd
        return sorted((name for name, amount in spent.items() if amount), key=lambda name: (-spent[name], name))


def total(rows: Iterable[Sums]) -> Sums:
    """Add up, exactly."""
    every = list(rows)
    return Sums(
        requests=sum(row.requests for row in every),
        own_requests=sum(row.own_requests for row in every),
        paid_usd=_exact(*(row.paid_usd for row in every)),
        at_baseline_usd=_exact(*(row.at_baseline_usd for row in every)),
        cache_lost_usd=_exact(*(row.cache_lost_usd for row in every)),
        left_out_requests=sum(row.left_out_requests for row in every),
        spend_usd=_exact(*(row.spend_usd for row in every)),
    )


def saved(*, first: date, until: date, zone: str, use_case_id: int | None = None, book: Book | None = None) -> Savings:
    """Compare [first, until), by default of all use cases; `zone` is the organisation's.

    One read of the sums of days; the catalogue costs another query, more after it changed, unless the caller gives it.
    """
    book = book or world.current().book
    cuts = _cuts(first, until, book, zone)
    rows: dict[tuple[int, date], list[_Row]] = defaultdict(list)
    names: dict[int, str] = {}
    for row in _rows(first, until, cuts, sorted(book.contract_gateways), use_case_id):
        rows[row.use_case_id, row.begins.replace(day=1)].append(row)
        names[row.use_case_id] = row.use_case
    found = [
        _month(those, names[use_case], month, book.baselines.get(use_case), book, zone)
        for (use_case, month), those in rows.items()
    ]
    found.sort(key=lambda one: (one.baseline_id is None, one.use_case, one.month))
    return Savings(first=first, until=until, rows=tuple(found))


class _Row(NamedTuple):
    use_case_id: int
    begins: date  # of its days: one of the cuts
    own: bool
    gateway: int  # one with terms of its own; 0: any other
    became: int
    requests: int
    cost: int  # attodollars
    meters: tuple[int, ...]
    use_case: str


def _cuts(first: date, until: date, book: Book, zone: str) -> list[date]:
    """Return the first day, those on which a month begins and on which a price of a baseline counts from, in order."""
    offerings = set(book.baselines.values())
    tables = [book.table(one, "", gateway) for one in offerings for gateway in (0, *book.contract_gateways)]
    changes = edges(table for table in tables if table is not None)
    found = {first, *(day_prices.first_day_of(instant, zone) for instant in changes.instants)}
    month = periods.add_months(first.replace(day=1), 1)
    while month < until:
        found.add(month)
        month = periods.add_months(month, 1)
    return sorted(day for day in found if first <= day < until)


def _rows(
    first: date, until: date, cuts: Sequence[date], gateways: Sequence[int], use_case_id: int | None
) -> list[_Row]:
    """Sum apart whatever could have another price at a baseline, or none; `cuts` part the days. One query."""
    sql = f"""
        SELECT sums.*, u.name FROM (
        SELECT r.use_case_id, width_bucket(r.day, %(cuts)s::date[]), coalesce(r.offering_id = u.baseline_id, false),
            CASE WHEN r.gateway_id = ANY(%(gateways)s) THEN r.gateway_id ELSE 0 END,
            CASE WHEN r.correction_of <> 0 OR r.status <> ALL(%(sent)s) THEN {_NOWHERE}
                WHEN r.lacks_price THEN {_UNPRICED}
                ELSE {_SENT_PRICED} END,
            sum(r.requests), sum(r.cost_usd), {", ".join(f"sum(r.{meter})" for meter in METER_COLUMNS)}
        FROM {past.sums_of_days()} r JOIN catalog_usecase u ON u.id = r.use_case_id
        WHERE r.day >= %(first)s AND r.day < %(until)s AND (%(use_case)s::bigint IS NULL OR u.id = %(use_case)s)
        GROUP BY 1, 2, 3, 4, 5
        ) AS sums JOIN catalog_usecase u ON u.id = sums.use_case_id
    """
    parameters: dict[str, Any] = {
        "first": first, "until": until, "cuts": list(cuts), "gateways": list(gateways), "sent": _SENT,
        "use_case": use_case_id,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return [
            _Row(
                use_case_id,
                cuts[bucket - 1],
                own,
                gateway,
                became,
                int(requests),
                atto(cost),
                tuple(map(int, meters)),
                name,
            )
            for use_case_id, bucket, own, gateway, became, requests, cost, *meters, name in cursor.fetchall()
        ]  # fmt: skip


def _month(
    rows: Sequence[_Row],
    use_case: str,
    month: date,
    baseline: int | None,
    book: Book,
    zone: str,
) -> MonthSaved:
    spend = usd(sum(row.cost for row in rows))
    if baseline is None:
        return MonthSaved(
            use_case_id=rows[0].use_case_id, use_case=use_case, month=month, baseline_id=None, baseline="",
            spend_usd=spend,
        )  # fmt: skip
    parts = []
    for row in rows:
        if row.became != _SENT_PRICED:
            continue
        card = day_prices.card_at(
            book.table(baseline, "", row.gateway),
            day_prices.noon(row.begins, zone),
            day_prices.mean_size(row.meters, row.requests),
        )
        parts.append(savings.Part(row.own, row.requests, row.meters, row.cost, card))
    result = savings.compare(parts)
    facts = book.offerings.get(baseline)
    return MonthSaved(
        use_case_id=rows[0].use_case_id,
        use_case=use_case,
        month=month,
        baseline_id=baseline,
        baseline=facts.name if facts else f"#{baseline}",
        spend_usd=spend,
        requests=result.requests,
        own_requests=result.own_requests,
        paid_usd=usd(result.paid),
        at_baseline_usd=usd(result.at_baseline),
        cache_lost_usd=usd(result.cache_lost),
        left_out_requests=result.left_out_requests + sum(row.requests for row in rows if row.became == _UNPRICED),
        own_cache_share=_share(*result.own_cache),
        elsewhere_cache_share=_share(*result.elsewhere_cache),
        lines=tuple(
            MeterLine(
                meter=METERS[line.meter],
                count=line.counted,
                cost_usd=usd(line.cost),
                granted_count=line.granted_counted,
                granted_cost_usd=usd(line.granted_cost),
            )
            for line in result.lines
        ),
    )


def _share(part: int, whole: int) -> Decimal | None:
    return Decimal(part) / whole if whole > 0 else None


def _exact(*amounts: Decimal) -> Decimal:
    return usd(sum(map(atto, amounts)))


def suggested(*, first: date, until: date) -> dict[int, str]:
    """Return, for use cases without a baseline that spent something, what it might be. One query.

    The frontier offering that a use case went to whose calls were dearest; else the one that most was spent on at all.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT sums.use_case_id, o.name, sums.frontier, u.baseline_id IS NULL, sums.cost, sums.requests
            FROM (
                SELECT r.use_case_id, r.offering_id, r.tier = %(frontier)s AS frontier,
                    sum(r.cost_usd) AS cost, sum(r.requests) AS requests
                FROM rollup_day r
                WHERE r.day >= %(first)s AND r.day < %(until)s AND r.cost_usd > 0 AND r.requests > 0
                GROUP BY 1, 2, 3
            ) AS sums
            JOIN catalog_usecase u ON u.id = sums.use_case_id
            JOIN catalog_offering o ON o.id = sums.offering_id
            """,
            {"frontier": int(Tier.FRONTIER), "first": first, "until": until},
        )
        rows = cursor.fetchall()
    dearest: dict[int, tuple[Decimal, str]] = {}
    for use_case, offering, frontier, _, cost, requests in rows:
        if frontier:
            dearest[use_case] = max(dearest.get(use_case, (Decimal(0), "")), (cost / requests, offering))
    most: dict[str, Decimal] = defaultdict(Decimal)
    for _, offering, frontier, _, cost, _ in rows:
        if frontier:
            most[offering] += cost
    usual = max(most, key=lambda name: (most[name], name), default="")
    return {
        use_case: dearest.get(use_case, (0, usual))[1]
        for use_case in sorted({row[0] for row in rows if row[3]})
        if use_case in dearest or usual
    }
