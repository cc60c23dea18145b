"""How a draft labels requests that say neither task nor complexity: edited as a form, nobody needs JSON."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from core import access
from core.errors import Conflict, Invalid
from dashboards.forms_rules_labels import LabelsForm
from dashboards.views.access import demand, page
from dashboards.views.rules_shown import whole
from dashboards.views.rules_step import found_proposal
from routing.rules import document, labelling_words
from routing.rules.document import Problem
from routing.selectors import catalogue, checks
from routing.selectors.proposals import ProposalDetail
from routing.services import proposals as service

TASKS = ("code", "summarisation", "extraction", "translation", "classification", "chat")


@page("rules.read", "GET", "HEAD", "POST")
def labels(request: HttpRequest, environment: str, pk: int) -> HttpResponse:
    if request.method == "POST":
        demand(request, "rules.edit")
    found = found_proposal(environment, pk)
    stored = found.content.get("heuristics")
    if not request.user.has_perm("rules.edit"):
        said = labelling_words.sentences(stored)
        context = {"environment": found.row.environment, "row": found.row, "labels": said}
        return render(request, "dashboards/rules_labels.html", context)
    if request.method != "POST":
        form = LabelsForm.of(stored)
        form.read()
        form.show(found.problems)
        return _shown(request, found, form)
    form = LabelsForm.sent(request.POST, stored)
    if any(step in request.POST for step in ("add", "drop", "up")):
        form.look()
        return _shown(request, found, form, saves=request.POST.get("saves", ""))
    return _saved(request, found, form)


def _saved(request: HttpRequest, found: ProposalDetail, form: LabelsForm) -> HttpResponse:
    now, row = timezone.now(), found.row
    made, readable = form.read()
    content = document.unresolved(found.content)
    if made is None:
        content.pop("heuristics", None)
    else:
        content["heuristics"] = made
    saves = whole(request.POST.get("saves"))
    saves = -1 if saves is None else saves
    problems = checks.problems(catalogue.filled(content, at=now), at=now, environment=row.environment)
    form.show(problems)
    if saves != row.saves or not row.open:
        return _overtaken(request, found, form, saves)
    if not readable or any(one.code in ("schema", "fraction") for one in problems):
        return _shown(request, found, form, status=422)
    if form.has_errors and not request.POST.get("anyway"):
        return _shown(request, found, form, status=422, unfinished=True)
    try:
        kept = service.save(proposal_id=row.id, saves=saves, by=access.label(request.user), at=now, content=content)
    except Invalid as error:
        form.show([Problem("/heuristics", "", text.rstrip(".")) for _, text in error.problems])
        return _shown(request, found, form, status=422)
    except Conflict as error:
        # Somebody was quicker by less than this took.
        messages.error(request, str(error))
        return _shown(request, found_proposal(row.environment, row.id), form, status=409)
    if kept.saves == saves:
        messages.info(request, "The labels are as they were: nothing was changed.")
    else:
        messages.success(request, "The labels are saved. Try a text to see what they make of it.")
    return redirect(f"{reverse('rules-draft', args=[row.environment, row.id])}#labels")


def _overtaken(request: HttpRequest, found: ProposalDetail, form: LabelsForm, saves: int) -> HttpResponse:
    """Say that somebody was first; what was typed stays, and can be saved over what is there now, knowingly."""
    try:
        service.save(proposal_id=found.row.id, saves=saves, by=access.label(request.user), at=timezone.now())
    except Conflict as error:
        messages.error(request, str(error))
    return _shown(request, found, form, status=409, overtaken=True)


def _shown(
    request: HttpRequest,
    found: ProposalDetail,
    form: LabelsForm,
    *,
    status: int = 200,
    saves: str | None = None,
    **context: Any,
) -> HttpResponse:
    row = found.row
    alone = request.headers.get("HX-Request") == "true"
    return render(
        request,
        "dashboards/_rules_labels.html" if alone else "dashboards/rules_labels.html",
        {
            "environment": row.environment,
            "row": row,
            "form": form,
            "tasks": TASKS,
            "url": reverse("rules-labels", args=[row.environment, row.id]),
            "saves": row.saves if saves is None else saves,
            **context,
        },
        status=status,
    )
