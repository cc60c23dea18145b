"""Try a request: where the rules send it and why, on the version in force and on a draft beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from core.errors import Invalid
from dashboards.forms_rules import TryForm, show_pointers
from dashboards.selectors import rules as page_of
from dashboards.templatetags.links import offering_url
from dashboards.views.access import page, zone_of
from dashboards.views.rules_shown import found_environment
from dashboards.views.rules_step import found_proposal
from routing.rules.conditions import TAG
from routing.rules.evaluator import (
    BUDGET_BLOCKS,
    DEFAULT,
    DEFAULT_FALLBACKS,
    DEFAULT_TARGETS,
    FALLBACKS,
    INSTEAD,
    NOTHING_LEFT,
    OVER_BUDGET,
    RULE,
    SWITCHED_OFF,
    TARGETS,
    Decision,
)
from routing.selectors import deciding, versions
from routing.selectors.proposals import ProposalDetail

A_LINE = "This is a text of 256 characters at most."
A_NUMBER = "Write a number such as 1200 or 0.75."
A_TAG = "Write each tag on a line of its own, as name=value."  # as the form says it
FIELD_WORDS = dict.fromkeys((*TryForm.TEXTS, "tags", "modalities"), A_LINE) | dict.fromkeys(TryForm.NUMBERS, A_NUMBER)
MORE = (
    "data_class", "region", "modalities", "batch", "context_needed", "latency_budget_ms", "gateway", "gateway_kind",
    "user", "request_id", "tags",
)  # fmt: skip
# What a request has to say for a rule to be tried, by the field that its condition looks at.
_TRIED = ("task", "complexity", "user_tier", "team", "use_case", "data_class", "region", "input_tokens",
          "context_needed", "latency_budget_ms")  # fmt: skip
# What a decision says in words. The page's script says it in the same ones, hence the places in braces.
WORDS: Mapping[str, Any] = {
    "matched": "Rule {rule} is the first that matches",
    "unmatched": "No rule matches",
    "why": {
        RULE: "{matched}.",
        DEFAULT: "{matched}, so the default holds.",
        OVER_BUDGET: "{matched}. What comes first is over budget (the budget {budget} is used up), {taken}.",
        SWITCHED_OFF: "{matched}. What comes first is switched off, {taken}.",
        BUDGET_BLOCKS: "{matched}. Blocked: the budget {budget} is used up, and it blocks.",
        NOTHING_LEFT: "{matched}. Blocked: all that is left is switched off or over budget.",
    },
    "taken": {
        INSTEAD: "so a target over budget takes its place",
        FALLBACKS: "so the next fallback that nothing stands against takes its place",
        DEFAULT_TARGETS: "and nothing of the rule is left, so the default takes it",
        DEFAULT_FALLBACKS: "and nothing of the rule is left, so a fallback of the default takes it",
        TARGETS: "so the next target takes its place",
    },
    "steps": {
        "taken from targets": "taken, as a target",
        "taken from over_budget": "taken, as a target over budget",
        "taken from fallbacks": "taken, as a fallback",
        "taken from default.targets": "taken, as a target of the default",
        "taken from default.fallbacks": "taken, as a fallback of the default",
    },
    "labels": {
        "said": "as the request says",
        "by_text": "by the text",
        "unknown": "unknown: these rules have no label for the text",
    },
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A decision in words."""

    title: str
    offering: str
    url: str
    gateway_name: str
    blocked: bool
    why: str
    rule: str
    fallbacks: tuple[str, ...]
    params: str
    timeout_ms: int | None
    labels: list[tuple[str, str, str]]  # what it is, its value, where that comes from
    steps: list[tuple[str, str, bool]]  # what was looked at, what came of it, whether it is where it went


@page("rules.read", "GET", "HEAD", "POST")
def in_force(request: HttpRequest, environment: str) -> HttpResponse:
    row = found_environment(environment)
    form = read_form(request)
    answers: list[Answer] = []
    if form.is_bound and form.is_valid() and row.live_version is not None:
        at = form.cleaned_data["at"] or timezone.now()
        try:
            decision = deciding.live(environment=environment, context=form.context, at=at)
        except Invalid as error:
            show_pointers(form, error.problems, words=FIELD_WORDS)
        else:
            names = budget_names(at)
            answers = [_answer(decision, f"Version {decision.version}, in force", names, form.context)]
    return _shown(request, environment, form, answers, version=row.live_version)


@page("rules.read", "GET", "HEAD", "POST")
def of_draft(request: HttpRequest, environment: str, pk: int) -> HttpResponse:
    found = found_proposal(environment, pk)
    form = read_form(request)
    answers: list[Answer] = []
    live = found.row.live_version
    if form.is_bound and form.is_valid():
        at = form.cleaned_data["at"] or timezone.now()
        tried = contents_tried(found, environment)
        try:
            decisions = [
                deciding.trial(content=content, environment=environment, context=form.context, at=at)
                for _, content in tried
            ]
        except Invalid as error:
            show_pointers(form, error.problems, words=FIELD_WORDS)
        else:
            names = budget_names(at)
            answers = [
                _answer(decision, title, names, form.context)
                for (title, _), decision in zip(tried, decisions, strict=True)
            ]
    return _shown(request, environment, form, answers, version=live, draft=found.row)


def contents_tried(found: ProposalDetail, environment: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Return what a draft is tried beside, with what each is called. One query where there is a version in force.

    All are held to the same state, so that only the rules make a difference.
    """
    live = found.row.live_version
    tried: list[tuple[str, Mapping[str, Any]]] = [("This draft", found.content)]
    if live is not None:
        tried.append((f"Version {live}, in force", versions.content_of(environment=environment, number=live)))
    return tried


def read_form(request: HttpRequest) -> TryForm:
    """Return what was asked. A text is only ever sent: addresses are logged, remembered and passed on."""
    if request.method == "POST":
        return TryForm(request.POST, zone=zone_of(request))
    asked = request.GET.copy()
    asked.pop("text", None)
    return TryForm(asked or None, zone=zone_of(request))


def budget_names(at: datetime) -> Mapping[str, str]:
    return {f"b-{one.id}": one.name for one in page_of.held_budgets(at=at)}


def _shown(
    request: HttpRequest, environment: str, form: TryForm, answers: list[Answer], **context: Any
) -> HttpResponse:
    draft = context.get("draft")
    place = [environment, draft.id] if draft else [environment]
    return render(
        request,
        "dashboards/rules_try.html",
        {
            "environment": environment,
            "form": form,
            "answers": answers,
            "differ": len(answers) == 2 and _place(answers[0]) != _place(answers[1]),
            "url": reverse("rules-try", args=place),
            "documents_url": reverse("rules-try-documents", args=place),
            "check_url": reverse("rules-try-check", args=place),
            "words": {**WORDS, "line": A_LINE, "number": A_NUMBER, "tag": A_TAG},
            "more_open": any(form.data.get(name) for name in MORE) if form.is_bound else False,
            "names": page_of.names_to_try(),
            **context,
        },
    )


def _place(answer: Answer) -> tuple[str, tuple[str, ...]]:
    return answer.offering, answer.fallbacks


def _answer(decision: Decision, title: str, budgets: Mapping[str, str], context: Mapping[str, Any]) -> Answer:
    return Answer(
        title=title,
        offering=decision.offering or "",
        url=offering_url(decision.offering) if decision.offering else "",
        gateway_name=decision.gateway_name or "",
        blocked=decision.blocked,
        why=_why(decision, budgets),
        rule=decision.rule or "",
        fallbacks=decision.fallbacks,
        params=json.dumps(dict(decision.params), ensure_ascii=False, sort_keys=True) if decision.params else "",
        timeout_ms=decision.timeout_ms,
        labels=_labels(decision, context),
        steps=list(_steps(decision, budgets)),
    )


def _labels(decision: Decision, context: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return task and complexity, where the request says one or brings a text that could say it."""
    found = []
    how = WORDS["labels"]
    for name, value in (("task", decision.task), ("complexity", decision.complexity)):
        if name in context:
            found.append((name.capitalize(), value or "", how["said"]))
        elif value is not None:
            found.append((name.capitalize(), value, how["by_text"]))
        elif "text" in context:
            found.append((name.capitalize(), "", how["unknown"]))
    return found


def _why(decision: Decision, budgets: Mapping[str, str]) -> str:
    said: str = WORDS["why"][decision.reason].format(
        matched=WORDS["matched" if decision.rule else "unmatched"].format(rule=decision.rule),
        budget=budgets.get(decision.budget or "", decision.budget),
        taken=WORDS["taken"].get(decision.taken_from, ""),
    )
    return said


def _steps(decision: Decision, budgets: Mapping[str, str]) -> Iterable[tuple[str, str, bool]]:
    for number, step in enumerate(decision.steps, 1):
        outcome = WORDS["steps"].get(step.outcome, step.outcome)
        for known, name in budgets.items():
            outcome = outcome.replace(f"budget {known} ", f"budget {name} ")
        yield step.subject, outcome, number == len(decision.steps)


def try_url(environment: str, draft: int, rule: Mapping[str, Any]) -> str:
    """Return the address where a draft is tried with a request that says what a rule asks for, as far as it can."""
    asked: dict[str, str] = {}
    use_cases = rule.get("use_cases") or ()
    if use_cases:
        asked["use_case"] = use_cases[0]
    when = rule.get("when") or {}
    parts = when.get("all") or (when.get("any") or [])[:1] or ([when] if "field" in when else [])
    tags = []
    for part in parts:
        value = part.get("value")
        if part.get("op") == "in":
            value = value[0]
        elif part.get("op") not in ("eq", "gte", "lte"):
            continue
        if isinstance(value, bool):
            asked.setdefault("batch", "yes" if value else "no")
        elif part["field"].startswith(TAG):
            tags.append(f"{part['field'][len(TAG) :]}={value}")
        elif part["field"] in _TRIED:
            asked.setdefault(part["field"], str(value))
    if tags:
        asked["tags"] = "\n".join(tags)
    url = reverse("rules-try", args=[environment, draft])
    return f"{url}?{urlencode(asked)}" if asked else url
