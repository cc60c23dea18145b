"""The models page: every offering with its prices, and one of them down to who approved what it costs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal, localcontext
from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from catalog.models import METER_LABELS, ClaimState, Offering
from catalog.selectors.price_rows import PriceRow
from catalog.services.prices import worked_example
from core import access
from core.models import Organisation
from dashboards.charts import prices as charts
from dashboards.charts.prices import price
from dashboards.downloads import Table, offers
from dashboards.selectors import catalog as page_of
from dashboards.selectors.catalog import ContractLine, OfferingLine, OfferingPage, Wanted
from dashboards.templatetags.figures import exact, percent
from dashboards.templatetags.links import model_url, offering_url
from dashboards.views import files_books
from dashboards.views.access import page
from dashboards.views.links import Link
from dashboards.views.price_words import groups_of, matrix_of, terms_title, words_of
from usage.selectors import freshness

ONLY = {
    "": "Everything",
    "attention": "What needs attention",
    "unpriced": "Unpriced",
    "unclassified": "Without a tier",
    "waiting": "Waiting for an owner",
    "used": f"Used in the last {page_of.SPEND_DAYS} days",
}
MOST_WORDS = 8
MOST_CHARACTERS = 200
# The columns of the list: title, the order it stands for, whether it holds numbers.
COLUMNS = (
    ("Offering", "name", False),
    ("Tier", "", False),
    ("Where and what", "", False),
    ("Input", "input", True),
    ("Cache read", "cache_read", True),
    ("Output", "output", True),
    ("Context", "context", True),
    (f"Spend, {page_of.SPEND_DAYS} days", "spend", True),
)
_CHARTED = ("uncached_input", "cache_read", "cache_write_5m", "cache_write_1h", "output")
_NARROWING = ("q", "provider", "tier", "only", "weights", "region", "data_class")
_NUMBER = re.compile(r"[0-9]{1,3}", re.ASCII)
_PAGE = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Line:
    """An offering as the list shows it: prices in words, and what is wrong with it as (tone, text)."""

    row: OfferingLine
    url: str
    model_url: str
    prices: Sequence[tuple[str, str]]  # (words, head of the column)
    context: str
    weights: str
    share: str  # of all spend of the days; empty where it had none
    flags: Sequence[tuple[str, str]]


def line_of(row: OfferingLine) -> Line:
    return Line(
        row=row,
        url=offering_url(row.name),
        model_url=model_url(row.model),
        prices=[
            (price(usd) if usd is not None else "\N{EN DASH}", head)
            for usd, head in ((row.input_usd, "Input"), (row.cache_read_usd, "Cache read"), (row.output_usd, "Output"))
        ],
        context=context_words(row.context_tokens),
        weights=weights_words(row),
        share=percent(row.share) if row.share and row.requests else "",
        flags=list(_flags(row)),
    )


def weights_words(row: OfferingLine) -> str:
    """Return under what terms the model's weights can be had: "open, MIT", "closed", or nothing where nobody said."""
    if row.open_weights:
        return f"open, {row.licence}" if row.licence else "open"
    return "closed" if row.lab else ""


def _flags(row: OfferingLine) -> Iterable[tuple[str, str]]:
    if row.retired:
        yield "neutral", "retired"
    if row.unpriced and not row.merged and (row.requests or not row.retired):
        yield ("danger" if row.requests else "warning"), ("used unpriced" if row.requests else "unpriced")
    if row.waiting:
        yield "warning", "waiting for an owner"
    if row.unknown:
        yield "warning", "events name no model or provider"
    if row.merged:
        yield "neutral", "assigned to another"
    if row.unclassified and not row.retired and not row.merged:
        yield "warning", "no tier"


def context_words(tokens: int | None) -> str:
    """Return how much a model reads at once: "1M", "1.05M", "262k", "8.2k"; rounded, as the sizes are powers of two."""
    if tokens is None:
        return "\N{EN DASH}"
    for unit, letter, places in ((1_000_000, "M", 2), (10_000, "k", 0), (1_000, "k", 1)):
        if tokens >= unit:
            return f"{exact(round(Decimal(tokens) / (1_000_000 if letter == 'M' else 1_000), places))}{letter}"
    return exact(tokens)


def _wanted(asked: dict[str, str]) -> Wanted:
    return Wanted(
        words=asked["q"].split()[:MOST_WORDS],
        provider=asked["provider"],
        tier=asked["tier"],
        only=asked["only"],
        weights=asked["weights"],
        region=asked["region"],
        data_class=asked["data_class"],
        order=asked["sort"],
    )


def _table(request: HttpRequest) -> Table:
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    asked, _ = _asked(request)
    return files_books.offerings(at=timezone.now(), zone=organisation.zone, wanted=_wanted(asked))


@page("view")
@offers(_table)
def catalog_page(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    asked, number = _asked(request)
    found = page_of.offerings(at=now, zone=organisation.zone, wanted=_wanted(asked), page=number)
    last = max(1, -(-found.found // page_of.PER_PAGE))
    context: dict[str, Any] = {
        "lines": [line_of(row) for row in found.lines],
        "found": found.found,
        "asked": asked,
        "columns": [
            (title, numbers, _url(asked, sort=order) if order else "", bool(order) and order == asked["sort"])
            for title, order, numbers in COLUMNS
        ],
        "default_order": asked["sort"] == "attention",
        "unsorted_url": _url(asked, sort="attention"),
        "narrowed": any(asked[name] for name in _NARROWING),
        "days": page_of.SPEND_DAYS,
        "page": number,
        "last": last,
        "earlier_url": _url(asked, page=str(number - 1)) if number > 1 else "",
        "later_url": _url(asked, page=str(number + 1)) if number < last else "",
    }
    if request.headers.get("HX-Request") and not request.headers.get("HX-History-Restore-Request"):
        return render(request, "dashboards/_catalog_offerings.html", context)
    context |= {
        "may_edit": access.may(request.user, "catalog.edit"),
        "counts": page_of.counts(at=now, zone=organisation.zone),
        "choices": page_of.choices(),
        "weights": [(name, f"{name.capitalize()} weights") for name in page_of.WEIGHTS],
        "tiers": list(page_of.TIERS),
        "only": list(ONLY.items()),
        "complete_through": freshness.complete_through(at=now),
    }
    return render(request, "dashboards/catalog.html", context)


def _asked(request: HttpRequest) -> tuple[dict[str, str], int]:
    asked = {name: request.GET.get(name, "").strip() for name in (*_NARROWING, "sort")}
    asked["sort"] = asked["sort"] or "attention"
    if "\0" in "".join(asked.values()) or len(asked["q"]) > MOST_CHARACTERS:
        raise Http404("Nothing is called that.")
    if asked["tier"] and asked["tier"] not in page_of.TIERS:
        raise Http404("There is no such tier.")
    if asked["weights"] and asked["weights"] not in page_of.WEIGHTS:
        raise Http404("Weights are open or closed.")
    if asked["only"] not in ONLY:
        raise Http404("There is no such selection.")
    if asked["sort"] not in page_of.ORDERS:
        raise Http404("The catalogue cannot be sorted by that.")
    number = request.GET.get("page") or "1"
    if not _PAGE.fullmatch(number):
        raise Http404("There is no such page.")
    return asked, int(number)


def _url(asked: dict[str, str], **changed: str) -> str:
    query = {name: value for name, value in (asked | changed).items() if value}
    if query.get("sort") == "attention":
        del query["sort"]
    return f"{reverse('catalog')}{'?' if query else ''}{urlencode(query)}"


def _at_list(rows: Iterable[PriceRow], region: str) -> dict[str, PriceRow]:
    """Return what an ordinary request pays at list, by meter: a price for the offering's own region goes first."""
    usual = [row for row in rows if row.is_ordinary(region)]
    return {row.meter: row for row in sorted(usual, key=lambda row: bool(row.region))}


@page("view")
def offering(request: HttpRequest, name: str) -> HttpResponse:
    now = timezone.now()
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    found = page_of.named(name)
    if found is None:
        raise Http404("The catalogue has no such offering.")
    if found.name != name:  # another case, or a model named alone
        return redirect("offering", name=found.name)
    shown = page_of.one(offering=found, at=now, zone=organisation.zone)
    in_force = [row for row in shown.prices if row.holds(now)]
    ordinary = _at_list(in_force, found.region)
    not_now = sorted(
        (row for row in shown.prices if not row.holds(now)),
        key=lambda row: row.valid_from.timestamp() if row.valid_from else 0,
        reverse=True,
    )
    groups = groups_of(in_force, now, found.region)
    drawn = _drawn(shown)
    charted = drawn[_chosen(request, len(drawn))] if drawn else Drawn(terms="", ordinary=True, rows=())
    example: dict[str, Decimal] = {
        meter: ordinary[meter].usd_per_1m for meter in ("uncached_input", "output") if meter in ordinary
    }
    context = {
        "page": shown,
        "offering": found,
        "tier": shown.tier(now),
        "flags": list(_flags_of(shown, now)),
        "context_words": context_words(found.model.context_tokens),
        "stats": [
            (
                label,
                price(ordinary[meter].usd_per_1m) if meter in ordinary else "",
                f"approved by {ordinary[meter].approved_by}" if meter in ordinary else "no price is in force",
                ordinary[meter].id if meter in ordinary else None,
            )
            for label, meter in (("Input", "uncached_input"), ("Cache read", "cache_read"), ("Output", "output"))
        ],
        "example": worked_example(prices=example) if example else "",
        "groups": groups,
        "matrix": matrix_of(groups),
        "not_now": [words_of(row, now) for row in not_now],
        "replaced": [words_of(row, now) for row in shown.replaced],
        "most_replaced": page_of.MOST_EARLIER,
        "chart": charts.over_time(
            _steps(charted.rows), at=now, zone=organisation.zone, terms="" if charted.ordinary else charted.terms
        ),
        "chart_links": [
            Link(id=f"terms-{number}", title=one.terms, url=f"?terms={number}#{charts.ID}", current=one is charted)
            for number, one in enumerate(drawn)
        ]
        if len(drawn) > 1
        else [],
        "use_cases": [
            (use_case, cost, requests, percent(cost / shown.spent.cost_usd) if shown.spent.cost_usd > 0 else "")
            for use_case, cost, requests in shown.spent.use_cases
            if cost or requests  # of one whose calls were all booked anew elsewhere nothing is left
        ],
        "changes": _changes(request, found, means=shown.means),
        "price_url": f"{reverse('price-new')}?{urlencode({'offering': found.name})}"
        if access.may(request.user, "prices.approve")
        else "",
        "reported_url": reverse("reported-offering", args=[found.name]) if offering_url(found.name) else "",
        "means_url": offering_url(shown.means) if shown.means else "",
        "gateway_names": sorted(
            (str(kind), ", ".join(map(str, value)) if isinstance(value, list) else str(value))
            for kind, value in (found.gateway_names or {}).items()
        ),
        "elsewhere": [line_of(row) for row in shown.elsewhere],
        "spend_url": f"{reverse('spend')}?{urlencode({'model': found.model.name})}",
        "days": page_of.SPEND_DAYS,
        "now": now,
        "complete_through": freshness.complete_through(at=now),
    }
    return render(request, "dashboards/catalog_offering.html", context)


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Prices on the same terms over time, as one chart shows them."""

    terms: str
    ordinary: bool
    rows: Sequence[PriceRow]


def _drawn(shown: OfferingPage) -> list[Drawn]:
    """Return the charts that can be drawn: the ordinary list price, other terms, list less discounts."""
    found = []
    for _, each in groupby(shown.prices, key=lambda row: row.series[:-1]):
        rows = [row for row in each if row.meter in _CHARTED]
        if rows:
            found.append(Drawn(terms=terms_title(rows[0]), ordinary=rows[0].is_ordinary(""), rows=rows))
    listed = next((one.rows for one in found if one.ordinary), ())
    for name, times in groupby(shown.contracts, key=lambda one: one.name):
        discounted = sorted(
            (paid for one in times for row in listed if (paid := _discounted(row, one)) is not None),
            key=lambda row: (*row.series, row.valid_from.timestamp() if row.valid_from else float("-inf")),
        )
        if discounted:
            found.append(Drawn(terms=f"List price less the discount of {name}", ordinary=False, rows=discounted))
    return found


def _discounted(row: PriceRow, contract: ContractLine) -> PriceRow | None:
    """Return what is left of a list price under a contract, over the time in which both hold; None where none is."""
    if contract.discount_percent is None:
        return None
    begins = max((at for at in (row.valid_from, contract.valid_from) if at is not None), default=None)
    ends = min((at for at in (row.valid_until, contract.valid_until) if at is not None), default=None)
    if begins is not None and ends is not None and begins >= ends:
        return None
    with localcontext() as context:
        context.prec = 60
        paid = row.usd_per_1m * (100 - contract.discount_percent) / 100
    return replace(row, usd_per_1m=paid, valid_from=begins, valid_until=ends)


def _chosen(request: HttpRequest, many: int) -> int:
    text = request.GET.get("terms", "0")
    if not _NUMBER.fullmatch(text) or int(text) >= max(many, 1):
        raise Http404("There are no such terms.")
    return int(text)


def _steps(prices: Iterable[PriceRow]) -> list[charts.Step]:
    return [
        charts.Step(
            meter=METER_LABELS[row.meter], usd_per_1m=row.usd_per_1m, starts_at=row.valid_from, ends_at=row.valid_until
        )
        for row in prices
    ]


def _changes(request: HttpRequest, found: Offering, *, means: str) -> dict[str, str]:
    """Return the addresses at which the person may change an offering, by what they change."""
    if not access.may(request.user, "catalog.edit"):
        return {}
    names = ["tier", "name", "facts", *(["assign"] if found.state != ClaimState.MERGED else [])]
    names += ["retire"] if found.retired_at is None else []
    if not offering_url(found.name):
        return {}
    addresses = {name: reverse(f"offering-{name}", args=[found.name]) for name in names}
    if found.state == ClaimState.MERGED and means:
        # What stands under its name from before the day that was chosen can follow.
        assign = reverse("offering-assign", args=[found.name])
        addresses["earlier"] = f"{assign}?{urlencode({'into': means})}"
    return addresses


def _flags_of(shown: OfferingPage, now: datetime) -> Iterable[tuple[str, str]]:
    one = shown.offering
    if one.retired_at is not None and one.retired_at <= now:
        yield "neutral", "retired"
    if shown.means:
        yield "neutral", "assigned to another"
    elif not any(row.holds(now) for row in shown.prices):
        yield "danger", "unpriced"
    if one.state == "waiting":
        yield "warning", "waiting for an owner"
