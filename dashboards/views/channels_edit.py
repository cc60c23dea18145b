"""Setting channels up, changing and retiring them, and rotating what they sign with.

A secret that we made is shown in the answer to the POST that made it (see `connect.py`, Note [A secret is shown once]).
Sent again, making a channel is refused since its name is taken, and rotating since the form has seen another state.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.cache import add_never_cache_headers

from alerts.channels import KINDS, ChannelKind, Signing
from alerts.models import Severity
from alerts.selectors import channels
from alerts.selectors.channels import ChannelRow
from alerts.services import channels as service
from core import access, secrets
from core.errors import Invalid, TollkeeperError
from dashboards.forms_channels import ChannelForm, RetireChannelForm, RotateSecretForm
from dashboards.selectors import alerts as page_of
from dashboards.views.access import page
from dashboards.views.alerts import COUNTED
from dashboards.views.channels import fitting

ABOUT = {
    "slack": "An incoming webhook of one Slack channel. Mattermost and Rocket.Chat take the same.",
    "slack_bot": "A bot of your own in any Slack channel that it was invited to.",
    "email": "Mails to people or lists, through the mail server of this installation.",
    "webhook": "A signed POST to a system of yours, such as an on-call rota or a ticket system.",
}


@page("channels.edit", "GET", "HEAD", "POST")
def new(request: HttpRequest) -> HttpResponse:
    given = request.POST if request.method == "POST" else request.GET
    kind = KINDS.get(given.get("kind", ""))
    if kind is None:
        kinds = [(each, ABOUT.get(each.name, "")) for each in KINDS.values()]
        context = {"kinds": kinds, "unknown": bool(given.get("kind"))}
        return render(request, "dashboards/channel_kinds.html", context, status=404 if given.get("kind") else 200)
    names = page_of.names()
    known: dict[str, Any] = {"kind": kind, "teams": names.teams, "budgets": names.budgets}
    if request.method != "POST":
        form = ChannelForm(**known, initial={"least_severity": Severity.INFO, "canary": False})
        return _form_page(request, form, kind)
    form = ChannelForm(request.POST, **known)
    if form.is_valid():
        made = "" if form.secret else service.made_secret(kind=kind.name)
        try:
            channel = service.create(
                kind=kind.name,
                secret=form.secret or made,
                by=access.label(request.user),
                at=timezone.now(),
                **form.given,
            )
        except Invalid as error:
            form.show(error.problems)
        except service.NameTaken as error:
            form.show([("name", str(error))])
        except secrets.KeysMissing as error:
            form.show([("", str(error))])
        else:
            if made:
                return _secret_page(request, pk=channel.pk, name=channel.name, secret=made)
            messages.success(request, f"{channel.name} takes alerts from now on. Send a test to see that it works.")
            return redirect("channel", pk=channel.pk)
    return _form_page(request, form, kind, status=422)


@page("channels.edit", "GET", "HEAD", "POST")
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    row = _in_use(request, pk)
    kind = KINDS.get(row.kind)
    if kind is None:
        raise Http404("There is no such kind of channel any more.")
    names = page_of.names()
    known: dict[str, Any] = {"kind": kind, "teams": names.teams, "budgets": names.budgets, "also": row}
    if request.method != "POST":
        return _form_page(request, ChannelForm(**known, initial=ChannelForm.initial_of(row)), kind, row=row)
    form = ChannelForm(request.POST, **known)
    if form.is_valid():
        try:
            service.change(
                channel_id=pk,
                secret=form.secret or None,
                by=access.label(request.user),
                reason=form.cleaned_data["reason"].strip(),
                **form.given,
            )
        except Invalid as error:
            form.show(error.problems)
        except service.NameTaken as error:
            form.show([("name", str(error))])
        except service.NoSuchChannel as error:
            raise Http404(str(error)) from error
        except TollkeeperError as error:  # the stored secret cannot be read, or a new one not encrypted
            form.show([("", str(error))])
        else:
            messages.success(request, f"{form.given['name']} is changed. What waits for it goes out by these settings.")
            return redirect("channel", pk=pk)
    return _form_page(request, form, kind, row=row, status=422)


def _form_page(
    request: HttpRequest, form: ChannelForm, kind: ChannelKind, *, row: ChannelRow | None = None, status: int = 200
) -> HttpResponse:
    now = timezone.now()
    if form.is_bound:
        data: Mapping[str, Any] = form.cleaned_data if hasattr(form, "cleaned_data") else {}
    else:
        data = form.initial
    found = fitting(
        now,
        teams=data.get("teams", ()),
        budgets=data.get("budgets", ()),
        kinds=data.get("kinds", ()),
        least=data.get("least_severity", Severity.INFO),
    )
    context = {
        "form": form,
        "kind": kind,
        "about": ABOUT.get(kind.name, ""),
        "row": row,
        "signs": isinstance(kind, Signing),
        "fitting": found,
        "fitting_days": COUNTED.days,
        "now": now,
    }
    return render(request, "dashboards/channel_form.html", context, status=status)


@page("channels.edit", "GET", "HEAD", "POST")
def rotate(request: HttpRequest, pk: int) -> HttpResponse:
    """Let a new signing secret take over, and show it once."""
    row, now = _in_use(request, pk), timezone.now()
    if not isinstance(KINDS.get(row.kind), Signing):
        raise Http404("This channel signs nothing.")
    seen = _written(row.former_secret_until)
    form = RotateSecretForm(request.POST) if request.method == "POST" else RotateSecretForm(initial={"seen": seen})
    if form.is_valid():
        if form.cleaned_data["seen"] != seen:
            messages.info(request, "It was rotated meanwhile. A secret is shown once, when it is made.")
            return redirect("channel", pk=pk)
        secret = service.made_secret(kind=row.kind)
        try:
            until = service.rotate_secret(
                channel_id=pk,
                new=secret,
                keep_for=timedelta(hours=form.cleaned_data["keep_hours"]),
                by=access.label(request.user),
                at=now,
            )
        except Invalid as error:
            form.show(error.problems)
        except TollkeeperError as error:
            form.show([("", str(error))])
        else:
            return _secret_page(
                request, pk=pk, name=row.name, secret=secret, former_until=until if until > now else None
            )
    context = {"row": row, "form": form, "now": now}
    return render(request, "dashboards/channel_rotate.html", context, status=422 if request.method == "POST" else 200)


def _secret_page(
    request: HttpRequest, *, pk: int, name: str, secret: str, former_until: datetime | None = None
) -> HttpResponse:
    context = {"pk": pk, "name": name, "secret": secret, "former_until": former_until}
    answer = render(request, "dashboards/channel_secret.html", context)
    add_never_cache_headers(answer)  # no-store among them
    return answer


@page("channels.edit", "GET", "HEAD", "POST")
def retire(request: HttpRequest, pk: int) -> HttpResponse:
    row = _in_use(request, pk)
    form = RetireChannelForm(request.POST) if request.method == "POST" else RetireChannelForm()
    if form.is_valid():
        reason = form.cleaned_data["reason"].strip()
        if reason:
            service.retire(channel_id=pk, by=access.label(request.user), at=timezone.now(), reason=reason)
            messages.success(request, f"{row.name} is retired, and its secret forgotten.")
            return redirect("channels")
        form.show([("reason", "This is needed.")])
    status = 422 if request.method == "POST" else 200
    return render(request, "dashboards/channel_retire.html", {"row": row, "form": form}, status=status)


def _in_use(request: HttpRequest, pk: int) -> ChannelRow:
    row = channels.one(channel_id=pk)
    if row is None or row.retired_at is not None:
        raise Http404("There is no such channel in use.")
    return row


def _written(instant: datetime | None) -> str:
    return instant.isoformat() if instant else ""
