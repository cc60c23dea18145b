"""What one can change on the spend page: its range, filters, dimensions, measure and chart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from core import periods
from dashboards.charts.spending import Drawn
from dashboards.selectors import spend_names
from dashboards.selectors.spend_measures import GROUPS, MEASURES
from dashboards.selectors.spend_question import ALL as AS_ONE
from dashboards.selectors.spend_question import (
    AREA,
    BARS,
    BEFORE,
    DIMENSIONS,
    LINES,
    MONTH,
    MOST_DAYS,
    NONE,
    NOTHING,
    ONE_DAY,
    PERS,
    TABLE,
    TREEMAP,
    YEAR,
    Bucket,
    Question,
)
from dashboards.views import days
from dashboards.views.links import Link
from dashboards.views.spend_address import State, title_of
from dashboards.views.spend_links import Names, days_said, entries_of, entries_path, entries_within, narrowed, sayable
from dashboards.views.spend_ranges import RANGES, USUAL
from usage.selectors.spend_ask import TAG

_CHARTS = {BARS: "Bars", AREA: "Stacked areas", LINES: "Lines", TREEMAP: "Treemap", TABLE: "Table alone"}
_AGAINST = {
    BEFORE: "Days before",
    MONTH: "A month before",
    YEAR: "A year before",
    NOTHING: "Nothing",
}
_TEXTS = ("requested_model", "task", "environment", "rule", "reason", "rules_version")  # names that no table lists
_USUAL = ("use_case", "model", "team", "provider", "tier", "gateway")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A field with its options, in groups where they are many: (group, [(value, title, whether it is chosen)])."""

    name: str
    title: str
    groups: list[tuple[str, list[tuple[str, str, bool]]]]


def controls(state: State, question: Question, declared: Sequence[str]) -> dict[str, Any]:
    """Return what stands around the numbers; a link changes one thing and keeps the rest."""
    return {
        "presets": [
            Link(
                id=f"range-{name}",
                title=each.title,
                url=state.url(range=name if name != USUAL else "", first=None, last=None, per=""),
                current=not (state.first or state.last) and name == (state.range or USUAL),
            )
            for name, each in RANGES.items()
            if each.offered or name == state.range
        ],
        "by_links": [
            Link(id=f"by-{name}", title=title_of(name), url=state.url(by=name, then=_other_than(name, state)),
                 current=name == question.by)
            for name in _USUAL
        ],
        "choices": _choices(question, declared),
        "chips": [
            {
                "dimension": title_of(name),
                "value": "none given" if value == NONE else value,
                "url": state.url(filters=state.without(name, value)),
            }
            for name, values in state.filters.items()
            for value in values
        ],
        "clear_url": state.url(filters={}),
        "earlier_url": state.url(**_moved(state, question, -1)),
        "later_url": state.url(**_moved(state, question, 1)) if question.last < question.today else "",
        "range_words": days.range_words(question.first, question.last),
    }  # fmt: skip


def _other_than(name: str, state: State) -> str:
    return "" if state.then == name else state.then


def _choices(q: Question, declared: Sequence[str]) -> list[Choice]:
    dimensions = [*DIMENSIONS, *(f"{TAG}{tag}" for tag in declared)]
    charts = [
        name
        for name in _CHARTS
        if (q.measures.adds or name not in (AREA, TREEMAP)) and not (q.by == AS_ONE and name == TREEMAP)
    ]
    pers = [name for name in PERS if q.days <= MOST_DAYS[name] and not (q.by_tag and name == "hour")]

    def plain(name: str, title: str, options: list[tuple[str, str]], chosen: str) -> Choice:
        return Choice(name=name, title=title, groups=[("", [(key, text, key == chosen) for key, text in options])])

    return [
        Choice(
            name="measure",
            title="Measure",
            groups=[
                (group, [(key, MEASURES[key].title, key == q.measure) for key in names])
                for group, names in GROUPS.items()
            ],
        ),
        plain("by", "By", [*((name, title_of(name)) for name in dimensions), (AS_ONE, "All as one")], q.by),
        plain(
            "then", "And by", [("", "nothing else"), *((name, title_of(name)) for name in dimensions if name != q.by)],
            q.then,
        ),
        plain("per", "Per", [(name, name.capitalize()) for name in pers], q.per),
        plain("chart", "As", [(name, _CHARTS[name]) for name in charts], q.chart),
        plain("against", "Against", list(_AGAINST.items()), q.against),
    ]  # fmt: skip


def _moved(state: State, question: Question, steps: int) -> dict[str, Any]:
    """Return the range before or after; whole months go to whole months."""
    if question.first.day == 1 and question.until.day == 1:
        months = (question.until.year - question.first.year) * 12 + question.until.month - question.first.month
        first = periods.add_months(question.first, steps * months)
        return state.within(first, periods.add_months(first, months) - ONE_DAY)
    step = timedelta(days=question.days * steps)
    return state.within(question.first + step, question.last + step)


def offered(state: State) -> dict[str, Any]:
    """Return what can be filtered by: names that are not filtered by yet, and fields for those that no table lists.

    One query.
    """
    return {
        "names": [
            (name, title_of(name), [each for each in known if each not in state.filters.get(name, ())])
            for name, known in spend_names.names().items()
        ],
        "texts": [(name, title_of(name)) for name in _TEXTS],
    }


def marks(drawn: Drawn, state: State, question: Question) -> dict[str, Any]:
    """Return where a click on the chart leads, as parts of a query: `base`, that of the trace, and that of the point.

    A part that is null leads nowhere; where there are no `traces` the point says it all. They lead to the explorer, or
    to `path`: what there is to see of an hour of a day is its entries.
    """
    within = days_said(question.first, question.last)

    def of(names: Names | None) -> str | None:
        changes = None if names is None else narrowed(state, question, names)
        return None if changes is None else state.query(**{**_NO_DAYS, **changes})

    if question.then and question.chart == BARS:
        names: Names = dict.fromkeys(question.dimensions, "")
        changes = narrowed(state, question, names) or {}
        left = {name: values for name, values in changes["filters"].items() if name not in names}
        return {
            "base": "&".join([within, state.query(**{**_NO_DAYS, **changes, "filters": left})]),
            "traces": [_named(each) if each else None for each in drawn.traces],
            "points": [None if isinstance(each, Bucket) or each is None else _named(each) for each in drawn.points],
        }
    if not drawn.traces:
        return {"base": within, "points": [None if isinstance(each, Bucket) else of(each) for each in drawn.points]}
    buckets = [each if isinstance(each, Bucket) else None for each in drawn.points]
    if question.days == 1:
        return {
            "path": entries_path(),
            "base": "",
            "traces": [None if each is None else entries_of(question, each) for each in drawn.traces],
            "points": [each and entries_within(each) for each in buckets],
        }
    return {
        "base": "",
        "traces": [of(each) for each in drawn.traces],
        "points": [each and days_said(each.first, each.last) for each in buckets],
    }


_NO_DAYS: dict[str, Any] = {"range": "", "first": None, "last": None, "per": ""}


def _named(names: Names) -> str | None:
    if not sayable(names):
        return None
    return urlencode([(name, value or NONE) for name, value in names.items()])
