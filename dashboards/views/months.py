"""Months: what was booked in each, what still waits, and closing one for good."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from core import access
from dashboards.downloads import Table, offers
from dashboards.forms_months import CloseForm
from dashboards.templatetags.figures import exact, percent, tokens, usd
from dashboards.views import changing, files_books
from dashboards.views.access import page, zone_of
from dashboards.views.month_address import month_of
from dashboards.views.restatements import line_of as restatement_line
from usage.selectors import corrections, freshness
from usage.selectors import months as selector
from usage.selectors.months import CLOSED, OPEN, RUNNING, Checks, MonthRow, Part
from usage.services import months as service

STATES = {RUNNING: ("info", "Running"), OPEN: ("warning", "Open"), CLOSED: ("ok", "Closed")}
# Nobody's books are older, and later ones have not begun.
# Where ours and the gateways' own figures differ by less, rounding explains it.
AGREES = Decimal("0.01")


@dataclass(frozen=True, kw_only=True)
class CheckLine:
    """One line of the check list: a tone of `_badge.html`, and where to look."""

    tone: str
    title: str
    text: str
    url: str = ""
    action: str = ""


def line_of(row: MonthRow) -> dict[str, Any]:
    """Return a month with its words."""
    tone, words = STATES[row.state]
    return {"row": row, "tone": tone, "state": words}


def table(request: HttpRequest) -> Table:
    return files_books.month_list(at=timezone.now(), zone=zone_of(request))


@page("view")
@offers(table)
def months_page(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    upto = month_of(request, "upto")
    shown = selector.listed(at=now, zone=zone_of(request), upto=upto)
    # The oldest is to be closed first: that is the one whose list is shown.
    due = next((row for row in reversed(shown.rows) if row.state == OPEN), None)
    context = {
        "lines": [line_of(row) for row in shown.rows],
        "corrections": shown.corrections,
        "due": due,
        "checks": check_lines(due, selector.checks(due, at=now), at=now) if due else [],
        "may_close": request.user.has_perm("months.close"),
        "earlier_url": _address(shown.earlier) if shown.earlier else "",
        "newest_url": reverse("months") if upto else "",
        "complete_through": freshness.complete_through(at=now),
    }
    return render(request, "dashboards/months.html", context)


def _address(upto: date) -> str:
    return f"{reverse('months')}?{urlencode({'upto': f'{upto:%Y-%m}'})}"


@page("view")
def month(request: HttpRequest, label: date) -> HttpResponse:
    now = timezone.now()
    found = selector.one(label, at=now, zone=zone_of(request))
    if found is None:
        raise Http404("Nothing was booked in that month.")
    row = found.row
    context = {
        **line_of(row),
        "found": found,
        "use_cases": _linked(found.use_cases, "use_case", label),
        "teams": _linked(found.teams, "team", label),
        "restated": [{**restatement_line(one), "sums": sums} for one, sums in found.restated],
        "checks": check_lines(row, selector.checks(row, at=now), at=now) if row.state != CLOSED else [],
        "may_close": row.state == OPEN and request.user.has_perm("months.close"),
        "spend_url": f"{reverse('spend')}?{urlencode(_days(label))}",
        "complete_through": freshness.complete_through(at=now),
        "priced_share": row.priced_share,
    }
    return render(request, "dashboards/month.html", context)


def _days(label: date) -> dict[str, str]:
    last = (label.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
    return {"from": label.isoformat(), "to": last.isoformat()}


def _linked(parts: tuple[Part, ...], dimension: str, label: date) -> list[tuple[Part, str]]:
    return [(one, f"{reverse('spend')}?{urlencode({**_days(label), dimension: one.name})}") for one in parts]


@page("months.close", "GET", "POST")
def close(request: HttpRequest, label: date) -> HttpResponse:
    """Ask for a reason, show once more what closing means, and close where that was confirmed."""
    now = timezone.now()
    row = selector.row(label, at=now, zone=zone_of(request))
    if row is None:
        raise Http404("Nothing was booked in that month.")
    if row.state != OPEN:
        words = "is closed already" if row.state == CLOSED else "still runs, so it cannot be closed"
        messages.info(request, f"{label:%B %Y} {words}.")
        return redirect("month", label)
    form = CloseForm(request.POST) if request.method == "POST" else CloseForm()
    confirm, status = "", 200
    if request.method == "POST":
        reason = form.cleaned_data["reason"].strip() if form.is_valid() else ""
        if form.is_valid() and not reason:
            form.show([("reason", "This is needed.")])
        if form.errors:
            status = 422
        elif request.POST.get("confirm") == changing.digest(request):
            return _closed(request, label, reason, now)
        else:
            confirm = changing.digest(request)
    context = {
        **line_of(row),
        "form": form,
        "confirm": confirm,
        "checks": check_lines(row, selector.checks(row, at=now), at=now),
    }
    return render(request, "dashboards/month_close.html", context, status=status)


def _closed(request: HttpRequest, label: date, reason: str, now: datetime) -> HttpResponse:
    try:
        service.close_month(label=label, by=access.label(request.user), at=now, reason=reason)
    except (service.AlreadyClosed, service.MonthNotOver) as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"{label:%B %Y} is closed. Its totals never change from now on.")
    return redirect("month", label)


def check_lines(row: MonthRow, checks: Checks, *, at: datetime) -> list[CheckLine]:
    """Return what should be looked at before a month is closed, what waits before what is in order."""
    lines = [
        _received(row, checks),
        *_set_aside(checks),
        _under_way(checks),
        _priced(row, checks),
        *_named(row, checks),
        *_held(checks),
        *_compared(row),
        *_earlier(checks),
        *_late(checks, at),
    ]
    order = ("danger", "warning", "info", "ok")
    return sorted(lines, key=lambda line: order.index(line.tone))


def _received(row: MonthRow, checks: Checks) -> CheckLine:
    if checks.waiting_events:
        return CheckLine(
            tone="warning",
            title="Events wait to be booked",
            text=f"{_count(checks.waiting_events, 'event')}, the oldest received {_at(checks.oldest_waiting_at)}. "
            "They are booked within seconds while the workers run.",
            url=reverse("gateways"),
            action="Gateways",
        )
    if checks.complete_through is None:
        return CheckLine(
            tone="info",
            title="Nothing waits to be booked",
            text="No gateway was heard of in the last 24 hours. One that still holds events would send them later.",
            url=reverse("gateways"),
            action="Gateways",
        )
    if row.state == OPEN and checks.complete_through < row.ends_at:
        return CheckLine(
            tone="warning",
            title="Not everything is in",
            text=f"The figures are complete through {_at(checks.complete_through)}, before the month ends.",
            url=reverse("gateways"),
            action="Gateways",
        )
    return CheckLine(
        tone="ok",
        title="Everything received is booked",
        text=f"Complete through {_at(checks.complete_through)}.",
    )


def _waiting(what: str) -> str:
    return f"{reverse('attention')}?{urlencode({'list': what})}"


def _set_aside(checks: Checks) -> list[CheckLine]:
    if not checks.set_aside:
        return []
    return [
        CheckLine(
            tone="danger",
            title="Bodies were set aside",
            text=f"{_count(checks.set_aside, 'body', 'bodies')} could not be booked after several tries, and may hold "
            "events of the month.",
            url=reverse("gateways"),
            action="Gateways",
        )
    ]


def _under_way(checks: Checks) -> CheckLine:
    failed = [one for one in checks.unfinished if one.state == corrections.FAILED]
    if failed:
        return CheckLine(
            tone="danger",
            title="A restatement failed",
            text=f"{_count(len(failed), 'change')} of the past that may concern the month: "
            "what is not corrected now will be booked in the open month later.",
            url=f"{reverse('restatements')}?state=failed",
            action="Restatements that failed",
        )
    if checks.unfinished:
        return CheckLine(
            tone="warning",
            title="Restatements are under way",
            text=f"{_count(len(checks.unfinished), 'change')} of the past may concern the month. Wait until "
            f"{'it is' if len(checks.unfinished) == 1 else 'they are'} done, so that the month itself is corrected.",
            url=f"{reverse('restatements')}?state=under-way",
            action="Restatements under way",
        )
    return CheckLine(
        tone="ok", title="No correction is under way", text="Every change of the past is restated.",
        url=reverse("restatements"), action="Restatements",
    )  # fmt: skip


def _priced(row: MonthRow, checks: Checks) -> CheckLine:
    if row.unpriced_tokens or checks.unpriced:
        names = ", ".join(one.offering for one in checks.unpriced[:3])
        more = len(checks.unpriced) - 3
        return CheckLine(
            tone="warning",
            title="Some tokens are unpriced",
            text=f"{tokens(row.unpriced_tokens)} tokens ({percent(row.priced_share)} are priced): {names}"
            f"{f' and {more} more' if more > 0 else ''}. Priced after closing, they cost the open month.",
            url=_waiting("unpriced"),
            action="Unpriced usage",
        )
    return CheckLine(tone="ok", title="Every token is priced", text="No total of the month will grow by a price.")


def _named(row: MonthRow, checks: Checks) -> list[CheckLine]:
    found = []
    if checks.waiting_offerings or checks.waiting_use_cases:
        parts = [
            words
            for count, words in (
                (checks.waiting_offerings, _count(checks.waiting_offerings, "model")),
                (checks.waiting_use_cases, _count(checks.waiting_use_cases, "use case")),
            )
            if count
        ]
        found.append(
            CheckLine(
                tone="warning",
                title="Names wait for somebody",
                text=f"Nobody has taken charge of {' and '.join(parts)} used in the month. What is merged after "
                "closing keeps its place in it.",
                url=_waiting("names" if checks.waiting_offerings else "use-cases"),
                action="Names that wait",
            )
        )
    if row.unclassified_tokens:
        found.append(
            CheckLine(
                tone="warning",
                title="Some models have no tier",
                text=f"{tokens(row.unclassified_tokens)} tokens are neither frontier nor anything else.",
                url=_waiting("unclassified"),
                action="Models without a tier",
            )
        )
    if row.uncounted_requests:
        found.append(
            CheckLine(
                tone="info",
                title="Some requests came without token counts",
                text=f"{_count(row.uncounted_requests, 'request')}: nothing can be said of their cost, and no price "
                "will change that.",
                url=_waiting("uncounted"),
                action="Not counted by gateways",
            )
        )
    return found


def _held(checks: Checks) -> list[CheckLine]:
    if not checks.held_events:
        return []
    return [
        CheckLine(
            tone="warning",
            title="Events are held back",
            text=f"{_count(checks.held_events, 'event')} of the month had the id of another one or came too late. They "
            "are kept and not counted.",
        )
    ]


def _compared(row: MonthRow) -> list[CheckLine]:
    if not row.reported_usd:
        return []
    difference = row.compared_usd - row.reported_usd
    share = abs(difference) / row.reported_usd if row.reported_usd > 0 else Decimal(1)
    text = (
        f"Gateways told {usd(row.reported_usd)} for what comes to {usd(row.compared_usd)} here, "
        f"{percent(share)} {'more' if difference < 0 else 'less'}."
    )
    if share <= AGREES:
        return [CheckLine(tone="ok", title="Gateways reckon the same", text=text)]
    url = f"{reverse('reported')}?{urlencode(_days(row.label))}"
    return [CheckLine(tone="warning", title="Gateways reckon otherwise", text=text, url=url, action="By model and day")]


def _earlier(checks: Checks) -> list[CheckLine]:
    if not checks.earlier_open:
        return []
    names = ", ".join(f"{one:%B %Y}" for one in checks.earlier_open)
    return [
        CheckLine(
            tone="info",
            title="Earlier months are open",
            text=f"{names}: what comes for them is still booked in them, and changes their totals.",
            url=reverse("months"),
            action="Months",
        )
    ]


def _late(checks: Checks, at: datetime) -> list[CheckLine]:
    if at >= checks.settles_at:
        return []
    return [
        CheckLine(
            tone="info",
            title="Late events may still come",
            text=f"They are taken in for 35 days, until {_at(checks.settles_at)}. What comes after closing is booked "
            "in the open month, marked.",
        )
    ]


def _count(number: int, one: str, many: str = "") -> str:
    return f"{exact(number)} {one if number == 1 else many or one + 's'}"


def _at(when: datetime | None) -> str:
    if when is None:
        return ""
    local = timezone.localtime(when)
    return f"{local.day} {local:%b %Y, %H:%M %Z}"
