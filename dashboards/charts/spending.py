"""The chart of the spend page: one measure over time or by name, as bars, areas, lines or a treemap.

Figures are plain dictionaries: Plotly's own classes took a fifth of the page's time to check what tests check.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from core import periods
from dashboards.charts.looks import DASHES, PATTERNS, Look, looks
from dashboards.charts.parts import MUTED, TIERS, Chart, escaped, number, weeks_named
from dashboards.charts.spending_parts import ID, Drawn, Names, empty, split, title_words, treemap
from dashboards.charts.spending_words import (
    at_words,
    axis,
    bucket_name,
    cell,
    hover,
    key_name,
    places_of,
    subtitle,
    which_of_two,
    written,
)
from dashboards.selectors.spend import REST, Breakdown, Key, Series
from dashboards.selectors.spend_measures import measured
from dashboards.selectors.spend_question import AREA, BARS, LINES, MONTH, TABLE, TREEMAP, YEAR, Bucket, Question
from dashboards.templatetags.figures import percent
from usage.selectors.spend import Sums

MOST_MONTHS_NAMED, MOST_HOURS_NAMED = 13, 6
_KINDS = {BARS: "Bars", AREA: "Areas", LINES: "Lines"}


def draw(shown: Breakdown, *, titles: Mapping[str, str], numbers: Mapping[str, int]) -> Drawn | None:
    """Draw what is shown; None where the table stands alone.

    `titles` names the dimensions, `numbers` the colours of the names that `coloured_by` gives.
    """
    q = shown.question
    if q.chart == TABLE:
        return None
    if q.chart == TREEMAP:
        return treemap(shown, titles, numbers)
    if q.then and q.chart == BARS:
        return split(shown, titles, numbers)
    assert shown.series is not None
    return _over_time(shown, shown.series, titles, numbers)


def coloured_by(question: Question) -> str:
    """Return the dimension whose names have the colours; empty where all is one."""
    if not question.dimensions:
        return ""
    return question.then if question.then and question.chart == BARS else question.by


# --- over time ---


@dataclass(frozen=True, kw_only=True)
class _Trace:
    """A series of the chart: its name, its look, a value per bucket, and what it stands for."""

    name: str
    look: Look
    values: Sequence[Decimal | None]
    names: Names | None = None
    thin: bool = False


def _over_time(shown: Breakdown, series: Series, titles: Mapping[str, str], numbers: Mapping[str, int]) -> Drawn:
    q = shown.question
    title = f"{q.measures.title} per {q.per}"
    if q.dimensions:
        title += title_words(q, titles).removeprefix(q.measures.title)
    totals = [_of(series.totals.get(bucket.label), q) for bucket in series.buckets]
    if not any(totals):
        return empty(shown, title)
    traces = _traces(q, series, totals, numbers)
    places = places_of([value for trace in traces for value in trace.values] + totals, q.measure)
    return Drawn(
        chart=Chart(
            id=ID,
            title=title,
            subtitle=subtitle(q),
            summary=_summary(shown, series, title, totals),
            figure={"data": [_drawn(trace, q, series) for trace in traces], "layout": _layout(q, series)},
            columns=[q.per.capitalize(), *(trace.name for trace in traces), *_last_column(q)],
            rows=[
                [
                    bucket_name(bucket, q),
                    *(cell(trace.values[at], q.measure, places) for trace in traces),
                    *([cell(totals[at], q.measure, places)] if _last_column(q) else []),
                ]
                for at, bucket in reversed(list(enumerate(series.buckets)))
            ],
            size="large",
        ),
        traces=[trace.names for trace in traces],
        points=series.buckets,
    )


def _of(sums: Sums | None, q: Question) -> Decimal | None:
    return measured(sums or Sums(), q.measure)


def _last_column(q: Question) -> list[str]:
    return ["Total"] if q.dimensions and q.measures.adds else []


def _traces(q: Question, series: Series, totals: Sequence[Decimal | None], numbers: Mapping[str, int]) -> list[_Trace]:
    if not q.dimensions:
        found = [_Trace(name=q.measures.title, look=Look(colour="var(--tk-series-1)"), values=totals, names={})]
        if q.compares:
            before = [_of(series.before.get(bucket.label), q) for bucket in series.buckets]
            look = Look(colour=MUTED, dash="dot")
            found.append(_Trace(name=before_name(q), look=look, values=before, thin=True))
        return found
    names = list(series.names)
    if q.dimensions == ("tier",):
        names.sort(key=lambda key: TIERS.index(key[0]) if key[0] in TIERS else len(TIERS))
    found = [
        _Trace(
            name=key_name(key),
            look=look,
            values=[_of(series.sums.get((key, bucket.label)), q) for bucket in series.buckets],
            names=dict(zip(q.dimensions, key, strict=True)),
        )
        for key, look in zip(names, _looks(names, numbers), strict=True)
    ]
    if series.has_others:
        values = [_of(series.sums.get((REST, bucket.label)), q) for bucket in series.buckets]
        found.append(_Trace(name=key_name(REST), look=looks({})[key_name(REST)], values=values, names={}))
    if not q.measures.adds:
        look = Look(colour=MUTED, dash="dot")
        found.append(_Trace(name="all together", look=look, values=totals, names={}, thin=True))
    return found


def _looks(names: Sequence[Key], numbers: Mapping[str, int]) -> list[Look]:
    """Return the look of each name; pairs of one first name have its colour, and differ by pattern and dash."""
    known = looks(numbers)
    seen: dict[str | None, int] = {}
    found = []
    for key in names:
        turn = seen[key[0]] = seen.get(key[0], -1) + 1
        look = known[key[0] or ""]
        if turn:
            look = replace(look, pattern=PATTERNS[turn % len(PATTERNS)], dash=DASHES[turn % len(DASHES)])
        found.append(look)
    return found


def before_name(q: Question) -> str:
    return {MONTH: "a month before", YEAR: "a year before"}.get(q.against, "the days before")


def _drawn(trace: _Trace, q: Question, series: Series) -> Any:
    # Nothing is no bar; on a line it is a point at zero, where the measure has one and the day has come.
    bars = q.chart == BARS and not trace.thin
    come = [trace.thin or bucket.first <= q.today for bucket in series.buckets]
    given: dict[str, Any] = {
        "name": escaped(trace.name),
        "x": _xs(q, series),
        "y": [
            (number(value) or None) if bars else number(value) if there else None
            for value, there in zip(trace.values, come, strict=True)
        ],
        "hovertemplate": hover(q),
    }
    if bars:
        return {"type": "bar", **given, "marker": trace.look.marker}
    if q.chart == AREA and not trace.thin:
        return {"type": "scatter", **given, "stackgroup": "all", **trace.look.area}
    mode = "lines" if len(series.buckets) > 1 else "markers"
    line = trace.look.line | ({"width": 1.5} if trace.thin else {})
    return {"type": "scatter", **given, "mode": mode, "line": line, "marker": {"color": trace.look.colour}}


def _layout(q: Question, series: Series) -> dict[str, Any]:
    bars = {"barmode": "stack" if q.measures.adds else "group", "bargap": 0.15} if q.chart == BARS else {}
    return {**bars, "yaxis": axis(q), "xaxis": _axis(q, series)}


def _x(bucket: Bucket, q: Question) -> str:
    """Return where a bar stands: a week on its Monday, also where the range cuts it, so that all are as wide."""
    if bucket.hour:
        return f"{bucket.hour:%Y-%m-%dT%H:%M}"
    if q.per == "week":
        return periods.monday(bucket.first).isoformat()
    return f"{bucket.first:%b %Y}" if q.per == "month" else bucket.first.isoformat()


def _xs(q: Question, series: Series) -> list[str]:
    """Return where bars stand. An axis of dates knows no hour twice, so a range that has one stands on its names."""
    if any(map(which_of_two, series.buckets)):
        return [
            f"{bucket.hour.day} {bucket.hour:%b %H:%M}{which_of_two(bucket)}"
            for bucket in series.buckets
            if bucket.hour
        ]
    return [_x(bucket, q) for bucket in series.buckets]


def _hours_named(buckets: Sequence[Bucket]) -> list[str]:
    """Return labels of hours with the day below where it changes, as an axis of dates has them."""
    found, day = [], None
    for bucket in buckets:
        below = f"<br>{bucket.first.day} {bucket.first:%b}" if bucket.first != day else ""
        found.append(f"{bucket.hour:%H:%M}{which_of_two(bucket).replace(' ', '<br>')}{below}")
        day = bucket.first
    return found


def _axis(q: Question, series: Series) -> dict[str, Any]:
    if q.per == "month":  # of unequal lengths, so on an axis of dates their bars would be too
        every = -(-len(series.buckets) // MOST_MONTHS_NAMED)
        return {"type": "category", "tickvals": [_x(bucket, q) for bucket in series.buckets[::every]]}
    if q.per == "hour" and any(map(which_of_two, series.buckets)):
        every = -(-len(series.buckets) // MOST_HOURS_NAMED)
        return {
            "type": "category",
            "tickvals": _xs(q, series)[::every],
            "ticktext": _hours_named(series.buckets[::every]),
        }
    if q.per == "hour":
        # What follows the line's end is drawn where it changes: a label of both on one line lies askew on a phone.
        ticks = "%H:%M" if q.days == 1 else "%H:%M\n%-d %b"
        return {"type": "date", "tickformat": ticks, "hoverformat": "%a %-d %b %Y, %H:%M"}
    ticks = "%-d %b" if q.days <= 366 else "%b %Y"
    found = {"type": "date", "tickformat": ticks, "hoverformat": "%a %-d %b %Y"}
    if q.per == "week":
        return found | weeks_named(_x(series.buckets[0], q), len(series.buckets))
    return found


def _summary(shown: Breakdown, series: Series, title: str, totals: Sequence[Decimal | None]) -> str:
    q = shown.question
    most = max(range(len(totals)), key=lambda at: totals[at] or Decimal(0))
    share = shown.total.sums.priced_share
    priced = f"; {percent(share)} of tokens priced" if q.measures.unit == "usd" and share is not None else ""
    stacked = "Stacked bars" if q.chart == BARS and q.dimensions and q.measures.adds else _KINDS[q.chart]
    whole = written(measured(shown.total.sums, q.measure), q.measure)
    return (
        f"{stacked} of {title[0].lower()}{title[1:]}: {whole} in all{priced}, most {at_words(series.buckets[most], q)}."
    )
