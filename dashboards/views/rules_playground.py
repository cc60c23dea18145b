"""What the page that tries requests asks for while it decides in the browser: documents, and whether we agree.

The text of a request is never part of it: the browser sends the labels that it led to, or nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache

from core.errors import Invalid
from dashboards.forms_rules import TryForm, show_pointers
from dashboards.views.access import page, zone_of
from dashboards.views.rules_shown import found_environment
from dashboards.views.rules_step import found_proposal
from dashboards.views.rules_try import FIELD_WORDS, budget_names, contents_tried, read_form
from routing.rules import document
from routing.rules.evaluator import Decision
from routing.selectors import deciding, state
from routing.serving import loading


@never_cache
@page("rules.read")
def documents_in_force(request: HttpRequest, environment: str) -> JsonResponse:
    """Give the document that gateways get."""
    found_environment(environment)
    tried = [
        {"title": f"Version {pointer.version}, in force", "document": document.parse(loading.served(pointer).plain)}
        for pointer in loading.pointers(environment=environment)
    ]
    return _documents(request, lambda at: tried)


@never_cache
@page("rules.read")
def documents_of_draft(request: HttpRequest, environment: str, pk: int) -> JsonResponse:
    """Give the document that a draft would be served as, and that of the version in force, held to the same state."""
    found = found_proposal(environment, pk)

    def tried(at: datetime) -> list[dict[str, Any]]:
        held = {**state.of(environment=environment, at=at), "revision": 0}
        return [
            {"title": title, "document": _document(environment, content, held, at)}
            for title, content in contents_tried(found, environment)
        ]

    return _documents(request, tried)


def _document(environment: str, content: Mapping[str, Any], held: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    # Neither number is known yet, and no decision hangs on them.
    head = {"spec": document.SPEC, "environment": environment, "version": 1, "published_at": state.instant(at)}
    return {**head, **content, "state": held}


def _documents(request: HttpRequest, tried: Any) -> JsonResponse:
    form = TryForm({"at": request.GET.get("at", "")}, zone=zone_of(request))
    if not form.is_valid():
        return _errors(form)
    now = timezone.now()
    at = form.cleaned_data["at"]
    return JsonResponse(
        {
            "documents": tried(at or now),
            "at": state.instant(at) if at else None,
            "now": state.instant(now),
            "budgets": budget_names(at or now),
        }
    )


@never_cache
@page("rules.read", "POST")
def check_in_force(request: HttpRequest, environment: str) -> JsonResponse:
    """Decide by the version in force."""
    found_environment(environment)
    return _check(request, lambda form, at: [deciding.live(environment=environment, context=form.context, at=at)])


@never_cache
@page("rules.read", "POST")
def check_of_draft(request: HttpRequest, environment: str, pk: int) -> JsonResponse:
    """Decide by a draft, and by the version in force."""
    found = found_proposal(environment, pk)
    return _check(
        request,
        lambda form, at: [
            deciding.trial(content=content, environment=environment, context=form.context, at=at)
            for _, content in contents_tried(found, environment)
        ],
    )


def _check(request: HttpRequest, decide: Any) -> JsonResponse:
    form = read_form(request)
    if not form.is_valid():
        return _errors(form)
    at = form.cleaned_data["at"] or timezone.now()
    try:
        decisions: list[Decision] = decide(form, at)
    except Invalid as error:
        show_pointers(form, error.problems, words=FIELD_WORDS)
        return _errors(form)
    return JsonResponse({"at": state.instant(at), "decisions": [_members(one) for one in decisions]})


def _members(decision: Decision) -> dict[str, Any]:
    return {name: value for name, value in decision._asdict().items() if name != "steps"} | {
        "params": dict(decision.params)
    }


def _errors(form: TryForm) -> JsonResponse:
    return JsonResponse({"errors": {name: list(errors) for name, errors in form.errors.items()}}, status=422)
