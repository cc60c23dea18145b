"""Statements of a month for chargeback: of the organisation, a team, a use case; to read, to print, and as a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from core import periods
from core.models import Organisation
from dashboards.change_words import signed
from dashboards.downloads import CSV, Table, columns, offers, send
from dashboards.selectors import statement as page_of
from dashboards.selectors.statement import Line, Scope, Statement
from dashboards.selectors.statement_budgets import BudgetLine
from dashboards.templatetags.figures import ABSENT
from dashboards.views.access import page
from dashboards.views.budgets_words import full, in_words, short
from dashboards.views.month_address import month_of
from dashboards.views.months import line_of
from dashboards.views.months import table as months_table
from usage.models import Month
from usage.selectors import chargeback, freshness
from usage.selectors import months as months_selector
from usage.selectors.chargeback import Cell, Sums
from usage.selectors.months import CLOSED, RUNNING

STATES = {RUNNING: ("info", "So far"), CLOSED: ("ok", "Closed")}
_OPEN = ("warning", "Open")
ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A line with its words, and where its name leads."""

    line: Line
    change: str
    url: str = ""


@dataclass(frozen=True, kw_only=True)
class ShownPart:
    team: Shown
    use_cases: list[Shown]
    models: list[Shown]
    others: bool


@dataclass(frozen=True, kw_only=True)
class ShownBudget:
    row: BudgetLine
    scope: str
    period: str
    used: str
    used_exact: str
    limit: str
    limit_exact: str
    tone: str
    note: str


@page("view")
@offers(months_table)
def statements_page(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    upto = month_of(request, "upto")
    shown = months_selector.listed(at=now, zone=organisation.zone, upto=upto)
    context = {
        "lines": [
            line_of(row) | {"own": chargeback.plus([row.cost_usd, row.corrections_usd.copy_negate()])}
            for row in shown.rows
        ],
        "earlier_url": f"{reverse('statements')}?{urlencode({'upto': f'{shown.earlier:%Y-%m}'})}"
        if shown.earlier
        else "",
        "newest_url": reverse("statements") if upto else "",
        "complete_through": freshness.complete_through(at=now),
    }
    return render(request, "dashboards/statements.html", context)


def _file(request: HttpRequest, label: date, team_id: int | None = None, use_case_id: int | None = None) -> Table:
    """Return a statement as a row per team, use case, offering, tier and month it is for, every digit."""
    try:
        cells = page_of.cells(month=label, at=timezone.now(), team_id=team_id, use_case_id=use_case_id)
    except page_of.NoStatement as error:
        raise Http404(str(error)) from error
    part = f"-team-{team_id}" if team_id is not None else f"-use-case-{use_case_id}" if use_case_id is not None else ""
    return Table(
        name=f"statement-{label:%Y-%m}{part}",
        title=f"Statement of {label:%B %Y}",
        columns=columns(
            "booked_in", "team", "use_case", "model", "offering", "tier", "kind", "for_month", *chargeback.MEASURES
        ),
        rows=_table(label, cells),
        facts=[
            ("State", _state_words(label)),
            ("Lines", "the last one, TOTAL, is the sum of those above it, and no line of its own"),
        ],
    )


def _state_words(label: date) -> str:
    closed = Month.objects.filter(label=label).first()
    if closed is None:
        return "open: late calls and corrections still change it"
    return f"closed on {closed.closed_at:%Y-%m-%d %H:%M} UTC by {closed.closed_by}: it never changes"


@page("view")
@offers(_file)
def statement(
    request: HttpRequest, label: date, team_id: int | None = None, use_case_id: int | None = None
) -> HttpResponse:
    now = timezone.now()
    try:
        found = page_of.of_month(month=label, at=now, team_id=team_id, use_case_id=use_case_id)
    except page_of.NoStatement as error:
        raise Http404(str(error)) from error
    tone, words = STATES.get(found.state, _OPEN)
    scope = found.scope
    context = {
        "statement": found,
        "made_at": now,
        "tone": tone,
        "state": words,
        "total": _shown(found.total, found),
        "compared": _compared(found),
        "teams": [_shown_line(part.line, found, "team") for part in found.teams],
        "use_cases": [_shown_line(line, found, "use_case") for line in found.use_cases],
        "models": [_shown(line, found) for line in found.models],
        "others": _others(found.models),
        "parts": [
            ShownPart(
                team=_shown_line(part.line, found, "team"),
                use_cases=[_shown_line(line, found, "use_case") for line in part.use_cases],
                models=[_shown(line, found) for line in part.models],
                others=_others(part.models),
            )
            for part in found.teams
            if not part.line.booked.empty
        ]
        if not scope.kind
        else [],
        "budgets": [_budget(row) for row in found.budgets],
        "later_usd": chargeback.plus(sums.cost_usd for sums in found.corrected_later.values()),
        "csv_url": f"{_url(label, scope)}table.csv",
        "spend_url": f"{reverse('spend')}?{urlencode(_spend(found))}",
        "before_url": _neighbour(found.calendar.before, scope),
        "after_url": _neighbour(found.calendar.until, scope) if found.ends_at <= now else "",
        "complete_through": found.complete_through,
        "priced_share": found.total.booked.priced_share,
    }
    return render(request, "dashboards/statement.html", context)


@page("view")
def download(
    request: HttpRequest, label: date, team_id: int | None = None, use_case_id: int | None = None
) -> Any:  # Django tells answers that stream apart from others
    """Send a statement as CSV under an address of its own, which others may have kept."""
    return send(request, _file(request, label, team_id, use_case_id), CSV)


def _table(label: date, cells: list[Cell]) -> Iterator[list[Any]]:
    for one in cells:
        kind = "own use" if one.correction_of is None else "adjustment"
        yield [
            f"{label:%Y-%m}", one.team, one.use_case, one.model, one.offering, one.tier, kind,
            f"{one.correction_of or label:%Y-%m}", *_measures(one.sums),
        ]  # fmt: skip
    total = chargeback.added(one.sums for one in cells)
    yield [f"{label:%Y-%m}", "TOTAL", "", "", "", "", "", "", *_measures(total)]


def _measures(sums: Sums) -> list[Any]:
    return [getattr(sums, name) for name in chargeback.MEASURES]


# --- words ---


def _url(label: date, scope: Scope) -> str:
    if not scope.kind:
        return reverse("statement", args=[label])
    return reverse(f"statement-{scope.kind.replace('_', '-')}", args=[label, scope.id])


def _neighbour(label: date, scope: Scope) -> str:
    """Return where another month's statement is; empty where there is none."""
    return _url(label, scope) if scope.kind or page_of.anything_in(label) else ""


def _spend(found: Statement) -> dict[str, str]:
    days = {"from": found.month.isoformat(), "to": (found.calendar.until - ONE_DAY).isoformat()}
    return days | ({found.scope.kind: found.scope.name} if found.scope.kind else {})


def _shown_line(line: Line, found: Statement, kind: str) -> Shown:
    url = (
        "" if found.scope.kind == kind else reverse(f"statement-{kind.replace('_', '-')}", args=[found.month, line.id])
    )
    return _shown(line, found, url)


def _shown(line: Line, found: Statement, url: str = "") -> Shown:
    if found.calendar.runs and found.calendar.full_days == 0:
        return Shown(line=line, change=ABSENT, url=url)
    return Shown(line=line, change=signed(line.comparable_usd, line.before_usd), url=url)


def _compared(found: Statement) -> str:
    calendar = found.calendar
    if not calendar.runs:
        return f"own use, against {calendar.name_before}"
    if calendar.full_days == 0:
        return "from the second day on"
    days = "its full day" if calendar.full_days == 1 else f"its {calendar.full_days} full days"
    return f"own use of {days}, against as many of {calendar.name_before}"


def _others(lines: tuple[Line, ...]) -> bool:
    return any(line.booked.other_tokens for line in lines)


def _budget(row: BudgetLine) -> ShownBudget:
    share = row.per_cent_used
    tone = "neutral" if share is None else "danger" if share >= 100 else "ok"
    return ShownBudget(
        row=row,
        scope=in_words(row.scope),
        period=_period(row),
        used=ABSENT if row.used is None else short(row.unit, row.used),
        used_exact="being counted" if row.used is None else full(row.unit, row.used),
        limit=ABSENT if row.limit is None else short(row.unit, row.limit),
        limit_exact=full(row.unit, row.limit) or "no limit was in force",
        tone=tone,
        note=f"the fullest of {row.periods}, {row.exceeded} used up" if row.periods > 1 else "",
    )


def _period(row: BudgetLine) -> str:
    first = row.period.first_day
    if row.period_kind == "month":
        return f"{first:%B %Y}"
    if row.period_kind == "day":
        return f"{first.day} {first:%b %Y}"
    last = periods.last_day(row.period, row.zone)
    return f"{first.day} {first:%b} to {last.day} {last:%b %Y}"
