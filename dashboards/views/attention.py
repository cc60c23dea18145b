"""What waits for a person, each with what to do; and where our cost and the one that gateways reported part."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from catalog.models import METER_LABELS
from catalog.rules.suggesting import Sureness
from core import access, periods
from core.models import Organisation
from dashboards.downloads import Table, offers
from dashboards.selectors import attention as page_of
from dashboards.selectors.attention import LISTS, PER_PAGE, Page, Suggested
from dashboards.selectors.catalog import named
from dashboards.templatetags.figures import percent
from dashboards.templatetags.links import offering_url
from dashboards.views import days, files_books
from dashboards.views.access import page
from dashboards.views.links import Link
from usage.models import Unpriced
from usage.selectors import freshness, receipts, reported
from usage.selectors.attention import Reason, UnpricedLine
from usage.selectors.reported import MOST_DAYS, Compared

TITLES = {
    "unpriced": "Unpriced usage",
    "names": "Names nobody knows",
    "unclassified": "Models without a tier",
    "use-cases": "Use cases without an owner",
    "teams": "Teams without an owner",
    "uncounted": "Not counted by gateways",
}
_PAGE = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)
_ROWS_PER_PAGE = 50
_ASKED = ("list", "page")


def _address(name: str, *args: str, **query: str) -> str:
    """Return the address of a page with a query; empty for a name that no service would let in."""
    try:
        path = reverse(name, args=args)
    except NoReverseMatch:
        return ""
    return f"{path}?{urlencode(query)}" if query else path


@dataclass(frozen=True, kw_only=True)
class UnpricedRow:
    row: UnpricedLine
    url: str
    reasons: Sequence[str]
    price_url: str
    price_words: str
    assign_url: str


@dataclass(frozen=True, kw_only=True)
class NameRow:
    """A name and what it probably is; `into` and `since` fill in the form that shows the effect of assigning it."""

    row: Any
    url: str
    called: Sequence[str]
    into: str
    sure: bool
    since: str
    assign_url: str
    claim_url: str


def reason_words(reason: Reason) -> str:
    """Say why calls are unpriced."""
    match reason.code:
        case Unpriced.METER_WITHOUT_PRICE:
            missing = " and ".join(filter(None, [", ".join(_names(reason.meters)[:-1]), _names(reason.meters)[-1]]))
            return f"no price for {missing}"
        case Unpriced.UNKNOWN_CONTEXT:
            return f"no price for the service tier {reason.service_tier!r}" if reason.service_tier else "no such terms"
        case Unpriced.NOT_COUNTED:
            return "the gateway gave no token counts"
        case Unpriced.PRICED:
            return "has a price by now: about to be booked anew"
        case _:
            return "no price at all"


def _names(meters: Sequence[str]) -> list[str]:
    return [METER_LABELS.get(meter, meter) for meter in meters]


def _unpriced(line: UnpricedLine, suggested: Mapping[str, str]) -> UnpricedRow:
    query = {"offering": line.name}
    for reason in line.reasons:
        if reason.meters:
            query.setdefault("meter", reason.meters[0])
        if reason.service_tier:
            query.setdefault("service_tier", reason.service_tier)
    waits = line.requests > line.uncounted or not line.reasons
    into = {"into": suggested[line.name]} if line.name in suggested else {}
    return UnpricedRow(
        row=line,
        url=offering_url(line.name),
        reasons=[reason_words(reason) for reason in line.reasons] or ["priced since in part; what is left is older"],
        price_url=_address("price-new", **query) if waits else "",
        price_words="Enter the price" if "meter" in query else "Enter prices",
        assign_url=_address("offering-assign", line.name, **into) if line.state in ("waiting", "merged") else "",
    )


def _name(one: Suggested, *, assign: str, claim: str, key: str = "", called: Sequence[str] = ()) -> NameRow:
    row, suggestion = one.row, one.suggestion
    return NameRow(
        row=row,
        url=offering_url(row.name) if key else "",
        called=called,
        into=suggestion.name if suggestion else "",
        sure=bool(suggestion and suggestion.sureness is Sureness.CERTAIN),
        since=one.since.isoformat() if one.since else "",
        assign_url=_address(assign, key or str(row.id)),
        claim_url=claim if key else _address(claim, str(row.id)),
    )


def _table(request: HttpRequest) -> Table:
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    only, _ = _asked(request.GET)
    return files_books.attention(at=timezone.now(), zone=organisation.zone, only=only, why=reason_words)


@page("view")
@offers(_table)
def attention(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    only, number = _asked(request.GET)
    shown = page_of.page(at=now, zone=organisation.zone, only=only, number=number)
    counted = _counted(shown)
    last = max(1, -(-counted[only] // PER_PAGE)) if only else 1
    suggested = {one.row.name: one.suggestion.name for one in shown.names if one.suggestion}
    context = {
        "shown": shown,
        "only": only,
        "title": TITLES.get(only, "Attention"),
        "lists": [
            (name, TITLES[name], counted[name], _address("attention", list=name), only == name) for name in LISTS
            if name != "uncounted" or counted[name]
        ],
        "perms_edit": access.may(request.user, "catalog.edit"),
        "perms_price": access.may(request.user, "prices.approve"),
        "counted": {name.replace("-", "_"): count for name, count in counted.items()},
        "few": page_of.FEW,
        "unpriced": [_unpriced(line, suggested) for line in shown.unpriced],
        "uncounted": [_unpriced(line, {}) for line in shown.uncounted],
        "names": [
            _name(
                one, assign="offering-assign", key=one.row.name, called=_called(one),
                claim=_address("price-new", offering=one.row.name),
            )
            for one in shown.names
        ],
        "unclassified": [
            (line, offering_url(line.name), _address("offering-tier", line.name)) for line in shown.unclassified
        ],
        "use_cases": [_name(one, assign="use-case-assign", claim="use-case-claim") for one in shown.use_cases],
        "teams": [_name(one, assign="team-assign", claim="team-claim") for one in shown.teams],
        "differences": [_difference(row) for row in shown.disagreement.rows] if shown.disagreement else [],
        "days": 30,
        "intake": receipts.counts() if not only else None,
        "page": number,
        "last": last,
        "earlier_url": _address("attention", list=only, page=str(number - 1)) if number > 1 else "",
        "later_url": _address("attention", list=only, page=str(number + 1)) if number < last else "",
        "complete_through": freshness.complete_through(at=now),
    }  # fmt: skip
    return render(request, "dashboards/attention.html", context)


def _called(one: Suggested) -> Sequence[str]:
    return [name for name in one.row.reported.names if name] if hasattr(one.row, "reported") else []


def _counted(shown: Page) -> dict[str, int]:
    counts = shown.counts
    return {
        "unpriced": counts.unpriced, "names": counts.names, "unclassified": counts.unclassified,
        "use-cases": counts.use_cases, "teams": counts.teams, "uncounted": counts.uncounted,
    }  # fmt: skip


def _asked(query: QueryDict) -> tuple[str, int]:
    if any(name not in _ASKED for name in query):
        raise Http404("This page has lists and pages only.")
    only, number = query.get("list", ""), query.get("page") or "1"
    if only and only not in LISTS:
        raise Http404("There is no such list.")
    if not _PAGE.fullmatch(number) or (number != "1" and not only):
        raise Http404("There is no such page.")
    return only, int(number)


# --- what gateways reported ---


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Two costs of the same entries side by side; `share` is of what was reported, in words."""

    row: Any
    url: str
    share: str


@dataclass(frozen=True, kw_only=True)
class Range:
    """What an address says of days, both included; None leaves it to the page."""

    first: date | None = None
    last: date | None = None
    every: bool = False  # what agrees, too
    page: int = 1

    def query(self, **changes: Any) -> str:
        state = replace(self, **{"page": 1, **changes})
        pairs = [("from", state.first.isoformat())] if state.first else []
        pairs += [("to", state.last.isoformat())] if state.last else []
        pairs += [("every", "1")] if state.every else []
        pairs += [("page", str(state.page))] if state.page > 1 else []
        return f"{'?' if pairs else ''}{urlencode(pairs)}"


def share_words(row: Compared) -> str:
    """Return the difference as a share of what was reported, with its sign."""
    if row.share is None:
        return "nothing reported" if row.difference_usd else "none"
    sign = "+" if row.share > 0 else "-" if row.share < 0 else ""
    return f"{sign}{percent(abs(row.share))}"


def _difference(row: Any, url: str = "") -> Difference:
    if not url and hasattr(row, "offering"):
        url = _address("reported-offering", row.offering) if offering_url(row.offering) else ""
    return Difference(row=row, url=url, share=share_words(row))


def _range(query: QueryDict, *, today: date) -> tuple[Range, date, date, list[str]]:
    """Return what an address says of days, the days that are meant, and a sentence for all that means nothing."""
    problems = [f"There is no {name!r} here: from, to, every, page." for name in query
                if name not in ("from", "to", "every", "page")]  # fmt: skip
    first, last = days.read_day(query, "from", problems), days.read_day(query, "to", problems)
    if first and last and last < first:
        problems.append("The last day lies before the first.")
        first = last = None
    every, number = query.get("every", ""), query.get("page") or "1"
    if every not in ("", "1"):
        problems.append("`every` is 1 or left out.")
    if not _PAGE.fullmatch(number):
        problems.append("There is no such page.")
        number = "1"
    begins, ends = days.filled(first, last, today=today, usual=30)
    if (ends - begins).days >= MOST_DAYS:
        problems.append(f"{MOST_DAYS} days at most, and these are {(ends - begins).days + 1:,}.")
    return Range(first=first, last=last, every=every == "1", page=int(number)), begins, ends, problems


def _context(path: str, asked: Range, first: date, last: date, problems: list[str], today: date) -> dict[str, Any]:
    return {
        "problems": problems,
        "path": path,
        "asked": asked,
        "first": first,
        "last": last,
        "range_words": days.range_words(first, last),
        "presets": [
            Link(
                id=f"range-{number}", title=title, url=path + asked.query(first=begins, last=ends),
                current=(begins, ends) == (first, last),
            )
            for number, (title, (begins, ends)) in enumerate(days.presets(today).items())
        ],
    }  # fmt: skip


@page("view")
def disagreement(request: HttpRequest) -> HttpResponse:
    """Show our cost against the reported one per offering and day, the greatest difference first."""
    now = timezone.now()
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    today = periods.local_day(now, organisation.zone)
    asked, first, last, problems = _range(request.GET, today=today)
    path = reverse("reported")
    context = _context(path, asked, first, last, problems, today)
    if not problems:
        found = reported.by_offering_and_day(
            first=first, until=last + days.ONE_DAY, most=_ROWS_PER_PAGE, skip=_ROWS_PER_PAGE * (asked.page - 1),
            apart_only=not asked.every,
        )  # fmt: skip
        pages = max(1, -(-found.found // _ROWS_PER_PAGE))
        query = asked.query()
        context |= {
            "found": found,
            "total": _difference(found.total),
            "rows": [
                replace(one, url=f"{one.url}{replace(asked, every=False).query()}" if one.url else "")
                for one in map(_difference, found.rows)
            ],
            "which": [
                Link(id="apart", title="Apart", url=path + asked.query(every=False), current=not asked.every),
                Link(id="every", title="Everything", url=path + asked.query(every=True), current=asked.every),
            ],
            "query": query,
            "page": asked.page,
            "pages": pages,
            "earlier_url": path + asked.query(page=asked.page - 1) if asked.page > 1 else "",
            "later_url": path + asked.query(page=asked.page + 1) if asked.page < pages else "",
            "complete_through": freshness.complete_through(at=now),
        }
    return render(request, "dashboards/attention_reported.html", context, status=400 if problems else 200)


@page("view")
def disagreement_of(request: HttpRequest, name: str) -> HttpResponse:
    """Show our cost of one offering against the reported one, by day and gateway."""
    now = timezone.now()
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    offering = named(name)
    if offering is None or offering.name != name:
        raise Http404("The catalogue has no such offering.")
    today = periods.local_day(now, organisation.zone)
    asked, first, last, problems = _range(request.GET, today=today)
    path = reverse("reported-offering", args=[offering.name])
    context = {**_context(path, asked, first, last, problems, today), "offering": offering}
    if not problems:
        rows = reported.of_offering(offering_id=offering.pk, first=first, until=last + days.ONE_DAY)
        gateways = sorted({row.gateway for row in rows})
        context |= {
            "rows": [_difference(row, url=" ") for row in rows],
            "total": _difference(reported.total_of(rows)),
            "by_gateway": [
                (gateway, _difference(reported.total_of([row for row in rows if row.gateway == gateway])))
                for gateway in gateways
            ],
            "offering_url": offering_url(offering.name),
            "all_url": reverse("reported") + asked.query(),
            "complete_through": freshness.complete_through(at=now),
        }
    return render(request, "dashboards/attention_reported_offering.html", context, status=400 if problems else 200)
