"""One alert: what happened, what was told and done about it since, and taking care of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme

from alerts.messages import pairs, sections_of
from alerts.selectors import alerts as selector
from alerts.selectors.alerts import AlertDetail, AlertRow, DeliveryRow
from alerts.services import acknowledging
from budgets import wording
from budgets.selectors import overview as budgets
from budgets.selectors.overview import BudgetRow
from core import access
from core.errors import Conflict, Invalid
from dashboards import alerts_words as words
from dashboards.forms import CommentForm
from dashboards.forms_alerts import ResolveForm, SnoozeForm, snoozes
from dashboards.selectors import alerts as page_of
from dashboards.selectors.alerts import Step
from dashboards.views.access import demand, page
from dashboards.views.alerts import line_of, resolve_with, viewers_zone


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Something on an alert's time line."""

    at: datetime
    icon: str
    tone: str
    title: str
    by: str = ""
    text: str = ""
    answer: str = ""
    asleep_until: datetime | None = None
    delivery: DeliveryRow | None = None


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How the budget of an alert stands now, which is not how it stood then."""

    row: BudgetRow
    used: str
    limit: str

    @property
    def share(self) -> Decimal | None:
        found = self.row.per_cent_used
        return None if found is None else found / 100


@page("view")
def alert(request: HttpRequest, pk: int) -> HttpResponse:
    return _alert(request, pk)


def _alert(
    request: HttpRequest,
    pk: int,
    *,
    comment_form: CommentForm | None = None,
    snooze_form: SnoozeForm | None = None,
    resolve_form: ResolveForm | None = None,
) -> HttpResponse:
    detail, now = _found(pk), timezone.now()
    row = detail.alert
    may = request.user.has_perm("alerts.acknowledge")
    given = (comment_form, snooze_form, resolve_form)
    context: dict[str, Any] = {
        "row": row,
        "line": line_of(row, page_of.names(rows=[row]), now),
        "severity_tone": words.severity_tone(row.severity),
        "about_kind": words.KINDS.get(row.kind, ("", ""))[1],
        "summary": row.facts.get("summary", ""),
        "facts": pairs(row.facts.get("rows")),
        "sections": sections_of(row.facts),
        "next": row.facts.get("next", ""),
        # Facts are untrusted: a path of ours is the only thing that becomes a link.
        "links": [(text, path) for text, path in pairs(row.facts.get("links")) if _is_path(path)],
        "standing": _standing(row, now),
        "moments": _moments(detail, page_of.steps(alert_id=pk)),
        "may_act": may and row.state != "resolved",
        "may_comment": may,
        "snoozes": snoozes(at=now, zone=viewers_zone(request)),
        "comment_form": comment_form or CommentForm(),
        "snooze_form": snooze_form or SnoozeForm(at=now, zone=viewers_zone(request)),
        "resolve_form": resolve_form or ResolveForm(),
        "now": now,
    }
    return render(request, "dashboards/alert.html", context, status=422 if any(given) else 200)


def _found(pk: int) -> AlertDetail:
    detail = selector.one(alert_id=pk)
    if detail is None:
        raise Http404("There is no such alert.")
    return detail


def _is_path(path: str) -> bool:
    return path.startswith("/") and url_has_allowed_host_and_scheme(path, allowed_hosts=None)


def _standing(row: AlertRow, now: datetime) -> Standing | None:
    found = budgets.one(budget_id=row.budget_id, at=now) if row.budget_id is not None else None
    if found is None:
        return None
    return Standing(
        row=found,
        used=wording.quantity(found.unit, found.used),
        limit="" if found.limit is None else wording.quantity(found.unit, found.limit),
    )


def _moments(detail: AlertDetail, steps: Sequence[Step]) -> list[Moment]:
    """Return all that happened, in its order; of what happened at once, the raising comes first."""
    row = detail.alert
    moments = [Moment(at=row.created_at, icon="alerts", tone=words.severity_tone(row.severity), title="Raised")]
    moments += [_delivery(one) for one in row.deliveries]
    moments += [_step(step) for step in steps]
    moments += [
        Moment(at=one.at, icon="user", tone="neutral", title="Comment", by=one.by, text=one.text)
        for one in detail.comments
    ]
    return sorted(moments, key=lambda moment: moment.at)


def _delivery(one: DeliveryRow) -> Moment:
    tone, state = words.DELIVERY_STATES[one.state]
    to = one.channel or "nobody"
    if one.state == "delivered":
        title = f"Delivered to {to}"
    elif one.state == "failed" and one.channel_id is None:
        title = "Told nobody"
    elif one.state == "failed":
        title = f"Not delivered to {to}"
    elif one.state == "not_sent":
        title = f"Not sent to {to}" if one.channel else "Not sent"
    elif one.attempts:
        title, tone = f"Trying {to} again", "warning"
    else:
        title = f"{state.capitalize()}: {to}"
    return Moment(
        at=one.delivered_at or one.created_at,
        icon="mail",
        tone=tone,
        title=title,
        text="" if one.state == "delivered" else words.said(one),
        answer=words.answer(one),
        delivery=one,
    )


def _step(step: Step) -> Moment:
    if step.state == "acknowledged":
        return Moment(at=step.at, icon="check", tone="info", title="Acknowledged", by=step.by)
    if step.state == "resolved":
        by = step.by or "its cause has passed"
        return Moment(at=step.at, icon="ok", tone="ok", title="Resolved", by=by)
    if step.woken:
        return Moment(at=step.at, icon="clock", tone="neutral", title="Snooze taken back", by=step.by)
    return Moment(at=step.at, icon="clock", tone="neutral", title="Snoozed", by=step.by, asleep_until=step.asleep_until)


# --- what people do ---


@page("view", "GET", "HEAD", "POST")
def acknowledge(request: HttpRequest, pk: int) -> HttpResponse:
    """Where a message's link leads: a look changes nothing, whatever opens links ahead of people; the button does."""
    if request.method == "POST":
        demand(request, "alerts.acknowledge")
        by = access.label(request.user)
        done = "You take care of this alert; it no longer stands among the open ones."
        return _done(request, pk, lambda: acknowledging.acknowledge(alert_id=pk, by=by, at=timezone.now()), done)
    row, now = _found(pk).alert, timezone.now()
    may = request.user.has_perm("alerts.acknowledge")
    context = {
        "row": row,
        "line": line_of(row, page_of.names(rows=[row]), now),
        "summary": row.facts.get("summary", ""),
        "next": row.facts.get("next", ""),
        "may": may,
        "may_act": may and row.state != "resolved",
        "snoozes": snoozes(at=now, zone=viewers_zone(request)),
        "now": now,
    }
    return render(request, "dashboards/alert_acknowledge.html", context)


@page("alerts.acknowledge", "POST")
def snooze(request: HttpRequest, pk: int) -> HttpResponse:
    now, by = timezone.now(), access.label(request.user)
    form = SnoozeForm(request.POST, at=now, zone=viewers_zone(request))
    until = form.chosen() if form.is_valid() else None
    if until is not None:
        chosen = until
        local = timezone.localtime(chosen, ZoneInfo(viewers_zone(request)))
        done = f"Snoozed until {local.day} {local:%b, %H:%M %Z}. It comes back among the open ones then."
        try:
            return _done(request, pk, lambda: acknowledging.snooze(alert_id=pk, until=chosen, by=by, at=now), done)
        except Invalid as error:
            form.show(error.problems)
    return _alert(request, pk, snooze_form=form)


@page("alerts.acknowledge", "POST")
def wake(request: HttpRequest, pk: int) -> HttpResponse:
    by = access.label(request.user)
    return _done(request, pk, lambda: acknowledging.wake(alert_id=pk, by=by), "The snooze is taken back.")


@page("alerts.acknowledge", "POST")
def resolve(request: HttpRequest, pk: int) -> HttpResponse:
    now, by = timezone.now(), access.label(request.user)
    form = ResolveForm(request.POST)
    if form.is_valid():  # else a NUL character, which no text holds
        text = form.cleaned_data["comment"]
        try:
            return _done(request, pk, lambda: resolve_with(pk, text, by=by, at=now), "The alert is resolved.")
        except Invalid as error:
            form.show(error.problems)
    return _alert(request, pk, resolve_form=form)


@page("alerts.acknowledge", "POST")
def comment(request: HttpRequest, pk: int) -> HttpResponse:
    form = CommentForm(request.POST)
    if form.is_valid():
        text, by = form.cleaned_data["text"], access.label(request.user)
        try:
            acknowledging.comment(alert_id=pk, text=text, by=by, at=timezone.now())
        except acknowledging.NoSuchAlert as error:
            raise Http404(str(error)) from error
        except Invalid as error:
            form.show(error.problems)
        else:
            return redirect(f"{reverse('alert', args=[pk])}#timeline")
    return _alert(request, pk, comment_form=form)


def _done(request: HttpRequest, pk: int, do: Callable[[], None], said: str) -> HttpResponse:
    try:
        do()
    except acknowledging.NoSuchAlert as error:
        raise Http404(str(error)) from error
    except Conflict as error:
        messages.error(request, str(error))
    else:
        messages.success(request, said)
    return redirect("alert", pk=pk)
