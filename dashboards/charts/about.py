"""Charts of the pages of one use case, model and team. Figures are plain dictionaries: Plotly's classes cost time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from core.models import Organisation
from dashboards.charts.looks import looks
from dashboards.charts.parts import MUTED, OTHERS, TEXT, Chart, begun, day_of, escaped, number, ranked
from dashboards.selectors.about import Days, Week
from dashboards.templatetags.figures import percent, usd, usd_in, usd_places

_DAYS: dict[str, Any] = {"type": "date", "tickformat": "%-d %b", "hoverformat": "%a %-d %b %Y"}
_WEEKS: dict[str, Any] = {"type": "date", "tickformat": "%-d %b", "hoverformat": "week from %-d %b %Y"}
ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Something that changed on a day, such as a price."""

    day: date
    text: str


def spend_per_day(
    parts: Mapping[tuple[str, date], Decimal],
    *,
    id: str,
    what: str,
    numbers: Mapping[str, int],
    days: Days,
    marks: Sequence[Mark] = (),
) -> Chart:
    """Stack what each name cost per day, the six dearest by name and the others as one; `what` names their kind."""
    title = f"Spend per day by {what}"
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for (name, _), cost in parts.items():
        totals[name] += cost
    named = ranked(totals)
    if not named:
        return Chart(
            id=id,
            title=title,
            empty_title="Nothing was spent in these days",
            empty_text="Spend appears here with the first call that has a price.",
        )
    first = begun(days.first, days.until, (day for _, day in parts))
    axis = [first + ONE_DAY * n for n in range((days.until - first).days)]
    cells: dict[tuple[str, date], Decimal] = defaultdict(Decimal)
    for (name, day), cost in parts.items():
        cells[name if name in named else OTHERS, day] += cost
    # A name may be just that: it is one with the others, once.
    if OTHERS not in named and any(cost for (name, _), cost in cells.items() if name == OTHERS):
        named.append(OTHERS)
    seen = looks(numbers)
    per_day = {day: sum((cells[name, day] for name in named), Decimal(0)) for day in axis}
    traces: list[Any] = [
        {
            "type": "bar",
            "name": escaped(name),
            "x": [day.isoformat() for day in axis],
            "y": [number(cells[name, day]) or None for day in axis],
            "marker": seen[name].marker,
            "hovertemplate": "$%{y:,.2f}",
        }
        for name in named
    ]
    shown = [mark for mark in marks if mark.day >= first]
    by_day: dict[date, list[str]] = defaultdict(list)
    for mark in shown:
        by_day[mark.day].append(mark.text)
    highest, places = max(per_day.values()), usd_places(per_day.values())
    if by_day:
        traces.append(
            {
                "type": "scatter",
                "name": "prices that began",
                "x": [day.isoformat() for day in by_day],
                "y": [number(highest)] * len(by_day),
                "mode": "markers",
                "marker": {"symbol": "triangle-down", "size": 10, "color": TEXT},
                "text": ["<br>".join(map(escaped, texts)) for texts in by_day.values()],
                "hovertemplate": "%{text}",
            }
        )
    dearest = max(axis, key=lambda day: per_day[day])
    return Chart(
        id=id,
        title=title,
        subtitle=f"USD, {day_of(first)} to {day_of(days.today)}, today so far"
        + (". Triangles: list prices that began" if by_day else ""),
        summary=f"Stacked bars of spend per day by {what}: {usd(sum(per_day.values(), Decimal(0)))} in all, most on "
        f"{day_of(dearest)}."
        + "".join(f" {day_of(day)}: {'; '.join(texts)}." for day, texts in by_day.items()),
        figure={
            "data": traces,
            "layout": {
                "barmode": "stack", "bargap": 0.15, "yaxis": {"tickprefix": "$"}, "xaxis": _DAYS,
                "shapes": [_mark(day) for day in by_day],
            },
        },
        columns=["Day", *named, "Total", *(["Prices that began"] if by_day else [])],
        rows=[
            [
                day_of(day),
                *(usd_in(cells[name, day], places) for name in named),
                usd_in(per_day[day], places),
                *(["; ".join(by_day.get(day, ()))] if by_day else []),
            ]
            for day in reversed(axis)
        ],
        size="large",
    )  # fmt: skip


def _mark(day: date) -> dict[str, Any]:
    # A bar stands in the middle of its day, so the day begins half a day to its left.
    x = f"{day - ONE_DAY}T12:00"
    return {"type": "line", "x0": x, "x1": x, "yref": "paper", "y0": 0, "y1": 1, "layer": "below",
            "line": {"color": MUTED, "width": 1, "dash": "dot"}}  # fmt: skip


def cost_per_1000(weeks: Sequence[Week], *, id: str = "per-1000-figure") -> Chart:
    """Draw what a thousand requests cost in each week; a week whose cost is not known is left out."""
    title = "Cost per 1,000 requests"
    values = {week.monday: week.sums.per_1000_usd for week in weeks}
    known = [monday for monday, value in values.items() if value is not None]
    if not known:
        return Chart(
            id=id,
            title=title,
            empty_title="Unpriced so far",
            empty_text="It needs requests of models that have a price.",
        )
    last, places = values[known[-1]], usd_places(values.values())
    return Chart(
        id=id,
        title=title,
        subtitle="USD, attempts whatever became of them, by week from Monday",
        summary=f"A line per week: {usd(last)} in the last one, {usd(values[known[0]])} in the first.",
        figure={
            "data": [
                {
                    "type": "scatter",
                    "name": "cost per 1,000 requests",
                    "x": [monday.isoformat() for monday in values],
                    "y": [number(value) for value in values.values()],
                    "mode": "lines+markers",
                    "line": {"color": "var(--tk-series-1)", "width": 2.5},
                    "hovertemplate": "$%{y:,.4~f}",
                }
            ],
            "layout": {"yaxis": {"tickprefix": "$", "rangemode": "tozero"}, "xaxis": _WEEKS},
        },
        columns=["Week from", "Requests", "Per 1,000"],
        rows=[
            [day_of(week.monday), f"{week.sums.requests:,}", usd_in(week.sums.per_1000_usd, places)]
            for week in reversed(weeks)
        ],
    )


def shares(weeks: Sequence[Week], organisation: Organisation, *, id: str = "shares-figure") -> Chart:
    """Draw the shares of answered requests on the frontier and on open weights per week, beside the goals of both."""
    title = "Frontier and open weights"
    answered = [week for week in weeks if week.sums.answered > 0]
    if not answered:
        return Chart(
            id=id,
            title=title,
            empty_title="No answered requests yet",
            empty_text="Shares are of requests with status ok; there are none in these weeks.",
        )
    low, high = organisation.frontier_goal_from_percent, organisation.frontier_goal_percent
    least = organisation.open_weights_goal_percent
    lines = (
        ("on frontier", "var(--tk-tier-frontier)", "solid", [week.sums.frontier_share for week in answered]),
        ("on open weights", "var(--tk-tier-economy)", "dash", [week.open_share for week in answered]),
    )
    last = answered[-1]
    goals = f"{low.normalize():f} to {high.normalize():f} % on frontier, {least.normalize():f} % on open weights"
    return Chart(
        id=id,
        title=title,
        subtitle=f"Of answered requests, by week from Monday. Goals of the organisation: {goals} or more",
        summary=f"Lines per week. In the last one {percent(last.sums.frontier_share)} were on frontier and "
        f"{percent(last.open_share)} on open weights; the goals are {goals}.",
        figure={
            "data": [
                {
                    "type": "scatter",
                    "name": name,
                    "x": [week.monday.isoformat() for week in answered],
                    "y": [None if one is None else number(one * 100) for one in values],
                    "mode": "lines+markers",
                    "line": {"color": colour, "width": 2.5, "dash": dash},
                    "hovertemplate": "%{y:.1f} %",
                }
                for name, colour, dash, values in lines
            ],
            "layout": {"yaxis": {"ticksuffix": " %", "rangemode": "tozero"}, "xaxis": _WEEKS, "shapes": [
                {
                    "type": "rect", "xref": "paper", "x0": 0, "x1": 1, "y0": number(low), "y1": number(high),
                    "layer": "below", "fillcolor": "var(--tk-ok-soft)", "opacity": 0.45, "line": {"width": 0},
                },
                {
                    "type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": number(least), "y1": number(least),
                    "layer": "below", "line": {"color": "var(--tk-tier-economy)", "width": 1, "dash": "dot"},
                },
            ]},
        },
        columns=["Week from", "Answered", "On frontier", "On open weights"],
        rows=[
            [
                day_of(week.monday), f"{week.sums.answered:,}", percent(week.sums.frontier_share),
                percent(week.open_share),
            ]
            for week in reversed(answered)
        ],
    )  # fmt: skip
