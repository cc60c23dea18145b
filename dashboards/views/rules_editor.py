"""The editor of a rule, and of the default: fields in, a saved draft out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from core import access
from core.errors import Conflict, Invalid
from dashboards.forms_rules_editor import RuleEditor
from dashboards.forms_rules_typed import KIND_OF_FIELD, OPERATOR_WORDS, Typed
from dashboards.selectors import rules as page_of
from dashboards.views.access import page, zone_of
from dashboards.views.rules_arranging import another_id
from dashboards.views.rules_copying import rule_to_copy
from dashboards.views.rules_shown import whole
from dashboards.views.rules_step import found_proposal, limit_words
from dashboards.views.rules_try import try_url
from routing.rules import document
from routing.rules.conditions import OPERATORS
from routing.rules.differences import differences
from routing.rules.document import Problem
from routing.selectors import catalogue, checks
from routing.selectors.proposals import ProposalDetail
from routing.services import proposals as service

REVIEW_DAYS = 90  # what a new rule is given until it is looked at again
_KINDS_OF_ROWS = ("add", "drop", "up", "whole", "refit")


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What is edited: rule number `place` (from 1 on), a new rule at the end (None), or the default (0)."""

    environment: str
    pk: int
    place: int | None
    after: int | None = None  # of a new rule: the place of the rule that it comes after; None is the last

    def stored(self, content: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.place == 0:
            found: Mapping[str, Any] = content["default"]
            return found
        if self.place is None:
            return {}
        if self.place > len(content["rules"]):
            raise Http404("There is no such rule.")
        return content["rules"][self.place - 1]

    def pointer(self, content: Mapping[str, Any]) -> str:
        if self.place == 0:
            return "/default"
        return f"/rules/{(self.place_of_new(content) if self.place is None else self.place) - 1}"

    def place_of_new(self, content: Mapping[str, Any]) -> int:
        last = len(content["rules"])
        return (last if self.after is None else min(self.after, last)) + 1

    def with_rule(self, content: Mapping[str, Any], rule: Mapping[str, Any]) -> dict[str, Any]:
        """Return the content with the rule in its place and without offerings, which come from the catalogue."""
        rules = list(content["rules"])
        if self.place == 0:
            return document.unresolved(content) | {"default": rule}
        if self.place is None:
            rules.insert(self.place_of_new(content) - 1, dict(rule))
        else:
            rules[self.place - 1] = rule
        return document.unresolved(content) | {"rules": rules}

    @property
    def url(self) -> str:
        if self.place == 0:
            return reverse("rules-default", args=[self.environment, self.pk])
        if self.place is None:
            return reverse("rules-rule-new", args=[self.environment, self.pk])
        return reverse("rules-rule", args=[self.environment, self.pk, self.place])


@page("rules.edit", "GET", "HEAD", "POST")
def rule(request: HttpRequest, environment: str, pk: int, place: int) -> HttpResponse:
    if place < 1:
        raise Http404("Rules are counted from 1.")
    return _editor(request, _Asked(environment=environment, pk=pk, place=place))


@page("rules.edit", "GET", "HEAD", "POST")
def new_rule(request: HttpRequest, environment: str, pk: int) -> HttpResponse:
    after = whole(request.POST.get("after") or request.GET.get("after"), most=1000)
    return _editor(request, _Asked(environment=environment, pk=pk, place=None, after=after))


@page("rules.edit", "GET", "HEAD", "POST")
def default(request: HttpRequest, environment: str, pk: int) -> HttpResponse:
    return _editor(request, _Asked(environment=environment, pk=pk, place=0))


@page("rules.read")
def try_rule(request: HttpRequest, environment: str, pk: int, place: int) -> HttpResponse:
    """Go to where the draft is tried, with a request that says what the rule asks for."""
    rules = found_proposal(environment, pk).content["rules"]
    if not 1 <= place <= len(rules):
        raise Http404("There is no such rule.")
    return redirect(try_url(environment, pk, rules[place - 1]))


def _editor(request: HttpRequest, asked: _Asked) -> HttpResponse:
    found = found_proposal(asked.environment, asked.pk)
    if request.method != "POST":
        return _opened(request, asked, found)
    typed = Typed.sent(request.POST)
    for kind in _KINDS_OF_ROWS:
        if kind in request.POST:
            getattr(typed, kind)(zone_of(request) if kind == "refit" else request.POST[kind])
            editor = _made(request, _where_it_is_now(request, asked, found), found, typed)
            return _shown(request, asked, found, editor, saves=request.POST.get("saves", ""))
    return _saved(request, asked, found, typed)


def _opened(request: HttpRequest, asked: _Asked, found: ProposalDetail) -> HttpResponse:
    stored = asked.stored(found.content)
    typed = Typed.of(stored, zone_of(request))
    if asked.place is None and (copied := rule_to_copy(request, found)) is not None:
        typed = Typed.of(copied, zone_of(request))
        taken = {rule["id"] for rule in found.content["rules"]}
        typed.single["id"] = [another_id(copied["id"], taken) if copied["id"] in taken else copied["id"]]
    elif asked.place is None:
        typed.rows["target"] = [{"offering": "", "weight": "100"}]
        typed.single["owner"] = [access.label(request.user)]
        typed.single["review_by"] = [(timezone.localdate() + timedelta(days=REVIEW_DAYS)).isoformat()]
    editor = _made(request, asked, found, typed)
    if asked.place is not None:
        editor.show(found.problems, place=asked.pointer(found.content))
    return _shown(request, asked, found, editor)


def _made(request: HttpRequest, asked: _Asked, found: ProposalDetail, typed: Typed) -> RuleEditor:
    return RuleEditor(
        stored=asked.stored(found.content),
        typed=typed,
        choices=page_of.choices(at=timezone.now()),
        zone=zone_of(request),
        whole=asked.place != 0,
    )


def _where_it_is_now(request: HttpRequest, asked: _Asked, found: ProposalDetail) -> _Asked:
    """Return where the rule is that was opened: somebody may have moved it, or taken it out, since."""
    was = request.POST.get("was", "")
    if not asked.place or not was:
        return asked
    rules = found.content["rules"]
    if asked.place <= len(rules) and rules[asked.place - 1]["id"] == was:
        return asked
    place = next((number for number, one in enumerate(rules, 1) if one["id"] == was), None)
    return _Asked(environment=asked.environment, pk=asked.pk, place=place)


def _saved(request: HttpRequest, asked: _Asked, found: ProposalDetail, typed: Typed) -> HttpResponse:
    now = timezone.now()
    asked = _where_it_is_now(request, asked, found)
    editor = _made(request, asked, found, typed)
    built = editor.read()
    content = asked.with_rule(found.content, built.rule)
    saves = whole(request.POST.get("saves"))
    saves = -1 if saves is None else saves
    problems = checks.problems(catalogue.filled(content, at=now), at=now, environment=asked.environment)
    editor.show(problems, place=asked.pointer(found.content))
    editor.problems["rule"] += [limit_words(one.pointer, one.text) for one in problems if one.pointer in ("", "/rules")]
    if saves != found.row.saves or not found.row.open:
        return _overtaken(request, asked, found, editor, built.rule, saves)
    if built.unreadable or any(one.code in ("schema", "fraction") for one in problems):
        return _shown(request, asked, found, editor, status=422)
    if editor.has_errors and not request.POST.get("anyway"):
        return _shown(request, asked, found, editor, status=422, unfinished=True)
    try:
        made = service.save(
            proposal_id=asked.pk, saves=saves, by=access.label(request.user), at=now, content=content
        )  # fmt: skip
    except Invalid as error:
        editor.show([Problem(at, "schema", text) for at, text in error.problems], place=asked.pointer(found.content))
        if not editor.has_errors:
            editor.problems["rule"] += [limit_words(at, text) for at, text in error.problems]
        return _shown(request, asked, found, editor, status=422)
    except Conflict as error:
        # Somebody was quicker by less than this took.
        messages.error(request, str(error))
        again = found_proposal(asked.environment, asked.pk)
        return _shown(request, asked, again, editor, status=409)
    place = asked.place_of_new(found.content) if asked.place is None else asked.place
    name = "The default" if asked.place == 0 else f"Rule {built.rule['id']}"
    if made.saves == saves:
        messages.info(request, f"{name} is as it was: nothing was changed.")
    else:
        messages.success(request, f"{name} is saved.")
    if request.POST.get("then") == "try":
        return redirect(try_url(asked.environment, asked.pk, built.rule))
    url = reverse("rules-draft", args=[asked.environment, asked.pk])
    return redirect(f"{url}#{'rule-default' if asked.place == 0 else f'rule-{place}'}")


def _overtaken(
    request: HttpRequest,
    asked: _Asked,
    found: ProposalDetail,
    editor: RuleEditor,
    rule: Mapping[str, Any],
    saves: int,
) -> HttpResponse:
    """Say that somebody was first; what was typed stays, and can be saved over what is there now, knowingly."""
    try:
        service.save(proposal_id=asked.pk, saves=saves, by=access.label(request.user), at=timezone.now())
    except Conflict as error:
        messages.error(request, str(error))
    mine: list[str] = []
    stored = asked.stored(found.content)
    if stored and asked.place and rule.get("targets") and not editor.has_errors:
        base: dict[str, Any] = {"default": {"targets": []}, "offerings": {}}
        mine = differences({"rules": [stored], **base}, {"rules": [rule], **base})
    return _shown(request, asked, found, editor, status=409, overtaken=True, mine=mine)


def _shown(
    request: HttpRequest,
    asked: _Asked,
    found: ProposalDetail,
    editor: RuleEditor,
    *,
    status: int = 200,
    saves: str | None = None,
    **context: Any,
) -> HttpResponse:
    stored = asked.stored(found.content)
    fragment = "dashboards/_rules_editor.html"
    return render(
        request,
        fragment if request.headers.get("HX-Request") == "true" else "dashboards/rules_editor.html",
        {
            "environment": asked.environment,
            "row": found.row,
            "editor": editor,
            "fields": editor.fields,
            "whole": editor.whole,
            "new": asked.place is None,
            "after": asked.after,
            "zones": _ZONES,
            "was": stored.get("id", ""),
            "url": asked.url,
            "saves": found.row.saves if saves is None else saves,
            "operators": {kind: sorted(names) for kind, names in _operators().items()},
            "kinds": KIND_OF_FIELD,
            **context,
        },
        status=status,
    )


# What a browser offers for a time zone; any other name may be typed.
_ZONES = ("UTC", "Europe/Berlin", "Europe/London", "America/New_York", "America/Los_Angeles", "Asia/Kolkata",
          "Asia/Singapore", "Asia/Tokyo", "Australia/Sydney")  # fmt: skip


def _operators() -> dict[str, list[str]]:
    """Return the operators that go with each kind of field, as the fields of a row name them."""
    return {
        kind: [name for name in OPERATOR_WORDS if name in known or (name == "missing" and "exists" in known)]
        for kind, known in OPERATORS.items()
    }
