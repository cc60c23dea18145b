"""What an address of the routing page says, and the addresses that explain its numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import Any
from urllib.parse import urlencode

from django.http import QueryDict
from django.urls import reverse

from catalog.selectors import labels
from dashboards.selectors.routing import MEASURES, MOST_DAYS, SOURCES, Question
from dashboards.views import days

USUAL_DAYS = 30
FILTERS = {"environment": "Environment", "use_case": "Use case", "team": "Team"}
_USUAL = {"measure": "requests", "source": "use_case"}
_PARAMETERS = ("from", "to", *FILTERS, *_USUAL)


@dataclass(frozen=True, kw_only=True)
class State:
    """What an address says; days that are None are left to the page."""

    first: date | None = None
    last: date | None = None
    environment: str = ""
    use_case: str = ""
    team: str = ""
    measure: str = _USUAL["measure"]
    source: str = _USUAL["source"]

    def url(self, **changes: Any) -> str:
        state = replace(self, **changes)
        pairs = [("from", state.first.isoformat())] if state.first else []
        pairs += [("to", state.last.isoformat())] if state.last else []
        pairs += state.filters
        pairs += [(name, getattr(state, name)) for name, usual in _USUAL.items() if getattr(state, name) != usual]
        return f"{reverse('routing')}{'?' if pairs else ''}{urlencode(pairs)}"

    @property
    def filters(self) -> list[tuple[str, str]]:
        return [(name, getattr(self, name)) for name in FILTERS if getattr(self, name)]


def read(query: QueryDict) -> tuple[State, list[str]]:
    """Return what an address says and a sentence for everything in it that means nothing."""
    problems = [f"There is no filter {name!r}: {', '.join(FILTERS)}." for name in query if name not in _PARAMETERS]

    def name_of(name: str) -> str:
        title = FILTERS[name].lower()
        values = {value.strip() for value in query.getlist(name) if value.strip()}
        if len(values) > 1:
            problems.append(f"This page shows one {title} or all of them.")
        text = min(values, default="")
        if "\0" in text or len(text) > 200:
            problems.append(f"There is no such {title}.")
            return ""
        return text

    def choice(name: str, known: tuple[str, ...]) -> str:
        text = query.get(name, "") or _USUAL[name]
        if text in known:
            return text
        problems.append(f"There is no {text!r} to choose for `{name}`: {', '.join(known)}.")
        return _USUAL[name]

    first, last = days.read_day(query, "from", problems), days.read_day(query, "to", problems)
    if first and last and last < first:
        problems.append("The last day lies before the first.")
        first = last = None
    return State(
        first=first, last=last, environment=name_of("environment"), use_case=name_of("use_case"),
        team=name_of("team"), measure=choice("measure", MEASURES), source=choice("source", SOURCES),
    ), problems  # fmt: skip


def question_of(state: State, *, zone: str, today: date) -> tuple[Question, list[str]]:
    """Return what is asked, with everything filled in that the address left open, and what cannot be answered.

    Without days the last 30; with the first alone until today; with the last alone the 30 up to it. One query where a
    use case is named, and one where a team is; one more for each that is not its own name.
    """
    problems = []
    first, last = days.filled(state.first, state.last, today=today, usual=USUAL_DAYS)
    if (last - first).days >= MOST_DAYS:
        problems.append(f"This page draws {MOST_DAYS} days at most, and these are {(last - first).days + 1:,}.")
    use_case_id = labels.id_of("use_case", state.use_case) if state.use_case else None
    if state.use_case and use_case_id is None:
        problems.append(f"There is no use case {state.use_case!r}.")
    team_id = labels.id_of("team", state.team) if state.team else None
    if state.team and team_id is None:
        problems.append(f"There is no team {state.team!r}.")
    question = Question(
        first=first, last=last, today=today, zone=zone, measure=state.measure, source=state.source,
        environment=state.environment, use_case=state.use_case, use_case_id=use_case_id, team=state.team,
        team_id=team_id,
    )  # fmt: skip
    return question, problems


def elsewhere(name: str, question: Question, /, **filters: str) -> str:
    """Return the address of the explorer ("spend") or of entries ("entries") with the same days and filters.

    `by` is how the explorer tells them apart; filters that are empty are left out.
    """
    pairs = [("from", question.first.isoformat()), ("to", question.last.isoformat())]
    asked = {one: getattr(question, one) for one in FILTERS} | filters
    pairs += [(one, value) for one, value in asked.items() if value]
    return f"{reverse(name)}?{urlencode(pairs)}"
