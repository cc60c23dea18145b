"""Charts of the routing page over time: who served how much, under which version of the rules, and detours.

A bar is a day, or in long ranges a week, which goes by the date of its Monday (`Question.bar`).

# Note [Where a version stands]
A bar reaches half its length to either side of its date on the axis. A version that came at an instant is therefore
drawn half a bar earlier than the instant says: one of midnight where the bar of the day begins.
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
    weeks_named,
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
_DAYS: dict[str, Any] = {"type": "date", "tickformat": "%-d %b", "hoverformat": "%a %-d %b %Y"}
# No gaps: on a phone a day is three pixels wide, and gaps of one come out uneven.
_BARS: dict[str, Any] = {"barmode": "stack", "bargap": 0, "barcornerradius": 0}
_NO_REQUESTS = "Shares are of requests with status ok. There are none in these days."
_LONGEST_TITLE = 60  # characters in a hover label
_CHARACTERS = 44  # of the labels above, on the width of a phone


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
    """Stack the share of each tier per bar to 100 %, with the versions of the rules marked."""
    cells: dict[tuple[str, date], Decimal] = defaultdict(Decimal)
    for row in shares.days:
        cells[row.tier, shares.question.bar(row.day)] += measured(row, shares.question.measure)
    used = {name for (name, _), value in cells.items() if value}
    names = [tier for tier in TIERS if tier in used]
    return _stacked(shares, cells, names, looks({}), id="tier-share-figure", what="tier")


def share_by_model(shares: Shares) -> Chart:
    """Stack the share of the largest models per bar to 100 %, the others as one."""
    cells: dict[tuple[str, date], Decimal] = defaultdict(Decimal)
    for row in shares.days:
        name = row.model if row.model in shares.models else OTHERS
        cells[name, shares.question.bar(row.day)] += measured(row, shares.question.measure)
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
    bars = _bars(question, shares.days)
    totals = {bar: sum((cells[name, bar] for name in names), Decimal(0)) for bar in bars}

    def part(name: str, bar: date) -> Decimal | None:
        return cells[name, bar] / totals[bar] if totals[bar] > 0 else None

    traces: list[Any] = [
        trace(
            "bar",
            name=escaped(name),
            x=[bar.isoformat() for bar in bars],
            y=[_per_cent(part(name, bar)) for bar in bars],
            customdata=[written(cells[name, bar], measure) for bar in bars],
            marker=shown_as[name].marker,
            hovertemplate="%{y:.1f} % · %{customdata}",
        )
        for name in names
    ]
    marked = _marked(question, shares.marks, bars)
    traces += _hovering(marked, at=100)
    whole = sum(totals.values(), Decimal(0))
    of_all = {name: share_of(sum((cells[name, bar] for bar in bars), Decimal(0)), whole) for name in names}
    return Chart(
        id=id,
        title=title,
        subtitle=f"{_per(question)}, {OF[measure]}{_cut(question, bars)}. {_legend_of(marked)}".strip(),
        summary=f"Bars of 100 % per {_bar(question)} by {what}, {OF[measure]}. In all: "
        + ", ".join(f"{name} {percent(of_all[name])}" for name in names)
        + f". {sum(map(len, marked.values()))} versions of the rules are marked.",
        figure=drawn(
            traces, **_BARS,
            yaxis={"ticksuffix": " %", "range": [0, 106 if marked else 100], "dtick": 25},
            xaxis=_axis(question, bars),
            **_lines(question, marked, top=100, bars=bars),
        ),
        columns=[_column(question), *names, MEASURES[measure], "Rules"],
        rows=[
            [
                day_of(bar),
                *(f"{percent(part(name, bar))} ({plain(cells[name, bar], measure)})" for name in names),
                plain(totals[bar], measure),
                ", ".join(f"version {mark.number}" for mark in marked.get(bar, ())),
            ]
            for bar in reversed(bars)
        ],
        size="large",
    )  # fmt: skip


def detours(page: Page) -> Chart:
    """Stack how many of a bar's answered requests did not go to their first choice, by the reason."""
    title = "Away from the first choice, by reason"
    question, rows = page.question, page.shares.days
    gone: dict[tuple[str, date], int] = defaultdict(int)
    answered: dict[date, int] = defaultdict(int)
    for row in rows:
        gone[REASONS.get(row.reason, OTHER_REASON), question.bar(row.day)] += detoured(row, row.reason)
        answered[question.bar(row.day)] += row.answered
    names = [name for name in REASON_COLOURS if any(count for (one, _), count in gone.items() if one == name)]
    if not names:
        return Chart(
            id="detour-figure",
            title=title,
            empty_title="Every answered request went to its first choice",
            empty_text="A gateway tries a fallback after its first choice failed; a used-up budget or a switch takes "
            "the first choice away. Gateways report it as fallback_index and as the route reason.",
        )
    bars = _bars(question, rows)
    traces: list[Any] = [
        trace(
            "bar",
            name=name,
            x=[bar.isoformat() for bar in bars],
            y=[_per_cent(share(gone[name, bar], answered[bar])) for bar in bars],
            customdata=[written(Decimal(gone[name, bar]), "requests") for bar in bars],
            marker_color=REASON_COLOURS[name],
            hovertemplate="%{y:.1f} % · %{customdata}",
        )
        for name in names
    ]
    away = {bar: sum(gone[name, bar] for name in names) for bar in bars}
    highest = max((share(away[bar], answered[bar]) or Decimal(0)) for bar in bars)
    top = float(highest * 100) * 1.02
    marked = _marked(question, page.shares.marks, bars)
    traces += _hovering(marked, at=top)
    in_all = {name: sum(gone[name, bar] for bar in bars) for name in names}
    return Chart(
        id="detour-figure",
        title=title,
        subtitle=f"{_per(question)}, of answered requests{_cut(question, bars)}. {_legend_of(marked)}".strip(),
        summary=f"Stacked bars per {_bar(question)}: {exact(page.total.detoured)} requests, "
        f"{percent(share(page.total.detoured, page.total.answered))} of those answered, did not go to their first "
        "choice: " + ", ".join(f"{name} {exact(count)}" for name, count in in_all.items()) + ".",
        figure=drawn(
            traces, **_BARS, yaxis={"ticksuffix": " %", "range": [0, top * 1.08]},
            xaxis=_axis(question, bars), **_lines(question, marked, top=top, bars=bars),
        ),
        columns=[_column(question), *(f"{name[0].upper()}{name[1:]}" for name in names), "In all", "Answered", "Share"],
        rows=[
            [
                day_of(bar),
                *(exact(gone[name, bar]) for name in names),
                exact(away[bar]),
                exact(answered[bar]),
                percent(share(away[bar], answered[bar])),
            ]
            for bar in reversed(bars)
        ],
    )  # fmt: skip


def share_of(part: Decimal, whole: Decimal) -> Decimal | None:
    return part / whole if whole > 0 else None


def plain(value: Decimal, measure: str) -> str:
    return f"${exact(value)}" if measure == "cost" else exact(value)


def _per_cent(value: Decimal | None) -> float | None:
    return number(value * 100) if value else None


def _length(question: Question) -> timedelta:
    return timedelta(days=7 if question.weekly else 1)


def _bar(question: Question) -> str:
    return "week" if question.weekly else "day"


def _per(question: Question) -> str:
    return "Per week from Monday" if question.weekly else "Per day"


def _column(question: Question) -> str:
    return "Week from" if question.weekly else "Day"


def _bars(question: Question, rows: Sequence[DayFlow]) -> list[date]:
    """Return the dates of the bars: from the first that has anything, up to today."""
    until = min(question.until, max(question.today + timedelta(days=1), question.first + timedelta(days=1)))
    bar = question.bar(begun(question.first, until, (row.day for row in rows)))
    found = []
    while bar < until:
        found.append(bar)
        bar += _length(question)
    return found


def _axis(question: Question, bars: Sequence[date]) -> dict[str, Any]:
    half = _length(question) / 2
    ends = [datetime.combine(bars[0], time()) - half, datetime.combine(bars[-1], time()) + half]
    found = _DAYS | {"range": [end.isoformat() for end in ends]}
    return found | weeks_named(bars[0].isoformat(), len(bars)) if question.weekly else found


def _cut(question: Question, bars: Sequence[date]) -> str:
    """Say which bars lack some of their time."""
    first, today = question.first, question.today
    began = f"; the first week from {day_of(first)}" if bars[0] < first else ""
    if not question.weekly:
        return f"; {day_of(today)} so far" if bars[-1] == today else ""
    last = bars[-1] + timedelta(days=6)
    if bars[-1] <= today <= min(last, question.last):
        return f"{began}; the last one so far"
    return f"{began}; the last one up to {day_of(question.last)}" if question.last < last else began


def _marked(question: Question, marks: Sequence[Mark], bars: Sequence[date]) -> dict[date, list[Mark]]:
    """Return the versions that the bars show, by bar."""
    found: dict[date, list[Mark]] = defaultdict(list)
    for mark in marks:
        if (bar := question.bar(mark.day)) >= bars[0]:
            found[bar].append(mark)
    return found


def _legend_of(marked: Mapping[date, Sequence[Mark]]) -> str:
    if not marked:
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


def _hovering(marked: Mapping[date, Sequence[Mark]], *, at: float) -> list[Any]:
    """Return points that nobody sees; they say the titles of a bar's versions where the bar is pointed at."""
    if not marked:
        return []
    texts = ["; ".join(escaped(told(mark)) for mark in those) for those in marked.values()]
    return [
        trace(
            "scatter",
            name="rules",
            x=[bar.isoformat() for bar in marked],
            y=[at] * len(marked),
            customdata=texts,
            mode="markers",
            marker={"size": 8, "opacity": 0, "color": TEXT},
            hovertemplate="%{customdata}",
            showlegend=False,
        )
    ]


def _lines(
    question: Question, marked: Mapping[date, Sequence[Mark]], *, top: float, bars: Sequence[date]
) -> dict[str, Any]:
    """Return a line per version and its number above, where there is room for the number. See the note above."""
    shapes: list[dict[str, Any]] = []
    labels: list[dict[str, Any]] = []
    of_character = _length(question) * len(bars) / _CHARACTERS
    free: datetime | None = None  # right of the label before
    for those in marked.values():
        for mark in those:
            place = _place(question, mark)
            shapes.append(
                {
                    "type": "line", "x0": place.isoformat(), "x1": place.isoformat(), "y0": 0, "y1": top,
                    "layer": "above", "line": {"color": TEXT, "width": 1.25, "dash": "dot"},
                }
            )  # fmt: skip
        place = _place(question, those[0])
        numbers = sorted({mark.number for mark in those})
        text = f"v{numbers[0]}" if len(numbers) == 1 else f"v{numbers[0]}\N{EN DASH}{numbers[-1]}"
        half = of_character * len(text) / 2
        if free is not None and place - half < free:
            continue
        free = place + half
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


def _place(question: Question, mark: Mark) -> datetime:
    local = datetime.combine(mark.day, time())
    if mark.at is not None:
        local = mark.at.astimezone(ZoneInfo(question.zone)).replace(tzinfo=None)
    return local - _length(question) / 2
