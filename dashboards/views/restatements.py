"""Changes to the past: what they moved, how far their runs are, and putting a failed run in line again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.text import capfirst

from catalog.models import AmendmentKind
from core import access, nudges
from core.errors import Conflict
from dashboards.charts import restatements as charts
from dashboards.downloads import Table, offers
from dashboards.templatetags.links import offering_url
from dashboards.views import files_books
from dashboards.views.access import page
from dashboards.views.links import Link
from usage.models import PRICE_ARRIVED
from usage.selectors import corrections as selector
from usage.selectors.corrections import (
    FAILED,
    IN_LINE,
    NOTHING,
    RESTATED,
    RUNNING,
    UNFINISHED,
    Correction,
    CorrectionRow,
)
from usage.services.restating.again import again as put_in_line
from usage.tasks import JOBS

PER_PAGE = 50
MOST_OFFERINGS = 50  # of one change: a contract may concern a whole provider
STATES = {
    IN_LINE: ("info", "In line"),
    RUNNING: ("info", "Running"),
    RESTATED: ("ok", "Restated"),
    NOTHING: ("neutral", "Nothing to restate"),
    FAILED: ("danger", "Failed"),
}
# By the word in the address: what the link says, the states that it shows.
LISTS: dict[str, tuple[str, Sequence[str]]] = {
    "": ("All that moved something", (*UNFINISHED, RESTATED)),
    "under-way": ("Under way", (IN_LINE, RUNNING)),
    "failed": ("Failed", (FAILED,)),
    "nothing": ("Nothing to restate", (NOTHING,)),
}
EMPTY = {
    "": (
        "Nothing was restated yet",
        "What a price, contract, tier or name that is corrected for the past changes appears here, with who and why.",
    ),
    "under-way": ("Nothing is under way", "Every change to the past is dealt with."),
    "failed": ("Nothing failed", "A run that fails stands here with its error, and can be put in line again."),
    "nothing": ("No such change", "Changes to the past that no booked event is concerned by stand here."),
}
KINDS = {
    AmendmentKind.PRICES.value: "by a change of prices",
    AmendmentKind.CONTRACT.value: "by the terms of a contract",
    AmendmentKind.TIER.value: "by the tier of a model",
    AmendmentKind.OFFERING.value: "by what a name of a model means",
    AmendmentKind.USE_CASE.value: "by merging use cases",
    AmendmentKind.TEAM.value: "by merging teams",
    AmendmentKind.USE_CASE_TEAM.value: "by giving a use case to a team",
    PRICE_ARRIVED: "by a price that arrived",
}


def line_of(row: CorrectionRow) -> dict[str, Any]:
    """Return a row with its words, for `_restatement_rows.html` too."""
    tone, words = STATES[row.state]
    # Others begin with a number, or with a name, which stays as it is written.
    summary = capfirst(row.summary) if row.kind in (AmendmentKind.CONTRACT, PRICE_ARRIVED) else row.summary
    return {"row": row, "summary": summary, "tone": tone, "state": words, "kind": KINDS.get(row.kind, row.kind)}


def _table(request: HttpRequest) -> Table:
    title, states = LISTS[_list(request)]
    return files_books.restatements(states=states, title=title)


def _list(request: HttpRequest) -> str:
    shown = request.GET.get("state", "")
    if shown not in LISTS:
        raise Http404("There is no such state.")
    return shown


@page("view")
@offers(_table)
def restatements(request: HttpRequest) -> HttpResponse:
    shown = _list(request)
    before = _before(request)
    rows = selector.listed(states=LISTS[shown][1], before=before, most=PER_PAGE + 1)
    counts = selector.counts()
    rows, more = rows[:PER_PAGE], len(rows) > PER_PAGE
    title, text = EMPTY[shown]
    context = {
        "lines": [line_of(row) for row in rows],
        "links": [
            Link(
                id=f"state-{key or 'all'}",
                title=f"{words} ({sum(counts[state] for state in states):,})",
                url=_address(key),
                current=key == shown,
            )
            for key, (words, states) in LISTS.items()
        ],
        "url": _address(shown, before),
        "under_way": any(row.state in (IN_LINE, RUNNING) for row in rows),
        "first_url": _address(shown) if before else "",
        "next_url": _address(shown, selector.place(rows[-1])) if more else "",
        "empty_title": title,
        "empty_text": text,
    }
    template = "_restatements" if request.headers.get("HX-Target") == "restatements" else "restatements"
    return render(request, f"dashboards/{template}.html", context)


def _address(state: str, before: tuple[datetime, str, int] | None = None) -> str:
    query = {"state": state} if state else {}
    if before is not None:
        at, letter, number = before
        query["before"] = f"{at.astimezone(UTC).isoformat()}~{letter}{number}"
    return reverse("restatements") + (f"?{urlencode(query)}" if query else "")


def _before(request: HttpRequest) -> tuple[datetime, str, int] | None:
    text = request.GET.get("before", "")
    if not text:
        return None
    instant, _, key = text.partition("~")
    try:
        at = datetime.fromisoformat(instant)
        if at.tzinfo is None or key[:1] not in ("a", "j") or not key[1:].isascii() or len(key) > 19:
            raise ValueError("not an address of ours")
        return at.astimezone(UTC), key[0], int(key[1:])
    except (ValueError, OverflowError) as error:
        raise Http404("There is no such page.") from error


@page("view")
def restatement(request: HttpRequest, key: str) -> HttpResponse:
    found = _found(key)
    fragment = request.headers.get("HX-Target") == "run"
    context = {
        **line_of(found.row),
        "found": found,
        "url": reverse("restatement", args=[key]),
        "under_way": found.row.state in (IN_LINE, RUNNING),
        "may_again": found.row.state == FAILED and request.user.has_perm("prices.approve"),
        "now": timezone.now(),
    }
    if fragment:
        response = render(request, "dashboards/_restatement_run.html", context)
        if not context["under_way"]:
            response["HX-Refresh"] = "true"  # the figures stand on the rest of the page
        return response
    context["concerned"] = [(one, offering_url(one.name)) for one in found.offerings[:MOST_OFFERINGS]]
    context["more"] = max(0, len(found.offerings) - MOST_OFFERINGS)
    context["chart"] = charts.before_and_after(found.months)
    return render(request, "dashboards/restatement.html", context)


@page("prices.approve", "POST")
def again(request: HttpRequest, key: str) -> HttpResponse:
    row = _found(key).row
    if row.job_id is None:
        raise Http404("There is no run yet.")
    try:
        put_in_line(job_id=row.job_id, by=access.label(request.user), at=timezone.now())
    except Conflict as error:
        messages.error(request, str(error))
    else:
        nudges.nudge(JOBS, "background")
        messages.success(request, "The run is in line again. It goes on where it stopped.")
    return redirect("restatement", key=key)


def _found(key: str) -> Correction:
    found = selector.one(key)
    if found is None:
        raise Http404("There is no such restatement.")
    return found
