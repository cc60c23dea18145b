"""The bridge from what was spent to what is: a waterfall whose parts add up."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import plotly.graph_objects as go

from dashboards.charts.parts import Chart, day_of, figure, number
from dashboards.templatetags.figures import usd, usd_in, usd_in_full, usd_places, usd_short
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
_LONG = Decimal(10_000)  # from here on an amount on a bar has no cents
_SIDES = 0.24  # of the height: the two bars from zero
# Of what bars span: room for an amount beside one, also on a phone.
_TEXT = 0.4
_WIDER_TEXT = 0.6


def range_of(days: Days) -> str:
    return day_of(days.first) if days.length == 1 else f"{day_of(days.first)} to {day_of(days.last)}"


def signed(amount: Decimal, places: int | None = None) -> str:
    text = usd(amount) if places is None else usd_in(amount, places)
    return text if text[0] in "-<>" or amount == 0 else f"+{text}"


def parts_of(change: Change) -> list[tuple[str, str, Decimal]]:
    """Return name, meaning and amount of each part that changed anything; the five usual ones always."""
    found = [(name, means, getattr(change, field)) for field, name, means in PARTS]
    return [one for place, one in enumerate(found) if place < 5 or one[2]]


def places_of(bridge: Bridge) -> int:
    """Return how many decimals the amounts of a bridge have, in its tables too."""
    return usd_places([bridge.total.before_usd, bridge.total.after_usd])


def waterfall(bridge: Bridge) -> Chart:
    """Draw what was and what is, each from zero, and below them the change from one to the other, part by part.

    The parts have a scale of their own: beside all of a week's spend no part of its change is seen.
    """
    total, title = bridge.total, "What changed the spend"
    if not total.before_usd and not total.after_usd:
        return Chart(
            id="bridge-figure",
            title=title,
            empty_title="Nothing was spent in either range",
            empty_text="Once two weeks have spend, this says how much of the change is volume, mix, tokens or price.",
        )
    parts, places = parts_of(total), places_of(bridge)
    before, after = range_of(bridge.before), range_of(bridge.after)
    said = usd_short if max(total.before_usd, total.after_usd) >= _LONG else usd
    sides = go.Bar(
        orientation="h",  # so that the names of parts can be read at any width
        y=["Before", "Now"],
        x=[number(total.before_usd), number(total.after_usd)],
        text=[said(total.before_usd), said(total.after_usd)],
        textposition="outside",
        cliponaxis=False,
        marker_color=["var(--tk-series-rest)", "var(--tk-series-1)"],
        customdata=[f"{before}: {usd_in_full(total.before_usd)}", f"{after}: {usd_in_full(total.after_usd)}"],
        hovertemplate="%{customdata}<extra></extra>",
    )
    trace = go.Waterfall(
        orientation="h",
        y=[*(name for name, _, _ in parts), "Change"],
        x=[*(number(amount) for _, _, amount in parts), number(total.change_usd)],
        measure=[*("relative" for _ in parts), "total"],
        text=[*(_signed_on_bar(amount) for _, _, amount in parts), _signed_on_bar(total.change_usd)],
        textposition="outside",
        cliponaxis=False,
        customdata=[*(_signed_in_full(amount) for _, _, amount in parts), _signed_in_full(total.change_usd)],
        hovertemplate="%{customdata}<extra></extra>",
        xaxis="x2",
        yaxis="y2",
    )
    largest = max(parts, key=lambda one: abs(one[2]))
    quiet = {"showticklabels": False, "showgrid": False}
    return Chart(
        id="bridge-figure",
        title=title,
        subtitle=f"USD, {after} against {before}. The parts of the change have a scale of their own",
        summary=f"Spend went from {usd(total.before_usd)} to {usd(total.after_usd)}, {signed(total.change_usd)}. The "
        f"largest part is {largest[0].lower()}: {signed(largest[2])}.",
        figure=figure(
            [sides, trace],
            xaxis={"range": _room([number(total.before_usd) or 0, number(total.after_usd) or 0], _WIDER_TEXT), **quiet},
            yaxis={"autorange": "reversed", "domain": [1 - _SIDES, 1]},
            xaxis2={
                "range": _room(_steps([amount for _, _, amount in parts])),
                "anchor": "y2",
                "zeroline": True,
                **quiet,
            },
            yaxis2={"autorange": "reversed", "domain": [0, 0.94 - _SIDES], "anchor": "x2"},
            showlegend=False,
            hovermode="closest",
        ),
        columns=["Part", "USD"],
        rows=[
            [f"Before: {before}", usd_in(total.before_usd, places)],
            *([f"{name}: {means}", signed(amount, places)] for name, means, amount in parts),
            [f"Now: {after}", usd_in(total.after_usd, places)],
        ],
    )


def _signed_on_bar(amount: Decimal) -> str:
    if not amount:
        return usd(amount)
    text = usd_short(amount) if abs(amount) >= _LONG else usd(amount)
    return text if text.startswith("-") else f"+{text}"


def _signed_in_full(amount: Decimal) -> str:
    text = usd_in_full(amount)
    return f"+{text}" if amount > 0 else text


def _steps(amounts: Sequence[Decimal]) -> list[float]:
    """Return where the bars of a waterfall end, one after the other, with the last once more as the sum of all."""
    ends, at = [], Decimal(0)
    for amount in amounts:
        at += amount
        ends.append(number(at) or 0)
    return ends


def _room(ends: Sequence[float], text: float = _TEXT) -> list[float]:
    """Return a range that holds the bars from zero to these ends, and an amount written beside each."""
    low, high = min(0, *ends), max(0, *ends)
    span = high - low or 1
    return [low - (span * text if low < 0 else 0), high + span * text]
