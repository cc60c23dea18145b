"""What an address of the spend page says. Whoever opens it again sees the same question asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any
from urllib.parse import urlencode

from django.http import QueryDict
from django.urls import reverse

from dashboards.selectors import spend as page_of
from dashboards.selectors.spend import BUCKETS, DIMENSIONS, FILTERS, MEASURES, Question
from dashboards.views import days

TITLES = {
    "use_case": "Use case",
    "model": "Model",
    "team": "Team",
    "provider": "Provider",
    "tier": "Tier",
    "gateway": "Gateway",
    "offering": "Offering",
    "rule": "Rule",
    "environment": "Environment",
}
_OTHER_PARAMETERS = ("from", "to", "by", "per", "measure")
USUAL_DAYS = 30


@dataclass(frozen=True, kw_only=True)
class State:
    """What an address says. Empty `by` and `per`, and days that are None, are left to the page."""

    first: date | None = None
    last: date | None = None
    by: str = ""
    per: str = ""
    measure: str = "cost"
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def query(self, **changes: Any) -> str:
        state = replace(self, **changes)
        pairs = [("from", state.first.isoformat())] if state.first else []
        pairs += [("to", state.last.isoformat())] if state.last else []
        pairs += [("by", state.by)] if state.by else []
        pairs += [("per", state.per)] if state.per else []
        pairs += [("measure", state.measure)] if state.measure != "cost" else []
        pairs += [(name, value) for name, values in state.filters.items() for value in values]
        return urlencode(pairs)

    def url(self, **changes: Any) -> str:
        query = self.query(**changes)
        return f"{reverse('spend')}{'?' if query else ''}{query}"

    def with_filter(self, name: str, value: str) -> dict[str, tuple[str, ...]]:
        return {**self.filters, name: (value,)}

    def without(self, name: str, value: str) -> dict[str, tuple[str, ...]]:
        left = {**self.filters, name: tuple(one for one in self.filters[name] if one != value)}
        return {name: values for name, values in left.items() if values}


def read(query: QueryDict) -> tuple[State, list[str]]:
    """Return what an address says and a sentence for everything in it that means nothing."""
    problems = [
        f"There is no filter {name!r}: {', '.join(FILTERS)}."
        for name in query
        if name not in FILTERS and name not in _OTHER_PARAMETERS
    ]

    def choice(name: str, known: tuple[str, ...], otherwise: str = "") -> str:
        text = query.get(name, "")
        if text and text not in known:
            problems.append(f"There is no {text!r} to choose for `{name}`: {', '.join(known)}.")
        return text if text in known else otherwise

    filters: dict[str, tuple[str, ...]] = {}
    for name in FILTERS:
        values = tuple(dict.fromkeys(value for value in query.getlist(name) if value.strip()))
        if any("\0" in value for value in values):  # no text of the database holds one
            problems.append(f"There is no such {TITLES[name].lower()}.")
        elif values:
            filters[name] = values
    first, last = days.read_day(query, "from", problems), days.read_day(query, "to", problems)
    if first and last and last < first:
        problems.append("The last day lies before the first.")
    return State(
        first=first,
        last=last,
        by=choice("by", DIMENSIONS),
        per=choice("per", BUCKETS),
        measure=choice("measure", MEASURES, "cost"),
        filters=filters,
    ), problems


def question_of(state: State, *, zone: str, today: date) -> tuple[Question, str]:
    """Return what is asked, with everything filled in that the address left open, and a sentence on what was not kept.

    Without days the last 30; with the first alone until today; with the last alone the 30 up to it.
    """
    first, last = days.filled(state.first, state.last, today=today, usual=USUAL_DAYS)
    count = (last - first).days + 1
    note = ""
    per = state.per or page_of.usual_bucket(count)
    if count > page_of.MOST_DAYS[per]:
        note = f"Per {per}, a range has {page_of.MOST_DAYS[per]} days at most."
        per = page_of.usual_bucket(count)
        note += f" These are {count:,} days, so they are shown per {per}."
    by = state.by or next(
        (name for name in ("use_case", "model", "team", "provider") if len(state.filters.get(name, ())) != 1), "tier"
    )
    return Question(
        first=first, last=last, today=today, zone=zone, by=by, per=per, measure=state.measure, filters=state.filters
    ), note  # fmt: skip
