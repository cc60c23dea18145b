"""Months as the books have them: what was booked in each, whether it is closed, and what still waits before closing it.

Months are the organisation's and sums go by `booked_at`, as everywhere: what came late for a closed month is part of
the month that it was booked in, and told apart. All of it from `rollup_day`; a page is twelve months at most, so that
it costs the same after many years.

# Note [What a closed month is remembered by]
Nothing is booked into a closed month any more, so its figures are summed once and kept in the cache: a year of sums is
hundreds of thousands of rows. What can still change them is a rebuild, so the key names the last one, and while one
runs nothing is remembered or believed. A row of `usage_month` is read before the sums: whoever closes a month keeps
bookings out until that row can be seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.core.cache import cache
from django.db import connection
from django.db.models import Count, Max, Q

from catalog.models import ClaimState, Tier
from core import periods
from usage.models import HeldEvent, Month, Rebuild, RollupDay
from usage.selectors import corrections, freshness, overview, past, reported
from usage.selectors.corrections import CorrectionRow
from usage.selectors.overview import UnpricedOffering

RUNNING, OPEN, CLOSED = "running", "open", "closed"
PER_PAGE = 12
# A live event may be so much older than its receipt: what comes later than that is quarantined.
LATEST = timedelta(days=35)
_ZERO = Decimal(0)
_REMEMBERED_S = 7 * 86_400


@dataclass(frozen=True, kw_only=True)
class Correction:
    """What was booked in a month for a closed one."""

    month: date  # the closed one
    booked_in: date
    cost_usd: Decimal
    requests: int


@dataclass(frozen=True, kw_only=True)
class MonthRow:
    """A month of the organisation, [starts_at, ends_at).

    `cost_usd` is all that was booked in it, with `corrections_usd` of it for months closed before; `corrected_usd` was
    booked for this one elsewhere, after it was closed. `compared_usd` is what entries cost whose gateway told a cost,
    as paid or at list (see `reported`), and `reported_usd` what they told.
    """

    label: date
    starts_at: datetime
    ends_at: datetime
    state: str  # running, open (over, and not closed) or closed
    closed_at: datetime | None = None
    closed_by: str = ""
    reason: str = ""
    zone: str = ""
    cost_usd: Decimal = _ZERO
    corrections_usd: Decimal = _ZERO
    corrected_usd: Decimal = _ZERO
    compared_usd: Decimal = _ZERO
    reported_usd: Decimal = _ZERO
    requests: int = 0
    tokens: int = 0
    unpriced_tokens: int = 0
    uncounted_requests: int = 0
    unclassified_tokens: int = 0  # of offerings without a tier

    @property
    def priced_share(self) -> Decimal | None:
        """Tokens that have a price over tokens; None where there are none."""
        return overview.share(self.tokens - self.unpriced_tokens, self.tokens)

    @property
    def own_usd(self) -> Decimal:
        """What calls of this month cost by all that is known: without what it holds for others, with what they hold."""
        return self.cost_usd - self.corrections_usd + self.corrected_usd


@dataclass(frozen=True, kw_only=True)
class Page:
    """Months, newest first; `earlier` is the newest month before them that has any spend, None where there is none.

    `corrections` is what was booked for those of them that are closed.
    """

    rows: tuple[MonthRow, ...]
    corrections: tuple[Correction, ...]
    earlier: date | None


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one use case or team cost in a month."""

    id: int
    name: str
    cost_usd: Decimal
    corrections_usd: Decimal  # of it, for closed months
    requests: int


@dataclass(frozen=True, kw_only=True)
class Checks:
    """What should be looked at before a month is closed; nothing of it keeps anybody from closing."""

    complete_through: datetime | None  # None: no gateway was heard of in 24 hours
    waiting_events: int
    oldest_waiting_at: datetime | None
    set_aside: int  # receipts that failed and can be tried again; nobody knows of what days their events are
    unfinished: tuple[CorrectionRow, ...]
    unpriced: tuple[UnpricedOffering, ...]
    waiting_offerings: int  # used in the month, and nobody has taken charge of the name
    waiting_use_cases: int
    held_events: int  # conflicts and what came too late, of the month's time, that nobody has settled
    earlier_open: tuple[date, ...]  # months before it with spend that are not closed
    settles_at: datetime  # until then, late events of the month are still taken in


@dataclass(frozen=True, kw_only=True)
class MonthDetail:
    row: MonthRow
    use_cases: tuple[Part, ...]  # dearest first
    teams: tuple[Part, ...]
    booked_elsewhere: tuple[Correction, ...]  # for this month, after it was closed
    booked_here: tuple[Correction, ...]  # for months closed before
    restated: tuple[tuple[CorrectionRow, corrections.Sums], ...]  # newest first


def current(*, at: datetime, zone: str) -> date:
    """Return the label of the month that runs."""
    return periods.local_day(at, zone).replace(day=1)


def listed(*, at: datetime, zone: str, upto: date | None = None) -> Page:
    """Return months that have spend or are closed, newest first, twelve at most, none after `upto`.

    Five queries; see Note [What a closed month is remembered by].
    """
    newest = min(upto, current(at=at, zone=zone)) if upto is not None else current(at=at, zone=zone)
    first = periods.add_months(newest, 1 - PER_PAGE)
    until = periods.add_months(newest, 1)
    closed = {month.label: month for month in Month.objects.filter(label__gte=first, label__lt=until)}
    sums = _sums_with_closed(closed, first=first, until=until)
    elsewhere: dict[date, Decimal] = {}
    found = booked_for(closed)
    for one in found:
        elsewhere[one.month] = elsewhere.get(one.month, _ZERO) + one.cost_usd
    labels = sorted({*sums, *closed}, reverse=True)
    last = RollupDay.objects.filter(day__lt=first).aggregate(last=Max("day"))["last"]
    return Page(
        rows=tuple(
            _row(label, sums.get(label), closed.get(label), elsewhere.get(label, _ZERO), at, zone) for label in labels
        ),
        corrections=tuple(found),
        earlier=None if last is None else last.replace(day=1),
    )


def row(label: date, *, at: datetime, zone: str) -> MonthRow | None:
    """Return one month, or None where it has neither spend nor was closed. Three queries at most."""
    sums = _sums(first=label, until=periods.add_months(label, 1)).get(label)
    closed = Month.objects.filter(label=label).first()
    if sums is None and closed is None:
        return None
    elsewhere = sum((one.cost_usd for one in booked_for([label])), _ZERO) if closed is not None else _ZERO
    return _row(label, sums, closed, elsewhere, at, zone)


def one(label: date, *, at: datetime, zone: str) -> MonthDetail | None:
    """Return one month in full, or None where it has neither spend nor was closed. Eight queries at most."""
    of_it = row(label, at=at, zone=zone)
    if of_it is None:
        return None
    until = periods.add_months(label, 1)
    return MonthDetail(
        row=of_it,
        use_cases=_parts("use_case", "catalog_usecase", first=label, until=until),
        teams=_parts("team", "catalog_team", first=label, until=until),
        booked_elsewhere=tuple(booked_for([label])) if of_it.state == CLOSED else (),
        booked_here=tuple(
            Correction(month=each.month, booked_in=label, cost_usd=each.cost_usd, requests=each.requests)
            for each in overview.corrections(first=label, until=until)
        ),
        restated=tuple(corrections.of_month(label, most=50)),
    )


def checks(month: MonthRow, *, at: datetime) -> Checks:
    """Return what still waits that may concern a month. Seven queries."""
    until = periods.add_months(month.label, 1)
    gateways = freshness.gateways(at=at)
    waiting = [one.oldest_waiting_at for one in gateways if one.oldest_waiting_at is not None]
    offerings, use_cases = _names_waiting(first=month.label, until=until)
    return Checks(
        complete_through=freshness.complete_through(at=at),
        waiting_events=sum(one.waiting_events for one in gateways),
        oldest_waiting_at=min(waiting, default=None),
        set_aside=sum(one.set_aside for one in gateways),
        unfinished=tuple(corrections.unfinished(starts_at=month.starts_at, ends_at=month.ends_at)),
        unpriced=tuple(overview.unpriced(first=month.label, until=until)),
        waiting_offerings=offerings,
        waiting_use_cases=use_cases,
        held_events=HeldEvent.objects.filter(
            settled_at__isnull=True, occurred_at__gte=month.starts_at, occurred_at__lt=month.ends_at
        ).count(),
        earlier_open=_open_before(month.label),
        settles_at=month.ends_at + LATEST,
    )


def booked_for(labels: Iterable[date]) -> list[Correction]:
    """Return what was booked for closed months in later ones, by month and the month it was booked in. One query."""
    wanted = sorted(labels)
    if not wanted:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT correction_of, date_trunc('month', day)::date, sum(cost_usd), sum(requests) FROM rollup_day "
            "WHERE day >= %s AND correction_of <> 0 AND correction_of = ANY(%s) GROUP BY 1, 2 ORDER BY 1, 2",
            [periods.add_months(wanted[0], 1), [label.year * 100 + label.month for label in wanted]],
        )
        return [
            Correction(
                month=date(number // 100, number % 100, 1), booked_in=month, cost_usd=cost, requests=int(requests)
            )
            for number, month, cost, requests in cursor.fetchall()
        ]


_TOKENS = (
    "uncached_input_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens + output_tokens "
    "+ audio_input_tokens + audio_output_tokens + image_input_tokens + image_output_tokens"
)
# Of the rows of a day, an offering and a gateway: what is compared is chosen there.
_FIGURES = {
    "cost_usd": "sum(cost_usd)",
    "corrections_usd": "coalesce(sum(cost_usd) FILTER (WHERE correction_of <> 0), 0)",
    "compared_usd": reported.OURS,
    "reported_usd": "sum(compared_reported_usd)",
    "requests": "sum(requests)",
    "tokens": f"sum({_TOKENS})",
    "unpriced_tokens": "sum(unpriced_tokens)",
    "uncounted_requests": "sum(uncounted_requests)",
    "unclassified_tokens": f"coalesce(sum({_TOKENS}) FILTER (WHERE tier = {Tier.UNCLASSIFIED.value}), 0)",
}


def _sums_with_closed(closed: Mapping[date, Month], *, first: date, until: date) -> dict[date, dict[str, Any]]:
    """Return the sums of months, those of closed ones as remembered; see Note [What a closed month is remembered by].

    A closed month without any spend is remembered, too, and left out.
    """
    rebuilt = Rebuild.objects.aggregate(last=Max("pk"), running=Count("pk", filter=Q(finished_at__isnull=True)))
    keys = {label: f"usage:month:{month.pk}:{rebuilt['last'] or 0}" for label, month in closed.items()}
    if rebuilt["running"]:
        keys = {}
    found: dict[str, dict[str, Any] | None] = cache.get_many(keys.values())
    known = {label: found[key] for label, key in keys.items() if key in found}
    labels = [label for label in _months(first, until) if label not in known]
    sums = _sums(first=labels[0], until=periods.add_months(labels[-1], 1)) if labels else {}
    cache.set_many({keys[label]: sums.get(label) for label in labels if label in keys}, _REMEMBERED_S)
    return sums | {label: figures for label, figures in known.items() if figures is not None}


def _months(first: date, until: date) -> Iterator[date]:
    while first < until:
        yield first
        first = periods.add_months(first, 1)


def _sums(*, first: date, until: date) -> dict[date, dict[str, Any]]:
    parts = ", ".join(f"{sql} AS {name}" for name, sql in _FIGURES.items())
    sums = ", ".join(f"sum({name}){'' if name.endswith('_usd') else '::bigint'}" for name in _FIGURES)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT date_trunc('month', day)::date, {sums} FROM (SELECT r.day, {parts} FROM rollup_day r "
            f"WHERE r.day >= %s AND r.day < %s GROUP BY {reported.BY}) each GROUP BY 1",
            [first, until],
        )
        return {label: dict(zip(_FIGURES, values, strict=True)) for label, *values in cursor.fetchall()}


def _row(
    label: date, sums: Mapping[str, Any] | None, closed: Month | None, corrected: Decimal, at: datetime, zone: str
) -> MonthRow:
    figures = dict(sums or {})
    if closed is not None:
        return MonthRow(
            label=label,
            starts_at=closed.starts_at,
            ends_at=closed.ends_at,
            state=CLOSED,
            closed_at=closed.closed_at,
            closed_by=closed.closed_by,
            reason=closed.reason,
            zone=closed.zone,
            corrected_usd=corrected,
            **figures,
        )
    period = periods.month(label, zone)
    return MonthRow(
        label=label,
        starts_at=period.starts_at,
        ends_at=period.ends_at,
        state=OPEN if period.ends_at <= at else RUNNING,
        zone=zone,
        **figures,
    )


def _parts(dimension: str, table: str, *, first: date, until: date) -> tuple[Part, ...]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT n.id, n.name, s.cost, s.corrections, s.requests FROM (SELECT {dimension}_id AS id, "
            "sum(cost_usd) AS cost, coalesce(sum(cost_usd) FILTER (WHERE correction_of <> 0), 0) AS corrections, "
            f"sum(requests)::bigint AS requests FROM {past.sums_of_days()} r "
            "WHERE day >= %(first)s AND day < %(until)s GROUP BY 1) s "
            f"JOIN {table} n ON n.id = s.id WHERE s.cost <> 0 OR s.requests <> 0 ORDER BY s.cost DESC, n.name",
            {"first": first, "until": until},
        )
        return tuple(
            Part(id=id_, name=name, cost_usd=cost, corrections_usd=late, requests=requests)
            for id_, name, cost, late, requests in cursor.fetchall()
        )


def _names_waiting(*, first: date, until: date) -> tuple[int, int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH used AS (SELECT offering_id, use_case_id, sum(requests) AS requests "
            f"FROM {past.sums_of_days()} r WHERE day >= %(first)s AND day < %(until)s "
            "GROUP BY 1, 2 HAVING sum(requests) <> 0) SELECT "
            "(SELECT count(*) FROM catalog_offering o WHERE o.state = %(waits)s "
            "AND o.id IN (SELECT offering_id FROM used)), "
            "(SELECT count(*) FROM catalog_usecase u WHERE u.state = %(waits)s "
            "AND u.id IN (SELECT use_case_id FROM used))",
            {"first": first, "until": until, "waits": ClaimState.WAITING},
        )
        row = cursor.fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


def _open_before(label: date) -> tuple[date, ...]:
    """Return months before one that have spend and are not closed, oldest first, as far back as a page reaches."""
    with connection.cursor() as cursor:
        # One look into the index per month; to list the months of all rows would read a year of them.
        cursor.execute(
            "SELECT m::date FROM generate_series(%s::timestamp, %s::timestamp, '1 month') AS m "
            "WHERE m::date NOT IN (SELECT label FROM usage_month) AND EXISTS (SELECT 1 FROM rollup_day r "
            "WHERE r.day >= m::date AND r.day < (m + interval '1 month')::date) ORDER BY 1",
            [periods.add_months(label, -PER_PAGE), periods.add_months(label, -1)],
        )
        return tuple(month for (month,) in cursor.fetchall())
