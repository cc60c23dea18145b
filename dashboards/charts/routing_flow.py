"""Charts of the routing page over all of its days: which way requests went, and what was asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from dashboards.charts.looks import looks
from dashboards.charts.parts import MUTED, NONE_GIVEN, OTHERS, Chart, axis_labels, escaped, number, shortened
from dashboards.charts.routing import OF, drawn, plain, share_of, trace, written
from dashboards.selectors.routing import Asked, Shares, measured
from dashboards.templatetags.figures import exact, percent
from usage.selectors.overview import share
from usage.selectors.routing_flows import Way

MOST_SOURCES, MOST_RULES, MOST_MODELS = 8, 12, 8  # more than these are one in each column: nobody follows the bands
MOST_WAYS = 40  # rows of the table
MOST_ASKED, MOST_SERVED = 12, 8
FEW = 4  # rows that a large drawing would make into pillars
SOURCES = {"use_case": "Use case", "task": "Task"}
_PLURALS = {"use_case": "use cases", "task": "tasks"}
_NOT_TOLD = {"use_case": "no use case", "task": "no task reported"}
NO_RULE = "no rule reported"
_LONGEST = 26  # characters of a label that stands in the drawing
_LINK = "var(--tk-series-rest-soft)"

Column = dict[str, str]  # what each name is drawn as


def flow(shares: Shares) -> Chart:
    """Lead requests from their use case or task over the rule, of any version, to the model that answered."""
    question, measure = shares.question, shares.question.measure
    from_what = SOURCES[question.source]
    title = f"From {from_what.lower()} over rule to model"
    ways = [way for way in shares.ways if measured(way, measure) > 0]
    whole = sum((measured(way, measure) for way in ways), Decimal(0))
    if not ways:
        return Chart(
            id="flow-figure", title=title, empty_title="Nothing to lead anywhere",
            empty_text=f"There is nothing {OF[measure]} in these days. Choose another measure, or other days.",
        )  # fmt: skip
    sources = _column(((way.source, measured(way, measure)) for way in ways), MOST_SOURCES, _PLURALS[question.source])
    rules = _column(((way.rule, measured(way, measure)) for way in ways), MOST_RULES, "rules")
    models = _column(((way.model, measured(way, measure)) for way in ways), MOST_MODELS, "models")
    first: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    second: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for way in ways:
        first[sources[way.source], rules[way.rule]] += measured(way, measure)
        second[rules[way.rule], models[way.model]] += measured(way, measure)
    columns = [list(dict.fromkeys(column.values())) for column in (sources, rules, models)]
    of_sources = looks(shares.use_case_numbers if question.source == "use_case" else {})
    of_models = looks(shares.model_numbers)
    named = set(sources), set(models)
    colours = [
        *(of_sources[name].colour if name in named[0] else MUTED for name in columns[0]),
        *(MUTED for _ in columns[1]),
        *(of_models[name].colour if name in named[1] else MUTED for name in columns[2]),
    ]
    places = [
        {name: sum(len(one) for one in columns[:place]) + n for n, name in enumerate(column)}
        for place, column in enumerate(columns)
    ]
    links = [
        (places[0][source], places[1][rule], value, of_sources[source].soft if source in named[0] else _LINK)
        for (source, rule), value in first.items()
    ] + [
        (places[1][rule], places[2][model], value, of_models[model].soft if model in named[1] else _LINK)
        for (rule, model), value in second.items()
    ]
    names = [
        *(name or _NOT_TOLD[question.source] for name in columns[0]), *(name or NO_RULE for name in columns[1]),
        *columns[2],
    ]  # fmt: skip
    return Chart(
        id="flow-figure",
        title=title,
        subtitle=f"{OF[measure][0].upper()}{OF[measure][1:]}; the largest are named, the rest is one band",
        summary=f"Bands from {len(columns[0])} {_PLURALS[question.source]} over {len(columns[1])} rules to "
        f"{len(columns[2])} models. Widest: {_widest(ways, measure, question.source)}.",
        figure=drawn(
            [
                trace(
                    "sankey",
                    node={
                        "label": [escaped(shortened(name, _LONGEST)) for name in names],
                        "color": colours,
                        "customdata": [escaped(name) for name in names],
                        "hovertemplate": "%{customdata}<extra></extra>",
                    },
                    link={
                        "source": [one for one, _, _, _ in links],
                        "target": [one for _, one, _, _ in links],
                        "value": [number(one) for _, _, one, _ in links],
                        "color": [one for _, _, _, one in links],
                        "customdata": [f"{written(one, measure)}, {percent(one / whole)}" for _, _, one, _ in links],
                        "hovertemplate": "%{source.customdata} → %{target.customdata}<br>%{customdata}<extra></extra>",
                    },
                )
            ]
        ),
        columns=[from_what, "Rule", "Model", "Requests", "Share", "Tokens", "Spend"],
        rows=_way_rows(ways, measure, whole, question.source),
        size="large",
        wide=True,
    )


def _column(values: Iterable[tuple[str, Decimal]], most: int, plural: str) -> Column:
    """Return what each name is drawn as, largest first: itself, or with those beyond the `most` largest as one."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for name, value in values:
        sums[name] += value
    ranked = sorted(sums, key=lambda name: (-sums[name], name))
    if len(ranked) <= most + 1:
        return {name: name for name in ranked}
    rest = f"{len(ranked) - most} other {plural}"
    return {name: name if place < most else rest for place, name in enumerate(ranked)}


def _ranked(ways: Sequence[Way], measure: str) -> list[Way]:
    return sorted(ways, key=lambda way: (-measured(way, measure), way.source, way.rule, way.model))


def _widest(ways: Sequence[Way], measure: str, source: str) -> str:
    widest = _ranked(ways, measure)[0]
    told = f"{widest.source or _NOT_TOLD[source]} over {widest.rule or NO_RULE} to {widest.model}"
    return f"{told}, {written(measured(widest, measure), measure)}"


def _way_rows(ways: Sequence[Way], measure: str, whole: Decimal, source: str) -> list[list[str]]:
    """Return the widest ways as the table has them, and the others as one row, so that they add up."""
    ranked = _ranked(ways, measure)

    def row(names: Sequence[str], those: Sequence[Way]) -> list[str]:
        value = sum((measured(way, measure) for way in those), Decimal(0))
        return [
            *names,
            exact(sum(way.answered for way in those)),
            percent(share_of(value, whole)),
            exact(sum(way.tokens for way in those)),
            plain(sum((way.cost_usd for way in those), Decimal(0)), "cost"),
        ]

    rows = [row([way.source or _NOT_TOLD[source], way.rule or NO_RULE, way.model], [way]) for way in ranked[:MOST_WAYS]]
    if left := ranked[MOST_WAYS:]:
        rows.append(row([f"{exact(len(left))} others", "", ""], left))
    return rows


def requested(asked: Sequence[Asked]) -> Chart:
    """Lay what was asked for against the models that answered: of each name, the share that each of them got."""
    title = "Requested against served"
    if not any(one.requested for one in asked):
        return Chart(
            id="requested-figure",
            title=title,
            empty_title="No gateway says what was asked for",
            empty_text="With requested_model in an event, this shows whether callers get the model that they name, "
            "and what names such as auto come to.",
        )
    shown, left = asked[:MOST_ASKED], asked[MOST_ASKED:]
    of_models: dict[str, int] = defaultdict(int)
    for one in shown:
        for pair in one.pairs:
            of_models[pair.model] += pair.answered
    ranked = sorted(of_models, key=lambda name: (-of_models[name], name))
    columns = ranked if len(ranked) <= MOST_SERVED + 1 else [*dict.fromkeys((*ranked[:MOST_SERVED], OTHERS))]
    cells = [_cells(one, columns) for one in shown]
    totals = [sum(row.values()) for row in cells]
    rows = [_asked_row(one) for one in shown]
    if left:
        rows.append([f"{exact(len(left))} other names", "", "", exact(sum(map(_answered, left))), ""])
    return Chart(
        id="requested-figure",
        title=title,
        subtitle="What callers asked for, most frequent first, and the share of it that each model answered",
        summary="; ".join(f"{row[0]}: mostly answered by {row[2]}" for row in rows[:3]) + ".",
        figure=drawn(
            [
                trace(
                    "heatmap",
                    x=axis_labels(columns, _LONGEST),
                    y=axis_labels((one.requested or NONE_GIVEN for one in shown), _LONGEST),
                    z=[
                        [number(part * 100) if (part := share(row[name], total)) else None for name in columns]
                        for row, total in zip(cells, totals, strict=True)
                    ],
                    customdata=[
                        [_told(one, name, row[name]) for name in columns] for one, row in zip(shown, cells, strict=True)
                    ],
                    hovertemplate="%{customdata}, %{z:.1f} %<extra></extra>",
                    zmin=0,
                    zmax=100,
                    colorbar={"ticksuffix": " %"},
                )
            ],
            yaxis={"autorange": "reversed", "type": "category"}, xaxis={"type": "category"},
        ),
        columns=["Asked for", "Got that model", "Mostly answered by", "Requests", "Its share"],
        rows=rows,
        size="large" if len(shown) > FEW else "",
    )  # fmt: skip


def _told(one: Asked, model: str, answered: int) -> str:
    return f"{escaped(one.requested or NONE_GIVEN)} → {escaped(model)}<br>{written(Decimal(answered), 'requests')}"


def _cells(one: Asked, columns: Sequence[str]) -> Mapping[str, int]:
    found: dict[str, int] = dict.fromkeys(columns, 0)
    for pair in one.pairs:
        found[pair.model if pair.model in found else OTHERS] += pair.answered
    return found


def _answered(one: Asked) -> int:
    return sum(pair.answered for pair in one.pairs)


def _asked_row(one: Asked) -> list[str]:
    served: dict[str, int] = defaultdict(int)
    for pair in one.pairs:
        served[pair.model] += pair.answered
    most = min(served, key=lambda name: (-served[name], name))
    got = percent(share(sum(pair.answered for pair in one.got_it), _answered(one))) if one.model else "names no model"
    return [
        one.requested or NONE_GIVEN,
        got,
        most,
        exact(_answered(one)),
        percent(share(served[most], _answered(one))),
    ]
