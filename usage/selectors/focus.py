"""A month of the ledger as lines of FOCUS, whatever its size: grouped by PostgreSQL, read piece by piece.

A month has what was booked in it, as its statement and `GET spend` say it. A line's charge period is the day on which
its calls happened; that is another month's for what came late. Days and months are the organisation's
(`usage.selectors.kept`), written as instants in UTC.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Count, Min
from django.db.models.functions import TruncMonth

from catalog.models import UNASSIGNED_ID, Gateway, Offering, Price, Team, Tier, UseCase
from catalog.selectors import labels
from core import periods
from core.errors import Conflict, Invalid
from core.models import Organisation
from usage.focus import lines
from usage.focus.lines import Group, Line, Names, Offered, Rate
from usage.models import Month, RollupDay, Unpriced
from usage.models import Rate as RateRow
from usage.models.ledger import Status
from usage.rules.postings import METER_COLUMNS
from usage.selectors import kept

_DAY = timedelta(days=1)
_AT_ONCE = 2000  # groups that are fetched together; their rates and prices are looked up in one query each

Span = tuple[datetime, datetime]


class NotKept(Conflict):
    """Entries of the month were dropped: what is left would look like all of it."""


@dataclass(frozen=True, kw_only=True)
class Export:
    """A month's lines, which can be read once; `lines` asks the database when it is."""

    month: date
    starts_at: datetime
    ends_at: datetime
    zone: str
    lines: Iterator[Line]


def export(*, month: date, at: datetime, team: str = "") -> Export:
    """Return a month by its first day, of one team or of everybody.

    Eleven queries, and while the lines are read one more and up to two per 2000 groups of entries. The groups are one
    statement, so the lines are those of one moment; its result waits at the server and holds no lock. A team may be
    called by an old name.

    Raises:
        Invalid: the month has not begun, or there is no such team.
        NotKept: the ledger does not hold all of it any more.
    """
    organisation = Organisation.objects.get(pk=1)
    calendar = kept.current()
    spans = month_spans(month, calendar)
    starts_at, ends_at = spans[0][0], spans[-1][1]
    if starts_at > at:
        raise Invalid(f"{month:%B %Y} has not begun.", [("month", "It has not begun.")])
    if lost := kept.dropped_within(starts_at, ends_at):
        raise NotKept(f"The ledger does not keep the entries of {kept.listed(lost)} any more; sums by day are there.")
    team_id = _team_id(team) if team else None
    first = Month.objects.aggregate(first=Min("label"))["first"]
    found = _Reading(
        spans=spans,
        days=_days(min(first or month, month), month, calendar),
        team_id=team_id,
        tags=calendar.declared_tags,
        names=_names(organisation.name, (starts_at, ends_at)),
        zone=calendar.zone,
    )
    return Export(month=month, starts_at=starts_at, ends_at=ends_at, zone=calendar.zone, lines=found.lines())


def month_spans(month: date, calendar: kept.Kept) -> list[Span]:
    """Return when a month is, in the order of time: one stretch, save where the organisation's zone was changed."""
    found: list[Span] = []
    day = month
    while day < periods.add_months(month, 1):
        for span in calendar.spans(day):
            if found and found[-1][1] == span[0]:
                found[-1] = (found[-1][0], span[1])
            else:
                found.append(span)
        day += _DAY
    return sorted(found)


def _days(first: date, last_month: date, calendar: kept.Kept) -> list[Span]:
    """Return every day from a month to another, in the order of time. Days abut."""
    found, day, until = set[Span](), first, periods.add_months(last_month, 1)
    while day < until:
        found.update(calendar.spans(day))
        day += _DAY
    return sorted(found)


def _team_id(name: str) -> int:
    """Return the team of a name, or of one that it had before."""
    found = labels.id_of("team", name)
    if found is None:
        raise Invalid(f"There is no team {name!r}.", [("team", f"There is no team {name!r}.")])
    return found


def _names(organisation: str, billed: Span) -> Names:
    offered = Offering.objects.values_list(
        "id", "name", "model__name", "provider__title", "provider__name", "model__lab", "region"
    )
    return Names(
        organisation=organisation,
        billed=billed,
        offerings={
            id_: Offered(name=name, model=model, provider=title or provider, lab=lab, region=region)
            for id_, name, model, title, provider, lab, region in offered
        },
        use_cases=dict(UseCase.objects.values_list("id", "name")),
        teams=dict(Team.objects.exclude(pk=UNASSIGNED_ID).values_list("id", "name")),
        gateways=dict(Gateway.objects.values_list("id", "name")),
    )


_BY = (
    "kind", "correction_of", "use_case_id", "team_id", "offering_id", "gateway_id", "environment", "tier", "rule",
    "service_tier", f"status = {Status.CACHE_HIT.value}", "rate_id", "unpriced",
)  # fmt: skip
_METERS = ", ".join(f"sum({name})::bigint" for name in METER_COLUMNS)
_MONEY = ", ".join(f"trunc(coalesce(sum({name}), 0) * 1e18)" for name in ("cost_usd", "list_cost_usd", "avoided_usd"))


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """What is asked of the ledger, and what its answer is read with."""

    spans: Sequence[Span]
    days: Sequence[Span]
    team_id: int | None
    tags: Sequence[str]
    names: Names
    zone: str

    def lines(self) -> Iterator[Line]:
        rates: dict[int, Rate] = {}
        # In autocommit the cursor is one WITH HOLD: the answer is made whole at the server, and no transaction stays
        # open while a slow reader takes it.
        with connection.chunked_cursor() as cursor:
            cursor.execute(*self._sql())
            while rows := cursor.fetchmany(_AT_ONCE):
                self._learn(rows, rates)
                for row in rows:
                    yield from lines.lines_of(self._group(row, rates), self.names)

    def _sql(self) -> tuple[str, dict[str, Any]]:
        ranges = " OR ".join(f"(booked_at >= %(lo{n})s AND booked_at < %(hi{n})s)" for n in range(len(self.spans)))
        parameters: dict[str, Any] = {"edges": [start for start, _ in self.days]}
        for number, (lower, upper) in enumerate(self.spans):
            parameters |= {f"lo{number}": lower, f"hi{number}": upper}
        tags = [f"tags ->> %(tag{number})s" for number in range(len(self.tags))]
        parameters |= {f"tag{number}": tag for number, tag in enumerate(self.tags)}
        by = ["width_bucket(occurred_at, %(edges)s::timestamptz[])", *_BY, *tags]
        whose = ""
        if self.team_id is not None:
            whose, parameters["team"] = "AND team_id = %(team)s", self.team_id
        order = ", ".join(str(place) for place in range(1, len(by) + 1))
        sql = f"SELECT {', '.join(by)}, {_METERS}, {_MONEY} FROM ledger WHERE ({ranges}) {whose} GROUP BY {order}"
        return f"{sql} ORDER BY {order}", parameters

    def _learn(self, rows: Sequence[tuple[Any, ...]], rates: dict[int, Rate]) -> None:
        """Look up the rates that rows name and nobody has read yet, and what their prices are for."""
        new = {row[_RATE] for row in rows} - {None} - rates.keys()
        if not new:
            return
        found = {
            id_: lines.rate_of(id_, content)
            for id_, content in RateRow.objects.filter(pk__in=new).values_list("id", "prices")
        }
        rates |= found
        details = self.names.details
        prices = {price.list_price or price.own_price or 0 for rate in found.values() for price in rate.prices.values()}
        series = Price.objects.filter(pk__in=prices - details.keys()).values_list(
            "id", "series__context_over", "series__context_inclusive", "series__service_tier", "series__region",
            "series__hour_window__name",
        )  # fmt: skip
        for id_, over, inclusive, service_tier, region, hours in series:
            said = {
                "x_InputTokensFrom": None if over is None else over if inclusive else over + 1,
                "x_ServiceTier": service_tier,
                "x_Region": region,
                "x_Hours": hours,
            }
            details[id_] = {name: value for name, value in said.items() if value}

    def _group(self, row: tuple[Any, ...], rates: dict[int, Rate]) -> Group:
        day, kind, correction_of, use_case, team, offering, gateway, environment, tier, rule, service_tier = row[:11]
        cache_hit, rate_id, unpriced = row[11:14]
        meters_from = 14 + len(self.tags)
        tags, meters, money = row[14:meters_from], row[meters_from:-3], row[-3:]
        cost, list_cost, avoided = map(int, money)
        return Group(
            charged=self._day(day, correction_of),
            kind=kind,
            correction_of=correction_of,
            use_case_id=use_case,
            team_id=team,
            offering_id=offering,
            gateway_id=gateway,
            environment=environment,
            tier=_TIERS[tier],
            rule=rule,
            service_tier=service_tier,
            cache_hit=cache_hit,
            unpriced=_REASONS[unpriced],
            rate=rates.get(rate_id) if rate_id is not None else None,
            tags={name: value for name, value in zip(self.tags, tags, strict=True) if value is not None},
            meters=meters,
            cost=cost,
            list_cost=list_cost,
            avoided=avoided,
        )

    def _day(self, place: int, correction_of: date | None) -> Span:
        if place:
            return self.days[place - 1]
        # Of a month before any that is closed here, which only a ledger from elsewhere can name.
        whole = periods.month(correction_of, self.zone) if correction_of else None
        return (whole.starts_at, whole.ends_at) if whole else self.names.billed


_RATE = 12
_TIERS = {tier.value: str(tier.label) for tier in Tier}
_REASONS = {reason.value: "" if reason is Unpriced.PRICED else str(reason.label) for reason in Unpriced}


def sizes(*, first: date, until: date) -> dict[date, int]:
    """Return about how many lines each month of [first, until) has, by its first day. One query, of sums by day.

    Good for choosing between a file and its compressed twin: a line has some 900 bytes, compressed 40.
    """
    found = (
        RollupDay.objects.filter(day__gte=first, day__lt=until)
        .annotate(month=TruncMonth("day"))
        .values_list("month")
        .annotate(rows=Count("*"))
    )
    return {month: rows * _LINES_PER_SUM for month, rows in found}


_LINES_PER_SUM = 5  # a sum of a day has some four meters, and entries that were priced differently
