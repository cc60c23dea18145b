"""Charts of the routing page: who served how much, by which version of the rules, fallbacks, what was asked for.

# Note [Where a version stands]
A bar stands in the middle of its day, so the day reaches half a day to either side of its date on the axis. A version
that came at an instant is therefore drawn half a day earlier than the instant says: at midnight, where the bar begins.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

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
)
from dashboards.selectors.routing import Mark, Page, Question, Shares, measured
from dashboards.templatetags.figures import exact, percent
from usage.selectors.overview import share
from usage.selectors.routing import Served, TierDay

MEASURES = {"requests": "Requests", "tokens": "Tokens", "cost": "Spend"}
_OF = {"requests": "of answered requests", "tokens": "of their tokens", "cost": "of what they cost"}
_HALF_A_DAY = timedelta(hours=12)
_DAYS: dict[str, Any] = {"type": "date", "tickformat": "%-d %b", "hoverformat": "%a %-d %b %Y"}
# No gaps: on a phone a day is three pixels wide, and gaps of one come out uneven.
_BARS: dict[str, Any] = {"barmode": "stack", "bargap": 0, "barcornerradius": 0}
_NO_REQUESTS = "Shares are of requests with status ok. There are none in these days."
_LONGEST_TITLE = 60  # characters in a hover label


def written(value: Decimal, measure: str) -> str:
    """Return every digit of a measure, with its unit."""
    if measure == "cost":
        return f"${exact(value)}"
    return f"{exact(value)} {'token' if measure == 'tokens' else 'request'}{'' if value == 1 else 's'}"


def share_by_tier(shares: Shares) -> Chart:
    """Stack the share of each tier per day to 100 %, with the versions of the rules marked."""
    cells: dict[tuple[str, date], Decimal] = defaultdict(Decimal)
    for row in shares.tier_days:
        cells[row.tier, row.day] += measured(row, shares.question.measure)
    used = {name for (name, _), value in cells.items() if value}
    names = [tier for tier in TIERS if tier in used]
    return _stacked(
        shares, cells, names, lambda name: colour_of_tier(name), id="tier-share-figure", what="tier", size="large"
    )


def share_by_model(shares: Shares) -> Chart:
    """Stack the share of the largest models per day to 100 %, the others as one."""
    cells: dict[tuple[str, date], Decimal] = defaultdict(Decimal)
    measure = shares.question.measure
    for day in shares.tier_days:
        cells[OTHERS, day.day] += measured(day, measure)
    for row in shares.model_days:
        cells[row.model, row.day] += measured(row, measure)
        cells[OTHERS, row.day] -= measured(row, measure)
    names = [*shares.models]
    if any(value for (name, _), value in cells.items() if name == OTHERS):
        names.append(OTHERS)

    def colour(name: str) -> str:
        return REST if name == OTHERS else colour_of(names.index(name))

    return _stacked(shares, cells, names, colour, id="model-share-figure", what="model", size="large")


def _stacked(
    shares: Shares,
    cells: Mapping[tuple[str, date], Decimal],
    names: Sequence[str],
    colour: Callable[[str], str],
    *,
    id: str,
    what: str,
    size: str,
) -> Chart:
    question, measure = shares.question, shares.question.measure
    title = f"Share by {what}"
    if not names:
        return Chart(id=id, title=title, empty_title="Nothing was answered in these days", empty_text=_NO_REQUESTS)
    days = _days(question, shares.tier_days)
    totals = {day: sum((cells[name, day] for name in names), Decimal(0)) for day in days}

    def part(name: str, day: date) -> Decimal | None:
        return cells[name, day] / totals[day] if totals[day] > 0 else None

    traces: list[Any] = [
        go.Bar(
            name=name,
            x=[day.isoformat() for day in days],
            y=[_per_cent(part(name, day)) for day in days],
            customdata=[written(cells[name, day], measure) for day in days],
            marker_color=colour(name),
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
        subtitle=f"Per day, {_OF[measure]}{_so_far(question, days)}. {_legend_of(marks)}".strip(),
        summary=f"Bars of 100 % per day by {what}, {_OF[measure]}. In all: "
        + ", ".join(f"{name} {percent(of_all[name])}" for name in names)
        + f". {len(marks)} versions of the rules are marked.",
        figure=figure(
            traces, **_BARS,
            yaxis={"ticksuffix": " %", "range": [0, 106 if marks else 100], "dtick": 25},
            xaxis={**_DAYS, "range": _axis(days)},
            **_lines(marks, question.zone, top=100, days=len(days)),
        ),
        columns=["Day", *names, MEASURES[measure], "Rules"],
        rows=[
            [
                day_of(day),
                *(f"{percent(part(name, day))} ({_plain(cells[name, day], measure)})" for name in names),
                _plain(totals[day], measure),
                ", ".join(f"version {mark.number}" for mark in marked.get(day, ())),
            ]
            for day in reversed(days)
        ],
        size=size,
    )  # fmt: skip


def fallbacks(page: Page) -> Chart:
    """Stack how many of a day's answered requests a fallback answered, by the tier that it ended in."""
    title = "Answered by a fallback"
    rows = page.shares.tier_days
    falls: dict[tuple[str, date], int] = defaultdict(int)
    answered: dict[date, int] = defaultdict(int)
    for row in rows:
        falls[row.tier, row.day] += row.by_fallback
        answered[row.day] += row.answered
    names = [tier for tier in TIERS if any(count for (name, _), count in falls.items() if name == tier)]
    if not names:
        return Chart(
            id="fallback-figure",
            title=title,
            empty_title="No request was answered by a fallback",
            empty_text="A fallback is what a gateway tries after its first choice failed, was switched off or was over "
            "budget. Gateways report it as fallback_index or as the route reason fallback.",
        )
    days = _days(page.question, rows)
    traces: list[Any] = [
        go.Bar(
            name=f"ended on {name}",
            x=[day.isoformat() for day in days],
            y=[_per_cent(share(falls[name, day], answered[day])) for day in days],
            customdata=[written(Decimal(falls[name, day]), "requests") for day in days],
            marker_color=colour_of_tier(name),
            hovertemplate="%{y:.1f} % · %{customdata}",
        )
        for name in names
    ]
    highest = max((share(sum(falls[name, day] for name in names), answered[day]) or Decimal(0)) for day in days)
    top = float(highest * 100) * 1.02
    marks = [mark for mark in page.shares.marks if mark.day >= days[0]]
    traces += _hovering(marks, at=top)
    return Chart(
        id="fallback-figure",
        title=title,
        subtitle=f"Per day, of answered requests, by the tier that answered{_so_far(page.question, days)}. "
        f"{_legend_of(marks)}".strip(),
        summary=f"Stacked bars per day: {exact(page.total.by_fallback)} requests, "
        f"{percent(page.total.fallback_share)} of those answered, were answered by a fallback; "
        f"{exact(page.total.fallback_on_frontier)} of them on frontier models.",
        figure=figure(
            traces, **_BARS, yaxis={"ticksuffix": " %", "range": [0, top * 1.08]},
            xaxis={**_DAYS, "range": _axis(days)}, **_lines(marks, page.question.zone, top=top, days=len(days)),
        ),
        columns=["Day", *(f"Ended on {name}" for name in names), "By a fallback", "Answered", "Share"],
        rows=[
            [
                day_of(day),
                *(exact(falls[name, day]) for name in names),
                exact(sum(falls[name, day] for name in names)),
                exact(answered[day]),
                percent(share(sum(falls[name, day] for name in names), answered[day])),
            ]
            for day in reversed(days)
        ],
    )  # fmt: skip


def requested(page: Page) -> Chart:
    """Lead what was asked for to the models that answered, in the colours of their tiers."""
    title = "Requested against served"
    measure = page.question.measure
    whole = sum((measured(one, measure) for one in page.shares.offerings), Decimal(0))
    pairs = [pair for pair in page.pairs if measured(pair, measure) > 0]
    if not pairs or whole <= 0:
        return Chart(
            id="requested-figure",
            title=title,
            empty_title="Nothing was answered in these days",
            empty_text=_NO_REQUESTS,
        )
    asked = list(dict.fromkeys(pair.requested or NONE_GIVEN for pair in pairs))
    served = list(dict.fromkeys((pair.offering, pair.tier) for pair in pairs))
    served.sort(key=lambda one: TIERS.index(one[1]) if one[1] in TIERS else len(TIERS))
    left = whole - sum((measured(pair, measure) for pair in pairs), Decimal(0))
    labels = [*asked, *(offering for offering, _ in served)]
    colours = [TEXT] * len(asked) + [colour_of_tier(tier) for _, tier in served]
    links = [
        (
            asked.index(pair.requested or NONE_GIVEN),
            len(asked) + served.index((pair.offering, pair.tier)),
            measured(pair, measure),
            f"{colour_of_tier(pair.tier)[:-1]}-soft)",
        )
        for pair in pairs
    ]
    if left > 0:
        labels += ["other pairs", "other pairs"]
        colours += [MUTED, MUTED]
        links.append((len(labels) - 2, len(labels) - 1, left, "var(--tk-series-rest-soft)"))
    return Chart(
        id="requested-figure",
        title=title,
        subtitle=f"What callers asked for, and the offering that answered, {_OF[measure]}; coloured by tier",
        summary=f"From left to right: {len(asked)} names that callers asked for to {len(served)} offerings. Most: "
        f"{pairs[0].requested or NONE_GIVEN} answered by {pairs[0].offering}.",
        figure=figure(
            [
                go.Sankey(
                    node={"label": labels, "color": colours, "hovertemplate": "%{label}<extra></extra>"},
                    link={
                        "source": [one for one, _, _, _ in links],
                        "target": [one for _, one, _, _ in links],
                        "value": [number(one) for _, _, one, _ in links],
                        "color": [one for _, _, _, one in links],
                        "customdata": [f"{written(one, measure)}, {percent(one / whole)}" for _, _, one, _ in links],
                        "hovertemplate": "%{source.label} → %{target.label}<br>%{customdata}<extra></extra>",
                    },
                )
            ]
        ),
        columns=["Asked for", "Answered by", "Tier", "Requests", "Share", "Tokens", "Spend"],
        rows=pair_rows(page),
        size="large",
    )


def pair_rows(page: Page) -> list[list[str]]:
    """Return the pairs as the table has them, and what is left as one row."""
    measure = page.question.measure
    whole = sum((measured(one, measure) for one in page.shares.offerings), Decimal(0))
    rows = [
        [
            pair.requested or NONE_GIVEN,
            pair.offering,
            pair.tier,
            exact(pair.answered),
            percent(share_of(measured(pair, measure), whole)),
            exact(pair.tokens),
            f"${exact(pair.cost_usd)}",
        ]
        for pair in page.pairs
    ]
    answered = page.total.answered - sum(pair.answered for pair in page.pairs)
    if answered > 0:
        left = whole - sum((measured(pair, measure) for pair in page.pairs), Decimal(0))
        cost = page.total.cost_usd - sum((pair.cost_usd for pair in page.pairs), Decimal(0))
        tokens = page.total.tokens - sum(pair.tokens for pair in page.pairs)
        rows.append(
            ["all others", "", "", exact(answered), percent(share_of(left, whole)), exact(tokens), f"${exact(cost)}"]
        )
    return rows


def share_of(part: Decimal, whole: Decimal) -> Decimal | None:
    return part / whole if whole > 0 else None


def _plain(value: Decimal, measure: str) -> str:
    return f"${exact(value)}" if measure == "cost" else exact(value)


def _per_cent(value: Decimal | None) -> float | None:
    return number(value * 100) if value else None


def _days(question: Question, rows: Sequence[TierDay | Served]) -> list[date]:
    """Return the days of the axis: from the first that has anything, up to today."""
    until = min(question.until, max(question.today + timedelta(days=1), question.first + timedelta(days=1)))
    first = begun(question.first, until, (row.day for row in rows if isinstance(row, TierDay)))
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
    return "Dotted lines: versions of the rules"


def told(mark: Mark) -> str:
    """Say what a version is, in a line."""
    title = mark.title if len(mark.title) <= _LONGEST_TITLE else f"{mark.title[: _LONGEST_TITLE - 1]}…"
    if mark.at is None:
        return f"version {mark.number} first seen"
    return f"version {mark.number}: {title}" if title else f"version {mark.number} published"


def _hovering(marks: Sequence[Mark], *, at: float) -> list[Any]:
    """Return points that nobody sees; they say the title of a day's versions where the day is pointed at."""
    by_day = _by_day(marks)
    if not by_day:
        return []
    texts = ["; ".join(_escaped(told(mark)) for mark in those) for those in by_day.values()]
    return [
        go.Scatter(
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
        labels.append(
            {
                "x": place.isoformat(), "y": top, "text": text, "showarrow": False, "xanchor": "center",
                "yanchor": "bottom", "font": {"size": 11, "color": TEXT},
                "hovertext": "<br>".join(_escaped(told(mark)) for mark in those),
            }
        )  # fmt: skip
    return {"shapes": shapes, "annotations": labels}


def _place(mark: Mark, zone: str) -> datetime:
    local = datetime.combine(mark.day, time())
    if mark.at is not None:
        local = mark.at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    return local - _HALF_A_DAY


def _escaped(text: str) -> str:
    """Return a text that Plotly does not take for its markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
