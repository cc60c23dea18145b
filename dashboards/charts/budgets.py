"""The burn-down of one budget."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import plotly.graph_objects as go

from budgets import wording
from budgets.rules import USD, Definition, Forecast, add, per_cent
from core import periods
from core.periods import Period
from dashboards.charts.parts import DANGER, MUTED, TEXT, WARNING, Chart, colour_of, day_of, figure, number

ID = "burn-figure"
TITLE = "Burn-down"


def burn_down(
    *,
    definition: Definition,
    period: Period,
    daily: Mapping[date, Decimal] | None,
    used: Decimal,
    forecast: Forecast | None,
    at: datetime,
) -> Chart:
    """Draw what was used so far against the limit, its thresholds and an even pace, and where the pace leads.

    `daily` is None where no rollup knows the days, as with scopes on tags; `used` is the counter's.
    """
    local = ZoneInfo(definition.zone)
    limit = definition.limit_at(min(at, period.ends_at - timedelta(microseconds=1)))
    if daily is None:
        return Chart(
            id=ID,
            title=TITLE,
            empty_title="No days to draw for a scope with tags",
            empty_text="The counter is exact; its days would have to be read from the ledger.",
        )
    if limit is None:
        return Chart(
            id=ID, title=TITLE, empty_title="No limit is in force", empty_text="Set one to see what is left of it."
        )

    days = _days(period)
    now = min(at, period.ends_at)
    today = periods.local_day(at, definition.zone)
    x, y, rows = [_instant(period.starts_at, local)], [Decimal(0)], []
    for day in days:
        ends_at = min(periods.day_start(day + timedelta(days=1), definition.zone), now)
        if day > today or periods.day_start(day, definition.zone) >= now:
            break
        y.append(add(y[-1], daily.get(day, Decimal(0))))
        x.append(_instant(ends_at, local))
        rows.append(
            [
                day_of(day),
                wording.quantity(definition.unit, daily.get(day, Decimal(0))),
                wording.quantity(definition.unit, y[-1]),
                f"{per_cent(y[-1], limit.amount)} %",
            ]
        )
    ends = _instant(period.ends_at, local)
    money = definition.unit == USD
    shown = "$%{y:,.2f}" if money else "%{y:,.0f}"
    traces: list[Any] = [
        go.Scatter(
            name="used", x=x, y=[number(value) for value in y], mode="lines", fill="tozeroy",
            line={"color": colour_of(0), "width": 2.5}, fillcolor="var(--tk-series-1-soft)", hovertemplate=shown,
        ),
        go.Scatter(
            name="even pace", x=[x[0], ends], y=[0, number(limit.amount)], mode="lines",
            line={"color": MUTED, "width": 1, "dash": "dot"}, hoverinfo="skip",
        ),
        _limit(definition, days, period, local, shown),
    ]  # fmt: skip
    if forecast is not None and now < period.ends_at:
        traces.append(
            go.Scatter(
                name="forecast",
                x=[_instant(now, local), ends],
                y=[number(used), number(forecast.at_end)],
                mode="lines",
                line={"color": colour_of(0), "width": 2, "dash": "dash"},
                hovertemplate=shown,
            )
        )
    drawn = [one for one in definition.thresholds if one != 100]
    reached = max(used, forecast.at_end if forecast else used, limit.amount)
    return Chart(
        id=ID,
        title=TITLE,
        subtitle=f"{wording.days(period, definition.zone)}, in {_unit(definition.unit)}",
        summary=f"A line of what was used, {wording.quantity(definition.unit, used)} so far, against the limit of "
        f"{wording.quantity(definition.unit, limit.amount)}"
        + (f"; at this pace {wording.quantity(definition.unit, forecast.at_end)} at the end." if forecast else "."),
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
            yaxis={"tickprefix": "$" if money else "", "range": [0, number(reached * Decimal("1.06"))]},
            xaxis={
                "type": "date", "range": [x[0], ends], "tickformat": "%-d %b", "hoverformat": "%a %-d %b, %H:%M"
            },
        ),
        columns=["Day", "Used", "So far", "Of the limit"],
        rows=list(reversed(rows)),
        size="large",
        empty_title="Nothing was used yet",
    )  # fmt: skip


def _limit(definition: Definition, days: list[date], period: Period, local: ZoneInfo, shown: str) -> Any:
    # One point per change of the limit inside the period, so that a raised limit shows as a step.
    x, y = [], []
    for starts_at in [period.starts_at, *_changes(definition, period)]:
        limit = definition.limit_at(starts_at)
        x.append(_instant(starts_at, local))
        y.append(number(limit.amount) if limit else None)
    x.append(_instant(period.ends_at, local))
    y.append(y[-1])
    return go.Scatter(
        name="limit", x=x, y=y, mode="lines", line={"color": TEXT, "width": 2, "shape": "hv"}, hovertemplate=shown
    )


def _changes(definition: Definition, period: Period) -> list[datetime]:
    edges = {edge for limit in definition.limits for edge in (limit.starts_at, limit.ends_at) if edge is not None}
    return sorted(edge for edge in edges if period.starts_at < edge < period.ends_at)


def _days(period: Period) -> list[date]:
    length = round((period.ends_at - period.starts_at) / timedelta(days=1))
    return [period.first_day + timedelta(days=n) for n in range(length)]


def _instant(at: datetime, local: ZoneInfo) -> str:
    # A chart has no zones: it is given the wall clock of the budget's.
    return at.astimezone(local).replace(tzinfo=None).isoformat(timespec="minutes")


def _part(amount: Decimal, threshold: int) -> float | None:
    return number(amount * threshold / 100)


def _unit(unit: str) -> str:
    return {"usd": "USD"}.get(unit, unit.replace("_", " "))
