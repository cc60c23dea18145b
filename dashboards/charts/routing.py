"""Charts of the routing page over time: who served how much, under which version of the rules, and detours.

# Note [Where a version stands]
A bar stands in the middle of its day, so the day reaches half a day to either side of its date on the axis. A version
that came at an instant is therefore drawn half a day earlier than the instant says: at midnight, where the bar begins.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from dashboards.charts.looks import Look, looks
from dashboards.charts.parts import (
    OTHERS,
    REST,
    TEXT,
    TIERS,
    Chart,
    begun,
    colour_of,
    day_of,
    escaped,
    number,
)
from dashboards.selectors.routing import Page, Question, Shares, measured
from dashboards.selectors.routing_rules import Mark, detoured
from dashboards.templatetags.figures import exact, percent
from usage.selectors.overview import share
from usage.selectors.routing_flows import DayFlow

MEASURES = {"requests": "Requests", "tokens": "Tokens", "cost": "Spend"}
OF = {"requests": "of answered requests", "tokens": "of their tokens", "cost": "of what they cost"}
OTHER_REASON = "a fallback, the reason is not told"
REASONS = {
    "fallback": "the first choice failed",
    "over_budget": "a budget was used up",
    "switched_off": "the first choice was switched off",
}
# Reasons have no numbers: these three and what is not told keep their colours.
REASON_COLOURS = dict(zip(REASONS.values(), (colour_of(3), colour_of(0), colour_of(5)), strict=True)) | {
    OTHER_REASON: REST
}
_HALF_A_DAY = timedelta(hours=12)
_DAYS: dict[str, Any] = {"type": "date", "tickformat": "%-d %b", "hoverformat": "%a %-d %b %Y"}
# No gaps: on a phone a day is three pixels wide, and gaps of one come out uneven.
_BARS: dict[str, Any] = {"barmode": "stack", "bargap": 0, "barcornerradius": 0}
_NO_REQUESTS = "Shares are of requests with status ok. There are none in these days."
_LONGEST_TITLE = 60  # characters in a hover label


def trace(kind: str, **given: Any) -> dict[str, Any]:
    """Return a trace as Plotly's JSON has it. A colour may be given as `marker_color`."""
    if "marker_color" in given:
        given["marker"] = {"color": given.pop("marker_color")}
    return {"type": kind, **given}


def drawn(traces: Sequence[dict[str, Any]], **layout: Any) -> dict[str, Any]:
    """Return a figure as it is: having Plotly check each of its values took a third of the page's own time.

    A test has it check these figures.
    """
    return {"data": list(traces), "layout": {"template": "none", **layout}}


def written(value: Decimal, measure: str) -> str:
    """Return every digit of a measure, with its unit."""
    if measure == "cost":
        return f"${exact(value)}"
    return f"{exact(value)} {'token' if measure == 'tokens' else 'request'}{'' if value == 1 else 's'}"


def share_by_tier(shares: Shares) -> Chart:
    """Stack the share of each tier per day to 100 %, with the versions of the rules marked."""
    cells: dict[tuple[str, date], Decimal] = defaultdict(Decimal)
    for row in shares.days:
        cells[row.tier, row.day] += measured(row, shares.question.measure)
    used = {name for (name, _), value in cells.items() if value}
    names = [tier for tier in TIERS if tier in used]
    return _stacked(shares, cells, names, looks({}), id="tier-share-figure", what="tier")


def share_by_model(shares: Shares) -> Chart:
    """Stack the share of the largest models per day to 100 %, the others as one."""
    cells: dict[tuple[str, date], Decimal] = defaultdict(Decimal)
    for row in shares.days:
        name = row.model if row.model in shares.models else OTHERS
        cells[name, row.day] += measured(row, shares.question.measure)
    names = [*shares.models]
    # A name may be just that: it is one with the others, once.
    if OTHERS not in names and any(value for (name, _), value in cells.items() if name == OTHERS):
        names.append(OTHERS)
    return _stacked(shares, cells, names, looks(shares.model_numbers), id="model-share-figure", what="model")


def _stacked(
    shares: Shares,
    cells: Mapping[tuple[str, date], Decimal],
    names: Sequence[str],
    shown_as: Mapping[str, Look],
    *,
    id: str,
    what: str,
) -> Chart:
    question, measure = shares.question, shares.question.measure
    title = f"Share by {what}"
    if not names:
        return Chart(id=id, title=title, empty_title="Nothing was answered in these days", empty_text=_NO_REQUESTS)
    days = _days(question, shares.days)
    totals = {day: sum((cells[name, day] for name in names), Decimal(0)) for day in days}

    def part(name: str, day: date) -> Decimal | None:
        return cells[name, day] / totals[day] if totals[day] > 0 else None

    traces: list[Any] = [
        trace(
            "bar",
            name=escaped(name),
            x=[day.isoformat() for day in days],
            y=[_per_cent(part(name, day)) for day in days],
            customdata=[written(cells[name, day], measure) for day in days],
            marker=shown_as[name].marker,
            hovertemplate="%{y:.1f} % · %{customdata}",
        )
        for name in names
    ]
    marks = [mark for mark in shares.marks if mark.day >= days[0]]
    traces += _hovering(marks, at=100)
    whole = sum(totals.values(), Decimal(0))
    of_all = {name: share_of(sum((cells[name, day] for day in days), Decimal(0)), whole) for name in names}
    marked = _by_day(marks)
    return Chart(
        id=id,
        title=title,
        subtitle=f"Per day, {OF[measure]}{_so_far(question, days)}. {_legend_of(marks)}".strip(),
        summary=f"Bars of 100 % per day by {what}, {OF[measure]}. In all: "
        + ", ".join(f"{name} {percent(of_all[name])}" for name in names)
        + f". {len(marks)} versions of the rules are marked.",
        figure=drawn(
            traces, **_BARS,
            yaxis={"ticksuffix": " %", "range": [0, 106 if marks else 100], "dtick": 25},
            xaxis={**_DAYS, "range": _axis(days)},
            **_lines(marks, question.zone, top=100, days=len(days)),
        ),
        columns=["Day", *names, MEASURES[measure], "Rules"],
        rows=[
            [
                day_of(day),
                *(f"{percent(part(name, day))} ({plain(cells[name, day], measure)})" for name in names),
                plain(totals[day], measure),
                ", ".join(f"version {mark.number}" for mark in marked.get(day, ())),
            ]
            for day in reversed(days)
        ],
        size="large",
    )  # fmt: skip


def detours(page: Page) -> Chart:
    """Stack how many of a day's answered requests did not go to their first choice, by the reason."""
    title = "Away from the first choice, by reason"
    rows = page.shares.days
    gone: dict[tuple[str, date], int] = defaultdict(int)
    answered: dict[date, int] = defaultdict(int)
    for row in rows:
        gone[REASONS.get(row.reason, OTHER_REASON), row.day] += detoured(row, row.reason)
        answered[row.day] += row.answered
    names = [name for name in REASON_COLOURS if any(count for (one, _), count in gone.items() if one == name)]
    if not names:
        return Chart(
            id="detour-figure",
            title=title,
            empty_title="Every answered request went to its first choice",
            empty_text="A gateway tries a fallback after its first choice failed; a used-up budget or a switch takes "
            "the first choice away. Gateways report it as fallback_index and as the route reason.",
        )
    days = _days(page.question, rows)
    traces: list[Any] = [
        trace(
            "bar",
            name=name,
            x=[day.isoformat() for day in days],
            y=[_per_cent(share(gone[name, day], answered[day])) for day in days],
            customdata=[written(Decimal(gone[name, day]), "requests") for day in days],
            marker_color=REASON_COLOURS[name],
            hovertemplate="%{y:.1f} % · %{customdata}",
        )
        for name in names
    ]
    highest = max((share(sum(gone[name, day] for name in names), answered[day]) or Decimal(0)) for day in days)
    top = float(highest * 100) * 1.02
    marks = [mark for mark in page.shares.marks if mark.day >= days[0]]
    traces += _hovering(marks, at=top)
    in_all = {name: sum(gone[name, day] for day in days) for name in names}
    return Chart(
        id="detour-figure",
        title=title,
        subtitle=f"Per day, of answered requests{_so_far(page.question, days)}. {_legend_of(marks)}".strip(),
        summary=f"Stacked bars per day: {exact(page.total.detoured)} requests, "
        f"{percent(share(page.total.detoured, page.total.answered))} of those answered, did not go to their first "
        "choice: " + ", ".join(f"{name} {exact(count)}" for name, count in in_all.items()) + ".",
        figure=drawn(
            traces, **_BARS, yaxis={"ticksuffix": " %", "range": [0, top * 1.08]},
            xaxis={**_DAYS, "range": _axis(days)}, **_lines(marks, page.question.zone, top=top, days=len(days)),
        ),
        columns=["Day", *(f"{name[0].upper()}{name[1:]}" for name in names), "In all", "Answered", "Share"],
        rows=[
            [
                day_of(day),
                *(exact(gone[name, day]) for name in names),
                exact(sum(gone[name, day] for name in names)),
                exact(answered[day]),
                percent(share(sum(gone[name, day] for name in names), answered[day])),
            ]
            for day in reversed(days)
        ],
    )  # fmt: skip


def share_of(part: Decimal, whole: Decimal) -> Decimal | None:
    return part / whole if whole > 0 else None


def plain(value: Decimal, measure: str) -> str:
    return f"${exact(value)}" if measure == "cost" else exact(value)


def _per_cent(value: Decimal | None) -> float | None:
    return number(value * 100) if value else None


def _days(question: Question, rows: Sequence[DayFlow]) -> list[date]:
    """Return the days of the axis: from the first that has anything, up to today."""
    until = min(question.until, max(question.today + timedelta(days=1), question.first + timedelta(days=1)))
    first = begun(question.first, until, (row.day for row in rows))
    return [first + timedelta(days=n) for n in range((until - first).days)]


def _axis(days: Sequence[date]) -> list[str]:
    midnight = time()
    return [
        (datetime.combine(days[0], midnight) - _HALF_A_DAY).isoformat(),
        (datetime.combine(days[-1], midnight) + _HALF_A_DAY).isoformat(),
    ]


def _so_far(question: Question, days: Sequence[date]) -> str:
    return f"; {day_of(question.today)} so far" if days[-1] == question.today else ""


def _by_day(marks: Sequence[Mark]) -> dict[date, list[Mark]]:
    found: dict[date, list[Mark]] = defaultdict(list)
    for mark in marks:
        found[mark.day].append(mark)
    return found


def _legend_of(marks: Sequence[Mark]) -> str:
    if not marks:
        return ""
    return "Dotted lines: versions of the rules; their numbers lead to them"


def told(mark: Mark) -> str:
    """Say what a version is, in a line."""
    title = mark.title if len(mark.title) <= _LONGEST_TITLE else f"{mark.title[: _LONGEST_TITLE - 1]}…"
    if mark.at is None:
        return f"version {mark.number} first seen"
    if mark.rolls_back_to:
        return f"version {mark.number}: back to version {mark.rolls_back_to}"
    return f"version {mark.number}: {title}" if title else f"version {mark.number} published"


def _hovering(marks: Sequence[Mark], *, at: float) -> list[Any]:
    """Return points that nobody sees; they say the title of a day's versions where the day is pointed at."""
    by_day = _by_day(marks)
    if not by_day:
        return []
    texts = ["; ".join(escaped(told(mark)) for mark in those) for those in by_day.values()]
    return [
        trace(
            "scatter",
            name="rules",
            x=[day.isoformat() for day in by_day],
            y=[at] * len(by_day),
            customdata=texts,
            mode="markers",
            marker={"size": 8, "opacity": 0, "color": TEXT},
            hovertemplate="%{customdata}",
            showlegend=False,
        )
    ]


def _lines(marks: Sequence[Mark], zone: str, *, top: float, days: int) -> dict[str, Any]:
    """Return a line per version and its number above, where there is room for the number. See the note above."""
    shapes: list[dict[str, Any]] = []
    labels: list[dict[str, Any]] = []
    room = timedelta(days=days) / 22
    last: datetime | None = None
    for those in _by_day(marks).values():
        for mark in those:
            place = _place(mark, zone)
            shapes.append(
                {
                    "type": "line", "x0": place.isoformat(), "x1": place.isoformat(), "y0": 0, "y1": top,
                    "layer": "above", "line": {"color": TEXT, "width": 1.25, "dash": "dot"},
                }
            )  # fmt: skip
        place = _place(those[0], zone)
        if last is not None and place - last < room:
            continue
        last = place
        text = f"v{those[0].number}" if len(those) == 1 else f"v{those[0].number}\N{EN DASH}{those[-1].number}"
        if those[-1].url:
            text = f'<a href="{those[-1].url}" target="_self">{text}</a>'
        labels.append(
            {
                "x": place.isoformat(), "y": top, "text": text, "showarrow": False, "xanchor": "center",
                "yanchor": "bottom", "font": {"size": 11, "color": TEXT},
                "hovertext": "<br>".join(escaped(told(mark)) for mark in those),
            }
        )  # fmt: skip
    return {"shapes": shapes, "annotations": labels}


def _place(mark: Mark, zone: str) -> datetime:
    local = datetime.combine(mark.day, time())
    if mark.at is not None:
        local = mark.at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    return local - _HALF_A_DAY
