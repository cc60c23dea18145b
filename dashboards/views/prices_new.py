"""Setting prices of an offering, all meters in one go: what they mean and change is shown before they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from catalog.models import ClaimState, Contract, HourWindow, Meter, Offering
from catalog.rules import tidy_service_tier
from catalog.selectors.price_rows import PriceRow
from catalog.services import offerings, prices
from catalog.services.prices import NewPrice, worked_example
from core import access
from core.errors import Invalid, NotFound
from core.models import Organisation
from dashboards.change_words import signed
from dashboards.charts.prices import price
from dashboards.forms_prices import METERS, USUAL, Metered, PriceForm
from dashboards.selectors import prices as page_of
from dashboards.selectors.prices import Beside, Terms
from dashboards.templatetags.links import offering_url
from dashboards.views import changing, prices_units
from dashboards.views.access import page

NO_METER = "Give the price of one meter at least."
_PREFILLED = (
    "offering", "valid_from", "valid_until", "context_over", "context_inclusive", "service_tier", "region", "hours",
    "contract", "source", "source_version", "source_url", "note", *(f"usd_{meter}" for meter in METERS),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class MeterRow:
    """A meter to be priced: its field, what the book says of the same series, and what is odd about what was typed."""

    meter: str
    field: Any
    now: PriceRow | None
    now_words: str
    change: str
    warning: str


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What was typed, in words: beside what the book says, and what is worth a second look."""

    example: str
    book_example: str
    warnings: Sequence[str]
    later: Sequence[str]


def rows_of(
    form: Metered, beside: Beside, at: datetime, typed: Mapping[str, Decimal], warned: Mapping[str, str]
) -> list[MeterRow]:
    """Return the meters in the order of a price page, with what the book says at an instant."""
    found = []
    for meter in METERS:
        now = beside.price(meter, at)
        found.append(
            MeterRow(
                meter=meter,
                field=form[f"usd_{meter}"],
                now=now,
                now_words=price(now.usd_per_1m) if now is not None else "\N{EN DASH}",
                change=_change(typed.get(meter), now),
                warning=warned.get(meter, ""),
            )
        )
    return found


def parted(rows: Sequence[MeterRow]) -> tuple[list[MeterRow], list[MeterRow]]:
    """Part meters that nearly every offering has from those that few have, unless something is said of them."""
    first = [row for row in rows if row.meter in USUAL or row.now is not None or row.field.value() or row.field.errors]
    return first, [row for row in rows if row not in first]


def _change(usd: Decimal | None, now: PriceRow | None) -> str:
    if usd is None or now is None or not usd.is_finite():
        return ""
    if usd == now.usd_per_1m:
        return "as it is"
    if not now.usd_per_1m:
        return "was free"
    return signed(usd, now.usd_per_1m)


def read(
    *, typed: Mapping[str, Decimal], beside: Beside, starts: datetime, ends: datetime | None
) -> tuple[Reading, dict[str, str]]:
    """Put what was typed in words, and its warnings by meter."""
    now = {meter: one.usd_per_1m for meter in METERS if (one := beside.price(meter, starts)) is not None}
    warned = dict(prices_units.warnings(typed=typed, now=now, others=beside.ordinary_usd(starts)))
    known = {meter: usd for meter, usd in typed.items() if usd.is_finite()}
    in_book = {meter: now[meter] for meter in known if meter in now}
    reading = Reading(
        example=worked_example(prices=known),
        book_example=worked_example(prices=in_book) if in_book else "The book has no price of these meters then.",
        warnings=[f"{METER_WORDS[meter]}: {sentence}" for meter, sentence in warned.items()],
        later=[
            f"{METER_WORDS[one.meter]} at {price(one.usd_per_1m)} from {timezone.localtime(one.valid_from):%-d %b %Y}"
            for one in beside.later(list(known), starts=starts, ends=ends)
            if one.valid_from is not None and one.usd_per_1m != known[one.meter]
        ],
    )
    return reading, warned


METER_WORDS = {meter: f"{(label := str(Meter(meter).label))[0].upper()}{label[1:]}" for meter in METERS}


def found_offering(name: str) -> Offering:
    """Return the offering that a field names.

    Raises:
        Invalid: there is none, or it is another one by now.
    """
    if not name.strip():
        raise Invalid("Say which offering.", [("offering", "Say which offering.")])
    try:
        found = offerings.get(name)
    except NotFound as error:
        raise Invalid(str(error), [("offering", str(error))]) from error
    if found.state == ClaimState.MERGED:
        sentence = "It was merged into another offering: set the prices of that one."
        raise Invalid(sentence, [("offering", sentence)])
    return found


def set_all(new: Sequence[NewPrice], *, offering: Offering, by: str, at: datetime, reason: str) -> None:
    """Set prices that were typed together; an offering that waits is claimed with them.

    Raises:
        Invalid: each problem at the field of its meter.
    """
    offerings.ensure(model=offering.model.name, provider=offering.provider.name, by=by)
    try:
        prices.set_prices(new, by=by, approved_by=by, at=at, reason=reason)
    except Invalid as error:
        raise by_meter(error, new, by=by, at=at) from error


def by_meter(error: Invalid, new: Sequence[NewPrice], *, by: str, at: datetime) -> Invalid:
    """Return what is wrong with prices that were refused together, said of each meter alone."""
    problems: list[tuple[str, str]] = []
    for one in new:
        try:
            # The caller's transaction is lost already; what passes alone goes with it.
            with transaction.atomic():
                prices.set_prices([one], by=by, approved_by=by, at=at)
        except Invalid as alone:
            problems += [
                (f"usd_{one.meter}" if name == "usd_per_1m" else name, sentence) for name, sentence in alone.problems
            ]
    return Invalid(str(error), problems or error.problems)


@page("prices.approve", "GET", "POST")
def new(request: HttpRequest) -> HttpResponse:
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    given: dict[str, Any] = {
        "zone": organisation.zone,
        "hours": [(row.id, row.name) for row in page_of.hours()],
        "contracts": page_of.contract_choices(),
    }
    if request.method != "POST":
        return _blank(request, given)
    form = PriceForm(request.POST, **given)
    now = timezone.now()
    if not form.is_valid():
        beside = _beside(form)
        return render(
            request,
            "dashboards/price_new.html",
            _shown(form, beside, form.cleaned_data.get("valid_from") or now),
            status=422,
        )
    data, typed = form.cleaned_data, form.typed
    try:
        offering = found_offering(data["offering"])
        contract = _contract(data["contract"], offering)
        if not typed:
            raise Invalid(NO_METER, [("", NO_METER)])
    except Invalid as error:
        form.show(error.problems)
        return render(
            request, "dashboards/price_new.html", _shown(form, _beside(form), data["valid_from"] or now), status=422
        )

    by = access.label(request.user)
    hours = HourWindow.objects.filter(pk=data["hours"]).first() if data["hours"] else None
    starts = data["valid_from"] or now
    beside = page_of.beside(offering=offering, terms=_terms(data))
    reading, warned = read(typed=typed, beside=beside, starts=starts, ends=data["valid_until"])

    def make(at: datetime) -> None:
        new = [
            NewPrice(
                offering=offering,
                meter=meter,
                usd_per_1m=usd,
                valid_from=data["valid_from"] or at,
                valid_until=data["valid_until"],
                context_over=data["context_over"],
                context_inclusive=data["context_over"] is not None and data["context_inclusive"],
                service_tier=data["service_tier"] or None,
                region=data["region"].strip() or None,
                hour_window=hours,
                contract=contract,
                source=data["source"].strip(),
                source_version=data["source_version"].strip(),
                source_url=data["source_url"],
                note=data["note"].strip(),
            )
            for meter, usd in typed.items()
        ]
        set_all(new, offering=offering, by=by, at=at, reason=data["note"].strip())

    context = _shown(form, beside, starts, typed=typed, warned=warned) | {"reading": reading, "offering": offering}
    return changing.step(
        request,
        form=form,
        make=make,
        template="dashboards/price_new.html",
        context=context,
        done=f"{offering_url(offering.name) or reverse('prices')}#prices",
        told=f"{len(typed)} price{'s' if len(typed) > 1 else ''} of {offering.name} {'are' if len(typed) > 1 else 'is'}"
        " in the book. What was booked for their time is looked at in the background.",
    )


def _blank(request: HttpRequest, given: dict[str, Any]) -> HttpResponse:
    """Show the form with what the address says already; htmx asks for the table of meters alone."""
    now = timezone.now()
    form = PriceForm(initial=_prefill(request.GET), **given)
    # What is asked for is read by the same fields as what is sent, and nothing is said of what is wrong with it yet.
    asked = PriceForm(request.GET, **given)
    asked.is_valid()
    context = _shown(form, _beside(asked), asked.cleaned_data.get("valid_from") or now)
    meter = request.GET.get("meter")
    if meter in METER_WORDS:
        context["focus"] = meter
    if request.headers.get("HX-Request") and not request.headers.get("HX-History-Restore-Request"):
        return render(request, "dashboards/_price_meters.html", context)
    return render(request, "dashboards/price_new.html", context)


def _beside(form: PriceForm) -> Beside:
    """Return what the book says on the terms of a form, as far as they can be read; nothing without an offering."""
    data = {name: form.cleaned_data.get(name) for name in _PREFILLED}
    if data["offering"]:
        with suppress(Invalid):  # it is said when the form is sent
            return page_of.beside(offering=found_offering(data["offering"]), terms=_terms(data))
    return Beside()


def _prefill(asked: QueryDict) -> dict[str, str]:
    return {name: value for name in _PREFILLED if (value := str(asked.get(name, ""))) and "\0" not in value}


def _shown(
    form: PriceForm,
    beside: Beside,
    at: datetime,
    *,
    typed: Mapping[str, Decimal] | None = None,
    warned: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    usual, others = parted(rows_of(form, beside, at, typed or {}, warned or {}))
    return {
        "form": form,
        "usual": usual,
        "others": others,
        "at": at,
        "offering_names": page_of.offering_names(),
        "regions": page_of.regions(),
        "service_tiers": page_of.service_tiers(),
    }


def _terms(data: Mapping[str, Any]) -> Terms:
    return Terms(
        context_over=data["context_over"],
        service_tier=tidy_service_tier(data["service_tier"]),  # as series have it, and the region too
        region=(data["region"] or "").strip().lower(),
        hours_id=data["hours"],
        contract_id=data["contract"],
    )


def _contract(pk: int | None, offering: Offering) -> Contract | None:
    """Return the contract whose own prices these are.

    Raises:
        Invalid: it is with somebody else, so that its prices would never hold.
    """
    if pk is None:
        return None
    found = Contract.objects.select_related("provider", "offering").get(pk=pk)
    other = ""
    if found.provider_id is not None and found.provider_id != offering.provider_id:
        other = str(found.provider)
    elif found.offering_id is not None and found.offering_id != offering.pk:
        other = str(found.offering)
    if other:
        sentence = f"The contract {found.name} is for {other}: a price of {offering.name} would never hold by it."
        raise Invalid(sentence, [("contract", sentence)])
    return found
