"""The burn-down of one budget."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import plotly.graph_objects as go

from budgets import wording
from budgets.rules import USD, Definition, Forecast, add, forecasting, per_cent
from budgets.selectors.outlooks import OutlookRow
from budgets.selectors.overview import CrossingRow
from core import periods
from core.periods import Period
from dashboards.charts.parts import DANGER, MUTED, TEXT, WARNING, Chart, colour_of, day_of, figure, number

ID = "burn-figure"
TITLE = "Burn-down"


def burn_down(
    *,
    definition: Definition,
    period: Period,
    outlook: OutlookRow | None,
    used: Decimal,
    forecast: Forecast | None,
    crossed: Sequence[CrossingRow],
    at: datetime,
) -> Chart:
    """Draw what was used so far against the limit, its thresholds and an even pace, and where the pace leads.

    Full days are those of the outlook; the line ends at `used`, the counter's. Without an outlook there are no days.
    """
    limit = definition.limit_of(period, at)
    if outlook is None:
        return Chart(
            id=ID,
            title=TITLE,
            empty_title="No days to draw for this scope" if definition.tags else "The days are not summed yet",
            empty_text="The counter is exact. Days are summed of scopes without tags, or with one declared tag in the "
            "organisation's zone."
            if definition.tags
            else "They are looked at every five minutes.",
        )
    if limit is None:
        return Chart(
            id=ID, title=TITLE, empty_title="No limit is in force", empty_text="Set one to see what is left of it."
        )

    local, unit = ZoneInfo(definition.zone), definition.unit
    now = min(at, period.ends_at)
    x, y, rows = _so_far(definition, period, outlook, used, limit.amount, now)
    starts, ends = _instant(period.starts_at, local), _instant(period.ends_at, local)
    money = unit == USD
    shown = "$%{y:,.2f}" if money else "%{y:,.0f}"
    traces: list[Any] = [
        go.Scatter(
            name="used", x=x, y=[number(value) for value in y], mode="lines", fill="tozeroy",
            line={"color": colour_of(0), "width": 2.5}, fillcolor="var(--tk-series-1-soft)", hovertemplate=shown,
        ),
        go.Scatter(
            name="even pace", x=[starts, ends], y=[0, number(limit.amount)], mode="lines",
            line={"color": MUTED, "width": 1, "dash": "dot"}, hoverinfo="skip",
        ),
        _limit(definition, period, local, shown),
    ]  # fmt: skip
    if forecast is not None and now < period.ends_at:
        traces += _ahead(definition, period, outlook, used, forecast, now, shown)
    if crossed:
        traces.append(_crossed(crossed, period, local))
    drawn = [one for one in definition.thresholds if one != 100]
    drawn_limits = [amount for _, amount in _steps(definition, period) if amount is not None]
    highest = max(used, forecast.at_end if forecast else used, *drawn_limits)
    # A band learned from few days is wide: its edge may leave the chart, the limit may not become a line on its ground.
    top = max(highest, min(forecast.high, highest * Decimal("1.4")) if forecast and forecast.high else highest)
    expected = ""
    if forecast is not None:
        expected = f"; {wording.quantity(unit, forecast.at_end)} is expected at the end"
        if forecast.low is not None and forecast.high is not None and forecast.low != forecast.high:
            low, high = wording.quantity(unit, forecast.low), wording.quantity(unit, forecast.high)
            expected += f", eight of ten times between {low} and {high}"
    return Chart(
        id=ID,
        title=TITLE,
        subtitle=f"{wording.days(period, definition.zone)}, in {_unit(unit)}",
        summary=f"A line of what was used, {wording.quantity(unit, used)} so far, against the limit of "
        f"{wording.quantity(unit, limit.amount)}{expected}.",
        figure=figure(
            traces,
            shapes=[
                {
                    "type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": _part(limit.amount, one),
                    "y1": _part(limit.amount, one), "layer": "below",
                    "line": {"color": DANGER if one > 100 else WARNING, "width": 1, "dash": "dot"},
                }
                for one in drawn
            ],
            annotations=[
                {
                    "xref": "paper", "x": 0, "xanchor": "left", "y": _part(limit.amount, one), "yanchor": "bottom",
                    "text": f"{one} %", "showarrow": False,
                }
                for one in drawn
            ],
            yaxis={"tickprefix": "$" if money else "", "range": [0, number(top * Decimal("1.06"))]},
            xaxis={
                "type": "date", "range": [starts, ends], "hoverformat": "%a %-d %b, %H:%M",
                "tickformat": "%H:%M" if definition.period == "day" else "%-d %b",
            },
        ),
        columns=["Day", "Used", "So far", "Of the limit"],
        rows=list(reversed(rows)),
        size="large",
        empty_title="Nothing was used yet",
    )  # fmt: skip


def _so_far(
    definition: Definition, period: Period, outlook: OutlookRow, used: Decimal, limit: Decimal, now: datetime
) -> tuple[list[str], list[Decimal], list[list[str]]]:
    """Return the line of what was used, and a row for each day, the first first.

    Where the first days of a long period are not known one by one, the line begins after them, at what they add up to.
    """
    local, unit = ZoneInfo(definition.zone), definition.unit
    today = periods.local_day(now - timedelta(microseconds=1), definition.zone)
    first = max(period.first_day, min(outlook.days, default=period.first_day))
    known = {day: value for day, value in outlook.days.items() if first <= day < today}
    before = Decimal(0)
    if first > period.first_day:
        before = used
        for value in (*known.values(), outlook.days.get(today, Decimal(0))):
            before = add(before, -value)
    x, y, rows = [_instant(periods.day_start(first, definition.zone), local)], [max(before, Decimal(0))], []
    for n in range((today - first).days + 1):
        day = first + timedelta(days=n)
        # The days were summed some minutes ago; what came since is today's.
        more = known.get(day, Decimal(0)) if day < today else add(used, -y[-1])
        y.append(add(y[-1], more))
        x.append(_instant(min(periods.day_start(day + timedelta(days=1), definition.zone), now), local))
        so_far = wording.quantity(unit, y[-1])
        rows.append([day_of(day), wording.quantity(unit, more), so_far, f"{per_cent(y[-1], limit)} %"])
    return x, y, rows


def _ahead(
    definition: Definition,
    period: Period,
    outlook: OutlookRow,
    used: Decimal,
    forecast: Forecast,
    now: datetime,
    shown: str,
) -> list[Any]:
    local = ZoneInfo(definition.zone)
    x, expected, low, high = [_instant(now, local)], [used], [used], [used]
    if outlook.profile is None:
        return []
    for one in forecasting.path(period=period, zone=definition.zone, at=now, used=used, profile=outlook.profile):
        x.append(_instant(periods.day_start(one.day + timedelta(days=1), definition.zone), local))
        expected.append(one.expected)
        low.append(one.low)
        high.append(one.high)
    band = {"mode": "lines", "x": x, "line": {"width": 0, "color": colour_of(0)}, "hoverinfo": "skip"}
    return [
        go.Scatter(name="lower edge", y=[number(value) for value in low], showlegend=False, **band),
        go.Scatter(
            name="eight of ten", y=[number(value) for value in high], fill="tonexty",
            fillcolor="var(--tk-series-1-soft)", **band,
        ),
        go.Scatter(
            name="forecast", x=x, y=[number(value) for value in expected], mode="lines",
            line={"color": colour_of(0), "width": 2, "dash": "dash"}, hovertemplate=shown,
        ),
    ]  # fmt: skip


def _crossed(crossed: Sequence[CrossingRow], period: Period, local: ZoneInfo) -> Any:
    told = sorted(crossed, key=lambda one: one.crossed_at)
    ahead = {"forecast": "expected to pass", "may_have": "may have passed"}
    return go.Scatter(
        name="told",
        x=[_instant(max(one.crossed_at, period.starts_at), local) for one in told],
        y=[number(one.used) for one in told],
        mode="markers",
        marker={
            "size": 9,
            "symbol": ["diamond-open" if one.basis in ahead else "diamond" for one in told],
            "color": [DANGER if one.threshold >= 100 and one.basis not in ahead else WARNING for one in told],
        },
        text=[f"{ahead.get(one.basis, 'passed')} {one.threshold} % of version {one.limit_version}" for one in told],
        hovertemplate="%{text}",
    )


def _limit(definition: Definition, period: Period, local: ZoneInfo, shown: str) -> Any:
    steps = _steps(definition, period)
    x = [_instant(starts_at, local) for starts_at, _ in steps] + [_instant(period.ends_at, local)]
    y = [None if amount is None else number(amount) for _, amount in (*steps, steps[-1])]
    return go.Scatter(
        name="limit", x=x, y=y, mode="lines", line={"color": TEXT, "width": 2, "shape": "hv"}, hovertemplate=shown
    )


def _steps(definition: Definition, period: Period) -> list[tuple[datetime, Decimal | None]]:
    """Return the limit at the start of a period, and from each instant in it at which another one was or will be."""
    begun = {limit.set_at for limit in definition.limits if limit.starts_at is None and limit.set_at is not None}
    instants = sorted(one for one in definition.edges | begun if period.starts_at < one < period.ends_at)
    found = [(instant, definition.limit_then(instant)) for instant in (period.starts_at, *instants)]
    return [(instant, None if limit is None else limit.amount) for instant, limit in found]


def _instant(at: datetime, local: ZoneInfo) -> str:
    # A chart has no zones: it is given the wall clock of the budget's.
    return at.astimezone(local).replace(tzinfo=None).isoformat(timespec="minutes")


def _part(amount: Decimal, threshold: int) -> float | None:
    return number(amount * threshold / 100)


def _unit(unit: str) -> str:
    return {"usd": "USD"}.get(unit, unit.replace("_", " "))
