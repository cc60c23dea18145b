"""The page of one model over all of its providers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from catalog.models import METER_LABELS
from core import access
from core.models import Organisation
from dashboards.charts import about as charts
from dashboards.charts.prices import price
from dashboards.selectors import about as shared
from dashboards.selectors import catalog as catalogue
from dashboards.selectors import model as page_of
from dashboards.selectors.model import Host, ModelPage, Quote, Sends
from dashboards.selectors.numbers import numbers
from dashboards.selectors.use_case import Part
from dashboards.templatetags.figures import exact, percent, usd
from dashboards.templatetags.links import offering_url
from dashboards.views import about
from dashboards.views.access import page
from dashboards.views.catalog import context_words
from usage.selectors import freshness
from usage.selectors.about import Sums


@dataclass(frozen=True, kw_only=True)
class QuoteShown:
    quote: Quote | None
    usd: str
    note: str  # "cheapest", or how many times dearer than that
    head: str


@dataclass(frozen=True, kw_only=True)
class HostShown:
    host: Host
    url: str
    means_url: str
    quotes: Sequence[QuoteShown]
    flags: Sequence[tuple[str, str]]
    used: about.PartShown


@dataclass(frozen=True, kw_only=True)
class SendsShown:
    row: Sends
    url: str
    how: Sequence[tuple[str, str, str]]  # (as what, offering, its address)


@page("view")
def model(request: HttpRequest, name: str) -> HttpResponse:
    now = timezone.now()
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    found = page_of.found(name)
    if found is None:
        known = catalogue.named(name)
        if known is not None:  # `claude-opus-4.7@anthropic` is an offering
            return redirect("offering", name=known.name)
        raise Http404("The catalogue has no such model.")
    if found.name != name:
        return redirect("model", name=found.name)
    may_read = access.may(request.user, "rules.read")
    shown = page_of.one(model=found, organisation=organisation, at=now, with_rules=may_read)
    living = [host for host in shown.hosts if not host.retired and host.row.state != "merged"]
    context = {
        "page": shown,
        "model": found,
        "tiers": sorted({host.row.tier for host in living}),
        "living": living,
        "context_words": context_words(found.context_tokens),
        "default_url": offering_url(found.default_offering.name) if found.default_offering else "",
        "ways": about.ways_on(shown.days, model=found.name),
        "stats": _stats(shown),
        "meters": [METER_LABELS[meter] for meter in shown.meters],
        "hosts": [_host(host, shown.meters) for host in shown.hosts],
        "dear": any(quote.dear for host in shown.hosts for quote in host.quotes.values()),
        "use_cases_chart": charts.spend_per_day(
            shared.parts(shown.by_use_case, shown.use_case_names),
            id="use-cases-figure",
            what="use case",
            numbers=numbers("use_case", shown.use_case_names.values()),
            days=shown.days,
            marks=[
                charts.Mark(
                    day=one.day,
                    text=f"{one.offering}: {METER_LABELS.get(one.meter, one.meter)} {price(one.usd_per_1m)}",
                )
                for one in shown.moved
            ],
        ),
        "providers_chart": charts.spend_per_day(
            shared.parts(shown.by_offering, shown.providers),
            id="providers-figure",
            what="provider",
            numbers=numbers("provider", shown.providers.values()),
            days=shown.days,
        )
        if len({row.keys[1] for row in shown.by_offering}) > 1
        else None,
        "use_cases": [
            about.part_of(one, reverse("use-case", args=[shown.use_case_ids[one.name]]) if one.name else "")
            for one in shown.use_cases
        ],
        "rules": [_sends(one) for one in shown.rules],
        "may_read": may_read,
        "switches": [
            (one, about.page_url("rules-switch", "production", one.id) if may_read else "") for one in shown.switches
        ],
        "budgets": about.budget_lines(shown.budgets),
        "alerts": about.alerts_of(shown.alerts),
        "contracts": [(one, reverse("prices-contract", args=[one.id])) for one in shown.contracts],
        "days": shared.DAYS_LISTED,
        "now": now,
        "complete_through": freshness.complete_through(at=now),
        "priced_share": shown.listed.priced_share,
    }
    return render(request, "dashboards/model.html", context)


def _stats(shown: ModelPage) -> list[Mapping[str, Any]]:
    sums = shown.listed
    return [
        about.spend_stat(sums, shown.days, note=_share_note(shown, sums), model=shown.model.name),
        about.stat("Cost per 1,000 requests", usd(sums.per_1000_usd), f"{exact(sums.requests)} requests"),
        about.tokens_stat(sums),
        about.failed_stat(sums),
        about.latency_stat(sums),
    ]


def _share_note(shown: ModelPage, sums: Sums) -> str:
    return f"{percent(shown.share)} of all spend" if shown.share is not None and sums.known else "share not known"


def _host(host: Host, meters: Sequence[str]) -> HostShown:
    row, flags = host.row, []
    if host.retired:
        flags.append(("neutral", "retired"))
    if row.state == "merged":
        flags.append(("neutral", "assigned to another"))
    elif row.state == "waiting":
        flags.append(("warning", "waiting for an owner"))
    if not row.prices and row.state != "merged" and (host.sums.requests or not host.retired):
        flags.append(("danger" if host.sums.requests else "warning", "unpriced"))
    return HostShown(
        host=host,
        url=offering_url(row.name),
        means_url=offering_url(host.means) if host.means else "",
        quotes=[_quote(host.quotes.get(meter), METER_LABELS[meter]) for meter in meters],
        flags=flags,
        used=about.part_of(Part(name=row.name, sums=host.sums, share=host.share)),
    )


def _quote(quote: Quote | None, head: str) -> QuoteShown:
    note = ""
    if quote is not None and quote.times is not None:
        note = "cheapest" if quote.cheapest else f"{quote.times:.1f}\N{MULTIPLICATION SIGN}"
    shown = price(quote.usd_per_1m) if quote is not None else "\N{EN DASH}"
    return QuoteShown(quote=quote, usd=shown, note=note, head=head.capitalize())


def _sends(row: Sends) -> SendsShown:
    return SendsShown(
        row=row,
        url=f"{reverse('rules-environment', args=[row.environment])}#rule-{row.place or 'default'}",
        how=[(words, offering, offering_url(offering)) for words, offering in row.how],
    )
