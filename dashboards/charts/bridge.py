"""The bridge from what was spent to what is: a waterfall whose parts add up."""

from __future__ import annotations

from decimal import Decimal

import plotly.graph_objects as go

from dashboards.charts.parts import Chart, day_of, figure, number
from dashboards.templatetags.figures import usd
from usage.selectors.bridge import Bridge, Change, Days

# Field of a change, what its bar is called, and what it means.
PARTS = (
    ("volume_usd", "Volume", "all requests together grew or shrank"),
    ("use_cases_usd", "Mix of use cases", "use cases have another share of the requests"),
    ("models_usd", "Mix of models", "requests of a use case went to other models or providers"),
    ("tokens_usd", "Tokens per call", "more or fewer tokens in a request, or others: output, prompt cache"),
    ("price_usd", "Price", "the same tokens, at the prices of both ranges"),
    ("new_usd", "New use cases", "use cases that were not used before"),
    ("gone_usd", "Use cases gone", "use cases that are not used any more"),
    ("corrections_usd", "Booked late", "for months that were closed"),
)


def range_of(days: Days) -> str:
    return day_of(days.first) if days.length == 1 else f"{day_of(days.first)} to {day_of(days.last)}"


def signed(amount: Decimal) -> str:
    text = usd(amount)
    return text if text.startswith("-") or text == usd(0) else f"+{text}"


def parts_of(change: Change) -> list[tuple[str, str, Decimal]]:
    """Return name, meaning and amount of each part that changed anything; the five usual ones always."""
    found = [(name, means, getattr(change, field)) for field, name, means in PARTS]
    return [one for place, one in enumerate(found) if place < 5 or one[2]]


def waterfall(bridge: Bridge) -> Chart:
    """Draw the change from the first range to the second, part by part."""
    total, title = bridge.total, "What changed the spend"
    if not total.before_usd and not total.after_usd:
        return Chart(
            id="bridge-figure",
            title=title,
            empty_title="Nothing was spent in either range",
            empty_text="Once two weeks have spend, this says how much of the change is volume, mix, tokens or price.",
        )
    parts = parts_of(total)
    before, after = range_of(bridge.before), range_of(bridge.after)
    # Drawn from zero and not from what was spent before: beside all of a week's spend no part of its change is seen.
    trace = go.Waterfall(
        orientation="h",  # so that the names of parts can be read at any width
        y=[*(name for name, _, _ in parts), "Change"],
        x=[*(number(amount) for _, _, amount in parts), number(total.change_usd)],
        measure=[*("relative" for _ in parts), "total"],
        customdata=[*(signed(amount) for _, _, amount in parts), signed(total.change_usd)],
        hovertemplate="%{customdata}<extra></extra>",
    )
    largest = max(parts, key=lambda one: abs(one[2]))
    return Chart(
        id="bridge-figure",
        title=title,
        subtitle=f"USD, {after} against {before}: {usd(total.before_usd)} became {usd(total.after_usd)}",
        summary=f"Spend went from {usd(total.before_usd)} to {usd(total.after_usd)}, {signed(total.change_usd)}. The "
        f"largest part is {largest[0].lower()}: {signed(largest[2])}.",
        figure=figure(
            [trace], xaxis={"tickprefix": "$"}, yaxis={"autorange": "reversed"}, showlegend=False, hovermode="closest"
        ),
        columns=["Part", "USD"],
        rows=[
            [f"Before: {before}", usd(total.before_usd)],
            *([f"{name}: {means}", signed(amount)] for name, means, amount in parts),
            [f"Now: {after}", usd(total.after_usd)],
        ],
    )
