"""Charts of the first page: spend, shares on frontier and on open weights."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal

import plotly.graph_objects as go

from dashboards.charts.looks import Look
from dashboards.charts.parts import (
    NONE_GIVEN,
    OTHERS,
    TEXT,
    TIERS,
    Chart,
    begun,
    day_of,
    escaped,
    figure,
    number,
    ranked,
)
from dashboards.templatetags.figures import exact, percent, usd, usd_in, usd_places
from usage.selectors.overview import Part, Week, share

BY_WORDS = {"tier": "tier", "model": "model", "use_case": "use case", "team": "team"}


def daily_spend(
    parts: Sequence[Part], *, by: str, first: date, until: date, today: date, shown: Mapping[str, Look]
) -> Chart:
    """Stack what each name cost per day; of models, use cases and teams the six dearest, the others as one.

    `shown` are the looks of names.
    """
    words = BY_WORDS[by]
    first = begun(first, until, (part.day for part in parts))
    days = [first + timedelta(days=n) for n in range((until - first).days)]
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for part in parts:
        totals[part.name or NONE_GIVEN] += part.cost_usd
    named = [tier for tier in TIERS if totals.get(tier)] if by == "tier" else ranked(totals)
    cells: dict[tuple[str, date], Decimal] = defaultdict(Decimal)
    for part in parts:
        name = part.name or NONE_GIVEN
        cells[name if name in named else OTHERS, part.day] += part.cost_usd
    # A name may be just that: it is one with the others, once.
    if OTHERS not in named and any(value for (name, _), value in cells.items() if name == OTHERS) and by != "tier":
        named = [*named, OTHERS]

    title = f"Spend per day by {words}"
    if not named:
        return Chart(
            id="spend-figure",
            title=title,
            empty_title="Nothing was spent in these days",
            empty_text="Spend appears here once a gateway has sent usage of models that have a price.",
        )
    traces = [
        go.Bar(
            name=escaped(name),
            x=[day.isoformat() for day in days],
            y=[number(cells[name, day]) or None for day in days],
            marker=shown[name].marker,
            hovertemplate="$%{y:,.2f}",
        )
        for name in named
    ]
    per_day = {day: sum((cells[name, day] for name in named), Decimal(0)) for day in days}
    grand, places = sum(per_day.values(), Decimal(0)), usd_places(per_day.values())
    dearest = max(days, key=lambda day: per_day[day])
    partial = f"; {day_of(today)} so far" if first <= today < until else ""
    return Chart(
        id="spend-figure",
        title=title,
        subtitle=f"USD, {day_of(first)} to {day_of(until - timedelta(days=1))}{partial}",
        summary=f"Stacked bars of spend per day by {words}: {usd(grand)} in all, most on {day_of(dearest)}.",
        figure=figure(
            traces, barmode="stack", bargap=0.15, yaxis={"tickprefix": "$"},
            xaxis={"type": "date", "tickformat": "%-d %b", "hoverformat": "%a %-d %b %Y"},
        ),
        columns=["Day", *named, "Total"],
        rows=[
            [
                day_of(day),
                *(usd_in(cells[name, day], places) for name in named),
                usd_in(per_day[day], places),
            ]
            for day in reversed(days)
        ],
        size="large",
    )  # fmt: skip


Counted = Callable[[Week], int]


def _on_frontier(week: Week) -> int:
    return week.on_frontier


def changed_most(weeks: Sequence[Week], *, most: int = 5, counted: Counted = _on_frontier) -> list[str]:
    """Return the use cases whose share moved furthest between the first and the last two weeks seen.

    Those with too few answered requests to tell (fewer than 30 at either end) are left out.
    """
    mondays = sorted({week.monday for week in weeks})
    early, late = set(mondays[:2]), set(mondays[-2:])
    if len(mondays) < 4:
        early, late = set(mondays[:1]), set(mondays[-1:])
    ends: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for week in weeks:
        for offset, those in ((0, early), (2, late)):
            if week.monday in those:
                ends[week.use_case][offset] += week.answered
                ends[week.use_case][offset + 1] += counted(week)
    moved = {
        name: abs(Decimal(late_on) / late_all - Decimal(early_on) / early_all)
        for name, (early_all, early_on, late_all, late_on) in ends.items()
        if early_all >= 30 and late_all >= 30
    }
    return ranked(moved, most)


def frontier_share(weeks: Sequence[Week], *, shown: Mapping[str, Look], low: Decimal, high: Decimal) -> Chart:
    """Draw the share on frontier per week: of all answered requests, and of the use cases where it changed most.

    `low` and `high` are the goal in per cent, `shown` the looks of use cases.
    """
    return _shares(
        weeks,
        shown=shown,
        id="frontier-figure",
        title="Share on frontier per week",
        of="on frontier",
        goal=f"Shaded: the goal, {exact(low)} to {exact(high)} %",
        band=(low, high),
        counted=_on_frontier,
    )


def open_share(weeks: Sequence[Week], *, shown: Mapping[str, Look], least: Decimal) -> Chart:
    """Draw the share on models with open weights per week in the same way; `least` is the goal in per cent."""
    return _shares(
        weeks,
        shown=shown,
        id="open-figure",
        title="Share on open weights per week",
        of="on open weights",
        goal=f"Shaded: the goal, {exact(least)} % or more",
        band=(least, Decimal(100)),
        counted=lambda week: week.on_open,
    )


def _shares(
    weeks: Sequence[Week],
    *,
    shown: Mapping[str, Look],
    id: str,
    title: str,
    of: str,
    goal: str,
    band: tuple[Decimal, Decimal],
    counted: Counted,
) -> Chart:
    answered: dict[tuple[str, date], int] = defaultdict(int)
    reached: dict[tuple[str, date], int] = defaultdict(int)
    everything = ""
    for week in weeks:
        for name in (week.use_case, everything):
            answered[name, week.monday] += week.answered
            reached[name, week.monday] += counted(week)
    mondays = sorted({week.monday for week in weeks})
    if not mondays:
        return Chart(
            id=id,
            title=title,
            empty_title="No answered requests yet",
            empty_text=f"The share {of} is of requests with status ok; there are none in these weeks.",
        )
    names = changed_most(weeks, counted=counted)

    def shares(name: str) -> list[Decimal | None]:
        return [share(reached[name, monday], answered[name, monday]) for monday in mondays]

    traces = [
        go.Scatter(
            name=escaped(name or "all use cases"),
            x=[monday.isoformat() for monday in mondays],
            y=[None if one is None else number(one * 100) for one in shares(name)],
            mode="lines+markers" if len(mondays) < 4 else "lines",
            line={"color": TEXT, "dash": "dot"} if name == everything else {**shown[name].line, "width": 2.5},
            hovertemplate="%{y:.1f} %",
        )
        for name in [everything, *names]
    ]
    drawn = [one * 100 for name in (everything, *names) for one in shares(name) if one is not None]
    # A band up to 100 per cent would make lines flat that never come near it.
    top = min(max(band[0], band[1] if band[1] < 100 else Decimal(0), *drawn) * Decimal("1.1"), Decimal(100))
    most = max(names, key=lambda name: shares(name)[-1] or Decimal(0)) if names else everything
    return Chart(
        id=id,
        title=title,
        subtitle=f"Of answered requests, where it changed most, by week from Monday. {goal}",
        summary=f"Lines per week. In the last one {percent(shares(everything)[-1])} of all answered requests were {of}"
        + (f", {percent(shares(most)[-1])} of those of {most}." if most else "."),
        figure=figure(
            traces,
            shapes=[
                {
                    "type": "rect", "xref": "paper", "x0": 0, "x1": 1, "y0": number(band[0]), "y1": number(band[1]),
                    "layer": "below", "fillcolor": "var(--tk-ok-soft)", "opacity": 0.45, "line": {"width": 0},
                }
            ],
            yaxis={"ticksuffix": " %", "range": [0, number(top) or 1]},
            xaxis={"type": "date", "tickformat": "%-d %b", "hoverformat": "week from %-d %b %Y"},
        ),
        columns=["Week from", "all use cases", *names],
        rows=[
            [day_of(monday), *(percent(shares(name)[at]) for name in (everything, *names))]
            for at, monday in reversed(list(enumerate(mondays)))
        ],
    )  # fmt: skip
