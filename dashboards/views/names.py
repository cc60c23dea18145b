"""Use cases and teams that events named first: somebody takes charge of them, or says which known one they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, Literal

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from catalog.models import UNASSIGNED_ID, Team, UseCase
from catalog.services import teams, use_cases
from core import access, periods
from core.errors import NotFound
from dashboards.forms_catalog import ClaimForm, IntoForm, ReasonForm
from dashboards.selectors import attention as attention_of
from dashboards.views.access import page, zone_of
from dashboards.views.catalog_changes import Change, answer, day_words, prefilled, ready
from dashboards.views.links import Link
from usage.selectors import attention


def _back(name: str, title: str) -> Link:
    return Link(id="back", title=title, url=f"{reverse('attention')}?list={name}")


def _first_day(seen_at: datetime | None, used: date | None, zone: str) -> date:
    seen = periods.local_day(seen_at or timezone.now(), zone)
    return seen if used is None else min(seen, used)


def _use_case(pk: int) -> UseCase:
    found = UseCase.objects.filter(pk=pk).exclude(pk=UNASSIGNED_ID).first()
    if found is None:
        raise Http404("There is no such use case.")
    return found


def _team(pk: int) -> Team:
    found = Team.objects.filter(pk=pk).exclude(pk=UNASSIGNED_ID).first()
    if found is None:
        raise Http404("There is no such team.")
    return found


@page("catalog.edit", "GET", "HEAD", "POST")
def assign_use_case(request: HttpRequest, pk: int) -> HttpResponse:
    """Say which use case another one really is, from a day on."""
    return _assign(
        request, _use_case(pk), of="use_case", find=use_cases.get, merge=use_cases.merge,
        back=_back("use-cases", "Attention"), known=attention_of.known_use_cases(),
        intro="Its labels mean the other use case from that day on, and calls since then are booked there anew, "
        "budgets included. Months that are closed stay as they are.",
    )  # fmt: skip


@page("catalog.edit", "GET", "HEAD", "POST")
def assign_team(request: HttpRequest, pk: int) -> HttpResponse:
    """Say which team another one really is, from a day on."""
    return _assign(
        request, _team(pk), of="team", find=teams.get, merge=teams.merge,
        back=_back("teams", "Attention"), known=attention_of.known_teams(),
        intro="Its labels and the use cases it answers for are the other team's from that day on, and calls since "
        "then are booked there anew. Months that are closed stay as they are.",
    )  # fmt: skip


def _assign(
    request: HttpRequest,
    one: UseCase | Team,
    *,
    of: Literal["use_case", "team"],
    find: Callable[..., Any],
    merge: Callable[..., None],
    back: Link,
    known: Mapping[str, int],
    intro: str,
) -> HttpResponse:
    """Answer for a use case or team that is said to be another one; `merge` takes it under the name `of`."""
    zone, by = zone_of(request), access.label(request.user)
    initial = dict(prefilled(request, "into", "since"))
    if request.method != "POST" and "since" not in initial:
        used = attention.first_day(of=of, id=one.pk)
        initial["since"] = _first_day(one.first_seen_at, used, zone).isoformat()
    form = IntoForm(request.POST or None, initial=initial)
    into = None
    if ready(request, form):
        try:
            into = find(form.cleaned_data["into"], at=timezone.now())
        except NotFound as error:
            form.add_error("into", str(error))

    def make(at: datetime) -> None:
        merge(into=into, since_at=form.since_at(zone), by=by, at=at, reason=form.cleaned_data["reason"], **{of: one})

    return answer(
        request, form=form, make=make, ready=into is not None, done=reverse("attention"),
        change=Change(
            title=f"Which {of.replace('_', ' ')} {one.name} is", action="Assign it", back=back, known=known, intro=intro
        ),
        told=f"{one.name} is {into.name} from {day_words(form.cleaned_data['since'])} on." if into else "",
    )  # fmt: skip


@page("catalog.edit", "GET", "HEAD", "POST")
def claim_use_case(request: HttpRequest, pk: int) -> HttpResponse:
    """Take charge of a use case that an event named first."""
    use_case, by = _use_case(pk), access.label(request.user)
    known = attention_of.known_teams()
    form = ClaimForm(request.POST or None, teams=list(known), initial={"owner": by})
    go = ready(request, form)

    def make(at: datetime) -> None:
        given = form.cleaned_data
        team = Team.objects.get(pk=known[given["team"]]) if given["team"] else None
        use_cases.claim(use_case=use_case, owner=given["owner"], team=team, by=by, at=at, reason=given["reason"])

    return answer(
        request, form=form, make=make, ready=go, done=reverse("attention"),
        told=f"{use_case.name} has an owner." if go else "",
        change=Change(
            title=f"Claim {use_case.name}", action="Claim it", back=_back("use-cases", "Attention"),
            intro="It is a use case of its own from now on, with somebody to ask. Calls that named no team are its "
            "team's from its first event on.",
        ),
    )  # fmt: skip


@page("catalog.edit", "GET", "HEAD", "POST")
def claim_team(request: HttpRequest, pk: int) -> HttpResponse:
    """Say that a team which an event named first is a real one."""
    team, by = _team(pk), access.label(request.user)
    form = ReasonForm(request.POST or None)
    go = ready(request, form)

    def make(at: datetime) -> None:
        teams.claim(team=team, by=by, reason=form.cleaned_data["reason"])

    return answer(
        request, form=form, make=make, ready=go, done=reverse("attention"), told=f"{team.name} is a team.",
        change=Change(
            title=f"Claim {team.name}", action="Claim it", back=_back("teams", "Attention"),
            intro="It is a team of its own from now on. Nothing that was booked changes.",
        ),
    )  # fmt: skip
