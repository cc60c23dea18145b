"""What is switched off now, everywhere and without a version, turning it off and on, and what that cost or saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme

from core import access
from core.errors import Invalid
from dashboards.downloads import CSV, Table, columns, offers, send
from dashboards.forms_rules import SwitchForm
from dashboards.selectors import rules as page_of
from dashboards.templatetags.figures import exact, usd
from dashboards.views.access import demand, page
from dashboards.views.rules_shown import found_environment, whole
from routing.models import Switch
from routing.selectors import switch_costs, switches
from routing.selectors.switch_costs import Move, SwitchCost
from routing.selectors.switches import SwitchRow
from routing.services import switches as service
from usage.selectors import freshness
from usage.selectors.elsewhere import Compared

PER_PAGE = 25
NO_REASON = "taken back in the console"
USUAL_MINUTES = 30
MOST_IN_A_FILE = 1000
NOT_KNOWN = "not known"


def off_url(environment: str, *, kind: str, name: str, reason: str, back: str) -> str:
    """Return where something is turned off by one more click."""
    filled = {"what": f"{kind}:{name}", "minutes": USUAL_MINUTES, "reason": reason, "back": back}
    return f"{reverse('rules-switch-off', args=[environment])}?{urlencode(filled)}"


# --- turning ---


@page("rules.read", "GET", "HEAD", "POST")
@offers(lambda request, environment: _table(request, environment))
def switches_page(request: HttpRequest, environment: str) -> HttpResponse:
    found_environment(environment)
    now = timezone.now()
    if request.method != "POST":
        form = SwitchForm(names=page_of.names_to_switch(environment=environment, at=now), initial=_filled(request))
        return _switches(request, environment, form)
    demand(request, "switches.turn")
    form = SwitchForm(request.POST, names=page_of.names_to_switch(environment=environment, at=now))
    if not _turned_off(request, form, at=now):
        return _switches(request, environment, form, status=422)
    return redirect("rules-switches", environment=environment)


@page("switches.turn", "GET", "HEAD", "POST")
def turn_off(request: HttpRequest, environment: str) -> HttpResponse:
    """Show the form alone, filled in by the page that one comes from, and go back there."""
    found_environment(environment)
    now = timezone.now()
    names = page_of.names_to_switch(environment=environment, at=now)
    sent = request.POST if request.method == "POST" else request.GET
    back = _back(sent, environment)
    form = SwitchForm(request.POST, names=names) if request.method == "POST" else SwitchForm(
        names=names, initial=_filled(request)
    )  # fmt: skip
    if request.method == "POST" and _turned_off(request, form, at=now):
        return redirect(back)
    context = {"environment": environment, "form": form, "back": back}
    return render(request, "dashboards/rules_switch_off.html", context, status=422 if form.is_bound else 200)


def _filled(request: HttpRequest) -> dict[str, str]:
    """Return what the address fills in; what it says beyond that, the service judges."""
    given = {name: request.GET.get(name, "").replace("\0", "")[:300] for name in ("what", "minutes", "reason")}
    return {name: value for name, value in given.items() if value}


def _turned_off(request: HttpRequest, form: SwitchForm, *, at: datetime) -> Switch | None:
    """Turn off what was chosen and say so; None, with every reason in the form, where it cannot be."""
    if not form.is_valid():  # a NUL character, which no text holds
        return None
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
            at=at,
        )
    except Invalid as error:
        told = {"seconds": "This is a whole number of minutes from 1 to 1440."}
        problems += [(at_, told.get(at_, text)) for at_, text in error.problems if not (problems and at_ == "name")]
        form.show(problems)
        return None
    local = timezone.localtime(switch.until)
    messages.success(
        request,
        f"The {switch.kind} {switch.name} is off until {local:%H:%M %Z}. Gateways have it with their next poll.",
    )
    return switch


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
    return redirect(_back(request.POST, environment))


def _back(sent: Mapping[str, Any], environment: str) -> str:
    """Return the page to go back to: one of this console, the list of switches where none is named."""
    back = str(sent.get("back", ""))
    ours = back.startswith("/") and url_has_allowed_host_and_scheme(back, allowed_hosts=None)
    return back if ours else reverse("rules-switches", args=[environment])


# --- the history ---


@dataclass(frozen=True, kw_only=True)
class CostShown:
    """What a switch, or one of its moves, cost or saved, in words."""

    requests: str
    tokens: str
    cost: str
    instead: str
    words: str  # "cost $1.20 more", "saved $0.40", ...
    tone: str  # good, bad or neutral
    exactly: str  # the difference with every digit; empty where it is not known
    note: str  # what is left out of the comparison

    @property
    def words_markup(self) -> str:
        """Return the words, with every digit when pointed at."""
        return format_html('<span title="{}">{}</span>', self.exactly, self.words) if self.exactly else self.words


@dataclass(frozen=True, kw_only=True)
class MoveShown:
    move: Move
    cost: CostShown
    version_url: str


def shown(sums: Compared) -> CostShown:
    left = sums.requests - sums.compared_requests
    words, tone = _words(sums)
    all_unpriced = sums.requests and sums.unpriced_requests == sums.requests
    difference = sums.difference_usd
    note = ""
    if left:
        words_left = f"{exact(left)} of {exact(sums.requests)} request{'s' if sums.requests != 1 else ''} left out"
        note = f"{words_left}: what they cost, or would have cost, is not known"
    return CostShown(
        requests=exact(sums.requests),
        tokens=exact(sums.tokens),
        cost=NOT_KNOWN if all_unpriced else usd(sums.cost_usd),
        instead=usd(sums.instead_usd) if sums.compared_requests else NOT_KNOWN if sums.requests else usd(0),
        words=words,
        tone=tone,
        exactly="" if difference is None else f"${exact(difference)}".replace("$-", "-$"),
        note=note,
    )


def _words(sums: Compared) -> tuple[str, str]:
    difference = sums.difference_usd
    if difference is None:
        return (NOT_KNOWN if sums.requests else "moved nothing"), "neutral"
    if difference == 0:
        return "cost the same", "neutral"
    return (f"cost {usd(difference)} more", "bad") if difference > 0 else (f"saved {usd(-difference)}", "good")


@page("rules.read")
def switch(request: HttpRequest, environment: str, pk: int) -> HttpResponse:
    """Show one word: who, why, how long, and what it cost or saved."""
    found_environment(environment)
    now = timezone.now()
    row = switches.one(pk=pk)
    if row is None:
        raise Http404("There is no such switch.")
    cost = switch_costs.of([row], at=now).get(row.id)
    return render(
        request,
        "dashboards/rules_switch.html",
        {
            "environment": environment,
            "row": row,
            "holds": row.holds(now),
            "cost": cost,
            "total": shown(cost.total) if cost else None,
            "moves": [_move_shown(move) for move in cost.moves] if cost else [],
            "back": request.path,
            "may_switch": access.may(request.user, "switches.turn"),
            "complete_through": freshness.complete_through(at=now),
        },
    )


def _move_shown(move: Move) -> MoveShown:
    named = move.rules_version and move.instead_of
    url = reverse("rules-version", args=[move.environment, move.rules_version]) if named else ""
    return MoveShown(move=move, cost=shown(move.sums), version_url=url)


def _table(request: HttpRequest, environment: str) -> Table:
    """Return the history, every digit, the latest first; 1,000 words at most."""
    found_environment(environment)
    now = timezone.now()
    rows = switches.newest(limit=MOST_IN_A_FILE)
    costs = switch_costs.of(rows, at=now)
    return Table(
        name=f"switches-{timezone.localdate(now)}",
        title="Switches, newest first",
        columns=columns(
            "id", "kind", "name", "turned", "since", "until", "ended_at", "by", "reason", "requests", "tokens",
            "cost_usd", "unpriced_requests", "compared_requests", "compared_usd", "instead_usd", "difference_usd",
        ),
        rows=(_line(row, costs.get(row.id)) for row in rows),
    )  # fmt: skip


@page("rules.read")
def download(request: HttpRequest, environment: str) -> Any:
    """Send the history as CSV under an address of its own, which others may have kept."""
    return send(request, _table(request, environment), CSV)


def _line(row: SwitchRow, cost: SwitchCost | None) -> Sequence[Any]:
    sums = cost.total if cost is not None and cost.kept else None
    turned = "off" if row.off else "taken back" if row.takes_back else "on"
    told = (
        [None] * 8
        if sums is None
        else [
            sums.requests, sums.tokens, sums.cost_usd, sums.unpriced_requests, sums.compared_requests,
            sums.compared_usd, sums.instead_usd, sums.difference_usd,
        ]
    )  # fmt: skip
    return [
        row.id, row.kind, row.name, turned, row.since, row.until, row.ended_at,
        row.by, row.reason, *told,
    ]  # fmt: skip


def _switches(request: HttpRequest, environment: str, form: SwitchForm, *, status: int = 200) -> HttpResponse:
    now = timezone.now()
    before = whole(request.GET.get("before"))
    rows = switches.newest(limit=PER_PAGE + 1, before=before)
    costs = switch_costs.of(rows[:PER_PAGE], at=now)
    url = reverse("rules-switches", args=[environment])
    return render(
        request,
        "dashboards/rules_switches.html",
        {
            "environment": environment,
            "present": switches.in_force(at=now),
            "rows": [
                (row, cost, shown(cost.total) if cost else None)
                for row, cost in ((row, costs.get(row.id)) for row in rows[:PER_PAGE])
            ],
            "now": now,
            "next_url": f"{url}?before={rows[PER_PAGE - 1].id}" if len(rows) > PER_PAGE else "",
            "first_url": url if before is not None else "",
            "form": form,
            "may_switch": access.may(request.user, "switches.turn"),
        },
        status=status,
    )
