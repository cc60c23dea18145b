"""What a restatement moved, by month."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from dashboards.charts.parts import REST, Chart, colour_of, figure, number
from dashboards.templatetags.figures import exact, usd
from usage.selectors.corrections import MonthSums

ID = "restated-figure"


def before_and_after(months: Sequence[MonthSums]) -> Chart | None:
    """Set what corrected events cost before beside what they cost after; None for a single month, which is no chart."""
    if len(months) < 2:
        return None
    names = [f"{one.month:%b %Y}" for one in months]
    moved = sum(one.sums.difference_usd for one in months)
    traces = [
        go.Bar(
            name="before", x=names, y=[number(one.sums.before_usd) for one in months], marker_color=REST,
            hovertemplate="$%{y:,.2f}",
        ),
        go.Bar(
            name="after", x=names, y=[number(one.sums.after_usd) for one in months], marker_color=colour_of(0),
            hovertemplate="$%{y:,.2f}",
        ),
    ]  # fmt: skip
    return Chart(
        id=ID,
        title="Before and after by month",
        subtitle="Corrected events alone, by the month that the calls happened in",
        summary=f"Cost of the corrected events in {len(months)} months, before and after: {usd(moved)} in all.",
        figure=figure(traces, barmode="group", yaxis={"tickprefix": "$"}, xaxis={"type": "category"}),
        columns=("Month", "Events", "Before", "After", "Difference"),
        rows=[
            [
                f"{one.month:%B %Y}",
                exact(one.sums.entries),
                f"${exact(one.sums.before_usd)}",
                f"${exact(one.sums.after_usd)}",
                f"${exact(one.sums.difference_usd)}"
                if one.sums.difference_usd >= 0
                else f"-${exact(-one.sums.difference_usd)}",
            ]
            for one in months
        ],
        size="small",
    )
