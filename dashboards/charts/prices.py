"""What an offering costs over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import plotly.graph_objects as go

from dashboards.charts.parts import MUTED, Chart, colour_of, day_of, figure, number

ID = "prices-figure"
TITLE = "List price over time"
TITLES = "Price over time"
_AHEAD = timedelta(days=30)  # what is drawn beyond the last change, so that its step is seen
_AT_LEAST = timedelta(days=365)


@dataclass(frozen=True, kw_only=True)
class Step:
    """A price of a meter in USD per million over [starts_at, ends_at); None is open."""

    meter: str
    usd_per_1m: Decimal
    starts_at: datetime | None
    ends_at: datetime | None


def price(value: Decimal) -> str:
    """Return a price with every digit it has, cents at least: "$0.125", "$5.00". A price is never rounded."""
    whole, _, fraction = f"{value:,f}".partition(".")
    return f"${whole}.{fraction.rstrip('0'):0<2}"


def over_time(steps: Sequence[Step], *, at: datetime, zone: str, terms: str = "") -> Chart:
    """Draw prices on the same terms as steps, a line per meter; `steps` come by meter and time and never overlap.

    `terms` says which, where they are not the ordinary list prices.
    """
    if not steps:
        return Chart(
            id=ID,
            title=TITLE,
            empty_title="No list price is recorded",
            empty_text="Prices appear here with the day from which they hold, once somebody has entered them.",
        )
    local = ZoneInfo(zone)
    edges = [edge for one in steps for edge in (one.starts_at, one.ends_at) if edge is not None]
    first = min([*edges, at - _AT_LEAST])
    last = max([*edges, at]) + _AHEAD
    meters = list(dict.fromkeys(one.meter for one in steps))
    traces = []
    for position, meter in enumerate(meters):
        x: list[str] = []
        y: list[float | None] = []
        reached = None
        for one in (one for one in steps if one.meter == meter):
            starts_at = one.starts_at or first
            if reached is not None and starts_at > reached:
                x.append(_instant(reached, local))
                y.append(None)  # nothing was in force for a while: no line
            x += [_instant(starts_at, local), _instant(one.ends_at or last, local)]
            y += [number(one.usd_per_1m)] * 2
            reached = one.ends_at or last
        traces.append(
            go.Scatter(
                name=meter, x=x, y=y, mode="lines", line={"color": colour_of(position), "width": 2.5, "shape": "hv"},
                connectgaps=False, hovertemplate="$%{y:,.4~f}",
            )
        )  # fmt: skip
    now = _instant(at, local)
    return Chart(
        id=ID,
        title=TITLES if terms else TITLE,
        subtitle=f"{terms}: USD per million, as the book holds it true now"
        if terms
        else "USD per million, ordinary service and context, as the book holds it true now",
        summary="; ".join(_now(meter, steps, at) for meter in meters) + ".",
        figure=figure(
            traces,
            shapes=[
                {
                    "type": "line", "x0": now, "x1": now, "yref": "paper", "y0": 0, "y1": 1, "layer": "below",
                    "line": {"color": MUTED, "width": 1, "dash": "dot"},
                }
            ],
            annotations=[
                {
                    "x": now, "yref": "paper", "y": 1, "xanchor": "right", "yanchor": "top", "text": "today ",
                    "showarrow": False, "font": {"color": MUTED},
                }
            ],
            yaxis={"tickprefix": "$", "range": [0, number(max(one.usd_per_1m for one in steps) * Decimal("1.1")) or 1]},
            xaxis={
                "type": "date", "range": [_instant(first, local), _instant(last, local)], "hoverformat": "%-d %b %Y"
            },
        ),
        columns=["Meter", "USD per million", "From", "Until"],
        rows=[
            [
                one.meter,
                price(one.usd_per_1m),
                day_of(one.starts_at.astimezone(local).date()) if one.starts_at else "always",
                day_of(one.ends_at.astimezone(local).date()) if one.ends_at else "open",
            ]
            for one in steps
        ],
    )  # fmt: skip


def _now(meter: str, steps: Sequence[Step], at: datetime) -> str:
    for one in steps:
        begun = one.starts_at is None or one.starts_at <= at
        if one.meter == meter and begun and (one.ends_at is None or at < one.ends_at):
            return f"{meter} costs {price(one.usd_per_1m)} per million now"
    return f"{meter} has no price now"


def _instant(at: datetime, local: ZoneInfo) -> str:
    # A chart has no zones: it is given the wall clock of the organisation's.
    return at.astimezone(local).replace(tzinfo=None).isoformat(timespec="minutes")
