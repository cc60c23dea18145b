"""The first page: where the money goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from core import periods
from core.models import Organisation
from dashboards.change_words import signed
from dashboards.charts import bridge as bridge_charts
from dashboards.charts import spend as charts
from dashboards.charts.looks import looks
from dashboards.selectors import first_steps
from dashboards.selectors import overview as page_of
from dashboards.selectors.alerts import LATELY
from dashboards.selectors.numbers import numbers
from dashboards.selectors.overview import Calendar, Overview
from dashboards.views import overview_tiles
from dashboards.views.access import page
from dashboards.views.changes_words import movers
from dashboards.views.first_steps import steps
from dashboards.views.month_address import month_of
from usage.selectors import overview as usage
from usage.selectors.overview import Part

BREAKDOWNS = {"tier": "Tier", "model": "Model", "use_case": "Use case", "team": "Team"}


@dataclass(frozen=True, kw_only=True)
class Switch:
    """One way to break spend down, as a link."""

    title: str
    url: str
    current: bool


@page("view")
def overview(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    month = page_of.calendar_of(month=month_of(request), zone=organisation.zone, at=now)
    by = request.GET.get("by", "tier")
    if by not in BREAKDOWNS:
        raise Http404("There is no such breakdown.")
    context: dict[str, Any] = {"switches": _switches(month, by)}
    if request.headers.get("HX-Request") and not request.headers.get("HX-History-Restore-Request"):
        context["spend_chart"] = _spend_chart(month, by)
        return render(request, "dashboards/_spend_chart.html", context)

    shown = page_of.of_month(month=month, at=now, zone=organisation.zone)
    weeks = shown.weeks
    use_cases = looks(numbers("use_case", {week.use_case for week in weeks}))
    context |= {
        "page": shown,
        "spend_chart": _spend_chart(month, by, shown.tiers if by == "tier" else None),
        "lately_days": LATELY.days,
        "calendar": month,
        "stats": overview_tiles.stats(shown, organisation),
        "bridge_chart": bridge_charts.waterfall(shown.changes),
        "movers": movers(shown.changes),
        "changes_url": changes_url(shown),
        "month_changes_url": month_changes_url(month),
        "use_cases": _use_case_rows(shown),
        "frontier_chart": charts.frontier_share(
            weeks, shown=use_cases, low=organisation.frontier_goal_from_percent, high=organisation.frontier_goal_percent
        ),
        "open_chart": charts.open_share(weeks, shown=use_cases, least=organisation.open_weights_goal_percent),
        "earlier_url": _url(month=periods.add_months(month.first, -1), by=by),
        "later_url": "" if month.runs else _url(month=periods.add_months(month.first, 1), by=by),
        "present_url": "" if month.runs else _url(by=by),
        "corrected_usd": sum((one.cost_usd for one in shown.corrections), Decimal(0)),
        "complete_through": shown.complete_through,
        "priced_share": shown.month.priced_share,
        "now": now,
    }
    if not shown.anything:
        taken = first_steps.taken()
        context |= {"unused": not taken.used, "steps": [] if taken.used else steps(taken, person=request.user)}
    return render(request, "dashboards/overview.html", context)


def _url(*, month: date | None = None, by: str = "tier") -> str:
    query = {}
    if month is not None:
        query["month"] = f"{month:%Y-%m}"
    if by != "tier":
        query["by"] = by
    return f"{reverse('overview')}{'?' if query else ''}{urlencode(query)}"


def _switches(month: Calendar, by: str) -> list[Switch]:
    return [
        Switch(title=title, url=_url(month=None if month.runs else month.first, by=key), current=key == by)
        for key, title in BREAKDOWNS.items()
    ]


def _spend_chart(month: Calendar, by: str, parts: Sequence[Part] | None = None) -> Any:
    if parts is None:
        parts = usage.daily_spend(first=month.drawn_first, until=month.drawn_until, by=by)
    shown = looks(numbers(by, {part.name for part in parts if part.name}))
    return charts.daily_spend(
        parts, by=by, first=month.drawn_first, until=month.drawn_until, today=month.today, shown=shown
    )


def changes_url(shown: Overview) -> str:
    """Return the page that explains the change that is told: the same ranges."""
    after = shown.changes.after
    query = {"from": after.first.isoformat(), "to": after.last.isoformat()}
    if not shown.calendar.runs:
        query["against"] = "month"
    return f"{reverse('changes')}?{urlencode(query)}"


def month_changes_url(month: Calendar) -> str:
    """Return the page that holds the full days of a month that runs against those of the month before."""
    if not month.runs or month.full_days == 0:
        return ""
    last = month.today - timedelta(days=1)
    query = {"from": month.first.isoformat(), "to": last.isoformat(), "against": "month"}
    return f"{reverse('changes')}?{urlencode(query)}"


@dataclass(frozen=True, kw_only=True)
class UseCaseLine:
    """A use case of the table; the bar is per cent of the dearest one's."""

    id: int
    name: str
    cost_usd: Decimal
    cost_share: Decimal | None
    bar: str
    frontier: str  # width of the bar's part that stands for the share on frontier
    frontier_share: Decimal | None
    requests: int
    without_price: bool
    per_1000_usd: Decimal | None
    change: str


def _use_case_rows(shown: Overview) -> list[UseCaseLine]:
    listed = [one for one in shown.use_cases if one.requests or one.cost_usd]
    dearest = max((one.cost_usd for one in listed), default=Decimal(0))
    total = shown.month.cost_usd
    return [
        UseCaseLine(
            id=one.id,
            name=one.name,
            cost_usd=one.cost_usd,
            cost_share=one.cost_usd / total if total > 0 else None,
            bar=f"{max(one.cost_usd, Decimal(0)) / dearest * 100:.2f}" if dearest > 0 else "0",
            frontier=f"{(one.frontier_share or Decimal(0)) * 100:.2f}",
            frontier_share=one.frontier_share,
            requests=one.requests,
            without_price=one.without_price,
            per_1000_usd=one.cost_usd * 1000 / one.requests if one.requests else None,
            change=signed(one.comparable_usd, one.before_usd),
        )
        for one in listed
    ]
