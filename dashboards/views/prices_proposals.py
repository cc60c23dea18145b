"""What a table of prices proposes: compared with the book and with other tables, and settled by a person."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from catalog.models import ProposalKind, ProposalState
from catalog.rules.comparing import disagree
from catalog.rules.proposed import ProposedLine
from catalog.selectors import proposals
from catalog.selectors.proposals import ImportRow, ProposalRow
from catalog.services import imports
from core import access
from core.errors import Conflict, Invalid, NotFound
from dashboards.charts.prices import price
from dashboards.forms_prices import SettleForm
from dashboards.templatetags.links import offering_url
from dashboards.views import changing
from dashboards.views.access import page
from dashboards.views.links import NUMBER
from dashboards.views.prices import METERS
from dashboards.views.prices_import import KINDS

PER_PAGE = 20
MOST_LINES = 30  # of one offering that are shown at once
# Beside the kinds: what the catalogue has, with which a page begins where a table lists the rest of the market too, and
# all.
KNOWN = "known"
ALL = "all"
STATES = {
    "open": "Waiting for a person",
    "accepted": "Accepted",
    "rejected": "Rejected",
    "replaced": "Replaced by a newer reading",
    "all": "All",
}
_BADGES = {"accepted": ("ok", "accepted"), "rejected": ("neutral", "rejected"), "replaced": ("neutral", "replaced")}
_AFTER = re.compile(r"(?P<pk>[1-9][0-9]{0,17}):(?P<name>[^\0]{1,200})", re.ASCII)
_MOST_CHARACTERS = 200


@dataclass(frozen=True, kw_only=True)
class Line:
    """One price side by side: in the book, in the table, in other tables."""

    row: ProposedLine
    what: str
    book: str
    said: str
    others: Sequence[tuple[str, str, bool]]  # (source, price, whether it disagrees)
    change: str


@dataclass(frozen=True, kw_only=True)
class Proposal:
    row: ProposalRow
    tone: str
    kind: str
    url: str
    lines: Sequence[Line]  # what a person has to judge
    more: int
    standing: Sequence[Line]  # what agrees or stays as it is
    state: tuple[str, str] | None


def _line(row: ProposedLine) -> Line:
    usd = row.usd_per_1m
    words = METERS.get(row.meter, row.meter) + row.what[len(row.meter) :]
    if usd is None:
        said, change = ("ends" if row.differs else "not named"), ""
    else:
        said = price(usd)
        percent = row.change_percent
        change = "new" if row.book_usd_per_1m is None else "as it is" if not percent else f"{percent:+,} %"
        if not row.differs:
            change = "as it is"
        elif row.book_usd_per_1m == 0 and usd:
            change = "was free"
        elif row.book_usd_per_1m is not None and usd != row.book_usd_per_1m and percent == 0:
            change = "< 0.1 %"
    return Line(
        row=row,
        what=words[0].upper() + words[1:],
        book=price(row.book_usd_per_1m) if row.book_usd_per_1m is not None else "\N{EN DASH}",
        said=said,
        others=[
            (source, price(value), usd is not None and disagree(usd, value))
            for source, value in sorted(row.others.items())
        ],
        change=change,
    )


def _proposal(row: ProposalRow) -> Proposal:
    tone, title, _ = KINDS[row.kind]
    disputed = row.kind == ProposalKind.DISPUTED
    shown = [line for line in row.lines if (line.disputed if disputed else line.differs)]
    return Proposal(
        row=row,
        tone=tone,
        kind=title.lower(),
        url=offering_url(row.offering) if row.offering_id is not None else "",
        lines=[_line(line) for line in shown[:MOST_LINES]],
        more=max(0, len(shown) - MOST_LINES),
        standing=[_line(line) for line in row.lines if line not in shown],
        state=_BADGES.get(row.state),
    )


@page("view")
def one_import(request: HttpRequest, pk: int) -> HttpResponse:
    return _one(request, pk, request.GET, SettleForm())


def _one(request: HttpRequest, pk: int, given: QueryDict, form: SettleForm, *, status: int = 200) -> HttpResponse:
    found = _found(pk)
    asked, after = _asked(given)
    known = proposals.known_count(of_import=pk)
    split = 0 < known < found.open
    if not asked["kind"]:
        asked["kind"] = (
            KNOWN if split and asked["state"] == "open" and not asked["q"] and not asked["disputed"] else ALL
        )
    rows = proposals.proposals(of_import=pk, after=after, most=PER_PAGE + 1, **_filters(asked))
    shown = rows[:PER_PAGE]
    last = shown[-1] if shown else None
    problems = proposals.problems(of_import=pk)
    open_by_kind = [(name, found.counts.get(name, {}).get("open", 0)) for name in KINDS]
    context: dict[str, Any] = {
        "found": found,
        "form": form,
        "asked": asked,
        "after": given.get("after", ""),
        "proposals": [_proposal(row) for row in shown],
        "kinds": [
            (name, KINDS[name][1], open_, _url(pk, asked, kind=name), KINDS[name][2]) for name, open_ in open_by_kind
        ],
        "all_url": _url(pk, asked, kind=ALL),
        "known_url": _url(pk, asked, kind=KNOWN) if split or asked["kind"] == KNOWN else "",
        "known": known,
        "others": found.open - known,
        "states": list(STATES.items()),
        "about": KINDS[asked["kind"]][2] if asked["kind"] in KINDS else "",
        "later_url": _url(pk, asked, after=f"{last.id}:{last.offering}") if last and len(rows) > PER_PAGE else "",
        "first_url": _url(pk, asked) if after else "",
        "everything_url": _url(pk, {"kind": ALL}),
        "narrowed": bool(asked["q"] or asked["kind"] in KINDS or asked["disputed"] or asked["state"] != "open"),
        "problems": problems,
        "most_at_once": imports.MOST_AT_ONCE,
        "chosen": {int(word) for word in given.getlist("ids") if NUMBER.fullmatch(word)},
        "all_chosen": given.get("all") == "on",
        "may_settle": request.user.has_perm("prices.approve") and any(row.state == ProposalState.OPEN for row in shown),
        "now": timezone.now(),
    }
    return render(request, "dashboards/prices_import_one.html", context, status=status)


def _found(pk: int) -> ImportRow:
    found = next(iter(proposals.imports(only=pk)), None)
    if found is None:
        raise Http404("There is no such import.")
    return found


def _asked(given: QueryDict) -> tuple[dict[str, str], tuple[str, int] | None]:
    asked = {name: given.get(name, "").strip() for name in ("q", "kind", "state", "disputed")}
    asked["state"] = asked["state"] or "open"
    if "\0" in asked["q"] or len(asked["q"]) > _MOST_CHARACTERS:
        raise Http404("Nothing is called that.")
    if (
        asked["kind"] not in ("", KNOWN, ALL, *KINDS)
        or asked["state"] not in STATES
        or asked["disputed"] not in ("", "yes")
    ):
        raise Http404("There is no such selection.")
    text = given.get("after", "")
    if not text:
        return asked, None
    after = _AFTER.fullmatch(text)
    if after is None:
        raise Http404("There is no such page.")
    return asked, (after["name"], int(after["pk"]))


def _filters(asked: Mapping[str, str]) -> dict[str, Any]:
    return {
        "state": "" if asked["state"] == "all" else asked["state"],
        "kind": asked["kind"] if asked["kind"] in KINDS else "",
        "known": asked["kind"] == KNOWN,
        "search": asked["q"],
        "disputed": True if asked["disputed"] else None,
    }


def _url(pk: int, asked: Mapping[str, str], **changed: str) -> str:
    query = {name: value for name, value in {**asked, **changed}.items() if value}
    if query.get("state") == "open":
        del query["state"]
    if query.get("kind") == (ALL if query.keys() & {"state", "q", "disputed"} else KNOWN):
        del query["kind"]  # with what the page begins anyway
    return f"{reverse('prices-import-one', args=[pk])}{'?' if query else ''}{urlencode(query)}"


@page("prices.approve", "POST")
def settle(request: HttpRequest, pk: int) -> HttpResponse:
    """Accept or reject what was chosen: what is ticked, or all that the filters of the page find."""
    found = _found(pk)
    asked, _ = _asked(request.POST)
    ids, problem = _chosen(request.POST, pk, asked)
    do = request.POST.get("do", "")
    form = SettleForm(request.POST)
    if form.is_valid():
        reason = form.cleaned_data["reason"].strip()
        if do not in ("accept", "reject"):
            problem = problem or "Say whether to accept or to reject."
        if do == "reject" and not reason and not problem:
            form.show([("reason", "Say why: whoever reads the same table again will ask.")])
        elif problem:
            form.show([("", problem)])
    if form.errors:
        return _one(request, pk, request.POST, form, status=422)

    by = access.label(request.user)
    if do == "reject":
        try:
            done = imports.reject(proposal_ids=ids, by=by, at=timezone.now(), reason=reason)
        except (Invalid, Conflict, NotFound) as error:
            form.show([("", str(error))])
            return _one(request, pk, request.POST, form, status=422)
        messages.success(
            request,
            f"{_counted(done.proposals)} rejected. The book stays, and the same is not proposed again.",
        )
        return redirect(_url(pk, asked))

    chosen = proposals.proposals(of_import=pk, only=ids)
    _normalise(request, ids=[row.id for row in chosen], reason=reason)

    def make(at: datetime) -> None:
        imports.apply(proposal_ids=ids, by=by, at=at, reason=reason or f"prices of {found.source} {found.version}")

    context = {
        "found": found,
        "chosen": [_proposal(row) for row in chosen],
        "ids": [row.id for row in chosen],
        "reason": reason,
        "back_url": _url(pk, asked),
        "sets": sum(len(row.differing) for row in chosen if row.kind in ("new", "changed")),
        "ends": sum(len(row.differing) for row in chosen if row.kind == "gone"),
    }
    return changing.step(
        request,
        form=form,
        make=make,
        template="dashboards/prices_import_accept.html",
        context=context,
        done=reverse("prices-import-one", args=[pk]),
        told=f"{_counted(len(chosen))} accepted. What was booked for their time is looked at in the background.",
    )


def _counted(number: int) -> str:
    return f"{number:,} proposal{'s are' if number != 1 else ' is'}"


def _chosen(given: QueryDict, pk: int, asked: Mapping[str, str]) -> tuple[list[int], str]:
    """Return the ids of what was chosen, or a sentence on what is wrong with the choice."""
    if given.get("all") == "on":
        rows = proposals.proposals(of_import=pk, most=imports.MOST_AT_ONCE + 1, **_filters({**asked, "state": "open"}))
        if len(rows) > imports.MOST_AT_ONCE:
            return [], f"These are more than {imports.MOST_AT_ONCE}, the most at once: narrow them by kind or name."
        ids = [row.id for row in rows]
    else:
        words = given.getlist("ids")
        if not all(NUMBER.fullmatch(word) for word in words):
            return [], "What was chosen is not to be found: choose again."
        ids = sorted({int(word) for word in words})
        if len(ids) > imports.MOST_AT_ONCE:
            return [], f"At most {imports.MOST_AT_ONCE} are settled at once."
        known = {row.id for row in proposals.proposals(of_import=pk, only=ids)}
        if known != set(ids):
            return [], "What was chosen is not to be found: choose again."
    return ids, "" if ids else "Choose at least one offering."


def _normalise(request: HttpRequest, *, ids: Sequence[int], reason: str) -> None:
    """Put what was chosen as the next page sends it, so that confirming it is confirming the same."""
    filled = QueryDict("", mutable=True)
    filled["do"] = "accept"
    filled["reason"] = reason
    filled.setlist("ids", [str(pk) for pk in sorted(ids)])
    if "confirm" in request.POST:
        filled["confirm"] = request.POST["confirm"]
    request.POST = filled  # type: ignore[assignment]
