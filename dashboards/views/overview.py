"""The first page: where the money goes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core import periods
from core.api import FIRST_YEAR, LAST_YEAR
from core.models import Organisation
from dashboards.charts import spend as charts
from dashboards.selectors import overview as page_of
from dashboards.selectors.overview import Calendar, Overview
from dashboards.templatetags.figures import exact, percent, usd, usd_short
from dashboards.views.access import page
from usage.selectors import overview as usage

BREAKDOWNS = {"tier": "Tier", "model": "Model", "use_case": "Use case", "team": "Team"}


@dataclass(frozen=True, kw_only=True)
class Switch:
    """One way to break spend down, as a link."""

    title: str
    url: str
    current: bool


@dataclass(frozen=True, kw_only=True)
class Stat:
    """What `templates/_stat.html` shows."""

    label: str
    value: Any
    exact: str = ""  # shown when pointed at
    change: str = ""
    direction: str = "flat"
    tone: str = "neutral"
    note: str = ""
    url: str = ""
    more: str = ""

    @property
    def value_markup(self) -> SafeString:
        return format_html('<span class="tk-number" title="{}">{}</span>', self.exact, self.value)


@page("view")
def overview(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    month = page_of.calendar_of(month=_month(request), zone=organisation.zone, at=now)
    by = request.GET.get("by", "tier")
    if by not in BREAKDOWNS:
        raise Http404("There is no such breakdown.")
    context: dict[str, Any] = {"spend_chart": _spend_chart(month, by), "switches": _switches(month, by)}
    if request.headers.get("HX-Request") and not request.headers.get("HX-History-Restore-Request"):
        return render(request, "dashboards/_spend_chart.html", context)

    shown = page_of.of_month(month=month, at=now)
    weeks_from, weeks_until = page_of.mondays(month)
    providers = usage.providers(first=month.drawn_first, until=month.drawn_until)
    context |= {
        "page": shown,
        "calendar": month,
        "stats": _stats(shown, now),
        "use_cases": _use_case_rows(shown),
        "frontier_chart": charts.frontier_share(
            usage.frontier_weeks(first=weeks_from, until=weeks_until), until=weeks_until
        ),
        "providers_chart": charts.providers(providers, first=month.drawn_first, until=month.drawn_until),
        "failures_chart": charts.failures(providers, first=month.drawn_first, until=month.drawn_until),
        "earlier_url": _url(month=periods.add_months(month.first, -1), by=by),
        "later_url": "" if month.runs else _url(month=periods.add_months(month.first, 1), by=by),
        "present_url": "" if month.runs else _url(by=by),
        "corrected_usd": sum((one.cost_usd for one in shown.corrections), Decimal(0)),
        "complete_through": shown.complete_through,
        "priced_share": shown.month.priced_share,
        "now": now,
    }
    return render(request, "dashboards/overview.html", context)


def _month(request: HttpRequest) -> date | None:
    text = request.GET.get("month", "")
    if not text:
        return None
    try:
        month = datetime.strptime(text, "%Y-%m").date()  # noqa: DTZ007 - a month of the calendar, no instant
    except ValueError as error:
        raise Http404("A month is written 2026-10.") from error
    if not FIRST_YEAR < month.year <= LAST_YEAR:  # the month before is shown beside it
        raise Http404("There is nothing to tell of that year.")
    return month


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


def _spend_chart(month: Calendar, by: str) -> Any:
    parts = usage.daily_spend(first=month.drawn_first, until=month.drawn_until, by=by)
    return charts.daily_spend(parts, by=by, first=month.drawn_first, until=month.drawn_until, today=month.today)


def _changed(change: Decimal | None, than: str) -> tuple[str, str]:
    """Return a change in words, and its direction."""
    if change is None:
        return "", "flat"
    if abs(change) < Decimal("0.0005"):
        return f"the same as {than}", "flat"
    return f"{percent(abs(change))} {'more' if change > 0 else 'less'} than {than}", "up" if change > 0 else "down"


def _stats(shown: Overview, now: datetime) -> list[Stat]:
    month, calendar = shown.month, shown.calendar
    return [
        _spent(shown),
        _forecast(shown),
        _frontier(shown),
        Stat(
            label="Cost per 1,000 requests",
            value=usd(month.cost_per_1000_requests),
            note=f"{exact(month.requests)} requests in {calendar.name}",
            **_per_1000_change(shown),
            url="#definitions",
            more="What counts",
        ),
        _unpriced(shown),
        Stat(
            label="Open alerts",
            value=exact(shown.open_alert_count),
            note="nobody has acknowledged them" if shown.open_alert_count else "nothing waits for anybody",
            url=reverse("alerts"),
            more="See the alerts",
        ),
    ]


def _spent(shown: Overview) -> Stat:
    calendar = shown.calendar
    if calendar.runs:
        days = f"day 1 to {calendar.full_days}" if calendar.full_days > 1 else "day 1"
        words, direction = _changed(shown.spend_change, f"{calendar.name_before}, {days}")
    else:
        words, direction = _changed(shown.spend_change, f"in {calendar.name_before}")
    if calendar.runs and calendar.full_days == 0:
        words = "compared from the second day on"
    return Stat(
        label="Spend, month to date" if calendar.runs else f"Spend in {calendar.name}",
        value=_usd(shown.month.cost_usd),
        exact=_exact_usd(shown.month.cost_usd),
        change=words,
        direction=direction,
        tone={"up": "bad", "down": "good"}.get(direction, "neutral"),
        note=f"{calendar.name_before} in whole: {usd(shown.month_before.cost_usd)}",
        url="#use-cases",
        more="By use case",
    )


def _forecast(shown: Overview) -> Stat:
    calendar, forecast = shown.calendar, shown.forecast
    label = f"Forecast for {calendar.name}"
    if not calendar.runs:
        return Stat(label=label, value=usd(None), note="the month is over")
    if forecast is None:
        return Stat(label=label, value=usd(None), note="from the third day on")
    words, direction = _changed(shown.forecast_change, f"{calendar.name_before} in whole")
    return Stat(
        label=label,
        value=_usd(forecast.at_end_usd),
        exact=_exact_usd(forecast.at_end_usd),
        change=words,
        direction=direction,
        tone={"up": "bad", "down": "good"}.get(direction, "neutral"),
        note=f"{usd(forecast.per_day_usd)} a day, the mean of {forecast.full_days} full days",
        url="#definitions",
        more="How it is worked out",
    )


def _frontier(shown: Overview) -> Stat:
    now, before = shown.month.frontier_share, shown.month_before.frontier_share
    low, high = charts.GOAL
    words, direction, tone = "", "flat", "neutral"
    if now is not None and before is not None:
        points = (now - before) * 100
        direction = "up" if points >= Decimal("0.05") else "down" if points <= Decimal("-0.05") else "flat"
        words = f"{abs(points):.1f} points {'more' if points > 0 else 'less'} than in {shown.calendar.name_before}"
        if direction == "flat":
            words = f"as in {shown.calendar.name_before}"
        if now > high:
            tone = {"up": "bad", "down": "good"}.get(direction, "neutral")
    inside = now is not None and now <= high
    return Stat(
        label="Share on frontier",
        value=percent(now),
        exact=f"{exact(shown.month.on_frontier)} of {exact(shown.month.answered)} answered requests",
        change=words,
        direction=direction,
        tone=tone,
        note=f"{'within' if inside else 'over'} the goal of {low * 100:.0f} to {high * 100:.0f} %" if now else "",
        url="#frontier-figure-title",
        more="Which use cases",
    )


def _unpriced(shown: Overview) -> Stat:
    month = shown.month
    unpriced = None if month.priced_share is None else 1 - month.priced_share
    note = "every token has a price"
    if month.unpriced_tokens:
        note = f"{exact(month.unpriced_tokens)} tokens cost something that is not in the totals"
    return Stat(
        label="Tokens without a price",
        value=percent(unpriced),
        exact=f"{exact(month.unpriced_tokens)} of {exact(month.tokens)} tokens",
        change="totals are too low" if month.unpriced_tokens else "",
        direction="down",
        tone="bad" if month.unpriced_tokens else "neutral",
        note=note,
        url="#unpriced" if month.unpriced_tokens or month.uncounted_requests else "#definitions",
        more="What to do" if month.unpriced_tokens else "What counts",
    )


def _per_1000_change(shown: Overview) -> dict[str, str]:
    now, before = shown.month.cost_per_1000_requests, shown.month_before.cost_per_1000_requests
    if now is None or not before:
        return {}
    words, direction = _changed((now - before) / before, f"in {shown.calendar.name_before}")
    return {
        "change": words,
        "direction": direction,
        "tone": {"up": "bad", "down": "good"}.get(direction, "neutral"),
    }


def _usd(amount: Decimal) -> str:
    """Return dollars and cents; millions, which no card has room for, short."""
    return usd_short(amount) if abs(amount) >= 1_000_000 else usd(amount)


def _exact_usd(amount: Decimal) -> str:
    return f"${exact(amount)}"


@dataclass(frozen=True, kw_only=True)
class UseCaseLine:
    """A use case of the table; the bar is per cent of the dearest one's."""

    name: str
    cost_usd: Decimal
    cost_share: Decimal | None
    bar: str
    frontier: str  # width of the bar's part that stands for the share on frontier
    frontier_share: Decimal | None
    requests: int
    per_1000_usd: Decimal | None
    change: Decimal | None
    is_new: bool

    @property
    def change_words(self) -> str:
        if self.change is None:
            return "new" if self.is_new else "\N{EN DASH}"
        sign = "+" if self.change > 0 else ""
        return f"{sign}{percent(self.change)}"


def _use_case_rows(shown: Overview) -> list[UseCaseLine]:
    listed = [one for one in shown.use_cases if one.requests or one.cost_usd]
    dearest = max((one.cost_usd for one in listed), default=Decimal(0))
    total = shown.month.cost_usd
    return [
        UseCaseLine(
            name=one.name,
            cost_usd=one.cost_usd,
            cost_share=one.cost_usd / total if total > 0 else None,
            bar=f"{max(one.cost_usd, Decimal(0)) / dearest * 100:.2f}" if dearest > 0 else "0",
            frontier=f"{(one.frontier_share or Decimal(0)) * 100:.2f}",
            frontier_share=one.frontier_share,
            requests=one.requests,
            per_1000_usd=one.cost_usd * 1000 / one.requests if one.requests else None,
            change=one.change,
            is_new=one.comparable_usd > 0 and one.before_usd == 0,
        )
        for one in listed
    ]
