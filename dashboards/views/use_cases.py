"""The lists of use cases and of teams, and a use case's name as a way to its page."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from budgets.selectors.overview import BudgetRow
from catalog.selectors import labels
from core.models import Organisation
from dashboards.change_words import signed
from dashboards.downloads import Table, offers
from dashboards.selectors import use_cases as page_of
from dashboards.selectors.catalog import SPEND_DAYS
from dashboards.selectors.use_cases import NOBODY, ORDERS, STATES, Found, Line, Wanted
from dashboards.templatetags.figures import percent, usd
from dashboards.views import files_books
from dashboards.views.access import page
from dashboards.views.budgets_words import STATES as BUDGET_STATES
from dashboards.views.links import NUMBER
from usage.selectors import freshness

MOST_WORDS = 8
MOST_CHARACTERS = 200
MOST_BUDGETS = 3
STATE_WORDS = {"claimed": "Claimed", "waiting": "Waiting for an owner"}
# The columns of both lists: title, the order it stands for, whether it holds numbers.
_NUMBERS = (
    (f"Spend, {SPEND_DAYS} days", "spend", True),
    ("Change", "change", True),
    ("Per 1,000 requests", "per_1000", True),
    ("On frontier", "frontier", True),
)
COLUMNS = (("Use case", "name", False), ("Team and owner", "", False), *_NUMBERS, ("Budgets at risk", "", False))
TEAM_COLUMNS = (("Team", "name", False), ("Use cases", "", True), *_NUMBERS, ("Budgets at risk", "", False))
_NARROWING = ("q", "state", "team", "owner", "data_class")
_TEAM_NARROWING = ("q", "state")
_PAGE = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Near:
    """A budget at risk in a few words."""

    row: BudgetRow
    tone: str
    words: str


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A line in words."""

    row: Line
    url: str
    flags: Sequence[tuple[str, str]]
    change: str
    change_exact: str
    frontier: str
    near: Sequence[Near]
    more: int  # budgets at risk that are not listed


def _table_of(kind: str, narrowing: Sequence[str]) -> Callable[[HttpRequest], Table]:
    def table(request: HttpRequest) -> Table:
        asked, _ = _asked(request, narrowing)
        zone = request.organisation.zone  # type: ignore[attr-defined]
        return files_books.listed(kind=kind, at=timezone.now(), zone=zone, wanted=_wanted(asked))

    return table


@page("view")
@offers(_table_of("use_case", _NARROWING))
def use_cases_page(request: HttpRequest) -> HttpResponse:
    context = _context(request, "use-cases", page_of.use_cases, COLUMNS, _NARROWING)
    if _is_part(request):
        return render(request, "dashboards/_use_cases.html", context)
    waiting, _ = page_of.waiting()
    context |= {"choices": page_of.choices(), "waiting": waiting, "nobody": NOBODY}
    return render(request, "dashboards/use_cases.html", context)


@page("view")
@offers(_table_of("team", _TEAM_NARROWING))
def teams_page(request: HttpRequest) -> HttpResponse:
    context = _context(request, "teams", page_of.teams, TEAM_COLUMNS, _TEAM_NARROWING)
    if _is_part(request):
        return render(request, "dashboards/_use_cases.html", context)
    _, waiting = page_of.waiting()
    return render(request, "dashboards/use_cases.html", context | {"waiting": waiting})


@page("view")
def use_case_named(request: HttpRequest) -> HttpResponse:
    """Lead from a label to the use case that it means now."""
    return _to("use-case", labels.id_of("use_case", _name(request), at=timezone.now()), "use case")


@page("view")
def team_named(request: HttpRequest) -> HttpResponse:
    """Lead from a label to the team that it means now."""
    return _to("team", labels.id_of("team", _name(request), at=timezone.now()), "team")


def _name(request: HttpRequest) -> str:
    name = request.GET.get("name", "").strip()
    if not name or "\0" in name or len(name) > MOST_CHARACTERS:
        raise Http404("Nothing is called that.")
    return name


def _to(page_name: str, pk: int | None, what: str) -> HttpResponse:
    if pk is None:
        raise Http404(f"There is no such {what}.")
    return redirect(page_name, pk)


def _is_part(request: HttpRequest) -> bool:
    return bool(request.headers.get("HX-Request")) and not request.headers.get("HX-History-Restore-Request")


def _context(
    request: HttpRequest,
    name: str,
    find: Callable[..., Found],
    columns: Sequence[tuple[str, str, bool]],
    narrowing: Sequence[str],
) -> dict[str, Any]:
    now = timezone.now()
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    asked, number = _asked(request, narrowing)
    found = find(at=now, zone=organisation.zone, wanted=_wanted(asked), page=number)
    last = max(1, -(-found.found // page_of.PER_PAGE))

    def url(**changed: str) -> str:
        query = {key: value for key, value in (asked | changed).items() if value}
        if query.get("sort") == "spend":
            del query["sort"]
        return f"{reverse(name)}{'?' if query else ''}{urlencode(query)}"

    return {
        "kind": "use_case" if name == "use-cases" else "team",
        "list_url": reverse(name),
        "lines": [_shown(line, "use-case" if name == "use-cases" else "team") for line in found.lines],
        "found": found.found,
        "asked": asked,
        "columns": [
            (title, numbers, url(sort=order) if order else "", bool(order) and order == asked["sort"])
            for title, order, numbers in columns
        ],
        "narrowed": any(asked[one] for one in narrowing),
        "states": list(STATE_WORDS.items()),
        "days": SPEND_DAYS,
        "page": number,
        "last": last,
        "earlier_url": url(page=str(number - 1)) if number > 1 else "",
        "later_url": url(page=str(number + 1)) if number < last else "",
        "complete_through": freshness.complete_through(at=now),
    }


def _asked(request: HttpRequest, narrowing: Sequence[str]) -> tuple[dict[str, str], int]:
    asked = {name: request.GET.get(name, "").strip() for name in (*narrowing, "sort")}
    asked["sort"] = asked["sort"] or "spend"
    if "\0" in "".join(asked.values()) or any(len(text) > MOST_CHARACTERS for text in asked.values()):
        raise Http404("Nothing is called that.")
    if asked["state"] and asked["state"] not in STATES:
        raise Http404("There is no such state.")
    if asked["sort"] not in ORDERS:
        raise Http404("The list cannot be sorted by that.")
    if (team := asked.get("team")) and team != NOBODY and not NUMBER.fullmatch(team):
        raise Http404("There is no such team.")
    number = request.GET.get("page") or "1"
    if not _PAGE.fullmatch(number):
        raise Http404("There is no such page.")
    return asked, int(number)


def _wanted(asked: Mapping[str, str]) -> Wanted:
    return Wanted(
        words=asked["q"].split()[:MOST_WORDS],
        state=asked["state"],
        team=asked.get("team", ""),
        owner=asked.get("owner", ""),
        data_class=asked.get("data_class", ""),
        order=asked["sort"],
    )


def _shown(line: Line, page_name: str) -> Shown:
    flags = []
    if line.state == "waiting":
        flags.append(("warning", "waiting for an owner"))
    if line.state == "merged":
        flags.append(("neutral", "assigned to another"))
    return Shown(
        row=line,
        url=reverse(page_name, args=[line.id]),
        flags=flags,
        change=signed(line.comparable_usd, line.before_usd),
        change_exact=f"{usd(line.comparable_usd)}, {usd(line.before_usd)} before",
        frontier=percent(line.frontier_share),
        near=[near_of(row) for row in line.budgets[:MOST_BUDGETS]],
        more=max(0, len(line.budgets) - MOST_BUDGETS),
    )


def near_of(row: BudgetRow) -> Near:
    tone, words = BUDGET_STATES[row.state]
    if row.per_cent_used is not None and row.state != "BUILDING":
        words = f"{row.per_cent_used} % used" if row.per_cent_used < 100 else words
    if row.state == "OK":
        tone, words = "info", "runs out early"
    return Near(row=row, tone=tone, words=words)
