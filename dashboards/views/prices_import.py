"""Tables of prices from outside: read, compared with the book, and accepted or rejected by a person.

Reading prices nothing. Accepting shows first what it does to the past, as every change of the book does.
"""

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
from core.errors import Conflict, Invalid, Malformed, NotFound, TooLarge
from dashboards.charts.prices import price
from dashboards.downloads import Table, offers
from dashboards.forms_prices import SettleForm, UploadForm
from dashboards.templatetags.links import offering_url
from dashboards.views import changing, files_books
from dashboards.views.access import page
from dashboards.views.links import NUMBER, number
from dashboards.views.prices import METERS

LARGEST_FILE_BYTES = 16 * 1024 * 1024
PER_PAGE = 20
IMPORTS_PER_PAGE = 50
MOST_LINES = 30  # of one offering that are shown at once
INSTALLED = "genai-prices"
KINDS = {
    "new": ("info", "New", "Offerings that have no price in the book."),
    "changed": ("warning", "Changed", "The table says something else than the book."),
    "gone": ("neutral", "Gone", "Offerings that the table listed once and lists no more. Accepting ends their prices."),
    "disputed": (
        "danger",
        "Disputed",
        "The table agrees with the book, and another one differs by over 1 per cent.",
    ),
}
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
# The columns of a CSV file: their names, whether they are needed, what stands in them.
COLUMNS = (
    (
        "offering",
        True,
        "The model at its provider, such as gpt-5.5@openai; or model and provider in columns of their own",
    ),
    ("meter", True, f"One of {', '.join(METERS)}"),
    ("usd_per_1m", True, "USD per million of the meter, such as 0.125"),
    ("valid_from", False, "A day of the organisation's zone or an instant with its offset. Empty: from acceptance on"),
    ("valid_until", False, "When it ends; that day is not part of it"),
    ("context_over", False, "Tokens of input above which all of a request is priced so, such as 200000"),
    ("context_inclusive", False, "yes where a request of exactly so many belongs to the tier"),
    ("service_tier", False, "batch, flex, priority; empty for standard"),
    ("region", False, "Where the price is for one region only"),
    ("hours_zone, hours_from, hours_until", False, "Hours on a zone's clock, such as Asia/Shanghai, 00:30, 08:30"),
    ("weekdays", False, "Days on which the hours begin, such as mon-fri or sat sun; empty for all"),
    ("note", False, "Kept with the price"),
    ("source_url", False, "Where the figure can be seen"),
)
SAMPLE = """\
offering,meter,usd_per_1m,valid_from,context_over,service_tier,note,source_url
gpt-5.5@openai,uncached_input,5,2026-11-01,,,,https://openai.com/api/pricing/
gpt-5.5@openai,cache_read,0.5,2026-11-01,,,,https://openai.com/api/pricing/
gpt-5.5@openai,output,30,2026-11-01,,,,https://openai.com/api/pricing/
gpt-5.5@openai,uncached_input,10,2026-11-01,272000,,all of a request above 272k tokens,
gpt-5.5@openai,uncached_input,2.5,2026-11-01,,batch,,
"""
_BADGES = {"accepted": ("ok", "accepted"), "rejected": ("neutral", "rejected"), "replaced": ("neutral", "replaced")}
_AFTER = re.compile(r"(?P<pk>[1-9][0-9]{0,17}):(?P<name>[^\0]{1,200})", re.ASCII)
_MOST_CHARACTERS = 200
_EXAMPLES = 3


def _table(request: HttpRequest) -> Table:
    return files_books.price_imports()


@page("view")
@offers(_table)
def imports_page(request: HttpRequest) -> HttpResponse:
    return _imports(request, UploadForm(), before=number(request.GET, "before"))


def _imports(
    request: HttpRequest,
    form: UploadForm,
    *,
    before: int | None = None,
    refused: str = "",
    shrunk: bool = False,
    status: int = 200,
) -> HttpResponse:
    rows = proposals.imports(before=before, most=IMPORTS_PER_PAGE + 1)
    tables = proposals.source_tables()
    context = {
        "form": form,
        "rows": rows[:IMPORTS_PER_PAGE],
        "kinds": [(name, title) for name, (_, title, _) in KINDS.items()],
        "lines": [(row, [row.of_kind(name) for name in KINDS]) for row in rows[:IMPORTS_PER_PAGE]],
        "earlier_url": f"{reverse('prices-import')}?before={rows[IMPORTS_PER_PAGE - 1].id}"
        if len(rows) > IMPORTS_PER_PAGE
        else "",
        "first_page": before is None,
        "tables": tables,
        "installed": next((one for one in tables if one.source == INSTALLED), None),
        "installed_refused": refused,
        "shrunk": shrunk,
        "waiting": proposals.known_count(),
        "waiting_in_all": sum(one.open_proposals for one in tables),
        "may_import": request.user.has_perm("prices.edit"),
        "columns": COLUMNS,
        "largest_megabytes": LARGEST_FILE_BYTES // (1024 * 1024),
    }
    return render(request, "dashboards/prices_import.html", context, status=status)


@page("prices.edit", "POST")
def read_installed(request: HttpRequest) -> HttpResponse:
    shrunk = request.POST.get("accept_shrunk") == "on"
    try:
        return _propose(request, source=INSTALLED, accept_shrunk=shrunk)
    except (Invalid, Conflict, Malformed) as error:
        return _imports(request, UploadForm(), refused=str(error), shrunk=isinstance(error, imports.Shrunk), status=422)


@page("prices.edit", "POST")
def upload(request: HttpRequest) -> HttpResponse:
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        return _imports(request, form, status=422)
    data = form.cleaned_data
    file = data["file"]
    try:
        if file is None:
            raise Invalid("Choose a file.", [("file", "Choose a file.")])
        if file.size > LARGEST_FILE_BYTES:
            raise TooLarge(f"The file has {file.size:,} bytes; a table of prices has {LARGEST_FILE_BYTES:,} at most.")
        return _propose(
            request,
            source=data["source"],
            content=file.read(),
            file_name=file.name,
            accept_shrunk=data["accept_shrunk"],
        )
    except (Invalid, Conflict, Malformed, TooLarge) as error:
        form.show([("file", line) for line in str(error).splitlines()])
        shrunk = isinstance(error, imports.Shrunk)
    return _imports(request, form, shrunk=shrunk, status=422)


def _propose(
    request: HttpRequest, *, source: str, content: bytes | None = None, file_name: str = "", accept_shrunk: bool
) -> HttpResponse:
    """Read a table and leave its proposals, then go to them.

    Raises:
        Malformed, Invalid, Conflict: nothing of it was taken.
    """
    table = imports.read(source=source, content=content)
    made = imports.propose(
        table=table,
        by=access.label(request.user),
        at=timezone.now(),
        file_name=file_name,
        accept_shrunk=accept_shrunk,
    )
    name = f"{made.source} {made.version}".strip()
    parts = [f"{getattr(made, kind):,} {title.lower()}" for kind, (_, title, _) in KINDS.items() if getattr(made, kind)]
    said = f"{name} was read, {made.models:,} models: {', '.join(parts) if parts else 'nothing new'}."
    if made.waiting:
        said += f" {made.waiting:,} that wait already say the same."
    if made.settled:
        said += f" {made.settled:,} were decided on before."
    if made.replaced:
        said += f" {made.replaced:,} older ones are replaced."
    if made.import_id is not None:
        messages.success(request, said)
        return redirect("prices-import-one", pk=made.import_id)
    rows = proposals.imports(most=IMPORTS_PER_PAGE) if made.waiting else []
    waits = next((row.id for row in rows if row.source == made.source and row.open), None)
    if waits is not None:
        messages.success(request, said)
        return redirect("prices-import-one", pk=waits)
    if made.problems:
        some = "; ".join(f"{one}: {why}" for one, why in made.problems[:_EXAMPLES])
        said += f" {len(made.problems):,} names could not be read in full, such as {some}"
    messages.success(request, said)
    return redirect("prices-import")


@page("view")
def sample(request: HttpRequest) -> HttpResponse:
    answer = HttpResponse(SAMPLE, content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = 'attachment; filename="prices-sample.csv"'
    return answer


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
