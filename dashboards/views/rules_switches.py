"""What is switched off now, everywhere and without a version, and turning it off and on."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from core import access
from core.errors import Invalid
from dashboards.forms_rules import SwitchForm
from dashboards.selectors import rules as page_of
from dashboards.views.access import demand, page
from dashboards.views.rules_shown import found_environment, whole
from routing.selectors import switches
from routing.services import switches as service

PER_PAGE = 25
NO_REASON = "taken back in the console"


@page("rules.read", "GET", "HEAD", "POST")
def switches_page(request: HttpRequest, environment: str) -> HttpResponse:
    found_environment(environment)
    now = timezone.now()
    if request.method != "POST":
        form = SwitchForm(names=page_of.names_to_switch(at=now), initial={"what": request.GET.get("what", "")})
        return _switches(request, environment, form)
    demand(request, "switches.turn")
    form = SwitchForm(request.POST, names=page_of.names_to_switch(at=now))
    if not form.is_valid():  # a NUL character, which no text holds
        return _switches(request, environment, form, status=422)
    kind, _, name = form.cleaned_data["what"].partition(":")
    problems: list[tuple[str, str]] = [] if name else [("what", "Choose what to turn off.")]
    try:
        switch = service.turn(
            kind=kind or "provider",
            name=name,
            off=True,
            seconds=form.seconds,
            reason=form.cleaned_data["reason"],
            by=access.label(request.user),
            at=now,
        )
    except Invalid as error:
        told = {"seconds": "This is a whole number of minutes from 1 to 1440."}
        problems += [(at, told.get(at, text)) for at, text in error.problems if not (problems and at == "name")]
        form.show(problems)
        return _switches(request, environment, form, status=422)
    local = timezone.localtime(switch.until)
    messages.success(
        request,
        f"The {switch.kind} {switch.name} is off until {local:%H:%M %Z}. Gateways have it with their next poll.",
    )
    return redirect("rules-switches", environment=environment)


@page("switches.turn", "POST")
def take_back(request: HttpRequest, environment: str) -> HttpResponse:
    found_environment(environment)
    kind, name = request.POST.get("kind", ""), request.POST.get("name", "")
    try:
        service.turn(
            kind=kind,
            name=name,
            off=False,
            seconds=0,
            reason=request.POST.get("reason", "").strip() or NO_REASON,
            by=access.label(request.user),
            at=timezone.now(),
        )
    except Invalid as error:
        messages.error(request, " ".join([str(error), *(text for _, text in error.problems)]))
    else:
        messages.success(request, f"The switch on {name.strip()} is taken back. Gateways have it with their next poll.")
    return redirect("rules-switches", environment=environment)


def _switches(request: HttpRequest, environment: str, form: SwitchForm, *, status: int = 200) -> HttpResponse:
    now = timezone.now()
    before = whole(request.GET.get("before"))
    rows = switches.newest(limit=PER_PAGE + 1, before=before)
    url = reverse("rules-switches", args=[environment])
    return render(
        request,
        "dashboards/rules_switches.html",
        {
            "environment": environment,
            "present": switches.in_force(at=now),
            "rows": rows[:PER_PAGE],
            "now": now,
            "next_url": f"{url}?before={rows[PER_PAGE - 1].id}" if len(rows) > PER_PAGE else "",
            "first_url": url if before is not None else "",
            "form": form,
            "may_switch": request.user.has_perm("switches.turn"),
        },
        status=status,
    )
