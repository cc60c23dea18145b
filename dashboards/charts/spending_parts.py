"""What the days of the spend page are made of, as one picture: bars that a second dimension splits, and a treemap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from dashboards.charts.looks import looks
from dashboards.charts.parts import OTHERS, TIERS, Chart, axis_labels, escaped, number
from dashboards.charts.spending_words import axis, cell, hover, name_of, nothing, places_of, subtitle, written
from dashboards.selectors.spend import MOST_DRAWN, Breakdown, Line, plus
from dashboards.selectors.spend_measures import measured, weight
from dashboards.selectors.spend_question import Bucket, Question

ID = "spending-figure"
Names = dict[str, str | None]  # what is meant, by dimension
MOST_BARS = 15
LONGEST_NAME = 40


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A chart, and what a click on it means: names by trace, days or names by point. None leads nowhere."""

    chart: Chart
    traces: Sequence[Names | None] = ()
    points: Sequence[Bucket | Names | None] = ()


def title_words(question: Question, titles: Mapping[str, str]) -> str:
    by = " and ".join(titles[name].lower() for name in question.dimensions)
    return f"{question.measures.title} by {by}"


def empty(shown: Breakdown, title: str) -> Drawn:
    return Drawn(
        chart=Chart(
            id=ID,
            title=title,
            empty_title="Nothing to draw",
            empty_text=nothing(shown.question, shown.total.sums),
        )
    )


def split(shown: Breakdown, titles: Mapping[str, str], numbers: Mapping[str, int]) -> Drawn:
    """Draw a bar per name of the first dimension; names of the second one are its parts, or stand beside each other."""
    q = shown.question
    title = title_words(q, titles)
    # The rest of a rest cannot be told apart: what is beyond the bars is in the table alone.
    bars = [line for line in shown.lines if not line.rest and weight(line.sums, q.measure) > 0][:MOST_BARS]
    if not bars:
        return empty(shown, title)
    sizes: dict[str | None, list[Decimal]] = {}
    for bar in bars:
        for part in bar.parts:
            if not part.rest:
                sizes.setdefault(part.name, []).append(weight(part.sums, q.measure))
    largest = sorted(sizes, key=lambda name: (-plus(sizes[name]), name or ""))[:MOST_DRAWN]
    if q.then == "tier":
        largest.sort(key=lambda name: TIERS.index(name) if name in TIERS else len(TIERS))
    shades = looks(numbers)
    values = {name: [_value(bar, name, q) for bar in bars] for name in largest}
    columns: list[tuple[str, Sequence[Decimal | None]]] = [(name_of(name), values[name]) for name in largest]
    if q.measures.adds:
        rest = [_rest(bar, largest, q) for bar in bars]
        if any(rest):
            columns.append((OTHERS, rest))
    left = len(shown.lines) - len(bars)
    places = places_of((measured(bar.sums, q.measure) for bar in bars), q.measure)
    return Drawn(
        chart=Chart(
            id=ID,
            title=title,
            subtitle=subtitle(q) + (f"; the {len(bars)} largest" if left else ""),
            summary=f"{'Stacked bars' if q.measures.adds else 'Bars'} of {title[0].lower()}{title[1:]}: largest is "
            f"{name_of(bars[0].name)} with {written(measured(bars[0].sums, q.measure), q.measure)}.",
            figure={
                "data": [
                    {
                        "type": "bar",
                        "name": escaped(name),
                        "x": axis_labels((name_of(bar.name) for bar in bars), LONGEST_NAME),
                        "y": [number(value) or None for value in row],
                        "marker": shades[name].marker,
                        "hovertemplate": hover(q),
                    }
                    for name, row in columns
                ],
                "layout": {
                    "barmode": "stack" if q.measures.adds else "group",
                    "bargap": 0.2,
                    "yaxis": axis(q),
                    "xaxis": {"type": "category"},
                },
            },
            columns=[titles[q.by], *(name for name, _ in columns), "Total" if q.measures.adds else "All"],
            rows=[
                [
                    name_of(bar.name),
                    *(cell(row[place], q.measure, places) for _, row in columns),
                    cell(measured(bar.sums, q.measure), q.measure, places),
                ]
                for place, bar in enumerate(bars)
            ],
            size="large",
        ),
        traces=[{q.then: name} for name in largest] + [{}] * (len(columns) - len(largest)),
        points=[{q.by: bar.name} for bar in bars],
    )


def _value(bar: Line, name: str | None, q: Question) -> Decimal | None:
    return next((measured(part.sums, q.measure) for part in bar.parts if not part.rest and part.name == name), None)


def _rest(bar: Line, largest: Sequence[str | None], q: Question) -> Decimal:
    others = [part for part in bar.parts if part.rest or part.name not in largest]
    return plus(measured(part.sums, q.measure) or Decimal(0) for part in others)


def treemap(shown: Breakdown, titles: Mapping[str, str], numbers: Mapping[str, int]) -> Drawn:
    """Draw names as tiles, as large as what they come to; names of a second dimension lie within those of the first."""
    q = shown.question
    title = title_words(q, titles)
    shades, places = looks(numbers), places_of((measured(line.sums, q.measure) for line in shown.lines), q.measure)
    ids, labels, parents, values, colours, points = [], [], [], [], [], []
    rows = []
    for place, line in enumerate(shown.lines):
        size = measured(line.sums, q.measure) or Decimal(0)
        if size <= 0:
            continue
        name = OTHERS if line.rest else name_of(line.name)
        parts = [part for part in line.parts if (measured(part.sums, q.measure) or 0) > 0]
        # Tiles within a tile have to add up to it at most: one that a reversal made smaller has no tiles within.
        inside = plus(measured(part.sums, q.measure) or Decimal(0) for part in parts)
        tiles = [(f"{place}", "", name, size, None if line.rest else {q.by: line.name})]
        if parts and inside <= size:
            tiles += [
                (
                    f"{place}-{at}", f"{place}", OTHERS if part.rest else name_of(part.name),
                    measured(part.sums, q.measure) or Decimal(0),
                    None if part.rest or line.rest else {q.by: line.name, q.then: part.name},
                )
                for at, part in enumerate(parts)
            ]  # fmt: skip
        for id_, parent, label, value, names in tiles:
            ids.append(id_)
            labels.append(label)
            parents.append(parent)
            values.append(number(value))
            colours.append(shades[name].colour)
            points.append(names)
            rows.append([f"{name} · {label}" if parent else name, cell(value, q.measure, places)])
    if not ids:
        return empty(shown, title)
    return Drawn(
        chart=Chart(
            id=ID,
            title=title,
            subtitle=subtitle(q),
            summary=f"Treemap of {title[0].lower()}{title[1:]}: largest is {labels[0]}, "
            f"{written(measured(shown.lines[0].sums, q.measure), q.measure)} of "
            f"{written(measured(shown.total.sums, q.measure), q.measure)}.",
            figure={
                "data": [
                    {
                        "type": "treemap",
                        "ids": ids,
                        "labels": [escaped(label) for label in labels],
                        "parents": parents,
                        "values": values,
                        "branchvalues": "total",
                        "marker": {"colors": colours},
                        "texttemplate": "%{label}<br>%{percentRoot:.1%}",
                        "hovertemplate": f"%{{label}}: {hover(q, 'value')}<extra></extra>",
                    }
                ],
                "layout": {},
            },
            columns=[" and ".join(titles[name] for name in q.dimensions), q.measures.title],
            rows=rows,
            size="large",
        ),
        points=points,
    )
