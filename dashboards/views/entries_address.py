"""What an address of the list of entries says: days or instants, filters, and the place in the list."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlencode

from django.http import QueryDict
from django.urls import reverse

from core import periods
from core.api import FIRST_YEAR, LAST_YEAR
from core.money import plain
from dashboards.selectors.spend_question import NONE
from dashboards.views import days
from usage.selectors.lines import FILTERS, KINDS, LinesAsk, Place

TITLES = {
    "use_case": "Use case",
    "model": "Model",
    "team": "Team",
    "provider": "Provider",
    "offering": "Offering",
    "tier": "Tier",
    "gateway": "Gateway",
    "rule": "Rule",
    "status": "Status",
    "environment": "Environment",
    "task": "Task",
    "requested_model": "Requested model",
    "rules_version": "Rules version",
    "reason": "Reason",
    "correction_of": "Late for the month",
}
TAG = "tag:"
MOST_VALUES = 100  # of filters: each is a chip, whose link names all others
SWITCHES = {"unpriced": "Unpriced", "fallback": "By a fallback", "aside": "Kept aside"}
USUAL_DAYS = 30
_EXPLORERS = ("by", "then", "per", "measure", "chart", "against")  # of the spend page, which means the same entries
_OTHERS = ("from", "to", "kind", "min_cost_usd", "slower_than_ms", "before", "after")
_PLACE = re.compile(r"(?P<micros>[0-9]{1,17})-(?P<use_case>[0-9]{1,18})-(?P<id>[0-9]{1,18})", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def written_place(place: Place) -> str:
    return f"{(place.booked_at - _EPOCH) // _MICROSECOND}-{place.use_case_id}-{place.id}"


def read_place(text: str) -> Place | None:
    """Return the place that a text names, None where it names none."""
    found = _PLACE.fullmatch(text)
    if found is None:
        return None
    return Place(
        booked_at=_EPOCH + int(found["micros"]) * _MICROSECOND, use_case_id=int(found["use_case"]), id=int(found["id"])
    )


@dataclass(frozen=True, kw_only=True)
class State:
    """What an address says. Days are both included, instants half-open; what is None is left to the page."""

    first: date | datetime | None = None
    last: date | datetime | None = None
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    kind: str = ""
    switches: tuple[str, ...] = ()
    min_cost_usd: Decimal | None = None
    slower_than_ms: int | None = None
    before: Place | None = None
    after: Place | None = None

    def query(self, **changes: Any) -> str:
        state = replace(self, **changes)
        pairs = [(name, _written(edge)) for name, edge in (("from", state.first), ("to", state.last)) if edge]
        pairs += [(name, value) for name, values in state.filters.items() for value in values]
        pairs += [("kind", state.kind)] if state.kind else []
        pairs += [(name, "yes") for name in state.switches]
        pairs += [("min_cost_usd", plain(state.min_cost_usd))] if state.min_cost_usd is not None else []
        pairs += [("slower_than_ms", str(state.slower_than_ms))] if state.slower_than_ms is not None else []
        places = (("before", state.before), ("after", state.after))
        pairs += [(name, written_place(place)) for name, place in places if place is not None]
        return urlencode(pairs)

    def url(self, **changes: Any) -> str:
        """Return the address with some things changed; it begins at the top of the list unless a place is named."""
        query = self.query(**{"before": None, "after": None, **changes})
        return f"{reverse('entries')}{'?' if query else ''}{query}"

    def without(self, name: str, value: str) -> dict[str, tuple[str, ...]]:
        left = {**self.filters, name: tuple(one for one in self.filters[name] if one != value)}
        return {name: values for name, values in left.items() if values}

    @property
    def narrowed(self) -> bool:
        given = (self.kind, self.switches, self.min_cost_usd is not None, self.slower_than_ms is not None)
        return bool(self.filters) or any(given)

    @property
    def spend_query(self) -> str:
        """Return the same days and filters for the page that sums them; empty where it cannot ask the same."""
        if self.kind or self.switches or self.min_cost_usd is not None or self.slower_than_ms is not None:
            return ""
        if isinstance(self.first, datetime) or isinstance(self.last, datetime) or "correction_of" in self.filters:
            return ""
        return State(first=self.first, last=self.last, filters=self.filters).query()


def _written(edge: date | datetime) -> str:
    if isinstance(edge, datetime):
        return edge.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return edge.isoformat()


def read(query: QueryDict) -> tuple[State, list[str]]:
    """Return what an address says and a sentence for everything in it that means nothing."""
    tags = [name for name in query if name.startswith(TAG) and name != TAG]
    known = (*FILTERS, *tags, *SWITCHES, *_OTHERS, *_EXPLORERS)
    problems = [f"There is no filter {name!r}: {', '.join(FILTERS)}, tag:NAME." for name in query if name not in known]
    filters: dict[str, tuple[str, ...]] = {}
    for name in (*FILTERS, *tags):
        values = tuple(dict.fromkeys(value for value in query.getlist(name) if value.strip()))
        if any("\0" in text for text in (name, *values)):  # no text of the database holds one
            problems.append(f"There is no such {TITLES.get(name, 'tag').lower()}.")
        elif values:
            filters[name] = values
    if sum(map(len, filters.values())) > MOST_VALUES:
        problems.append(f"An address has {MOST_VALUES} values of filters at most.")
        filters = {}
    kind = query.get("kind", "")
    if kind and kind not in KINDS:
        problems.append(f"There is no {kind!r} to choose for `kind`: {', '.join(KINDS)}.")
        kind = ""
    for name in SWITCHES:
        if query.get(name, "") not in ("", "yes"):
            problems.append(f"`{name}` is yes, or is left out.")
    first, last = _edge(query, "from", problems), _edge(query, "to", problems)
    if (first is None) != (last is None) and isinstance(first or last, datetime):
        problems.append("An instant needs another one: give both `from` and `to`.")
    elif first and last and isinstance(first, datetime) != isinstance(last, datetime):
        problems.append("Give two days or two instants.")
    elif first and last and last < first:
        problems.append("The last day lies before the first.")
    return State(
        first=first,
        last=last,
        filters=filters,
        kind=kind,
        switches=tuple(name for name in SWITCHES if query.get(name) == "yes"),
        min_cost_usd=_amount(query, problems),
        slower_than_ms=_milliseconds(query, problems),
        before=_place(query, "before", problems),
        after=_place(query, "after", problems),
    ), problems


def _edge(query: QueryDict, name: str, problems: list[str]) -> date | datetime | None:
    text = query.get(name, "").strip()
    if "T" not in text:
        return days.read_day(query, name, problems)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None or not FIRST_YEAR < found.year < LAST_YEAR:
        problems.append(f"{text!r} is no instant such as 2026-11-20T12:00:00Z.")
        return None
    return found.astimezone(UTC)


def _amount(query: QueryDict, problems: list[str]) -> Decimal | None:
    text = query.get("min_cost_usd", "").strip()
    if not text:
        return None
    try:
        found = Decimal(text)
    except InvalidOperation:
        found = Decimal("NaN")
    if not (found.is_finite() and 0 <= found < 10**9 and len(text) <= 30):
        problems.append(f"{text!r} is no amount of dollars such as 0.25.")
        return None
    return found


def _milliseconds(query: QueryDict, problems: list[str]) -> int | None:
    text = query.get("slower_than_ms", "").strip()
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII):
        problems.append(f"{text!r} is no number of milliseconds such as 2000.")
        return None
    return int(text)


def _place(query: QueryDict, name: str, problems: list[str]) -> Place | None:
    text = query.get(name, "")
    found = read_place(text)
    if text and found is None:
        problems.append("There is no such page of this list: begin at its newest line.")
    return found


def ask_of(state: State, *, zone: str, today: date) -> tuple[LinesAsk, State]:
    """Return what is asked, and the state with its days filled in. Without days the last 30."""
    if isinstance(state.first, datetime) and isinstance(state.last, datetime):
        starts_at, ends_at, full = state.first, state.last, state
    else:
        first, last = days.filled(_day(state.first), _day(state.last), today=today, usual=USUAL_DAYS)
        starts_at, ends_at = periods.day_start(first, zone), periods.day_start(last + days.ONE_DAY, zone)
        full = replace(state, first=first, last=last)
    return LinesAsk(
        starts_at=starts_at,
        ends_at=ends_at,
        zone=zone,
        filters={
            name: tuple("" if value == NONE else value for value in values) for name, values in state.filters.items()
        },
        kind=state.kind,
        unpriced="unpriced" in state.switches,
        fallback="fallback" in state.switches,
        min_cost_usd=state.min_cost_usd,
        slower_than_ms=state.slower_than_ms,
        aside="aside" in state.switches,
    ), full


def _day(edge: date | datetime | None) -> date | None:
    return None if isinstance(edge, datetime) else edge
