"""The statement of a month, for chargeback: what each team and use case used, on which models, and what it owes.

Three figures, and they add up to the last decimal: a month's own use, adjustments of earlier months that were closed
when they came, and both together, which is what was booked in the month: the total of every other page.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import TypeVar

from catalog.models import Team, UseCase
from core import periods
from core.errors import NotFound
from core.models import Organisation
from dashboards.selectors import overview, statement_budgets
from dashboards.selectors.statement_budgets import BudgetLine
from usage.models import Month, RollupDay
from usage.selectors import chargeback, freshness
from usage.selectors.chargeback import Cell, Days, Reason, Sums
from usage.selectors.months import CLOSED, OPEN, RUNNING

Key = TypeVar("Key", bound=Hashable)


class NoStatement(NotFound):
    """The month has not begun, or nothing was booked in it."""


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Whose statement it is: of the whole organisation, a team or a use case."""

    kind: str = ""  # team or use_case; empty: the whole organisation
    id: int = 0
    name: str = ""
    owner: str = ""  # of a use case


@dataclass(frozen=True, kw_only=True)
class Line:
    """What one name used; `booked` is own use with adjustments of earlier months.

    Own use of the compared days stands in `comparable_usd`, that of the days before in `before_usd`.
    """

    id: int = 0
    name: str = ""
    tier: str = ""  # of a model's line
    own: Sums
    adjusted: Sums
    comparable_usd: Decimal
    before_usd: Decimal

    @property
    def booked(self) -> Sums:
        return chargeback.added([self.own, self.adjusted])


@dataclass(frozen=True, kw_only=True)
class TeamPart:
    line: Line
    use_cases: tuple[Line, ...]
    models: tuple[Line, ...]


@dataclass(frozen=True, kw_only=True)
class Adjustment:
    """What was booked late for one closed month. Requests are calls that arrived late; without, it is a correction."""

    month: date
    sums: Sums
    reasons: tuple[Reason, ...]

    @property
    def others(self) -> str:
        """What no restatement tells, in words; empty where restatements say all that is known."""
        if self.sums.requests > 0:
            return "Calls that arrived after the month was closed"
        if self.sums.requests < 0:
            return "Calls that were taken back after the month was closed"
        return "" if self.reasons else "Prices that arrived after the month was closed"


@dataclass(frozen=True, kw_only=True)
class Unpriced:
    offering: str
    tokens: int
    requests: int


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A month, [starts_at, ends_at), of the organisation, a team or a use case."""

    month: date
    state: str  # running, open (over, and not closed) or closed
    zone: str
    starts_at: datetime
    ends_at: datetime
    closed_at: datetime | None
    closed_by: str
    scope: Scope
    calendar: overview.Calendar
    total: Line
    teams: tuple[TeamPart, ...]
    use_cases: tuple[Line, ...]
    models: tuple[Line, ...]
    adjustments: tuple[Adjustment, ...]
    corrected_later: dict[date, Sums] = field(default_factory=dict)  # by the month it was booked in
    unpriced: tuple[Unpriced, ...]
    budgets: tuple[BudgetLine, ...]
    complete_through: datetime | None

    @property
    def final(self) -> bool:
        return self.state == CLOSED


def of_month(*, month: date, at: datetime, team_id: int | None = None, use_case_id: int | None = None) -> Statement:
    """Return a statement. Ten queries at most, two of them over `rollup_day`, more after a change of budgets.

    Raises:
        NoStatement: the month has not begun, nothing was booked in it, or there is no such team or use case.
    """
    zone = Organisation.objects.values_list("zone", flat=True).get(pk=1)
    scope = _scope(team_id, use_case_id)
    calendar = _begun(month, zone, at)
    closed = Month.objects.filter(label=month).first()
    found = chargeback.cells(days=_days(calendar), team_id=team_id, use_case_id=use_case_id)
    here = [cell for cell in found if not cell.sums.empty]
    if not (here or closed or scope.kind):
        raise NoStatement(f"Nothing was booked in {month:%Y-%m}.")
    period = periods.month(month, zone)
    starts_at, ends_at = (closed.starts_at, closed.ends_at) if closed else (period.starts_at, period.ends_at)
    return Statement(
        month=month,
        state=CLOSED if closed else OPEN if ends_at <= at else RUNNING,
        zone=closed.zone if closed else zone,
        starts_at=starts_at,
        ends_at=ends_at,
        closed_at=closed.closed_at if closed else None,
        closed_by=closed.closed_by if closed else "",
        scope=scope,
        calendar=calendar,
        total=_line(found),
        teams=tuple(_teams(found)),
        use_cases=tuple(_lines(found, lambda cell: (cell.use_case_id, cell.use_case, ""))),
        models=tuple(_models(here)),
        adjustments=tuple(_adjustments(here, starts_at, ends_at)),
        corrected_later=chargeback.booked_later(
            month=month, until=calendar.until, team_id=team_id, use_case_id=use_case_id
        )
        if closed
        else {},
        unpriced=tuple(_unpriced(here)),
        budgets=tuple(
            statement_budgets.of(
                starts_at=starts_at, ends_at=ends_at, at=at, kind=scope.kind, name=scope.name, team_id=team_id
            )
        ),
        complete_through=freshness.complete_through(at=at),
    )


def cells(*, month: date, at: datetime, team_id: int | None = None, use_case_id: int | None = None) -> list[Cell]:
    """Return what a statement is made of, for a file: without what is only compared. Four queries.

    Raises:
        NoStatement: as `of_month`.
    """
    zone = Organisation.objects.values_list("zone", flat=True).get(pk=1)
    scope = _scope(team_id, use_case_id)
    found = chargeback.cells(days=_days(_begun(month, zone, at)), team_id=team_id, use_case_id=use_case_id)
    here = [cell for cell in found if not cell.sums.empty]
    if not (here or scope.kind or Month.objects.filter(label=month).exists()):
        raise NoStatement(f"Nothing was booked in {month:%Y-%m}.")
    return here


def anything_in(month: date) -> bool:
    """Say whether there is a statement of everybody's for a month that has begun. One query, two where it has none."""
    until = periods.add_months(month, 1)
    booked = RollupDay.objects.filter(day__gte=month, day__lt=until)
    return booked.exists() or Month.objects.filter(label=month).exists()


def _scope(team_id: int | None, use_case_id: int | None) -> Scope:
    if team_id is not None and use_case_id is not None:
        raise ValueError("A statement is of a team or of a use case.")
    if team_id is not None:
        team = Team.objects.filter(pk=team_id).first()
        if team is None:
            raise NoStatement("There is no such team.")
        return Scope(kind="team", id=team_id, name=team.name)
    if use_case_id is not None:
        use_case = UseCase.objects.filter(pk=use_case_id).first()
        if use_case is None:
            raise NoStatement("There is no such use case.")
        return Scope(kind="use_case", id=use_case_id, name=use_case.name, owner=use_case.owner)
    return Scope()


def _begun(month: date, zone: str, at: datetime) -> overview.Calendar:
    calendar = overview.calendar_of(month=month, zone=zone, at=at)
    if calendar.first != month:
        raise NoStatement(f"{month:%Y-%m} has not begun.")
    return calendar


def _days(calendar: overview.Calendar) -> Days:
    return Days(
        first=calendar.first,
        until=calendar.until,
        comparable_until=calendar.comparable_until,
        before=calendar.before,
        before_until=calendar.before_until,
    )


# --- folding cells ---


def _line(cells: Iterable[Cell], *, id: int = 0, name: str = "", tier: str = "") -> Line:
    of_it = list(cells)
    return Line(
        id=id,
        name=name,
        tier=tier,
        own=chargeback.added(cell.sums for cell in of_it if cell.correction_of is None),
        adjusted=chargeback.added(cell.sums for cell in of_it if cell.correction_of is not None),
        comparable_usd=chargeback.plus(cell.comparable_usd for cell in of_it),
        before_usd=chargeback.plus(cell.before_usd for cell in of_it),
    )


def _grouped(cells: Iterable[Cell], by: Callable[[Cell], Key]) -> dict[Key, list[Cell]]:
    found: dict[Key, list[Cell]] = defaultdict(list)
    for cell in cells:
        found[by(cell)].append(cell)
    return found


def _lines(cells: Iterable[Cell], by: Callable[[Cell], tuple[int, str, str]]) -> list[Line]:
    lines = [_line(each, id=key[0], name=key[1], tier=key[2]) for key, each in _grouped(cells, by).items()]
    return sorted(lines, key=lambda line: (-line.booked.cost_usd, -line.before_usd, line.name, line.tier))


def _models(cells: Iterable[Cell]) -> list[Line]:
    return _lines(cells, lambda cell: (0, cell.model, cell.tier))


def _teams(cells: Sequence[Cell]) -> list[TeamPart]:
    parts = [
        TeamPart(
            line=_line(each, id=id_, name=name),
            use_cases=tuple(_lines(each, lambda cell: (cell.use_case_id, cell.use_case, ""))),
            models=tuple(_models(cell for cell in each if not cell.sums.empty)),
        )
        for (id_, name), each in _grouped(cells, lambda cell: (cell.team_id, cell.team)).items()
    ]
    return sorted(parts, key=lambda part: (-part.line.booked.cost_usd, -part.line.before_usd, part.line.name))


def _adjustments(cells: Iterable[Cell], starts_at: datetime, ends_at: datetime) -> list[Adjustment]:
    late = [cell for cell in cells if cell.correction_of is not None]
    by_month = _grouped(late, lambda cell: cell.correction_of)
    months = sorted(month for month in by_month if month is not None)
    why = chargeback.reasons(
        months=months, use_cases={cell.use_case_id for cell in late}, starts_at=starts_at, ends_at=ends_at
    )
    return [
        Adjustment(
            month=month,
            sums=chargeback.added(cell.sums for cell in by_month[month]),
            reasons=tuple(one for one in why if one.month == month),
        )
        for month in months
    ]


def _unpriced(cells: Iterable[Cell]) -> list[Unpriced]:
    found = []
    for name, each in _grouped(cells, lambda cell: cell.offering).items():
        sums = chargeback.added(cell.sums for cell in each)
        # Requests without token counts left out: no price would help them.
        requests = sums.unpriced_requests - sums.uncounted_requests
        if sums.unpriced_tokens or requests:
            found.append(Unpriced(offering=name, tokens=sums.unpriced_tokens, requests=requests))
    return sorted(found, key=lambda one: (-one.tokens, one.offering))
