"""The tiles of the first page, in the order in which a finance lead reads them; each opens what explains it."""

from __future__ import annotations

from decimal import Decimal

from django.urls import reverse

from budgets.rules import Forecast
from core.models import Organisation
from dashboards.change_words import direction as direction_of
from dashboards.change_words import relative, told, told_points
from dashboards.selectors.overview import Calendar, Overview
from dashboards.selectors.spend_question import MONTH
from dashboards.templatetags.figures import clock, exact, percent, usd, usd_short, usd_tile
from dashboards.views import goal_words
from dashboards.views.changes_words import spend_url
from dashboards.views.stats import Stat
from usage.selectors.bridge import Days


def stats(shown: Overview, organisation: Organisation) -> list[Stat]:
    return [
        _spent(shown),
        _forecast(shown),
        _saved(shown),
        _per_1000(shown),
        _frontier(shown, organisation),
        _open_weights(shown, organisation),
        _alerts(shown),
        _unpriced(shown),
    ]


def _explorer(calendar: Calendar, by: str = "use_case") -> str:
    """Return where the month is asked about, against the month before as on its tile: one change, on both pages."""
    return spend_url(Days(first=calendar.first, until=calendar.drawn_until), by=by, against=MONTH)


_DEARER = {"up": "bad", "down": "good"}


def _spent(shown: Overview) -> Stat:
    calendar, whole = shown.calendar, shown.budgets.whole
    if calendar.runs:
        days = f"day 1 to {calendar.full_days}" if calendar.full_days > 1 else "day 1"
        words, direction = told(shown.spend_change, f"{calendar.name_before}, {days}"), direction_of(shown.spend_change)
        if calendar.full_days == 0:
            words = "compared from the second day on"
    else:
        words, direction = told(shown.spend_change, f"in {calendar.name_before}"), direction_of(shown.spend_change)
    note = f"{calendar.name_before} in whole: {usd(shown.month_before.cost_usd)}"
    if whole is not None and whole.per_cent_used is not None:
        note = f"{whole.per_cent_used} % of the budget of {usd_short(whole.limit)} used; {note}"
    return Stat(
        label="Spend, month to date" if calendar.runs else f"Spend in {calendar.name}",
        value="unpriced" if shown.month.without_price else usd_tile(shown.month.cost_usd),
        exact=_exact_usd(shown.month.cost_usd),
        change=words,
        direction=direction,
        tone=_DEARER.get(direction, "neutral"),
        note=note,
        url=_explorer(calendar),
        more="What it was spent on",
    )


def _forecast(shown: Overview) -> Stat:
    """Tell where the month leads: by the budget's forecast where there is one, it knows weekdays; else by the mean."""
    calendar, forecast, whole = shown.calendar, shown.forecast, shown.budgets.whole
    label = f"Forecast for {calendar.name}"
    budgets: dict[str, str] = {"url": reverse("budget-new"), "more": "Set a budget"}
    if whole is not None:
        budgets = {"url": reverse("budget", args=[whole.id]), "more": "The budget"}
    elif shown.budgets.count:
        budgets = {"url": reverse("budgets"), "more": "All budgets"}
    if not calendar.runs:
        if whole is None or whole.per_cent_used is None:
            return Stat(label=label, value=usd(None), note="the month is over", **budgets)
        over = whole.per_cent_used >= 100
        return Stat(
            label=f"Budget of {calendar.name}",
            value=f"{whole.per_cent_used} %",
            change="more than its limit" if over else "within its limit",
            direction="up" if over else "down",
            tone="bad" if over else "good",
            note=f"of {usd(whole.limit)}",
            **budgets,
        )
    if whole is not None and whole.forecast is not None:
        return _against_budget(label, whole.limit, whole.forecast, budgets)
    if not shown.anything:
        return Stat(label=label, value=usd(None), note="from three full days of usage", **budgets)
    if forecast is None:
        return Stat(label=label, value=usd(None), note="from the third day on", **budgets)
    change = shown.forecast_change
    words, direction = told(change, f"{calendar.name_before} in whole"), direction_of(change)
    return Stat(
        label=label,
        value=usd_tile(forecast.at_end_usd),
        exact=_exact_usd(forecast.at_end_usd),
        change=words,
        direction=direction,
        tone=_DEARER.get(direction, "neutral"),
        note=f"{usd(forecast.per_day_usd)} a day, the mean of {forecast.full_days} full days; "
        + ("the whole has no budget" if shown.budgets.count else "there is no budget yet"),
        **budgets,
    )


def _against_budget(label: str, limit: Decimal, forecast: Forecast, budgets: dict[str, str]) -> Stat:
    share = forecast.at_end / limit
    over = share > 1
    note = f"limit {usd(limit)}"
    if forecast.low is not None and forecast.high is not None:
        note = f"eight of ten times between {usd_short(forecast.low)} and {usd_short(forecast.high)}"
    if forecast.runs_out_on is not None:
        note = f"at this pace the limit is reached on {forecast.runs_out_on.day} {forecast.runs_out_on:%B}"
    note += f"; forecast of {clock(forecast.made_at)}"
    return Stat(
        label=label,
        value=usd_tile(forecast.at_end),
        exact=_exact_usd(forecast.at_end),
        change=f"{percent(share)} of the budget of {usd_short(limit)}",
        direction="up" if over else "down",
        tone="bad" if over else "good",
        note=note,
        **budgets,
    )


def _saved(shown: Overview) -> Stat:
    total, without = shown.saved.total, shown.saved.without_baseline
    address = {"url": f"{reverse('savings')}?month={shown.calendar.first:%Y-%m}"}
    if not total.requests:
        note = "choose what the same calls would go to without routing" if shown.anything else "nothing to compare yet"
        return Stat(label="Saved by routing", value=usd(None), note=note, more="Choose a baseline", **address)
    missing = f"; {len(without)} use case{'s have' if len(without) != 1 else ' has'} no baseline" if without else ""
    share = total.share
    return Stat(
        label="Saved by routing, estimated",
        value=usd_tile(total.net_usd),
        exact=_exact_usd(total.net_usd),
        change=f"{percent(abs(share))} {'less' if share >= 0 else 'more'} than one model each" if share else "",
        direction="down" if total.net_usd >= 0 else "up",
        tone="good" if total.net_usd > 0 else "bad" if total.net_usd < 0 else "neutral",
        note=f"covers {percent(total.covered)} of spend{missing}",
        more="How it is worked out",
        **address,
    )


def _per_1000(shown: Overview) -> Stat:
    now, before = shown.month.cost_per_1000_requests, shown.month_before.cost_per_1000_requests
    change = relative(now, before)
    words, direction = told(change, f"in {shown.calendar.name_before}"), direction_of(change)
    return Stat(
        label="Cost per 1,000 requests",
        value="unpriced" if shown.month.without_price else usd(now),
        exact="" if now is None else f"${now:,.6f}",
        change=words,
        direction=direction,
        tone=_DEARER.get(direction, "neutral"),
        note=f"{exact(shown.month.requests)} requests in {shown.calendar.name}",
        url=_explorer(shown.calendar, "model"),
        more="By model",
    )


def _frontier(shown: Overview, organisation: Organisation) -> Stat:
    now = shown.month.frontier_share
    words, direction = told_points(now, shown.month_before.frontier_share, f"in {shown.calendar.name_before}")
    standing = goal_words.on_frontier(now, organisation)
    return Stat(
        label="Share on frontier",
        value=percent(now),
        exact=f"{exact(shown.month.on_frontier)} of {exact(shown.month.answered)} answered requests",
        change=words,
        direction=direction,
        tone="neutral" if standing.met else _DEARER.get(direction, "neutral"),
        note=standing.note,
        note_tone=standing.tone,
        url=f"{_goals(shown)}#frontier",
        more="Which use cases",
    )


def _open_weights(shown: Overview, organisation: Organisation) -> Stat:
    now = shown.month.open_share
    words, direction = told_points(now, shown.month_before.open_share, f"in {shown.calendar.name_before}")
    standing = goal_words.on_open_weights(now, organisation)
    return Stat(
        label="Share on open weights",
        value=percent(now),
        exact=f"{exact(shown.month.on_open)} of {exact(shown.month.answered)} answered requests",
        change=words,
        direction=direction,
        tone="neutral" if standing.met else {"up": "good", "down": "bad"}.get(direction, "neutral"),
        note=standing.note,
        note_tone=standing.tone,
        url=f"{_goals(shown)}#open-weights",
        more="Which use cases",
    )


def _goals(shown: Overview) -> str:
    return f"{reverse('goals')}?month={shown.calendar.first:%Y-%m}"


def _alerts(shown: Overview) -> Stat:
    return Stat(
        label="Open alerts",
        value=exact(shown.open_alert_count),
        note="nobody has acknowledged them" if shown.open_alert_count else "nothing waits for anybody",
        url=reverse("alerts"),
        more="See the alerts",
    )


def _unpriced(shown: Overview) -> Stat:
    month = shown.month
    note = "every token has a price" if month.tokens else ""
    if month.unpriced_tokens:
        note = f"{exact(month.unpriced_tokens)} tokens cost something that is not in the totals"
    return Stat(
        label="Priced tokens",
        value=percent(month.priced_share),
        exact=f"{exact(month.tokens - month.unpriced_tokens)} of {exact(month.tokens)} tokens",
        change="totals are too low" if month.unpriced_tokens else "",
        direction="down",
        tone="bad" if month.unpriced_tokens else "neutral",
        note=note,
        url=f"{reverse('attention')}?list=unpriced" if month.unpriced_tokens else "#freshness",
        more="What to do" if month.unpriced_tokens else "How far the numbers reach",
    )


def _exact_usd(amount: Decimal) -> str:
    return f"${exact(amount)}"
