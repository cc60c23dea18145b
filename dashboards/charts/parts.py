"""What every chart is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import plotly.graph_objects as go

MOST_NAMED = 6  # more series than this are one: nobody tells them apart
MOST_WEEKS_NAMED = 9
OTHERS = "others"
NONE_GIVEN = "none given"
REST = "var(--tk-series-rest)"
TEXT = "var(--tk-text)"
MUTED = "var(--tk-text-muted)"
DANGER = "var(--tk-danger)"
WARNING = "var(--tk-warning)"
TIERS = ("frontier", "middle", "economy", "self-hosted", "unclassified")


@dataclass(frozen=True, kw_only=True)
class Chart:
    """What `templates/_chart.html` shows; without a figure it says why there is none."""

    id: str
    title: str
    subtitle: str = ""
    summary: str = ""
    figure: dict[str, Any] | None = None
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = field(default_factory=list)
    size: str = ""
    wide: bool = False  # names stand beside each other: on a phone the drawing is moved sideways, and it alone
    empty_title: str = ""
    empty_text: str = ""
    empty_url: str = ""
    empty_action: str = ""


def figure(traces: Sequence[Any], **layout: Any) -> dict[str, Any]:
    """Return a figure as JSON can carry it. Plotly's own template is left out: `charts.js` has ours.

    The same as `go.Figure(...).to_plotly_json()`, which checks and copies every trace once more: five times the time.
    """
    return {
        "data": [trace.to_plotly_json() for trace in traces],
        "layout": go.Layout({"template": "none", **layout}).to_plotly_json(),
    }


def escaped(text: str) -> str:
    """Return a text that Plotly does not take for its markup: names come from outside, and it makes links of some."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def shortened(name: str, longest: int) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}\N{HORIZONTAL ELLIPSIS}"


def axis_labels(names: Iterable[str], longest: int) -> list[str]:
    """Return what stands on an axis for names, each something else: Plotly draws what is called the same as one."""
    found: list[str] = []
    for name in names:
        label, turn = escaped(shortened(name, longest)), 1
        while label in found:
            turn += 1
            label = escaped(f"{shortened(name, longest)} ({turn})")
        found.append(label)
    return found


def number(value: Decimal | int | None) -> float | None:
    return None if value is None else float(value)


def colour_of_tier(name: str) -> str:
    return f"var(--tk-tier-{name})" if name in TIERS else REST


def colour_of(position: int) -> str:
    return f"var(--tk-series-{position % 10 + 1})"


def day_of(day: date) -> str:
    """Return a day as tables name it: 3 Nov 2026."""
    return f"{day.day} {day:%b %Y}"


def weeks_named(monday: str, count: int) -> dict[str, Any]:
    """Return what an axis of dates names of `count` weeks, of which the first one's Monday is given."""
    every = -(-count // MOST_WEEKS_NAMED)
    milliseconds = timedelta(weeks=every) // timedelta(milliseconds=1)
    return {"tick0": monday, "dtick": milliseconds, "hoverformat": "week from %-d %b %Y"}


def ranked(totals: dict[str, Decimal], most: int = MOST_NAMED) -> list[str]:
    """Return the names of the largest, largest first; those beyond `most` are one."""
    return sorted((name for name, value in totals.items() if value), key=lambda name: (-totals[name], name))[:most]


def begun(first: date, until: date, days: Iterable[date]) -> date:
    """Return where an axis begins: with the first day that has anything, and two weeks before the end at the latest."""
    return max(first, min(min(days, default=first), until - timedelta(days=14)))
