"""Changing the catalogue from its pages: a tier, a name, what an offering really is, what is said of it, its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from catalog.models import ClaimState, Offering
from catalog.services import aliases, model_facts, offerings
from core import access, periods
from core.errors import Conflict, Invalid, NotFound
from dashboards.charts.parts import day_of
from dashboards.forms import Told
from dashboards.forms_catalog import (
    TIERS,
    AliasForm,
    FactsForm,
    IntoForm,
    OfferingForm,
    ReasonForm,
    TierForm,
    TiersForm,
)
from dashboards.selectors import attention as attention_of
from dashboards.selectors import catalog as page_of
from dashboards.views.access import page, zone_of
from dashboards.views.changing import Make, settled, step
from dashboards.views.links import Link
from usage.selectors import attention

TEMPLATE = "dashboards/catalog_change.html"
_LONGEST = 200  # of what an address may fill in


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a page that changes something says around its form; `action` are the words of the last button."""

    title: str
    intro: str
    action: str
    back: Link
    above: Link | None = None
    known: Mapping[str, int] | None = None  # names that are offered while one types
    warning: str = ""
    tone: str = "primary"


def answer(
    request: HttpRequest, *, form: Told, change: Change, make: Make, done: str, told: str, ready: bool
) -> HttpResponse:
    """Answer a page of a change: its form, what it would do to the past, and then the change itself."""
    context: dict[str, Any] = {"change": change}
    if ready:
        return step(request, form=form, make=make, template=TEMPLATE, context=context, done=done, told=told)
    return render(request, TEMPLATE, {**context, "form": form}, status=422 if request.method == "POST" else 200)


def ready(request: HttpRequest, form: Told) -> bool:
    return request.method == "POST" and form.is_valid()


def day_words(day: date | None) -> str:
    return "" if day is None else day_of(day)


def prefilled(request: HttpRequest, *names: str) -> dict[str, str]:
    """Return what an address fills in, without what cannot be."""
    given = {name: request.GET.get(name, "")[:_LONGEST] for name in names}
    return {name: text for name, text in given.items() if text and "\0" not in text}


def reached(name: str) -> Offering:
    """Return the offering of exactly this name.

    Raises:
        Http404: there is none.
    """
    found = page_of.named(name)
    if found is None or found.name != name:
        raise Http404("The catalogue has no such offering.")
    return found


def _url(offering: Offering) -> str:
    return reverse("offering", args=[offering.name])


def _change(offering: Offering, **given: Any) -> Change:
    return Change(
        back=Link(id="back", title=offering.name, url=_url(offering)),
        above=Link(id="above", title="Models", url=reverse("catalog")),
        **given,
    )


def _first_day(offering: Offering, zone: str) -> date | None:
    """Return the first day on which anything is known of an offering."""
    seen = None if offering.first_seen_at is None else periods.local_day(offering.first_seen_at, zone)
    used = attention.first_day(of="offering", id=offering.pk)
    return min((day for day in (seen, used) if day is not None), default=None)


@page("catalog.edit", "GET", "HEAD", "POST")
def tier(request: HttpRequest, name: str) -> HttpResponse:
    """Give an offering a tier from a day on."""
    offering, zone, by = reached(name), zone_of(request), access.label(request.user)
    today = periods.local_day(timezone.now(), zone)
    since = today if offering.tiers.exists() else _first_day(offering, zone) or today
    initial = {"since": since, **prefilled(request, "tier", "since")}
    form = TierForm(request.POST or None, initial=initial)
    go = ready(request, form)

    def make(at: datetime) -> None:
        offerings.set_tier(
            offering=offering, tier=TIERS[form.cleaned_data["tier"]], since_at=form.since_at(zone), by=by,
            reason=form.cleaned_data["reason"], at=at,
        )  # fmt: skip

    return answer(
        request, form=form, make=make, ready=go, done=_url(offering),
        change=_change(
            offering, title=f"Tier of {offering.name}", action="Set the tier",
            intro="Budgets of frontier tokens and the rules go by it. With a day in the past, what was booked since "
            "then moves to the tier; months that are closed keep what they said.",
        ),
        told=f"{offering.name} is {form.cleaned_data['tier']} from {day_words(form.cleaned_data['since'])} on."
        if go else "",
    )  # fmt: skip


@page("catalog.edit", "GET", "HEAD", "POST")
def tiers(request: HttpRequest) -> HttpResponse:
    """Give tiers to several offerings that have none, from one day on."""
    zone, by, now = zone_of(request), access.label(request.user), timezone.now()
    lines = attention.unclassified(at=now, zone=zone, most=attention_of.PER_PAGE)
    known = {line.id: line.name for line in lines}
    if request.method == "POST":
        # Who was first may have taken one off the list; what was filled in is still known by its id.
        posted = [int(key[5:]) for key in request.POST if key.startswith("tier_") and key[5:].isascii() and
                  key[5:].isdecimal() and len(key) < 20]  # fmt: skip
        known = dict(Offering.objects.filter(pk__in=posted[:100]).order_by("name").values_list("id", "name"))
    today = periods.local_day(now, zone)
    form = TiersForm(request.POST or None, offerings=known, initial={"since": today.replace(day=1)})
    go = bool(known) and ready(request, form)

    def make(at: datetime) -> None:
        for one in Offering.objects.filter(pk__in=form.chosen).order_by("pk"):
            offerings.set_tier(
                offering=one, tier=form.chosen[one.pk], since_at=form.since_at(zone), by=by,
                reason=form.cleaned_data["reason"], at=at,
            )  # fmt: skip

    back = f"{reverse('attention')}?list=unclassified"
    if not known:
        return redirect(back)
    return answer(
        request, form=form, make=make, ready=go, done=back,
        change=Change(
            title="Tiers for several models", action="Set these tiers",
            back=Link(id="back", title="Attention", url=reverse("attention")),
            intro="Those with the most tokens of the last 30 days come first. With a day in the past, what was booked "
            "since then moves to the tier.",
        ),
        told=f"{len(form.chosen)} model{'' if len(form.chosen) == 1 else 's'} classified." if go else "",
    )  # fmt: skip


@page("catalog.edit", "GET", "HEAD", "POST")
def name_it(request: HttpRequest, name: str) -> HttpResponse:
    """Let a name that gateways use mean an offering from a day on."""
    offering, zone, by = reached(name), zone_of(request), access.label(request.user)
    today = periods.local_day(timezone.now(), zone)
    form = AliasForm(request.POST or None, initial={"since": today, **prefilled(request, "name", "since", "until")})
    go = ready(request, form)

    def make(at: datetime) -> None:
        aliases.assign(
            name=form.cleaned_data["name"], offering=offering, by=by, since_at=form.since_at(zone),
            until=form.until_at(zone), reason=form.cleaned_data["reason"], at=at,
        )  # fmt: skip

    return answer(
        request, form=form, make=make, ready=go, done=f"{_url(offering)}#aliases-title",
        change=_change(
            offering, title=f"A name that means {offering.name}", action="Let it mean this model",
            intro="Calls that gateways report under the name are booked here. A name that means another model moves on "
            "from that day. With a day in the past, calls reported under it since then move here.",
        ),
        told=f"{form.cleaned_data['name']} means {offering.name} from {day_words(form.cleaned_data['since'])} on."
        if go else "",
    )  # fmt: skip


@page("catalog.edit", "GET", "HEAD", "POST")
def assign(request: HttpRequest, name: str) -> HttpResponse:
    """Say which known offering another one really is, from a day on."""
    offering, zone, by = reached(name), zone_of(request), access.label(request.user)
    now = timezone.now()
    since = _first_day(offering, zone) if request.method != "POST" else None
    initial = {"since": since or periods.local_day(now, zone), **prefilled(request, "into", "since")}
    form = IntoForm(request.POST or None, initial=initial)
    into = None
    if ready(request, form):
        try:
            into = offerings.get(form.cleaned_data["into"])
        except NotFound as error:
            form.add_error("into", str(error))

    def make(at: datetime) -> None:
        assert into is not None
        offerings.merge(
            offering=offering, into=into, since_at=form.since_at(zone), by=by, at=at,
            reason=form.cleaned_data["reason"],
        )  # fmt: skip

    return answer(
        request, form=form, make=make, ready=into is not None,
        done=reverse("attention") if offering.state == ClaimState.WAITING else _url(offering),
        change=_change(
            offering, title=f"What {offering.name} really is", action="Assign it", known=attention_of.known_offerings(),
            intro="Its names mean the other model from that day on, and its calls since then are booked there anew, at "
            "that model's prices and tier.",
        ),
        told=f"{offering.name} means {into.name} from {day_words(form.cleaned_data['since'])} on." if into else "",
    )  # fmt: skip


@page("catalog.edit", "GET", "HEAD", "POST")
def facts(request: HttpRequest, name: str) -> HttpResponse:
    """Change what is said of an offering and of its model."""
    offering, by = reached(name), access.label(request.user)
    form = FactsForm(request.POST or None, initial=FactsForm.of(offering))
    go = ready(request, form)

    def make(at: datetime) -> None:
        given = form.cleaned_data
        offerings.change(
            offering=offering, region=given["region"], data_class=given["data_class"],
            gateway_names=given["gateway_names"], by=by, at=at, reason=given["reason"],
        )  # fmt: skip
        model_facts.change(
            model=offering.model, lab=given["lab"], open_weights=given["open_weights"], licence=given["licence"],
            context_tokens=given["context_tokens"], by=by, reason=given["reason"],
        )  # fmt: skip

    return answer(
        request, form=form, make=make, ready=go, done=_url(offering), told=f"{offering.name} is changed.",
        change=_change(
            offering, title=f"Facts about {offering.name}", action="Change it",
            intro="Region, data class and names in gateways are of this offering. Lab, weights, licence and context "
            f"are of {offering.model.name}, wherever it is served. A region says where the offering has always been: "
            "where the book has prices by region, its past is priced with those of the new one.",
        ),
    )  # fmt: skip


@page("catalog.edit", "GET", "HEAD", "POST")
def retire(request: HttpRequest, name: str) -> HttpResponse:
    """Say that an offering is no longer to be used."""
    offering, by = reached(name), access.label(request.user)
    form = ReasonForm(request.POST or None)
    go = ready(request, form)

    def make(at: datetime) -> None:
        offerings.retire(offering=offering, by=by, at=at, reason=form.cleaned_data["reason"])

    return answer(
        request, form=form, make=make, ready=go, done=_url(offering), told=f"{offering.name} is retired.",
        change=_change(
            offering, title=f"Retire {offering.name}", action="Retire for good", tone="danger",
            intro="New versions of the rules cannot name it. Calls that gateways still report are booked and priced as "
            "before, and what was booked stays.",
            warning="There is no way back.",
        ),
    )  # fmt: skip


@page("catalog.edit", "GET", "HEAD", "POST")
def new(request: HttpRequest) -> HttpResponse:
    """Add a model at a provider. One that was made on sight is claimed."""
    by = access.label(request.user)
    form = OfferingForm(request.POST or None, initial=prefilled(request, "model", "provider"))
    change = Change(
        title="Add a model at a provider", action="Add it",
        back=Link(id="back", title="Models", url=reverse("catalog")),
        known={name: 0 for name, _ in page_of.providers()},
        intro="A model is priced, classified and routed as one provider serves it. Model and provider are made too "
        "where they are new. One that an event named first is claimed by it.",
    )  # fmt: skip
    if ready(request, form):
        try:
            made = _made(form.cleaned_data, by=by, at=timezone.now())
        except Invalid as error:
            form.show(error.problems or [("", str(error))])
        except Conflict as error:
            form.show([("", str(error))])
        else:
            settled()
            messages.success(request, f"{made.name} is in the catalogue. Give it prices next.")
            return redirect("offering", name=made.name)
    status = 422 if request.method == "POST" else 200
    return render(request, "dashboards/catalog_new.html", {"form": form, "change": change}, status=status)


@transaction.atomic(durable=True)
def _made(given: dict[str, Any], *, by: str, at: datetime) -> Offering:
    made = offerings.ensure(
        model=given["model"], provider=given["provider"], by=by, region=given["region"],
        data_class=given["data_class"], gateway_names=given["gateway_names"], default=given["default"],
    )  # fmt: skip
    if given["tier"]:
        offerings.set_tier(offering=made, tier=TIERS[given["tier"]], since_at=at, by=by, at=at)
    return made
