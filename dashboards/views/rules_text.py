"""Rules as text for those who want it: a version or a draft downloaded, a text pasted or uploaded into a draft."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from core import access
from core.errors import Conflict, Invalid
from dashboards.views.access import page
from dashboards.views.rules_shown import whole
from dashboards.views.rules_step import found_proposal, limit_words
from routing.rules import document, texts
from routing.rules.differences import differences
from routing.rules.texts import Wrong
from routing.selectors import versions
from routing.selectors.proposals import ProposalDetail
from routing.services import proposals as service

_TYPES = {texts.JSON: "application/json", texts.YAML: "application/yaml"}


@page("rules.read")
def version_file(request: HttpRequest, environment: str, number: int, form: str) -> HttpResponse:
    """Give a version laid out for people; read back it has the version's SHA-256."""
    content = versions.content_of(environment=environment, number=min(number, 2_000_000_000))
    if content is versions.NOTHING:
        raise Http404("There is no such version.")
    return _file(content, form, f"{environment}-{number}")


@page("rules.read")
def draft_file(request: HttpRequest, environment: str, pk: int, form: str) -> HttpResponse:
    return _file(found_proposal(environment, pk).content, form, f"{environment}-draft-{pk}")


def _file(content: Any, form: str, name: str) -> HttpResponse:
    if form not in texts.FORMS:
        raise Http404("Rules are JSON or YAML.")
    response = HttpResponse(texts.written(content, form), content_type=f"{_TYPES[form]}; charset=utf-8")
    plain = "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in name)
    response["Content-Disposition"] = f'attachment; filename="rules-{plain}.{form}"'
    return response


@page("rules.edit", "GET", "HEAD", "POST")
def text(request: HttpRequest, environment: str, pk: int) -> HttpResponse:
    """Show a draft as text to be edited, and save what was typed, pasted or uploaded, whole or not at all."""
    found = found_proposal(environment, pk)
    if request.method != "POST":
        form = request.GET.get("format", texts.YAML)
        if form not in texts.FORMS:
            raise Http404("Rules are JSON or YAML.")
        return _shown(request, found, form, texts.written(found.content, form))
    given, form, wrong = _given(request)
    if wrong:
        return _shown(request, found, form, given, status=422, wrong=wrong)
    content, wrong = texts.read(given, form)
    if content is None:
        return _shown(request, found, form, given, status=422, wrong=wrong)
    saves = whole(request.POST.get("saves"))
    try:
        made = service.save(
            proposal_id=pk,
            saves=-1 if saves is None else saves,
            by=access.label(request.user),
            at=timezone.now(),
            content=content,
        )
    except Invalid as error:
        told = [(at, limit_words(at, said)) for at, said in error.problems] or [("", str(error))]
        return _shown(request, found, form, given, status=422, wrong=texts.placed(told, given, form))
    except Conflict as error:
        messages.error(request, str(error))
        again = found_proposal(environment, pk)
        return _shown(request, again, form, given, status=409, mine=_mine(again, content), overtaken=True)
    if made.saves == saves:
        messages.info(request, "The draft is as it was: nothing was changed.")
    else:
        messages.success(request, "The draft is saved.")
    return redirect(reverse("rules-draft", args=[environment, pk]))


def _given(request: HttpRequest) -> tuple[str, str, list[Wrong]]:
    """Return what was sent, a file before what stands in the field, and its form: as called, chosen or begun."""
    typed = request.POST.get("content", "").replace("\r\n", "\n")
    form = request.POST.get("format", "")
    upload = request.FILES.get("file")
    if upload is not None:
        name = upload.name or ""
        if (upload.size or 0) > 4 * texts.MOST_CHARACTERS:
            return typed, form or texts.YAML, [Wrong(line=0, place="", text="This file is too large.")]
        try:
            typed = upload.read().decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError:
            wrong = Wrong(line=0, place="", text="This file is no text in UTF-8. What stood in the field is below.")
            return typed, form or texts.YAML, [wrong]
        return typed, texts.guessed(typed, name), []
    return typed, texts.guessed(typed), []


def _mine(found: ProposalDetail, content: dict[str, Any]) -> list[str]:
    """Say what saving would make of what is there now, where what was typed has the shape of rules."""
    whole_content = {**content, "offerings": content.get("offerings") or found.content["offerings"]}
    if document.schema_problems("content", whole_content):
        return []
    return list(differences(found.content, whole_content))


def _shown(
    request: HttpRequest,
    found: ProposalDetail,
    form: str,
    given: str,
    *,
    status: int = 200,
    wrong: list[Wrong] | None = None,
    **context: Any,
) -> HttpResponse:
    # Where somebody else saved, the page has the new count: whoever saves again has seen what she replaces.
    return render(
        request,
        "dashboards/rules_text.html",
        {
            "environment": found.row.environment,
            "row": found.row,
            "form": form,
            "text": texts.plain(given),
            "wrong": wrong or [],
            "most_kb": texts.MOST_CHARACTERS // 4000,
            **context,
        },
        status=status,
    )
