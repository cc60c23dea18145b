"""Begin a draft: from a form with its title, or from the rule in force that somebody wants to change."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from core import access
from core.errors import Invalid
from dashboards.forms_rules import DraftForm
from dashboards.selectors import rules as page_of
from dashboards.views.access import page
from dashboards.views.rules_shown import found_environment
from dashboards.views.rules_step import ID_CHARACTERS
from routing.services import proposals as service

WHOLE = 10_000  # basis points: all requests


@page("rules.edit", "GET", "HEAD", "POST")
def new(request: HttpRequest, environment: str) -> HttpResponse:
    row = found_environment(environment)
    now = timezone.now()
    first = row.live_version is None
    offered = page_of.offerings(at=now) if first else []
    status = 200
    if request.method == "POST":
        form = DraftForm(request.POST, offerings=offered, first=first)
        status = 422
        if form.is_valid():
            try:
                made = service.start(
                    environment=environment,
                    title=form.cleaned_data["title"],
                    by=access.label(request.user),
                    at=now,
                    content=_first_content(form.cleaned_data["offering"]) if first else None,
                )
            except service.NeedsDefault as error:
                form.show([("offering", str(error))])
            except Invalid as error:
                form.show(_at_fields(error.problems))
            else:
                messages.success(request, "The draft is made. Nothing is in force before it is approved and published.")
                return redirect("rules-draft", environment=environment, pk=made.pk)
    else:
        form = DraftForm(offerings=offered, first=first)
    context = {"environment": environment, "row": row, "form": form, "first": first, "offered": bool(offered)}
    return render(request, "dashboards/rules_new.html", context, status=status)


def _first_content(offering: str) -> dict[str, Any]:
    return {"rules": [], "default": {"targets": [{"offering": offering, "weight": WHOLE}]}}


def _at_fields(problems: list[tuple[str, str]]) -> list[tuple[str, str]]:
    found = dict(problems)
    told = [("offering", "Choose an offering of the catalogue.")] if any("/" in at for at in found) else []
    return told + [(at, text) for at, text in problems if "/" not in at]


@page("rules.edit", "POST")
def change(request: HttpRequest, environment: str) -> HttpResponse:
    """Begin a draft from the version in force and go straight to one of its rules."""
    found_environment(environment)
    wanted = request.POST.get("rule", "").replace("\x00", "")[:ID_CHARACTERS]
    try:
        made = service.start(
            environment=environment,
            title=f"Change {wanted or 'the rules'}",
            by=access.label(request.user),
            at=timezone.now(),
        )
    except Invalid as error:
        messages.error(request, str(error))
        return redirect("rules-new", environment=environment)
    if wanted == "default":
        return redirect("rules-default", environment=environment, pk=made.pk)
    for place, rule in enumerate(made.content["rules"], 1):
        if rule["id"] == wanted:
            return redirect("rules-rule", environment=environment, pk=made.pk, place=place)
    messages.warning(request, f"There is no rule {wanted} in force. This is a draft of the rules as they are now.")
    return redirect("rules-draft", environment=environment, pk=made.pk)
