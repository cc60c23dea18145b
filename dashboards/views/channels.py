"""Channels: where alerts go, how each does, what it would have been told, and whether it works."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from alerts.channels import KINDS, Delivered, FailedForGood, Outcome, Signing
from alerts.models import Severity
from alerts.selectors import deliveries, reach
from alerts.selectors.channels import ChannelRow
from alerts.services import channels as service
from core import access
from core.errors import TollkeeperError
from dashboards import alerts_words as words
from dashboards.forms_channels import SEVERITY_WORDS, WantsForm
from dashboards.selectors import alerts as page_of_alerts
from dashboards.selectors import channels as page_of
from dashboards.selectors.alerts import LATELY, Names
from dashboards.selectors.channels import Check, Shown
from dashboards.views import alerts_deliveries
from dashboards.views.access import page, zone_of
from dashboards.views.alerts import COUNTED
from usage.selectors import freshness

FEW = 8  # alerts and deliveries that are shown of all there are
_MARKS = {"failed": "failed", "waiting": "waiting", "sending": "waiting"}


@dataclass(frozen=True, kw_only=True)
class Mark:
    """The daily check of a day, as a small mark."""

    x: int
    tone: str
    words: str


@dataclass(frozen=True, kw_only=True)
class Line:
    row: ChannelRow
    wants: list[str]
    digests: str
    last: alerts_deliveries.Line | None
    failing_since: datetime | None
    failing: int
    waiting: int
    marks: list[Mark]
    checked: str  # the marks in a sentence; empty where there are none


def line_of(shown: Shown, names: Names) -> Line:
    row, standing = shown.row, shown.standing
    return Line(
        row=row,
        wants=wants(row, names),
        digests=_digests(row),
        last=alerts_deliveries.line_of(standing.last) if standing else None,
        failing_since=standing.failing_since if standing else None,
        failing=standing.failing if standing else 0,
        waiting=standing.waiting if standing else 0,
        marks=[_mark(place, check) for place, check in enumerate(shown.checks)],
        checked=_checked(shown.checks),
    )


def wants(row: ChannelRow, names: Names) -> list[str]:
    """Say what a channel takes: how grave, and what it chooses by."""
    found = [SEVERITY_WORDS[Severity(row.least_severity)]]
    if row.kinds:
        found.append(words.listed([words.kind_words(kind) for kind in row.kinds]))
    if row.teams:
        found.append(f"of {_named(row.teams, names.teams, 'team')}")
    if row.budgets:
        found.append(f"of {_named(row.budgets, names.budgets, 'budget')}")
    return found


def _named(chosen: tuple[int, ...], known: Any, what: str) -> str:
    return f"{what}{'s' if len(chosen) > 1 else ''} {words.listed([known.get(pk, f'number {pk}') for pk in chosen])}"


def _digests(row: ChannelRow) -> str:
    if not row.digests:
        return ""
    return f"{' and '.join(row.digests).capitalize()}, at {row.digest_hour:02}:00"


def _mark(place: int, check: Check) -> Mark:
    day, x = f"{check.day.day} {check.day:%b}", place * 8
    if check.missing:
        return Mark(x=x, tone="failed", words=f"{day}: no check was made")
    if check.leg is None:
        return Mark(x=x, tone="none", words=f"{day}: none was sent there")
    one, seconds = check.leg.delivery, check.leg.seconds
    if seconds is not None:
        return Mark(x=x, tone="ok", words=f"{day}: arrived after {words.took(timedelta(seconds=seconds))}")
    state = words.DELIVERY_STATES[one.state][1]
    said = f" ({words.short(words.said(one))})" if words.said(one) else ""
    return Mark(x=x, tone=_MARKS.get(one.state, "none"), words=f"{day}: {state}{said}")


def _checked(checks: Sequence[Check]) -> str:
    """Say in a sentence what the marks show."""
    if not checks:
        return ""
    sent = [check.leg for check in checks if check.leg is not None]
    missing = sum(check.missing for check in checks)
    if not sent and not missing:
        return "No daily check was made yet"
    arrived = sum(leg.seconds is not None for leg in sent)
    return f"{arrived} of {len(sent) + missing} daily checks of the last {len(checks)} days arrived"


@page("view")
def channels_page(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    shown = page_of.listed(at=now, zone=zone_of(request))
    lines = [line_of(each, shown.names) for each in shown.shown]
    context = {
        "lines": lines,
        "retired": shown.retired,
        "in_use": sum(line.row.enabled for line in lines),
        "failing": sum(line.failing_since is not None for line in lines),
        "failed": deliveries.failed(since=now - LATELY),
        "lately_days": LATELY.days,
        "untold": reach.untold(since=now - COUNTED),
        "untold_days": COUNTED.days,
        "may_edit": request.user.has_perm("channels.edit"),
        "now": now,
        "complete_through": freshness.complete_through(at=now),
    }
    return render(request, "dashboards/channels.html", context)


@page("view")
def channel(request: HttpRequest, pk: int) -> HttpResponse:
    return _channel(request, pk)


def _channel(request: HttpRequest, pk: int, *, tested: dict[str, str] | None = None) -> HttpResponse:
    now = timezone.now()
    shown = page_of.one(channel_id=pk, at=now, zone=zone_of(request))
    if shown is None:
        raise Http404("There is no such channel.")
    row = shown.row
    may = request.user.has_perm("channels.edit") and row.retired_at is None
    told = deliveries.newest(limit=FEW, channel_id=pk)
    context = {
        "line": line_of(shown, page_of_alerts.names()),
        "row": row,
        "deliveries": [alerts_deliveries.line_of(each) for each in told.rows],
        "fitting": fitting(now, teams=row.teams, budgets=row.budgets, kinds=row.kinds, least=row.least_severity),
        "fitting_days": COUNTED.days,
        "tested": tested,
        "signs": isinstance(KINDS.get(row.kind), Signing),
        "may_edit": may,
        "may_send": request.user.has_perm("alerts.acknowledge"),
        "here": request.path,
        "now": now,
    }
    return render(request, "dashboards/channel.html", context)


def fitting(now: datetime, *, teams: Any, budgets: Any, kinds: Any, least: int) -> reach.Fitting:
    """Return what such choices would have brought to a channel lately."""
    return reach.fitting(
        teams=teams, budgets=budgets, kinds=kinds, least_severity=least, since=now - COUNTED, limit=FEW
    )


@page("channels.edit")
def preview(request: HttpRequest) -> HttpResponse:
    """Show which alerts the choices of a form, not kept yet, would have brought: for the form's own script."""
    names = page_of_alerts.names()
    form = WantsForm(request.GET, teams=names.teams, budgets=names.budgets)
    found = None
    if form.is_valid():
        data = form.cleaned_data
        found = fitting(
            timezone.now(),
            teams=data["teams"],
            budgets=data["budgets"],
            kinds=data["kinds"],
            least=data["least_severity"],
        )
    context = {"fitting": found, "days": COUNTED.days, "now": timezone.now()}
    return render(request, "dashboards/_channel_fitting.html", context)


@page("channels.edit", "POST")
def test(request: HttpRequest, pk: int) -> HttpResponse:
    """Send a test message and say what became of it, which takes up to ten seconds."""
    try:
        outcome = service.send_test(channel_id=pk, by=access.label(request.user), at=timezone.now())
    except service.NoSuchChannel as error:
        raise Http404(str(error)) from error
    except TollkeeperError as error:  # the secret cannot be read
        tested = {"tone": "error", "words": "Nothing was sent.", "answer": str(error)}
    else:
        tested = _tested(outcome)
    if request.headers.get("HX-Request"):
        return render(request, "dashboards/_channel_test.html", {"row": {"id": pk}, "tested": tested})
    return _channel(request, pk, tested=tested)


def _tested(outcome: Outcome) -> dict[str, str]:
    if isinstance(outcome, Delivered):
        return {"tone": "success", "words": "It arrived: the far side took the test message.", "answer": outcome.answer}
    if isinstance(outcome, FailedForGood):
        said = "It was refused, and sending the same again would not help."
        return {"tone": "error", "words": said, "answer": outcome.reason}
    said = "It did not work now. An alert would be tried again, for a day."
    return {"tone": "warning", "words": said, "answer": outcome.reason}


@page("channels.edit", "POST")
def switch(request: HttpRequest, pk: int) -> HttpResponse:
    """Turn a channel off, or on again."""
    on = request.POST.get("on") == "yes"
    try:
        changed = service.change(channel_id=pk, enabled=on, by=access.label(request.user))
    except service.NoSuchChannel as error:
        raise Http404(str(error)) from error
    except TollkeeperError as error:
        messages.error(request, str(error))
    else:
        said = "takes alerts from now on" if on else "is switched off: alerts from now on do not go there"
        messages.success(request, f"{changed.name} {said}.")
    return redirect("channel", pk=pk)
