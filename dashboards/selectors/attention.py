"""What the Attention page shows: what waits for a person, with a suggestion where a name is close to a known one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from catalog.models import UNASSIGNED_ID, ClaimState, Offering, Team, UseCase
from catalog.rules import suggesting
from catalog.rules.suggesting import Suggestion
from core import periods
from usage.selectors import attention, reported
from usage.selectors.attention import Counts, LabelLine, NameLine, Unassigned, UnclassifiedLine, UnpricedLine
from usage.selectors.reported import Disagreement

LISTS = ("unpriced", "names", "unclassified", "use-cases", "teams", "uncounted")
FEW = 8  # of each list where all of them are shown
PER_PAGE = 25


@dataclass(frozen=True, kw_only=True)
class Suggested:
    """A line about a name, what it probably is, and the first day on which it was seen."""

    row: NameLine | LabelLine
    suggestion: Suggestion | None
    since: date | None


@dataclass(frozen=True, kw_only=True)
class Page:
    """The lists that are shown, each in part; `counts` says how much there is of each."""

    counts: Counts
    unpriced: Sequence[UnpricedLine] = ()
    uncounted: Sequence[UnpricedLine] = ()
    names: Sequence[Suggested] = ()
    unclassified: Sequence[UnclassifiedLine] = ()
    use_cases: Sequence[Suggested] = ()
    teams: Sequence[Suggested] = ()
    unassigned: Unassigned | None = None
    disagreement: Disagreement | None = None


def page(*, at: datetime, zone: str, only: str = "", number: int = 1) -> Page:
    """Return the beginning of every list, or a page of one. Fourteen queries at most, and fewer for one list."""
    most, skip = (PER_PAGE, PER_PAGE * (number - 1)) if only else (FEW, 0)
    shown: dict[str, Any] = {"at": at, "zone": zone, "most": most, "skip": skip}
    found: dict[str, Any] = {}
    if only in ("", "unpriced"):
        found["unpriced"] = attention.unpriced(most=most, skip=skip)
    if only == "uncounted":
        found["uncounted"] = attention.unpriced(most=most, skip=skip, uncounted=True)
    if only in ("", "names"):
        found["names"] = _names(attention.names(**shown), zone)
    if only in ("", "unclassified"):
        found["unclassified"] = attention.unclassified(**shown)
    if only in ("", "use-cases"):
        found["use_cases"] = _labels(attention.use_cases(**shown), known_use_cases, zone)
    if only in ("", "teams"):
        found["teams"] = _labels(attention.teams(**shown), known_teams, zone)
    if not only:
        found["unassigned"] = attention.unassigned(at=at, zone=zone)
        first, until = attention.days(at=at, zone=zone)
        found["disagreement"] = reported.by_offering_and_day(first=first, until=until, most=FEW, apart_only=True)
    return Page(counts=attention.counts(at=at), **found)


def _names(lines: Sequence[NameLine], zone: str) -> list[Suggested]:
    known = known_offerings() if lines else {}
    return [
        Suggested(row=line, suggestion=suggesting.offering(line.name, known), since=_since(line, zone))
        for line in lines
    ]  # fmt: skip


def _labels(lines: Sequence[LabelLine], known: Any, zone: str) -> list[Suggested]:
    names: Mapping[str, int] = known() if lines else {}
    return [
        Suggested(row=line, suggestion=suggesting.label(line.name, names), since=_since(line, zone)) for line in lines
    ]


def _since(line: NameLine | LabelLine, zone: str) -> date | None:
    seen = None if line.first_seen_at is None else periods.local_day(line.first_seen_at, zone)
    return min((day for day in (seen, line.first_day) if day is not None), default=None)


def known_offerings() -> dict[str, int]:
    """Return the ids of offerings that a name may be assigned to, by their names. One query."""
    found = Offering.objects.filter(state=ClaimState.CLAIMED, retired_at__isnull=True)
    return dict(found.order_by("name").values_list("name", "id"))


def known_use_cases() -> dict[str, int]:
    """Return the ids of use cases that another may be merged into, by their names. One query."""
    found = UseCase.objects.filter(state=ClaimState.CLAIMED).exclude(pk=UNASSIGNED_ID)
    return dict(found.order_by("name").values_list("name", "id"))


def known_teams() -> dict[str, int]:
    """Return the ids of teams that another may be merged into, by their names. One query."""
    found = Team.objects.filter(state=ClaimState.CLAIMED).exclude(pk=UNASSIGNED_ID)
    return dict(found.order_by("name").values_list("name", "id"))
