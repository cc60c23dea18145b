"""A draft on its way to a version: what it changes, what is in its way, and every step that somebody may take."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from core import access
from core.errors import Conflict, Invalid, NotFound
from dashboards.forms import Told
from dashboards.forms_rules import ApproveForm, TitleForm, WhyForm
from dashboards.templatetags.console import sentence
from dashboards.views import rules_scheduling as scheduling
from dashboards.views.access import demand, page
from dashboards.views.rules_arranging import ARRANGING, arranged_of
from dashboards.views.rules_measured import measured
from dashboards.views.rules_shown import (
    STATES,
    default_of,
    moment,
    rules_of,
    state_of,
    today,
    whole,
)
from dashboards.views.rules_step import Step, found_proposal, limit_words
from routing.rules import document, labelling_words
from routing.rules.document import Problem
from routing.selectors import fleet, versions
from routing.selectors.proposals import ProposalDetail
from routing.services import proposals as service
from routing.services import versions as publishing

_RULE = re.compile(r"/rules/([0-9]{1,4})(/|$)", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class ProblemShown:
    where: str
    text: str
    url: str


@dataclass(frozen=True, kw_only=True)
class StepShown:
    """A step on the way to a version: done, current or to come."""

    title: str
    note: str
    state: str


@page("rules.read")
def draft(request: HttpRequest, environment: str, pk: int) -> HttpResponse:
    return show_draft(request, found_proposal(environment, pk))


def show_draft(request: HttpRequest, found: ProposalDetail, *, status: int = 200, **forms: Told) -> HttpResponse:
    row, day = found.row, today(request)
    me = access.label(request.user)
    live = (
        versions.one(environment=row.environment, number=row.live_version) if row.stale and row.live_version else None
    )
    may_edit = row.open and request.user.has_perm("rules.edit")
    may_approve = row.state == "in_review" and request.user.has_perm("rules.approve")
    tone, state = state_of(row)
    rules, default = measured(
        request,
        rules_of(found.content, today=day, problems=found.problems),
        default_of(found.content, today=day, problems=found.problems),
        environment=row.environment,
        version=row.live_version,
        content=None,
        at=timezone.now(),
    )
    context: dict[str, Any] = {
        "environment": row.environment,
        "found": found,
        "row": row,
        "tone": tone,
        "state": state,
        "steps": _steps(found),
        "problems": [_problem_shown(one, found) for one in found.problems],
        "unread": _unread_by_fleet(found),
        "rules": rules,
        "default": default,
        "labels": labelling_words.sentences(found.content.get("heuristics")),
        "live": live.row if live else None,
        "may_edit": may_edit,
        "may_submit": may_edit and row.state == "draft",
        "may_approve": may_approve and found.may_approve(me),
        "own_work": may_approve and not found.may_approve(me),
        "may_reject": row.state in ("in_review", "approved") and request.user.has_perm("rules.approve"),
        "may_publish": row.state == "approved" and request.user.has_perm("rules.publish"),
        **(arranged_of(request, found) if may_edit else {}),
        "title_form": TitleForm(initial={"title": row.title}),
        "approve_form": ApproveForm(),
        "why_form": WhyForm(),
        **scheduling.shown(request, row),
        **forms,
    }
    return render(request, "dashboards/rules_draft.html", context, status=status)


def _unread_by_fleet(found: ProposalDetail) -> tuple[str, ...]:
    if not found.row.open:
        return ()
    return fleet.warnings(environment=found.row.environment, content=found.content, at=timezone.now())


def _steps(found: ProposalDetail) -> list[StepShown]:
    row = found.row
    order = ["draft", "in_review", "approved", "published"]
    reached = order.index(row.state) if row.state in order else -1
    approval = next((one for one in reversed(found.approvals) if one.counts), None)
    notes = [
        f"by {row.created_by}",
        f"submitted by {row.submitted_by}" if row.submitted_by else "",
        f"by {approval.by}" if approval else "",
        f"version {row.version}, by {row.settled_by}" if row.version else "",
    ]
    titles = ["Draft", "In review", "Approved", "Published"]
    if row.scheduled_at is not None:
        titles.insert(3, "Scheduled")
        notes.insert(3, f"for {moment(row.scheduled_at)}, in the name of {row.scheduled_by}")
        reached = 3
    made = []
    for number, (title, note) in enumerate(zip(titles, notes, strict=True)):
        state = "current" if number == reached else "done" if number < reached else "ahead"
        made.append(StepShown(title=title, note=note if number <= max(reached, 0) else "", state=state))
    if reached < 0:
        made[1:] = [StepShown(title=STATES[row.state][1].capitalize(), note=f"by {row.settled_by}", state="current")]
    return made


def _problem_shown(problem: Problem, found: ProposalDetail) -> ProblemShown:
    row = found.row
    at = _RULE.match(problem.pointer)
    if at and int(at[1]) < len(found.content["rules"]):
        place = int(at[1]) + 1
        where = f"Rule {found.content['rules'][place - 1]['id']}"
        url = reverse("rules-rule", args=[row.environment, row.id, place])
    elif problem.pointer.startswith("/default"):
        where, url = "Default", reverse("rules-default", args=[row.environment, row.id])
    elif problem.pointer.startswith("/heuristics"):
        where, url = "Labels", reverse("rules-labels", args=[row.environment, row.id])
    else:
        where, url = "Catalogue" if problem.pointer.startswith("/offerings") else "Draft", ""
    return ProblemShown(where=where, text=sentence(problem.text), url=f"{url}#rule-form" if url else "")


# --- Steps


@page("rules.read", "POST")
def step(request: HttpRequest, environment: str, pk: int, name: str) -> HttpResponse:
    """Take a step; whatever is refused is said on the draft's page, with what was typed still there."""
    if name not in STEPS:
        raise Http404("There is no such step.")
    action, take = STEPS[name]
    demand(request, action)
    found = found_proposal(environment, pk)
    saves = whole(request.POST.get("saves"))
    if saves is None:
        saves = -1  # no page of ours: as if somebody had saved since
    form = FORMS[name](request.POST) if name in FORMS else Told(request.POST)
    status = 422
    if form.is_valid():  # else a NUL character, which no text holds
        try:
            answer = take(Step(request=request, found=found, saves=saves, data=form.cleaned_data))
        except Invalid as error:
            if name in FORMS:
                form.show(error.problems)
            else:
                messages.error(request, " ".join([str(error), *(limit_words(at, text) for at, text in error.problems)]))
        except NotFound as error:
            raise Http404(str(error)) from error
        except Conflict as error:
            messages.error(request, str(error))
            status = 409
        else:
            return answer or redirect("rules-draft", environment=environment, pk=pk)
    kept = {f"{name if name != 'reject' else 'why'}_form": form} if name in FORMS else {}
    return show_draft(request, found_proposal(environment, pk), status=status, **kept)


def _submit(one: Step) -> None:
    service.submit(proposal_id=one.id, by=one.by, at=timezone.now(), saves=one.saves)
    other = "Somebody who had no hand in it" if one.found.separated else "Somebody who may approve, which can be you,"
    messages.success(one.request, f"The draft is in review. {other} has to approve it.")


def _approve(one: Step) -> None:
    service.approve(
        proposal_id=one.id,
        sha256=one.request.POST.get("sha256", ""),
        by=one.by,
        at=timezone.now(),
        comment=one.data["comment"],
    )
    messages.success(one.request, "Approved: exactly this content, and no other. It can be published now.")


def _reject(one: Step) -> None:
    service.reject(proposal_id=one.id, by=one.by, at=timezone.now(), why=one.data["why"], saves=one.saves)
    messages.success(one.request, "The draft is rejected. It stays here to be read.")


def _withdraw(one: Step) -> None:
    service.withdraw(proposal_id=one.id, by=one.by, at=timezone.now(), saves=one.saves)
    messages.success(one.request, "The draft is withdrawn. It stays here to be read.")


def _publish(one: Step) -> HttpResponse:
    one.seen()
    made = publishing.publish(proposal_id=one.id, by=one.by, at=timezone.now())
    messages.success(
        one.request, f"Version {made.number} is in force. Gateways have it with their next poll, within seconds."
    )
    return redirect("rules-environment", environment=one.found.row.environment)


def _title(one: Step) -> None:
    one.save(title=one.data["title"])
    messages.success(one.request, "The title is saved.")


def _renew(one: Step) -> None:
    """Take what the draft says of its offerings from the catalogue as it is now."""
    one.seen()
    one.save(document.unresolved(one.found.content))
    messages.success(one.request, "The offerings are described as the catalogue has them now.")


FORMS: dict[str, type[Told]] = {"title": TitleForm, "approve": ApproveForm, "reject": WhyForm, **scheduling.FORMS}
STEPS: dict[str, tuple[str, Callable[[Step], HttpResponse | None]]] = {
    "submit": ("rules.edit", _submit),
    "approve": ("rules.approve", _approve),
    "reject": ("rules.approve", _reject),
    "withdraw": ("rules.edit", _withdraw),
    "publish": ("rules.publish", _publish),
    "title": ("rules.edit", _title),
    **{name: ("rules.edit", take) for name, take in ARRANGING.items()},
    "renew": ("rules.edit", _renew),
    **scheduling.STEPS,
}
