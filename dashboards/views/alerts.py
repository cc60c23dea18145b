"""Alerts: what should be known, who takes care of it, and whether it was told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from alerts import rules
from alerts.selectors import alerts as selector
from alerts.selectors import deliveries, reach
from alerts.selectors.alerts import AlertRow
from alerts.services import acknowledging
from core import access
from core.errors import Conflict, Invalid, NotFound
from core.models import Organisation, User
from dashboards import alerts_words as words
from dashboards.downloads import Table, offers
from dashboards.forms_alerts import ActForm
from dashboards.selectors import alerts as page_of
from dashboards.selectors.alerts import LATELY, Names
from dashboards.views import alerts_address as address
from dashboards.views import files_running
from dashboards.views.access import page
from dashboards.views.alerts_address import Asked
from dashboards.views.links import NUMBER
from usage.selectors import freshness

PER_PAGE = 50
_IN_A_FILE = 500  # at once
COUNTED = timedelta(days=30)  # alerts that were told nobody are looked for so far back


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What an alert is about, with its page where it has one."""

    name: str
    url: str = ""


@dataclass(frozen=True, kw_only=True)
class Line:
    row: AlertRow
    kind: str
    severity_tone: str
    state: str
    state_tone: str
    about: list[Subject]
    told: list[words.Part]
    asleep: bool
    notice: bool  # leaves nothing to do


@dataclass(frozen=True, kw_only=True)
class Chip:
    """A filter that is set, and the address without it."""

    what: str
    value: str
    url: str


def _table(request: HttpRequest) -> Table:
    asked, now = address.read(request.GET), timezone.now()
    rows = files_running.after(lambda before: _asked_for(asked, now, limit=_IN_A_FILE, before=before))
    return files_running.alerts(rows, page_of.names())


def _asked_for(asked: Asked, now: datetime, *, limit: int, before: tuple[datetime, int] | None) -> selector.Page:
    return selector.newest(
        limit=limit,
        before=before,
        states=() if asked.state in ("all", "snoozed") else (asked.state,),
        kinds=asked.kinds,
        severities=[address.SEVERITIES[name] for name in asked.severities],
        team_id=asked.team,
        budget_id=asked.budget,
        without_kinds=() if asked.notices or set(asked.kinds) & set(rules.NOTICES) else rules.NOTICES,
        asleep_at=now if asked.state == "snoozed" else None,
        awake_at=now if asked.state in ("open", "acknowledged") else None,
    )


@page("view")
@offers(_table)
def alerts_page(request: HttpRequest) -> HttpResponse:
    return _shown(request, request.GET)


def _shown(request: HttpRequest, given: QueryDict, *, form: ActForm | None = None, status: int = 200) -> HttpResponse:
    asked, now = address.read(given), timezone.now()
    found = _asked_for(asked, now, limit=PER_PAGE, before=asked.seen)
    names = page_of.names(rows=found.rows)
    counts = selector.counts(at=now)
    context = {
        "lines": [line_of(row, names, now) for row in found.rows],
        "asked": asked,
        "states": [
            (title, asked.url(state=key), key == asked.state, getattr(counts, key, None))
            for key, title in address.STATES.items()
        ],
        "chips": _chips(asked, names),
        "clear_url": Asked(state=asked.state).url(),
        "choices": _choices(asked, names),
        "notices_url": "" if asked.notices or asked.state in ("open", "snoozed") else asked.url(notices=True),
        "older_url": asked.after(*found.next_before) if found.next_before else "",
        "newest_url": asked.url() if asked.before else "",
        "form": form or ActForm(at=now, zone=viewers_zone(request)),
        "ticked": {int(word) for word in given.getlist("ids") if NUMBER.fullmatch(word)},
        "may_act": request.user.has_perm("alerts.acknowledge") and asked.state != "resolved",
        "failed": deliveries.failed(since=now - LATELY),
        "lately_days": LATELY.days,
        "untold": reach.untold(since=now - COUNTED),
        "untold_days": COUNTED.days,
        "may_edit": request.user.has_perm("channels.edit"),
        "now": now,
        "complete_through": freshness.complete_through(at=now),
    }
    return render(request, "dashboards/alerts.html", context, status=status)


def line_of(row: AlertRow, names: Names, now: datetime) -> Line:
    asleep = row.snoozed_until is not None and row.snoozed_until > now
    return Line(
        row=row,
        kind=words.kind_words(row.kind),
        severity_tone=words.severity_tone(row.severity),
        state=row.state,
        state_tone=words.STATE_TONES[row.state],
        about=subjects(row, names),
        told=words.told(row.deliveries),
        asleep=asleep,
        notice=row.kind in rules.NOTICES,
    )


def subjects(row: AlertRow, names: Names) -> list[Subject]:
    """Return what an alert is about: its budget, gateway or use case, and its teams."""
    found = []
    if row.budget_id is not None and row.budget_id in names.budgets:
        found.append(Subject(name=names.budgets[row.budget_id], url=reverse("budget", args=[row.budget_id])))
    elif row.subject_kind == "gateway" and row.subject_id is not None and row.subject_id in names.gateways:
        found.append(Subject(name=names.gateways[row.subject_id], url=reverse("gateway", args=[row.subject_id])))
    elif row.subject_kind == "use_case" and row.subject_id is not None:
        found.append(Subject(name="its use case", url=reverse("use-case", args=[row.subject_id])))
    found += [
        Subject(name=f"team {names.teams[team]}", url=reverse("team", args=[team]))
        for team in row.team_ids
        if team in names.teams
    ]
    return found


def viewers_zone(request: HttpRequest) -> str:
    """Return the zone of the viewer's own clock, the organisation's where she has not chosen one."""
    person, organisation = request.user, request.organisation  # type: ignore[attr-defined]
    assert isinstance(person, User)
    assert isinstance(organisation, Organisation)
    return person.zone or organisation.zone


def _chips(asked: Asked, names: Names) -> list[Chip]:
    chips = [
        Chip(what="Kind", value=words.kind_words(kind), url=asked.url(kinds=tuple(k for k in asked.kinds if k != kind)))
        for kind in asked.kinds
    ]
    chips += [
        Chip(what="Severity", value=name, url=asked.url(severities=tuple(s for s in asked.severities if s != name)))
        for name in asked.severities
    ]
    if asked.team is not None:
        chips.append(
            Chip(what="Team", value=names.teams.get(asked.team, f"number {asked.team}"), url=asked.url(team=None))
        )
    if asked.budget is not None:
        value = names.budgets.get(asked.budget, f"number {asked.budget}")
        chips.append(Chip(what="Budget", value=value, url=asked.url(budget=None)))
    if asked.notices:
        chips.append(Chip(what="With", value="digests and daily checks", url=asked.url(notices=False)))
    return chips


def _choices(asked: Asked, names: Names) -> list[tuple[str, str, list[tuple[str, str, bool]]]]:
    """Return what can be filtered by: the parameter, its title, and values with their words and whether they are set.

    A second kind or severity widens the filter; a second team or budget takes the first one's place.
    """
    kinds = [(kind, title, False) for kind, (title, _) in words.KINDS.items() if kind not in asked.kinds]
    return [
        ("kind", "Kind", kinds),
        ("severity", "Severity", [(name, name, False) for name in address.SEVERITIES if name not in asked.severities]),
        ("team", "Team", [(str(pk), name, pk == asked.team) for pk, name in names.teams.items()]),
        ("budget", "Budget", [(str(pk), name, pk == asked.budget) for pk, name in names.budgets.items()]),
    ]


# --- several at once ---


@page("alerts.acknowledge", "POST")
def act(request: HttpRequest) -> HttpResponse:
    """Do one thing with each alert that is ticked. Each is a change of its own: one that is over stops no other."""
    asked, now = address.read(request.POST), timezone.now()
    by = access.label(request.user)
    form = ActForm(request.POST, at=now, zone=viewers_zone(request))
    verb = _verb(request.POST.get("do", ""), form, by=by, at=now) if form.is_valid() else None
    ids = _ticked(request.POST)
    if form.is_valid() and not ids:
        form.show([("", "Tick at least one alert.")])
    elif form.is_valid() and verb is None:
        form.show([("", "Choose what to do with them.")])
    if form.errors or verb is None:
        return _shown(request, request.POST, form=form, status=422)
    done, do = verb
    changed, over = 0, 0
    for alert_id in ids:
        try:
            do(alert_id)
        except (Conflict, NotFound):
            over += 1
        except Invalid as error:  # of what was typed, so the first of them is refused and nothing was done
            form.show(error.problems)
            return _shown(request, request.POST, form=form, status=422)
        else:
            changed += 1
    if changed:
        messages.success(request, f"{changed} {'alert is' if changed == 1 else 'alerts are'} {done}.")
    if over:
        messages.info(
            request,
            f"{over} {'was resolved meanwhile, and stays' if over == 1 else 'were resolved meanwhile, and stay'} so.",
        )
    return redirect(asked.url(before=asked.before))


def _verb(do: str, form: ActForm, *, by: str, at: datetime) -> tuple[str, Callable[[int], None]] | None:
    """Return what to do with one alert, and how that is said."""
    if do == "acknowledge":
        return "acknowledged", lambda pk: acknowledging.acknowledge(alert_id=pk, by=by, at=at)
    if do == "wake":
        return "awake again", lambda pk: acknowledging.wake(alert_id=pk, by=by)
    if do == "snooze" and (until := form.chosen()) is not None:
        chosen = until
        return "snoozed", lambda pk: acknowledging.snooze(alert_id=pk, until=chosen, by=by, at=at)
    if do == "resolve":
        text = form.cleaned_data["comment"]
        return "resolved", lambda pk: resolve_with(pk, text, by=by, at=at)
    return None


def resolve_with(alert_id: int, text: str, *, by: str, at: datetime) -> None:
    """Resolve an alert with a comment, if there is one. The comment comes first: refused, it leaves the alert open."""
    if text.strip():
        acknowledging.comment(alert_id=alert_id, text=text, by=by, at=at)
    acknowledging.resolve(alert_id=alert_id, by=by, at=at)


def _ticked(given: Any) -> list[int]:
    """Return the alerts that are ticked, or all that the page showed; never more than a page has."""
    name = "shown" if given.get("all") == "on" else "ids"
    return sorted({int(word) for word in given.getlist(name) if NUMBER.fullmatch(word)})[:PER_PAGE]
