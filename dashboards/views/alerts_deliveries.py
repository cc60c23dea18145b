"""Deliveries: every message that went out, or did not, and why; what failed can be tried again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme

from alerts.selectors import channels, deliveries
from alerts.selectors.channels import ChannelRow
from alerts.selectors.deliveries import Told
from alerts.services import deliveries as service
from alerts.tasks import DELIVER_DUE, QUEUE
from core import access, nudges
from core.errors import Conflict, NotFound
from dashboards import alerts_words as words
from dashboards.downloads import Table, offers
from dashboards.templatetags.figures import exact
from dashboards.views import files_running
from dashboards.views.access import page
from dashboards.views.links import NUMBER, number
from usage.selectors import freshness

PER_PAGE = 50
_IN_A_FILE = 500  # at once
NOBODY = "nobody"
STATES = {
    "all": ("All", ()),
    "delivered": ("Delivered", ("delivered",)),
    "waiting": ("Waiting", ("waiting", "sending")),
    "failed": ("Failed", ("failed",)),
    "not_sent": ("Not sent", ("not_sent",)),
}


@dataclass(frozen=True, kw_only=True)
class Line:
    told: Told
    kind: str
    tone: str
    state: str
    said: str
    answer: str
    took: str


def line_of(told: Told) -> Line:
    one = told.delivery
    tone, state = words.DELIVERY_STATES[one.state]
    return Line(
        told=told,
        kind=words.kind_words(told.kind),
        tone="warning" if one.state == "waiting" and one.attempts else tone,
        state="trying again" if one.state == "waiting" and one.attempts else state,
        said=words.said(one) if one.state != "delivered" else "",
        answer=words.answer(one),
        took=words.took(told.took),
    )


def _asked(request: HttpRequest, known: Sequence[ChannelRow]) -> tuple[str, str]:
    """Return the state and the channel that are asked for; both may be all."""
    state, channel = request.GET.get("state") or "all", request.GET.get("channel", "")
    if state not in STATES:
        raise Http404("There is no such state.")
    if channel not in ("", NOBODY) and (
        not NUMBER.fullmatch(channel) or int(channel) not in {each.id for each in known}
    ):
        raise Http404("There is no such channel.")
    return state, channel


def _asked_for(state: str, channel: str, *, limit: int, before: int | None) -> deliveries.Page:
    return deliveries.newest(
        limit=limit,
        before=before,
        states=STATES[state][1],
        channel_id=int(channel) if channel not in ("", NOBODY) else None,
        to_nobody=channel == NOBODY,
    )


def _failed(state: str, channel: str) -> list[deliveries.FailedThere]:
    """Return what failed of the channels that the filters name, where they show what failed of whole channels."""
    if state not in ("all", "failed") or channel == NOBODY or not (channel or state == "failed"):
        return []
    return deliveries.failed_by_channel(channel_id=int(channel) if channel else None)


def _table(request: HttpRequest) -> Table:
    state, channel = _asked(request, channels.every(with_retired=True))
    return files_running.deliveries(
        files_running.after(lambda before: _asked_for(state, channel, limit=_IN_A_FILE, before=before))
    )


@page("view")
@offers(_table)
def deliveries_page(request: HttpRequest) -> HttpResponse:
    before, now = number(request.GET, "before"), timezone.now()
    known = channels.every(with_retired=True)
    state, channel = _asked(request, known)
    found = _asked_for(state, channel, limit=PER_PAGE, before=before)
    may_send = request.user.has_perm("alerts.acknowledge")

    def url(**changes: str) -> str:
        asked = {"state": "" if state == "all" else state, "channel": channel} | changes
        query = urlencode([(name, value) for name, value in asked.items() if value])
        return f"{reverse('deliveries')}{'?' if query else ''}{query}"

    context = {
        "lines": [line_of(told) for told in found.rows],
        "state": state,
        "channel": channel,
        "states": [(title, url(state="" if key == "all" else key), key == state) for key, (title, _) in STATES.items()],
        "channels": [
            (str(each.id), f"{each.name} (retired)" if each.retired_at else each.name, str(each.id) == channel)
            for each in known
        ],
        "nobody": NOBODY,
        "older_url": url(before=str(found.next_before)) if found.next_before else "",
        "newest_url": url() if before else "",
        "here": url(before=str(before) if before else ""),
        "failed": _failed(state, channel) if may_send else [],
        "may_send": may_send,
        "now": now,
        "complete_through": freshness.complete_through(at=now),
    }
    return render(request, "dashboards/deliveries.html", context)


@page("alerts.acknowledge", "POST")
def again(request: HttpRequest, pk: int) -> HttpResponse:
    """Have a failed delivery tried again, and come back to the page that asked for it."""
    try:
        service.ask_again(delivery_id=pk, by=access.label(request.user), at=timezone.now())
    except NotFound as error:
        raise Http404(str(error)) from error
    except Conflict as error:
        messages.info(request, str(error))
    else:
        nudges.nudge(DELIVER_DUE, QUEUE)
        messages.success(request, "It is being sent again. If it arrived before, its message says so.")
    return _back(request)


@page("alerts.acknowledge", "POST")
def all_again(request: HttpRequest, pk: int) -> HttpResponse:
    """Have all that failed of a channel tried again, as it stood on the page that asked for it."""
    now = timezone.now()
    try:
        asked = service.ask_all_again(
            channel_id=pk, seen_at=min(_seen_at(request), now), by=access.label(request.user), at=now
        )
    except NotFound as error:
        raise Http404(str(error)) from error
    except Conflict as error:
        messages.info(request, str(error))
        return _back(request)
    if asked:
        nudges.nudge(DELIVER_DUE, QUEUE)
        many = "1 message is" if asked == 1 else f"{exact(asked)} messages are"
        messages.success(request, f"{many} being sent again, one after the other. What arrived before says so.")
    else:
        messages.info(request, "All that failed there was asked for already.")
    return _back(request)


def _seen_at(request: HttpRequest) -> datetime:
    """Return when the page with the form was made.

    Raises:
        Http404: the form does not say.
    """
    try:
        seen_at = datetime.fromisoformat(request.POST.get("seen_at", ""))
        if seen_at.tzinfo is not None:
            return seen_at.astimezone(UTC)  # Python knows offsets that PostgreSQL does not
    except (ValueError, OverflowError) as error:
        raise Http404("The page has to say when it was made.") from error
    raise Http404("The page has to say when it was made.")


def _back(request: HttpRequest) -> HttpResponse:
    back = request.POST.get("back", "")
    inside = back.startswith("/") and url_has_allowed_host_and_scheme(back, allowed_hosts=None)
    return redirect(back if inside else "deliveries")
