"""The price book, to search: every price down to its source, when it holds, when we held it true, and who answers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from catalog.models import Meter
from catalog.selectors import proposals
from dashboards.downloads import Table, offers
from dashboards.selectors import prices as page_of
from dashboards.selectors.prices import BookLine, Wanted
from dashboards.templatetags.links import offering_url
from dashboards.views import files_books
from dashboards.views.access import page
from dashboards.views.price_words import PriceWords, words_of

DATED = {
    "in-force": "In force",
    "to-come": "To come",
    "past": "Past",
    "replaced": "Replaced",
    "all": "All there ever were",
}
LAYERS = {"": "List and contracts", "list": "List prices", "contract": "Contracts' own prices"}
METERS = {str(value): str(label) for value, label in Meter.choices}
MOST_WORDS = 8
MOST_CHARACTERS = 200
_PAGE = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)
_NARROWING = ("q", "layer", "tier", "meter", "source", "contract")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A price as the book shows it. `url` leads to its row on the offering's page."""

    words: PriceWords
    url: str


@dataclass(frozen=True, kw_only=True)
class Group:
    """Prices of one offering that stand below each other."""

    offering: str
    provider: str
    url: str
    rows: Sequence[Row]


def _groups(lines: Iterable[BookLine], now: datetime) -> list[Group]:
    found = []
    for offering, each in groupby(lines, key=lambda line: line.price.offering):
        rows = list(each)
        url = offering_url(offering)
        found.append(
            Group(
                offering=offering,
                provider=rows[0].provider,
                url=url,
                rows=[
                    Row(words=words_of(row.price, now), url=f"{url}#price-{row.price.id}" if url else "")
                    for row in rows
                ],
            )
        )
    return found


def _wanted(asked: dict[str, str]) -> Wanted:
    return Wanted(
        words=asked["q"].split()[:MOST_WORDS],
        layer=asked["layer"],
        service_tier=asked["tier"],
        meter=asked["meter"],
        source=asked["source"],
        contract=asked["contract"],
        dated=asked["dated"],
    )


def _table(request: HttpRequest) -> Table:
    asked, _ = _asked(request)
    return files_books.price_book(at=timezone.now(), wanted=_wanted(asked), dated=DATED[asked["dated"]])


@page("view")
@offers(_table)
def prices_page(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    asked, number = _asked(request)
    found = page_of.book(at=now, wanted=_wanted(asked), page=number)
    last = max(1, -(-found.found // page_of.PER_PAGE))
    narrowed = any(asked[name] for name in _NARROWING) or asked["dated"] != "in-force"
    context: dict[str, Any] = {
        "groups": _groups(found.lines, now),
        "found": found.found,
        "asked": asked,
        "dated_words": DATED[asked["dated"]],
        "narrowed": narrowed,
        "page": number,
        "last": last,
        "earlier_url": _url(asked, page=str(number - 1)) if number > 1 else "",
        "later_url": _url(asked, page=str(number + 1)) if number < last else "",
        "empty": not found.found and page_of.is_empty(),
        "may_set": request.user.has_perm("prices.approve"),
        "may_import": request.user.has_perm("prices.edit"),
    }
    if request.headers.get("HX-Request") and not request.headers.get("HX-History-Restore-Request"):
        return render(request, "dashboards/_prices_book.html", context)
    context |= {
        "choices": page_of.choices(),
        "layers": list(LAYERS.items()),
        "dated": list(DATED.items()),
        "meters": list(METERS.items()),
        "ordinary": page_of.ORDINARY,
        "waiting": proposals.known_count(),
    }
    return render(request, "dashboards/prices.html", context)


def _asked(request: HttpRequest) -> tuple[dict[str, str], int]:
    asked = {name: request.GET.get(name, "").strip() for name in (*_NARROWING, "dated")}
    asked["dated"] = asked["dated"] or "in-force"
    if "\0" in "".join(asked.values()) or any(len(value) > MOST_CHARACTERS for value in asked.values()):
        raise Http404("Nothing is called that.")
    if asked["layer"] not in LAYERS:
        raise Http404("Prices are list prices or a contract's.")
    if asked["dated"] not in DATED:
        raise Http404("There is no such selection.")
    if asked["meter"] and asked["meter"] not in METERS:
        raise Http404("There is no such meter.")
    number = request.GET.get("page") or "1"
    if not _PAGE.fullmatch(number):
        raise Http404("There is no such page.")
    return asked, int(number)


def _url(asked: dict[str, str], **changed: str) -> str:
    query = {name: value for name, value in (asked | changed).items() if value}
    if query.get("dated") == "in-force":
        del query["dated"]
    return f"{reverse('prices')}{'?' if query else ''}{urlencode(query)}"
