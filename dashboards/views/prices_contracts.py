"""Contracts: what was negotiated with a provider, for an offering or for a gateway, over time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from catalog.models import Contract, Gateway, Offering, Provider
from catalog.selectors import proposals
from catalog.services import contracts as service
from catalog.services.prices import NewPrice
from core import access
from core.errors import Invalid
from core.models import Organisation
from dashboards.downloads import Table, offers
from dashboards.forms_prices import ContractForm, EndForm, TermsForm, written
from dashboards.selectors import prices as page_of
from dashboards.selectors.prices import Beside, ContractRow, TermsRow
from dashboards.templatetags.links import offering_url
from dashboards.views import changing, files_books, prices_new
from dashboards.views.access import page

SCOPES = {"provider": "all of", "offering": "", "gateway": "calls through"}


@dataclass(frozen=True, kw_only=True)
class ContractLine:
    """A contract as the list shows it; `shown` are the terms that hold, else those to come, else the last ones."""

    row: ContractRow
    scope: str
    tone: str
    state: str
    shown: TermsRow | None
    says: str


def line_of(row: ContractRow, now: datetime) -> ContractLine:
    held, coming = row.now(now), row.next(now)
    if held is not None:
        tone, state = "ok", "in force"
    elif coming is not None:
        tone, state = "info", "to come"
    else:
        tone, state = "neutral", "ended" if row.terms else "taken back"
    shown = held or coming or (row.terms[-1] if row.terms else row.replaced[0] if row.replaced else None)
    return ContractLine(
        row=row, scope=scope_words(row), tone=tone, state=state, shown=shown, says=says(shown) if shown else ""
    )


def scope_words(row: ContractRow) -> str:
    return f"{SCOPES[row.kind]} {row.scope}".strip()


def says(terms: TermsRow) -> str:
    """Return what terms say, in words: "12.5 % off list"."""
    if terms.discount_percent is None:
        return "prices of its own"
    return f"{terms.discount_percent.normalize():f} % off list"


def _table(request: HttpRequest) -> Table:
    return files_books.contracts(at=timezone.now())


@page("view")
@offers(_table)
def contracts_page(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    context = {
        "lines": [line_of(row, now) for row in page_of.contracts(at=now)],
        "may_set": request.user.has_perm("prices.approve"),
        "waiting": proposals.known_count(),
    }
    return render(request, "dashboards/prices_contracts.html", context)


@page("view")
def contract(request: HttpRequest, pk: int) -> HttpResponse:
    now = timezone.now()
    line = line_of(_found(pk, now), now)
    context = {
        "line": line,
        "row": line.row,
        "terms": [(one, says(one), one.holds(now)) for one in line.row.terms],
        "replaced": [(one, says(one)) for one in line.row.replaced],
        "url": offering_url(line.row.scope) if line.row.kind == "offering" else "",
        "may_set": request.user.has_perm("prices.approve"),
    }
    return render(request, "dashboards/prices_contract.html", context)


@page("prices.approve", "GET", "POST")
def create(request: HttpRequest) -> HttpResponse:
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    template = "dashboards/prices_contract_new.html"
    given = {
        "zone": organisation.zone,
        "providers": page_of.provider_names(),
        "gateways": page_of.gateway_names(),
    }
    if request.method != "POST":
        asked = {name: request.GET[name] for name in ("provider", "gateway", "with_offering") if name in request.GET}
        return render(request, template, _shown(ContractForm(initial=asked, **given), timezone.now()))
    form, now = ContractForm(request.POST, **given), timezone.now()
    if not form.is_valid():
        return render(request, template, _shown(form, now), status=422)
    data, typed, by = form.cleaned_data, form.typed, access.label(request.user)
    try:
        scope = _scope(data)
        if Contract.objects.filter(name=" ".join(data["name"].split())).exists():
            sentence = "A contract of that name is there already: change its terms on its page."
            raise Invalid(sentence, [("name", sentence)])
        own = _own_offering(data, scope) if typed else None
    except Invalid as error:
        form.show(error.problems)
        return render(request, template, _shown(form, now), status=422)

    def make(at: datetime) -> None:
        own_prices = [
            NewPrice(
                offering=own,
                meter=meter,
                usd_per_1m=usd,
                valid_from=data["valid_from"] or at,
                valid_until=data["valid_until"],
                source=data["source"].strip(),
                source_url=data["source_url"],
                note=data["note"].strip(),
            )
            for meter, usd in typed.items()
            if own is not None
        ]
        try:
            service.set_terms(
                name=data["name"],
                by=by,
                approved_by=by,
                at=at,
                valid_from=data["valid_from"] or at,
                valid_until=data["valid_until"],
                discount_percent=form.discount,
                own_prices=own_prices,
                note=data["note"].strip(),
                **scope,
            )
        except Invalid as error:
            if any(name == "usd_per_1m" for name, _ in error.problems):
                raise prices_new.by_meter(error, own_prices, by=by, at=at) from error
            raise

    context = _shown(form, now, typed=typed, own=own, starts=data["valid_from"] or now, ends=data["valid_until"])
    name = " ".join(data["name"].split())
    return changing.step(
        request,
        form=form,
        make=make,
        template=template,
        context=context,
        done=reverse("prices-contracts"),
        told=f"The contract {name} is in the book.",
    )


def _shown(
    form: ContractForm,
    at: datetime,
    *,
    typed: Mapping[str, Decimal] | None = None,
    own: Offering | None = None,
    starts: datetime | None = None,
    ends: datetime | None = None,
) -> dict[str, Any]:
    """Return what the page shows; own prices stand beside what the offering costs at list."""
    beside = page_of.beside(offering=own, terms=page_of.Terms()) if own is not None else Beside()
    reading: prices_new.Reading | None = None
    warned: dict[str, str] = {}
    if own is not None and typed:
        reading, warned = prices_new.read(typed=typed, beside=beside, starts=starts or at, ends=starts or at)
    usual, others = prices_new.parted(prices_new.rows_of(form, beside, starts or at, typed or {}, warned))
    return {
        "form": form,
        "usual": usual,
        "others": others,
        "reading": reading,
        "at": starts or at,
        "offering_names": page_of.offering_names(),
    }


def _scope(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return whom the contract is with, as its service takes it.

    Raises:
        Invalid: none or more than one is named.
    """
    named = [name for name in ("provider", "with_offering", "gateway") if data[name].strip()]
    if len(named) != 1:
        sentence = "Choose one: a provider, an offering or a gateway."
        raise Invalid(sentence, [("provider", sentence)])
    if named == ["provider"]:
        return {"provider": Provider.objects.get(name=data["provider"])}
    if named == ["gateway"]:
        return {"gateway": Gateway.objects.get(name=data["gateway"])}
    return {"offering": prices_new.found_offering(data["with_offering"])}


def _own_offering(data: Mapping[str, Any], scope: Mapping[str, Any]) -> Offering:
    if data["own_offering"].strip():
        try:
            return prices_new.found_offering(data["own_offering"])
        except Invalid as error:
            raise Invalid(str(error), [("own_offering", sentence) for _, sentence in error.problems]) from error
    if "offering" in scope:
        found: Offering = scope["offering"]
        return found
    sentence = "Say which offering these prices are of."
    raise Invalid(sentence, [("own_offering", sentence)])


@page("prices.approve", "GET", "POST")
def change(request: HttpRequest, pk: int) -> HttpResponse:
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    now = timezone.now()
    row = _found(pk, now)
    line = line_of(row, now)
    template = "dashboards/prices_contract_change.html"
    context = {"line": line, "row": row}
    if request.method != "POST":
        shown = line.shown
        initial = {}
        if shown is not None:
            discount = shown.discount_percent
            initial = {
                "discount_percent": "" if discount is None else f"{discount.normalize():f}",
                "valid_until": written(shown.valid_until, organisation.zone),
            }
        form = TermsForm(zone=organisation.zone, initial=initial)
        return render(request, template, {**context, "form": form})
    form = TermsForm(request.POST, zone=organisation.zone)
    if not form.is_valid():
        return render(request, template, {**context, "form": form}, status=422)
    data, by = form.cleaned_data, access.label(request.user)
    first = Contract.objects.select_related("provider", "offering", "gateway").get(pk=row.id)

    def make(at: datetime) -> None:
        service.set_terms(
            name=row.name,
            by=by,
            approved_by=by,
            at=at,
            valid_from=data["valid_from"] or at,
            valid_until=data["valid_until"],
            provider=first.provider,
            offering=first.offering,
            gateway=first.gateway,
            discount_percent=form.discount,
            note=data["note"].strip(),
        )

    return changing.step(
        request,
        form=form,
        make=make,
        template=template,
        context=context,
        done=reverse("prices-contract", args=[row.id]),
        told=f"The terms of {row.name} are in the book.",
    )


@page("prices.approve", "GET", "POST")
def end(request: HttpRequest, pk: int) -> HttpResponse:
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    now = timezone.now()
    row = _found(pk, now)
    template = "dashboards/prices_contract_end.html"
    context = {"line": line_of(row, now), "row": row}
    if request.method != "POST":
        return render(request, template, {**context, "form": EndForm(zone=organisation.zone)})
    form = EndForm(request.POST, zone=organisation.zone)
    if not form.is_valid():
        return render(request, template, {**context, "form": form}, status=422)
    data, by = form.cleaned_data, access.label(request.user)

    def make(at: datetime) -> None:
        held = service.end(
            name=row.name,
            ends_at=data["ends_at"] or at,
            by=by,
            approved_by=by,
            at=at,
            note=data["note"].strip(),
        )
        if not held:
            sentence = "The contract says nothing after that already."
            raise Invalid(sentence, [("ends_at", sentence)])

    return changing.step(
        request,
        form=form,
        make=make,
        template=template,
        context=context,
        done=reverse("prices-contract", args=[row.id]),
        told=f"The contract {row.name} ends. Calls after that are priced without it.",
    )


def _found(pk: int, now: datetime) -> ContractRow:
    """Return a contract by the id of any of its rows."""
    name = page_of.contract_named(pk)
    found = page_of.contracts(at=now, name=name) if name is not None else []
    if not found:
        raise Http404("There is no such contract.")
    return found[0]
