"""Alerts: what should be known, who takes care of it, and whether it was told."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from alerts.selectors import alerts as selector
from alerts.selectors.alerts import AlertRow, DeliveryRow
from alerts.services import acknowledging
from budgets.models import Budget
from core import access
from core.errors import Conflict, Invalid
from dashboards.forms import CommentForm
from dashboards.views.access import page
from usage.selectors import freshness

PER_PAGE = 50
STATES = {"open": "Open", "acknowledged": "Acknowledged", "resolved": "Resolved", "all": "All"}
SEVERITY_TONES = {30: "danger", 20: "warning"}
STATE_TONES = {"open": "warning", "acknowledged": "info", "resolved": "neutral"}
DELIVERY_TONES = {
    "delivered": "ok",
    "failed": "danger",
    "not_sent": "neutral",
    "waiting": "info",
    "sending": "info",
}


@page("view")
def alerts_page(request: HttpRequest) -> HttpResponse:
    state = request.GET.get("state", "open")
    if state not in STATES:
        raise Http404("There is no such state.")
    found = selector.newest(limit=PER_PAGE, before=_before(request), states=() if state == "all" else (state,))
    next_url = ""
    if found.next_before:
        created_at, alert_id = found.next_before
        query = {"state": state, "before": f"{created_at.isoformat()}~{alert_id}"}
        next_url = f"{reverse('alerts')}?{urlencode(query)}"
    context = {
        "lines": [{**_tones(row), "row": row, "told": _told(row)} for row in found.rows],
        "state": state,
        "states": [
            (title, f"{reverse('alerts')}?state={key}" if key != "open" else reverse("alerts"), key == state)
            for key, title in STATES.items()
        ],
        "next_url": next_url,
        "first_url": f"{reverse('alerts')}?state={state}" if request.GET.get("before") else "",
        "complete_through": freshness.complete_through(at=timezone.now()),
    }
    return render(request, "dashboards/alerts.html", context)


def _before(request: HttpRequest) -> tuple[datetime, int] | None:
    text = request.GET.get("before", "")
    if not text:
        return None
    instant, _, number = text.partition("~")
    try:
        created_at = datetime.fromisoformat(instant)
        if created_at.tzinfo is None:
            raise ValueError("an instant has an offset")
        return created_at, int(number)
    except ValueError as error:
        raise Http404("There is no such page.") from error


def _tones(row: AlertRow) -> dict[str, str]:
    return {"severity_tone": SEVERITY_TONES.get(row.severity, "info"), "state_tone": STATE_TONES[row.state]}


def _told(row: AlertRow) -> str:
    """Say in a few words what became of an alert's deliveries."""
    states = [delivery.state for delivery in row.deliveries]
    counted = [(words, states.count(state)) for state, words in (
        ("delivered", "delivered"), ("failed", "failed"), ("not_sent", "not sent"), ("waiting", "waiting"),
        ("sending", "being sent"),
    )]  # fmt: skip
    return ", ".join(f"{count} {words}" for words, count in counted if count)


@page("view")
def alert(request: HttpRequest, pk: int) -> HttpResponse:
    return _alert(request, pk, form=CommentForm())


def _alert(request: HttpRequest, pk: int, *, form: CommentForm, status: int = 200) -> HttpResponse:
    detail = selector.one(alert_id=pk)
    if detail is None:
        raise Http404("There is no such alert.")
    row = detail.alert
    budget = Budget.objects.filter(pk=row.budget_id).first() if row.budget_id else None
    may = request.user.has_perm("alerts.acknowledge")
    context: dict[str, Any] = {
        "detail": detail,
        "row": row,
        **_tones(row),
        "summary": row.facts.get("summary", ""),
        "facts": _pairs(row.facts.get("rows")),
        "next": row.facts.get("next", ""),
        # Facts are untrusted: a path of ours is the only thing that becomes a link.
        "links": [(text, path) for text, path in _pairs(row.facts.get("links")) if _is_path(path)],
        "budget": budget,
        "deliveries": [(one, DELIVERY_TONES[one.state], _delivery(one), _said(one)) for one in row.deliveries],
        "may_acknowledge": may and row.state == "open",
        "may_comment": may,
        "form": form,
    }
    return render(request, "dashboards/alert.html", context, status=status)


def _pairs(found: Any) -> list[tuple[str, str]]:
    if not isinstance(found, list):
        return []
    return [(str(pair[0]), str(pair[1])) for pair in found if isinstance(pair, list) and len(pair) == 2]


def _is_path(path: str) -> bool:
    return path.startswith("/") and not path.startswith(("//", "/\\"))


def _delivery(one: DeliveryRow) -> str:
    return {"not_sent": "not sent", "sending": "being sent"}.get(one.state, one.state)


def _said(one: DeliveryRow) -> str:
    return "no channel is there for alerts like this one" if one.reason == "no-channel" else one.reason


@page("alerts.acknowledge", "POST")
def acknowledge(request: HttpRequest, pk: int) -> HttpResponse:
    try:
        acknowledging.acknowledge(alert_id=pk, by=access.label(request.user), at=timezone.now())
    except acknowledging.NoSuchAlert as error:
        raise Http404(str(error)) from error
    except Conflict as error:
        messages.error(request, str(error))
    else:
        messages.success(request, "You take care of this alert; it no longer stands among the open ones.")
    return redirect("alert", pk=pk)


@page("alerts.acknowledge", "POST")
def comment(request: HttpRequest, pk: int) -> HttpResponse:
    form = CommentForm(request.POST)
    if not form.is_valid():  # a NUL character, which no text holds
        return _alert(request, pk, form=form, status=422)
    try:
        acknowledging.comment(
            alert_id=pk, text=form.cleaned_data["text"], by=access.label(request.user), at=timezone.now()
        )
    except acknowledging.NoSuchAlert as error:
        raise Http404(str(error)) from error
    except Invalid as error:
        form.show(error.problems)
        return _alert(request, pk, form=form, status=422)
    return redirect("alert", pk=pk)
