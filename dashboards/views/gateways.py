"""Gateways: what they report, which rules they run, and the keys that stand for them."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from catalog.models import Gateway, TakesRules
from catalog.services import gateways as service
from core import access
from core.errors import Conflict, Invalid
from core.models import ApiKey
from core.services import keys
from dashboards import connecting
from dashboards.downloads import Table, offers
from dashboards.forms_gateways import PLACES, TAKES_RULES, AnotherKeyForm, ReasonForm, RotateForm
from dashboards.selectors import gateways as page_of
from dashboards.selectors.gateways import GatewayRow, KeyRow
from dashboards.views import files_running, fleet_words
from dashboards.views.access import page, zone_of
from dashboards.views.connect import address_of, base_url, made_page
from dashboards.views.gateway_words import key_line, line_of, silence_words
from routing.selectors import exports, fleet
from usage.selectors import freshness


def _table(request: HttpRequest) -> Table:
    return files_running.gateways(page_of.listed(at=timezone.now()).gateways)


@page("view")
@offers(_table)
def gateways_page(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    listed = page_of.listed(at=now)
    lines = [line_of(row, now) for row in listed.gateways]
    grantable = _grantable(request)
    context = {
        "lines": lines,
        "keys": [key_line(key, now=now, grantable=grantable) for row in (*listed.gateways,) for key in row.keys],
        "keys_of_none": [key_line(key, now=now, grantable=grantable) for key in listed.keys_of_none],
        "late": sum(one.row.state in (fleet.BEHIND, fleet.REFUSED) for line in lines for one in line.rules),
        "heard": sum(_heard(row, now) for row in listed.gateways),
        "may_manage": request.user.has_perm("keys.manage"),
        "now": now,
        "complete_through": freshness.complete_through(at=now),
    }
    return render(request, "dashboards/gateways.html", context)


def _heard(row: GatewayRow, now: datetime) -> bool:
    last = row.received.last_received_at if row.received else None
    return last is not None and last > now - freshness.HEARD_OF


def _grantable(request: HttpRequest) -> list[str]:
    return keys.grantable(request.user) if request.user.has_perm("keys.manage") else []


@page("view")
def gateway(request: HttpRequest, pk: int) -> HttpResponse:
    return _gateway(request, pk)


def _gateway(request: HttpRequest, pk: int, *, form: AnotherKeyForm | None = None, status: int = 200) -> HttpResponse:
    now = timezone.now()
    shown = page_of.one(gateway_id=pk, at=now)
    if shown is None:
        raise Http404("There is no such gateway.")
    grantable = _grantable(request)
    may_manage = request.user.has_perm("keys.manage")
    if form is None:
        form = AnotherKeyForm(scopes=grantable, initial={"name": shown.row.name, "newest": shown.newest_key})
    context = {
        "line": line_of(shown.row, now),
        "keys": [key_line(key, now=now, grantable=grantable) for key in shown.row.keys],
        "ended": [key_line(key, now=now, grantable=grantable) for key in shown.ended],
        "instances": fleet_words.shown(shown.instances, now),
        "formats": [(name, bodies, last, name == shown.row.accounting_format) for name, bodies, last in shown.formats],
        "places": _places(shown.row),
        "misfits": exports.misfits(at=now, gateway_id=pk),
        "takes_rules": TAKES_RULES[TakesRules(shown.row.takes_rules)],
        "silence": silence_words(shown.row.settings.silent_after_minutes),
        "connect_url": address_of(pk),
        "base_url": base_url(request),
        "form": form,
        "may_manage": may_manage,
        "may_make": may_manage and shown.row.retired_at is None,
        "now": now,
        "complete_through": freshness.complete_through(at=now),
    }
    return render(request, "dashboards/gateway.html", context, status=status)


def _places(row: GatewayRow) -> list[str]:
    """Return in words where a gateway's events name their use case; our own have a field for it."""
    if (row.accounting_format or connecting.format_of(row.kind)) == "native":
        return []
    return [PLACES[place].partition(":")[0].partition(",")[0] for place in row.settings.use_case_from]


@page("keys.manage", "POST")
def make_key(request: HttpRequest, pk: int) -> HttpResponse:
    """Make another key for a gateway; see `connect.py`, Note [A secret is shown once]."""
    found = _found(pk)
    form = AnotherKeyForm(request.POST, scopes=_grantable(request))
    if not form.is_valid():
        return _gateway(request, pk, form=form, status=422)
    data = form.cleaned_data
    try:
        secret = service.create_key(
            name=data["name"],
            gateway=found.name,
            environment=data["environment"],
            scopes=data["scopes"],
            expires_at=form.expires_at(zone_of(request)),
            newest_seen=data["newest"],
            by=access.label(request.user),
            at=timezone.now(),
        )
    except Invalid as error:
        form.show(error.problems)
        return _gateway(request, pk, form=form, status=422)
    except Conflict as error:
        messages.error(request, str(error))
        return redirect("gateway", pk=pk)
    return made_page(request, secret)


@page("keys.manage", "GET", "POST")
def rotate_key(request: HttpRequest, pk: int) -> HttpResponse:
    """Put a new key in the place of one, once it is confirmed; see `connect.py`, Note [A secret is shown once]."""
    row, key = _key(pk)
    if not set(row.scopes) <= set(_grantable(request)):
        raise PermissionDenied("This key may do more than you may, so its successor is not for you to see.")
    if row.gateway_id is None:
        raise Http404("This key stands for no gateway: make another one in its place.")
    now = timezone.now()
    last_day = row.expires_at - timedelta(microseconds=1) if row.expires_at and row.expires_at > now else None
    initial = {"expires_on": timezone.localdate(last_day)} if last_day else {}
    form = RotateForm(request.POST, initial=initial) if request.method == "POST" else RotateForm(initial=initial)
    if form.is_valid():
        try:
            secret = service.rotate_key(
                key=key,
                expires_at=form.expires_at(zone_of(request)),
                reason=form.cleaned_data["reason"].strip(),
                by=access.label(request.user),
                at=now,
            )
        except Invalid as error:
            form.show(error.problems)
        except Conflict as error:
            messages.error(request, f"{error} A secret is shown once, when it is made.")
            return redirect("gateway", pk=row.gateway_id)
        else:
            return made_page(request, secret, instead_of=row)
    return _confirm(request, row, form=form, verb="rotate")


@page("keys.manage", "GET", "POST")
def revoke_key(request: HttpRequest, pk: int) -> HttpResponse:
    row, key = _key(pk)
    back = reverse("gateway", args=[row.gateway_id]) if row.gateway_id else reverse("gateways")
    form = ReasonForm(request.POST) if request.method == "POST" else ReasonForm()
    if form.is_valid():
        try:
            ended = service.revoke_key(
                key=key, reason=form.cleaned_data["reason"], by=access.label(request.user), at=timezone.now()
            )
        except Invalid as error:
            form.show(error.problems)
        else:
            if ended:
                messages.success(request, f"The key {row.name} ({row.prefix}…) is revoked, and stops within a second.")
            else:
                messages.info(request, f"The key {row.name} ({row.prefix}…) was revoked already.")
            return redirect(back)
    return _confirm(request, row, form=form, verb="revoke")


@page("keys.manage", "GET", "POST")
def retire(request: HttpRequest, pk: int) -> HttpResponse:
    found = _found(pk)
    form = ReasonForm(request.POST) if request.method == "POST" else ReasonForm()
    if form.is_valid():
        reason = form.cleaned_data["reason"].strip()
        if reason:
            service.retire(gateway=found, by=access.label(request.user), at=timezone.now(), reason=reason)
            messages.success(request, f"The gateway {found.name} is retired, and its keys are revoked.")
            return redirect("gateway", pk=pk)
        form.show([("reason", "This is needed.")])
    status = 422 if request.method == "POST" else 200
    return render(request, "dashboards/gateway_retire.html", {"gateway": found, "form": form}, status=status)


def _confirm(request: HttpRequest, row: KeyRow, *, form: ReasonForm | RotateForm, verb: str) -> HttpResponse:
    if row.revoked_at is not None:
        messages.info(request, f"The key {row.name} ({row.prefix}…) is revoked already.")
        return redirect("gateway", pk=row.gateway_id) if row.gateway_id else redirect("gateways")
    context = {"row": row, "form": form, "rotates": verb == "rotate", "now": timezone.now()}
    return render(request, "dashboards/gateway_key.html", context, status=422 if request.method == "POST" else 200)


def _found(pk: int) -> Gateway:
    found = Gateway.objects.filter(pk=pk).first()
    if found is None:
        raise Http404("There is no such gateway.")
    return found


def _key(pk: int) -> tuple[KeyRow, ApiKey]:
    row, key = page_of.key(key_id=pk), ApiKey.objects.filter(pk=pk).first()
    if row is None or key is None:
        raise Http404("There is no such key.")
    return row, key
