"""Charts of the first page: spend, share on frontier, providers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal

import plotly.graph_objects as go

from dashboards.charts.parts import (
    MUTED,
    NONE_GIVEN,
    OTHERS,
    REST,
    TEXT,
    TIERS,
    Chart,
    begun,
    colour_of,
    colour_of_tier,
    day_of,
    figure,
    number,
    ranked,
)
from dashboards.templatetags.figures import exact, percent, usd
from usage.selectors.overview import Part, ProviderDay, Week, share

BY_WORDS = {"tier": "tier", "model": "model", "use_case": "use case", "team": "team"}
GOAL = (Decimal("0.05"), Decimal("0.10"))  # share on frontier


def daily_spend(parts: Sequence[Part], *, by: str, first: date, until: date, today: date) -> Chart:
    """Stack what each name cost per day; of models, use cases and teams the six dearest, the others as one."""
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
    if any(value for (name, _), value in cells.items() if name == OTHERS) and by != "tier":
        named = [*named, OTHERS]

    def colour(position: int, name: str) -> str:
        if by == "tier":
            return colour_of_tier(name)
        return REST if name == OTHERS else colour_of(position)

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
            name=name,
            x=[day.isoformat() for day in days],
            y=[number(cells[name, day]) or None for day in days],
            marker_color=colour(position, name),
            hovertemplate="$%{y:,.2f}",
        )
        for position, name in enumerate(named)
    ]
    grand = sum((cells[name, day] for name in named for day in days), Decimal(0))
    dearest = max(days, key=lambda day: sum((cells[name, day] for name in named), Decimal(0)))
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
                *(usd(cells[name, day]) for name in named),
                usd(sum((cells[name, day] for name in named), Decimal(0))),
            ]
            for day in reversed(days)
        ],
        size="large",
    )  # fmt: skip


def changed_most(weeks: Sequence[Week], *, most: int = 5) -> list[str]:
    """Return the use cases whose share on frontier moved furthest between the first and the last two weeks seen.

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
                ends[week.use_case][offset + 1] += week.on_frontier
    moved = {
        name: abs(Decimal(late_on) / late_all - Decimal(early_on) / early_all)
        for name, (early_all, early_on, late_all, late_on) in ends.items()
        if early_all >= 30 and late_all >= 30
    }
    return ranked(moved, most)


def frontier_share(weeks: Sequence[Week], *, until: date) -> Chart:
    """Draw the share on frontier per week: of all answered requests, and of the use cases where it changed most."""
    title = "Share on frontier per week"
    answered: dict[tuple[str, date], int] = defaultdict(int)
    on_frontier: dict[tuple[str, date], int] = defaultdict(int)
    everything = ""
    for week in weeks:
        for name in (week.use_case, everything):
            answered[name, week.monday] += week.answered
            on_frontier[name, week.monday] += week.on_frontier
    mondays = sorted({week.monday for week in weeks})
    if not mondays:
        return Chart(
            id="frontier-figure",
            title=title,
            empty_title="No answered requests yet",
            empty_text="The share on frontier is of requests with status ok; there are none in these weeks.",
        )
    names = changed_most(weeks)

    def shares(name: str) -> list[Decimal | None]:
        return [share(on_frontier[name, monday], answered[name, monday]) for monday in mondays]

    traces = [
        go.Scatter(
            name=name or "all use cases",
            x=[monday.isoformat() for monday in mondays],
            y=[None if one is None else number(one * 100) for one in shares(name)],
            mode="lines+markers" if len(mondays) < 4 else "lines",
            line={"color": TEXT, "dash": "dot"}
            if name == everything
            else {"color": colour_of(position - 1), "width": 2.5},
            hovertemplate="%{y:.1f} %",
        )
        for position, name in enumerate([everything, *names])
    ]
    low, high = (number(one * 100) for one in GOAL)
    most = max(names, key=lambda name: shares(name)[-1] or Decimal(0)) if names else everything
    return Chart(
        id="frontier-figure",
        title=title,
        subtitle="Of answered requests, where it changed most, by week from Monday. Shaded: the goal, 5 to 10 %",
        summary=f"Lines per week. In the last one {percent(shares(everything)[-1])} of all answered requests were on "
        f"frontier" + (f", {percent(shares(most)[-1])} of those of {most}." if most else "."),
        figure=figure(
            traces,
            shapes=[
                {
                    "type": "rect", "xref": "paper", "x0": 0, "x1": 1, "y0": low, "y1": high, "layer": "below",
                    "fillcolor": "var(--tk-ok-soft)", "opacity": 0.45, "line": {"width": 0},
                }
            ],
            yaxis={"ticksuffix": " %"},
            xaxis={"type": "date", "tickformat": "%-d %b", "hoverformat": "week from %-d %b %Y"},
        ),
        columns=["Week from", "all use cases", *names],
        rows=[
            [day_of(monday), *(percent(shares(name)[at]) for name in (everything, *names))]
            for at, monday in reversed(list(enumerate(mondays)))
        ],
    )  # fmt: skip


def _by_provider(rows: Sequence[ProviderDay], measure: str) -> tuple[list[str], dict[tuple[str, date], int]]:
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        totals[row.provider] += row.requests  # one order, and so one colour, in both charts
    order = ranked(totals)
    cells: dict[tuple[str, date], int] = defaultdict(int)
    for row in rows:
        cells[row.provider if row.provider in order else OTHERS, row.day] += getattr(row, measure)
    if any(row.provider not in order for row in rows):
        order.append(OTHERS)
    return order, cells


def providers(rows: Sequence[ProviderDay], *, first: date, until: date) -> Chart:
    """Stack the requests that each provider was sent per day."""
    first = begun(first, until, (row.day for row in rows))
    days = [first + timedelta(days=n) for n in range((until - first).days)]
    names, cells = _by_provider(rows, "requests")
    title = "Requests per day by provider"
    if not names:
        return Chart(
            id="providers-figure",
            title=title,
            empty_title="No requests in these days",
            empty_text="Each request that a gateway reports is counted with the provider that it was sent to.",
        )
    traces = [
        go.Bar(
            name=name,
            x=[day.isoformat() for day in days],
            y=[cells[name, day] or None for day in days],
            marker_color=REST if name == OTHERS else colour_of(position),
            hovertemplate="%{y:,}",
        )
        for position, name in enumerate(names)
    ]
    return Chart(
        id="providers-figure",
        title=title,
        subtitle="Attempts, whatever became of them",
        summary=f"Stacked bars per day: {exact(sum(cells.values()))} requests to {len(names)} providers.",
        figure=figure(
            traces, barmode="stack", bargap=0.15,
            xaxis={"type": "date", "tickformat": "%-d %b", "hoverformat": "%a %-d %b %Y"},
        ),
        columns=["Day", *names],
        rows=[[day_of(day), *(exact(cells[name, day]) for name in names)] for day in reversed(days)],
    )  # fmt: skip


def failures(rows: Sequence[ProviderDay], *, first: date, until: date) -> Chart:
    """Stack the failed attempts of each provider per day, and draw how many calls went to a fallback."""
    first = begun(first, until, (row.day for row in rows))
    days = [first + timedelta(days=n) for n in range((until - first).days)]
    names, cells = _by_provider(rows, "failed")
    fallbacks: dict[date, int] = defaultdict(int)
    for row in rows:
        fallbacks[row.day] += row.by_fallback
    title = "Failed attempts and fallbacks per day"
    if not any(cells.values()) and not any(fallbacks.values()):
        return Chart(
            id="failures-figure",
            title=title,
            empty_title="Nothing failed in these days",
            empty_text="Attempts with status error, and attempts that were not the first choice, would be drawn here.",
        )
    x = [day.isoformat() for day in days]
    drawn = [name for name in names if any(cells[name, day] for day in days)]
    traces = [
        go.Bar(
            name=name,
            x=x,
            y=[cells[name, day] or None for day in days],
            marker_color=REST if name == OTHERS else colour_of(names.index(name)),
            hovertemplate="%{y:,} failed",
        )
        for name in drawn
    ]
    traces.append(
        go.Scatter(
            name="attempts at a fallback",
            x=x,
            y=[fallbacks[day] for day in days],
            mode="lines",
            line={"color": MUTED, "width": 1.25},
            hovertemplate="%{y:,}",
        )
    )
    worst: Mapping[date, int] = {day: sum(cells[name, day] for name in names) for day in days}
    day = max(worst, key=lambda one: worst[one])
    culprit = max(names, key=lambda name: cells[name, day])
    return Chart(
        id="failures-figure",
        title=title,
        subtitle="Bars: attempts with status error, by provider. Line: attempts that were not the first choice",
        summary=f"Most attempts failed on {day_of(day)}: {exact(worst[day])}, of which {exact(cells[culprit, day])} at "
        f"{culprit}.",
        figure=figure(
            traces, barmode="stack", bargap=0.15,
            xaxis={"type": "date", "tickformat": "%-d %b", "hoverformat": "%a %-d %b %Y"},
        ),
        columns=["Day", *drawn, "At a fallback"],
        rows=[
            [day_of(one), *(exact(cells[name, one]) for name in drawn), exact(fallbacks[one])] for one in reversed(days)
        ],
    )  # fmt: skip
