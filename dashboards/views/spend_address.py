"""What an address of the spend page says. Whoever opens it again sees the same question asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cache
from typing import Any
from urllib.parse import urlencode

from django.http import QueryDict
from django.urls import reverse

from dashboards.selectors.spend_measures import MEASURES
from dashboards.selectors.spend_question import (
    AGAINST,
    ALL,
    AREA,
    BARS,
    BEFORE,
    CHARTS,
    DIMENSIONS,
    LINES,
    MOST_DAYS,
    PERS,
    TREEMAP,
    Question,
    usual_per,
)
from dashboards.views import days
from dashboards.views.spend_ranges import RANGES, USUAL
from usage.selectors.spend_ask import TAG, tag_name

TITLES = {
    "use_case": "Use case",
    "model": "Model",
    "team": "Team",
    "provider": "Provider",
    "tier": "Tier",
    "gateway": "Gateway",
    "offering": "Offering",
    "status": "Status",
    "requested_model": "Requested model",
    "task": "Task",
    "environment": "Environment",
    "rule": "Rule",
    "reason": "Reason of the route",
    "rules_version": "Version of the rules",
}
PLURALS = {
    "use_case": "use cases",
    "model": "models",
    "team": "teams",
    "provider": "providers",
    "tier": "tiers",
    "gateway": "gateways",
    "offering": "offerings",
    "status": "statuses",
    "requested_model": "requested models",
    "task": "tasks",
    "environment": "environments",
    "rule": "rules",
    "reason": "reasons",
    "rules_version": "versions",
}
MOST_VALUES = 100  # of filters: each is a chip, whose link names all others
OTHER_PARAMETERS = ("range", "from", "to", "by", "then", "per", "measure", "chart", "against")


def title_of(dimension: str) -> str:
    return TITLES.get(dimension) or f"Tag {tag_name(dimension)}"


def plural_of(dimension: str) -> str:
    return PLURALS.get(dimension) or f"values of {tag_name(dimension)}"


@dataclass(frozen=True, kw_only=True)
class State:
    """What an address says. Empty texts, and days that are None, are left to the page.

    Days are those of a range by its name, or `first` and `last`, never both.
    """

    range: str = ""
    first: date | None = None
    last: date | None = None
    by: str = ""
    then: str = ""
    per: str = ""
    measure: str = "cost"
    chart: str = BARS
    against: str = BEFORE
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def days(self) -> list[tuple[str, str]]:
        """What the address says of days."""
        pairs = [("range", self.range)] if self.range else []
        pairs += [("from", self.first.isoformat())] if self.first else []
        return pairs + ([("to", self.last.isoformat())] if self.last else [])

    @property
    def ways(self) -> list[tuple[str, str]]:
        """What it says of how the sums are told apart and drawn."""
        usual = State()
        names = ("by", "then", "per", "measure", "chart", "against")
        return [(name, getattr(self, name)) for name in names if getattr(self, name) != getattr(usual, name)]

    @property
    def passed(self) -> list[tuple[str, str]]:
        """What it says of filters."""
        return [(name, value) for name, values in self.filters.items() for value in values]

    def query(self, **changes: Any) -> str:
        state = replace(self, **changes)
        return urlencode([*state.days, *state.ways, *state.passed])

    def url(self, **changes: Any) -> str:
        query = self.query(**changes)
        return f"{_path()}{'?' if query else ''}{query}"

    def within(self, first: date, last: date) -> dict[str, Any]:
        """Return the changes that make it a question about some days."""
        return {"range": "", "first": first, "last": last}

    def without(self, name: str, value: str) -> dict[str, tuple[str, ...]]:
        left = {**self.filters, name: tuple(one for one in self.filters[name] if one != value)}
        return {name: values for name, values in left.items() if values}


@cache
def _path() -> str:
    """Find the page's path once: it is written a hundred times a page."""
    return reverse("spend")


def read(query: QueryDict, *, declared: Sequence[str] = ()) -> tuple[State, list[str]]:
    """Return what an address says and a sentence for everything in it that means nothing.

    `declared` are the organisation's tags: sums are kept of no others.
    """
    dimensions = (*DIMENSIONS, *(f"{TAG}{tag}" for tag in declared))
    problems = [
        f"There is no filter {name!r}: {', '.join(dimensions)}."
        for name in query
        if name not in dimensions and name not in OTHER_PARAMETERS
    ]

    def choice(name: str, known: Sequence[str], otherwise: str = "") -> str:
        text = query.get(name, "")
        if text and text not in known:
            problems.append(f"There is no {text!r} to choose for `{name}`: {', '.join(known)}.")
        return text if text in known else otherwise

    filters: dict[str, tuple[str, ...]] = {}
    for name in dimensions:
        values = tuple(dict.fromkeys(value for value in query.getlist(name) if value.strip()))
        if any("\0" in value for value in values):  # no text of the database holds one
            problems.append(f"There is no such {title_of(name).lower()}.")
        elif values:
            filters[name] = values
    if sum(map(len, filters.values())) > MOST_VALUES:
        problems.append(f"An address has {MOST_VALUES} values of filters at most.")
        filters = {}
    first, last = days.read_day(query, "from", problems), days.read_day(query, "to", problems)
    named = choice("range", tuple(RANGES))
    if first and last and last < first:
        problems.append("The last day lies before the first.")
    if named and (first or last):
        problems.append("Give a range by its name or by its days, not by both.")
    state = State(
        range=named if named != USUAL else "",
        first=first,
        last=last,
        by=choice("by", (*dimensions, ALL)),
        then=choice("then", dimensions),
        per=choice("per", PERS),
        measure=choice("measure", tuple(MEASURES), "cost"),
        chart=choice("chart", CHARTS, BARS),
        against=choice("against", AGAINST, BEFORE),
        filters=filters,
    )
    if state.then and state.then == state.by:
        problems.append(f"{title_of(state.by)} is chosen twice: take another second dimension, or none.")
    return state, problems


def question_of(state: State, *, zone: str, today: date) -> tuple[Question, list[str]]:
    """Return what is asked, with everything filled in that the address left open, and a sentence on each thing in it
    that does not fit.

    Without days the last 30; with the first alone until today; with the last alone the 30 up to it.
    """
    notes = []
    if state.first or state.last:
        first, last = days.filled(state.first, state.last, today=today, usual=30)
    else:
        first, last = RANGES[state.range or USUAL].days(today)
    count = (last - first).days + 1
    by = state.by or _open(state)
    then = "" if by == ALL else state.then
    if state.then and not then:
        notes.append("Everything as one is not told apart any further.")
    if then == by:  # which the address left open
        by, then = then, ""
    by_tag = any(name.startswith(TAG) for name in (by, then, *state.filters))
    usual = usual_per(count)
    if by_tag and usual == "hour":
        usual = "day"  # tags are kept by days
    per = state.per or usual
    if count > MOST_DAYS[per]:
        notes.append(
            f"Per {per}, a range has {MOST_DAYS[per]:,} days at most. These are {count:,} days, so they are shown per "
            f"{usual}."
        )
        per = usual
    chart = state.chart
    measure = MEASURES[state.measure]
    if chart in (AREA, TREEMAP) and not measure.adds:
        notes.append(f"{measure.title} does not add up, so it is drawn as lines: nothing can be stacked.")
        chart = LINES
    elif chart == TREEMAP and by == ALL:
        notes.append("A treemap shows what a whole is made of: choose a dimension. Until then these are bars.")
        chart = BARS
    return Question(
        first=first, last=last, today=today, zone=zone, by=by, then=then, per=per, measure=state.measure, chart=chart,
        against=state.against, filters=state.filters,
    ), notes  # fmt: skip


def _open(state: State) -> str:
    """Return the first dimension that is not settled by a filter, nor the second one asked for."""
    usual = ("use_case", "model", "team", "provider")
    return next((name for name in usual if len(state.filters.get(name, ())) != 1 and name != state.then), "tier")
