"""What an address of the spend page says. Whoever opens it again sees the same question asked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import QueryDict
from django.urls import reverse

from core.api import FIRST_YEAR, LAST_YEAR
from dashboards.selectors import spend as page_of
from dashboards.selectors.spend import BUCKETS, DIMENSIONS, FILTERS, MEASURES, Question

TITLES = {
    "use_case": "Use case",
    "model": "Model",
    "team": "Team",
    "provider": "Provider",
    "tier": "Tier",
    "gateway": "Gateway",
    "offering": "Offering",
}
_OTHER_PARAMETERS = ("from", "to", "by", "per", "measure")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
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

    def day(name: str) -> date | None:
        text = query.get(name, "").strip()
        if not text:
            return None
        try:
            found = date.fromisoformat(text) if _DAY.fullmatch(text) else None
        except ValueError:
            found = None
        if found is None or not FIRST_YEAR < found.year <= LAST_YEAR:
            problems.append(f"{text!r} is no day such as 2026-11-20.")
            return None
        return found

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
    first, last = day("from"), day("to")
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
    last = state.last or max(today, state.first or today)
    first = state.first or last - timedelta(days=USUAL_DAYS - 1)
    days = (last - first).days + 1
    note = ""
    per = state.per or page_of.usual_bucket(days)
    if days > page_of.MOST_DAYS[per]:
        note = f"Per {per}, a range has {page_of.MOST_DAYS[per]} days at most."
        per = page_of.usual_bucket(days)
        note += f" These are {days:,} days, so they are shown per {per}."
    by = state.by or next(
        (name for name in ("use_case", "model", "team", "provider") if len(state.filters.get(name, ())) != 1), "tier"
    )
    return Question(
        first=first, last=last, today=today, zone=zone, by=by, per=per, measure=state.measure, filters=state.filters
    ), note  # fmt: skip
