"""What a digest tells: the day or the week of what a channel covers, as typed rows. `digest_words` writes it.

A channel that chooses teams or budgets hears of these only. Spend of a team is what was booked for it; spend of a
budget is that of the use cases and teams that its scope names, and of everything where it names none.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any

from django.db.models import Q

from alerts import rules as alert_rules
from alerts.models import Alert, AlertState, Delivery, DeliveryState
from budgets.selectors import overview as budgets
from budgets.selectors.overview import BudgetRow
from catalog.models import Team, UseCaseTeam
from core import periods
from dashboards.selectors.budgets import at_risk, risk
from dashboards.selectors.digest_sums import Change, Mover, by_cost, changes, median_usd, medians
from routing.models import Version
from usage.selectors import chargeback, freshness
from usage.selectors.chargeback import SpanCell, Sums

DAY = timedelta(days=1)
WEEK = timedelta(days=7)
WEEKS_COMPARED = 4  # what is usual for a weekday: the median of so many before
MOST_ALERTS = 500
_ZERO = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """What a channel wants to hear of, by ids; empty means all."""

    teams: frozenset[int] = frozenset()
    budgets: frozenset[int] = frozenset()
    kinds: frozenset[str] = frozenset()
    least_severity: int = 0

    @property
    def all(self) -> bool:
        return not (self.teams or self.budgets)


@dataclass(frozen=True, kw_only=True)
class AlertLine:
    title: str
    kind: str
    severity: int
    state: str
    by: str  # who acknowledged it
    created_at: datetime
    new: bool  # raised in the time that the digest tells of
    asleep: bool  # snoozed, and not over

    @property
    def open(self) -> bool:
        """Whether it waits for somebody, as the pages count: not taken care of, and not asleep."""
        return self.state == AlertState.OPEN and not self.asleep


@dataclass(frozen=True, kw_only=True)
class Undelivered:
    """Messages of two days that did not arrive: given up, or failing so far. Without a channel: none wanted them."""

    channel: str
    given_up: int
    failing: int


@dataclass(frozen=True, kw_only=True)
class Published:
    environment: str
    number: int
    title: str
    by: str
    at: datetime
    rolls_back_to: int | None


@dataclass(frozen=True, kw_only=True)
class Told:
    """What both digests tell. `about` names what the channel chose, empty where it hears of everything."""

    about: tuple[str, ...]
    alerts: tuple[AlertLine, ...]  # open ones and those of the time, gravest first
    at_risk: tuple[BudgetRow, ...]  # what is most at risk first
    undelivered: tuple[Undelivered, ...]
    now: Sums
    complete_through: datetime | None

    @property
    def open_alerts(self) -> int:
        return sum(one.open for one in self.alerts)


@dataclass(frozen=True, kw_only=True)
class Daily(Told):
    day: date  # the one that is over
    usual: Sums | None  # medians of the same weekday before, None where there is none
    usual_days: int
    use_cases: tuple[Mover, ...]  # what changed most first; without `usual`, the dearest

    @property
    def nothing_happened(self) -> bool:
        return not (self.alerts or self.at_risk or self.undelivered) and self.now.empty


@dataclass(frozen=True, kw_only=True)
class Weekly(Told):
    monday: date  # of the week that is over
    before: Sums
    use_cases: tuple[Mover, ...]  # dearest first
    teams: tuple[Mover, ...]
    tiers: tuple[Mover, ...]
    changes: tuple[Change, ...]  # largest first
    versions: tuple[Published, ...]


class Sources:
    """Everything that digests of one moment are made of, read once for all channels and only where one needs it."""

    def __init__(self, *, at: datetime, zone: str) -> None:
        self.at, self.zone = at, zone
        self.today = periods.local_day(at, zone)
        self.monday = periods.monday(self.today)

    def daily(self, coverage: Coverage) -> Daily:
        """Return yesterday. Twelve queries at most for any number of channels, more after a change of budgets."""
        spans = self._sums_by_span(self._days, coverage)
        now, before = spans[0], [sums for sums in spans[1:] if not sums.empty]
        usual = medians(before) if before else None
        return Daily(
            **self._told(coverage, now=now, since=periods.day_start(self.today - DAY, self.zone)),
            day=self.today - DAY,
            usual=usual,
            usual_days=len(before),
            use_cases=tuple(self._movers(coverage, compared=bool(before))),
        )

    def weekly(self, coverage: Coverage) -> Weekly:
        """Return the week before this one. As many queries, and one for versions."""
        cells = self._covered(self._weeks, coverage)
        now, before = (chargeback.added(one.sums for one in cells if one.span == place) for place in (0, 1))
        since = periods.day_start(self.monday - WEEK, self.zone)
        return Weekly(
            **self._told(coverage, now=now, since=since),
            monday=self.monday - WEEK,
            before=before,
            use_cases=by_cost(cells, "use_case"),
            teams=by_cost(cells, "team"),
            tiers=by_cost(cells, "tier"),
            changes=changes(cells),
            versions=tuple(self._versions) if coverage.all else (),
        )

    # --- what is read ---

    @cached_property
    def _days(self) -> list[SpanCell]:
        firsts = [self.today - DAY - WEEK * weeks for weeks in range(WEEKS_COMPARED + 1)]
        return chargeback.by_span([(first, first + DAY) for first in firsts])

    @cached_property
    def _weeks(self) -> list[SpanCell]:
        return chargeback.by_span([(self.monday - WEEK, self.monday), (self.monday - 2 * WEEK, self.monday - WEEK)])

    @cached_property
    def _alerts(self) -> list[Alert]:
        since = periods.day_start(self.monday - WEEK, self.zone)
        wanted = Alert.objects.filter(Q(created_at__gte=since) | ~Q(state=AlertState.RESOLVED), created_at__lte=self.at)
        return list(
            wanted.exclude(kind__in=alert_rules.NOTICES)
            .order_by("-severity", "-created_at", "-id")
            .defer("facts")[:MOST_ALERTS]
        )

    @cached_property
    def _budgets(self) -> list[BudgetRow]:
        return budgets.rows(at=self.at)

    @cached_property
    def _teams(self) -> dict[int, str]:
        return dict(Team.objects.values_list("id", "name"))

    @cached_property
    def _answers_for(self) -> dict[str, int]:
        """The team that answers for each use case, by name."""
        return dict(UseCaseTeam.objects.filter(valid__contains=self.at).values_list("use_case__name", "team_id"))

    @cached_property
    def _failed(self) -> list[Delivery]:
        failing = Q(state__in=[DeliveryState.WAITING, DeliveryState.SENDING], attempts__gt=0)
        found = Delivery.objects.filter(failing | Q(state=DeliveryState.FAILED), created_at__gte=self.at - 2 * DAY)
        return list(found.select_related("alert", "channel").defer("alert__facts", "channel__secret")[:MOST_ALERTS])

    @cached_property
    def _complete_through(self) -> datetime | None:
        return freshness.complete_through(at=self.at)

    @cached_property
    def _versions(self) -> list[Published]:
        since, until = (periods.day_start(day, self.zone) for day in (self.monday - WEEK, self.monday))
        found = Version.objects.filter(published_at__gte=since, published_at__lt=until).order_by("published_at", "id")
        return [
            Published(environment=name, number=number, title=title, by=by, at=at, rolls_back_to=back)
            for name, number, title, by, at, back in found.values_list(
                "environment__name", "number", "title", "published_by", "published_at", "rolls_back_to"
            )
        ]

    # --- what of it a channel covers ---

    def _told(self, coverage: Coverage, *, now: Sums, since: datetime) -> dict[str, Any]:
        return {
            "about": self._about(coverage),
            "alerts": tuple(
                AlertLine(
                    title=one.title,
                    kind=one.kind,
                    severity=one.severity,
                    state=one.state,
                    by=one.acknowledged_by,
                    created_at=one.created_at,
                    new=one.created_at >= since,
                    asleep=one.state != AlertState.RESOLVED
                    and one.snoozed_until is not None
                    and one.snoozed_until > self.at,
                )
                for one in self._alerts
                if _fits(coverage, one) and (one.created_at >= since or one.state != AlertState.RESOLVED)
            ),
            "at_risk": tuple(sorted(filter(at_risk, self._covered_budgets(coverage)), key=risk)),
            "undelivered": tuple(self._undelivered(coverage)),
            "now": now,
            "complete_through": self._complete_through,
        }

    def _about(self, coverage: Coverage) -> tuple[str, ...]:
        teams = sorted(self._teams[one] for one in coverage.teams if one in self._teams) if coverage.teams else []
        chosen = [row.name for row in self._budgets if row.id in coverage.budgets] if coverage.budgets else []
        return (*(f"team {name}" for name in teams), *(f"budget {name}" for name in chosen))

    def _covered_budgets(self, coverage: Coverage) -> list[BudgetRow]:
        return [
            row
            for row in self._budgets
            if (not coverage.budgets or row.id in coverage.budgets)
            and (not coverage.teams or not coverage.teams.isdisjoint(self._teams_of(row)))
        ]

    def _teams_of(self, row: BudgetRow) -> set[int]:
        named = row.scope.get("team", ())
        of_use_cases = {self._answers_for.get(name, 0) for name in row.scope.get("use_case", ())}
        return {id_ for id_, name in self._teams.items() if name in named} | of_use_cases

    def _covered(self, cells: Iterable[SpanCell], coverage: Coverage) -> list[SpanCell]:
        if coverage.all:
            return list(cells)
        chosen = [row.scope for row in self._covered_budgets(coverage)] if coverage.budgets else [{}]
        return [
            cell
            for cell in cells
            if (not coverage.teams or cell.team_id in coverage.teams) and any(_in_scope(cell, one) for one in chosen)
        ]

    def _undelivered(self, coverage: Coverage) -> list[Undelivered]:
        given_up: Counter[str] = Counter()
        failing: Counter[str] = Counter()
        for one in self._failed:
            if _fits(coverage, one.alert) or (one.alert.kind in alert_rules.NOTICES and coverage.all):
                channel = one.channel.name if one.channel else ""
                (given_up if one.state == DeliveryState.FAILED else failing)[channel] += 1
        return [
            Undelivered(channel=name, given_up=given_up[name], failing=failing[name])
            for name in sorted({*given_up, *failing})
        ]

    def _sums_by_span(self, cells: Iterable[SpanCell], coverage: Coverage) -> list[Sums]:
        by_span: dict[int, list[Sums]] = defaultdict(list)
        for cell in self._covered(cells, coverage):
            by_span[cell.span].append(cell.sums)
        return [chargeback.added(by_span[place]) for place in range(WEEKS_COMPARED + 1)]

    def _movers(self, coverage: Coverage, *, compared: bool) -> list[Mover]:
        covered = self._covered(self._days, coverage)
        before = sorted({cell.span for cell in covered} - {0})
        costs: dict[str, dict[int, Decimal]] = defaultdict(dict)
        for cell in covered:
            of_it = costs[cell.use_case]
            of_it[cell.span] = chargeback.plus([of_it.get(cell.span, _ZERO), cell.sums.cost_usd])
        movers = [
            Mover(
                name=name,
                now_usd=of_it.get(0, _ZERO),
                before_usd=median_usd([of_it.get(place, _ZERO) for place in before]) if before else _ZERO,
            )
            for name, of_it in costs.items()
        ]
        return sorted(movers, key=lambda one: (-abs(one.change_usd) if compared else -one.now_usd, one.name))


def _fits(coverage: Coverage, alert: Alert) -> bool:
    return alert_rules.fits(
        teams=coverage.teams,
        budgets=coverage.budgets,
        kinds=coverage.kinds,
        least_severity=coverage.least_severity,
        kind=alert.kind,
        severity=alert.severity,
        team_ids=alert.team_ids,
        budget_id=alert.budget_id,
    )


def _in_scope(cell: SpanCell, scope: Mapping[str, Sequence[str]]) -> bool:
    named = {"use_case": cell.use_case, "team": cell.team}
    return all(value in scope[dimension] for dimension, value in named.items() if dimension in scope)
