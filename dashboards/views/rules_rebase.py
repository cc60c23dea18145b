"""Bringing a draft up to date: what went live meanwhile, what both sides changed, and what becomes of the draft."""

from __future__ import annotations

from collections.abc import Mapping

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from core import access
from core.errors import Conflict, Invalid, NotFound
from dashboards.views.access import page
from dashboards.views.rules_shown import state_of, whole
from routing.rules.merging import MINE, THEIRS
from routing.selectors import comparing, proposals
from routing.selectors import rebasing as merges
from routing.services import rebasing


@page("rules.edit", "GET", "HEAD", "POST")
def rebase(request: HttpRequest, environment: str, pk: int) -> HttpResponse:
    if request.method != "POST" or "show" in request.POST or request.headers.get("HX-Request") == "true":
        return _shown(request, environment, pk)
    saves, live = (whole(request.POST.get(name)) for name in ("saves", "live"))
    try:
        done = rebasing.rebase(
            proposal_id=_known(environment, pk),
            saves=-1 if saves is None else saves,
            live=live,
            choices=_choices(request),
            by=access.label(request.user),
            at=timezone.now(),
        )
    except NotFound as error:
        raise Http404(str(error)) from error
    except rebasing.Unsettled as error:
        messages.error(request, str(error))
        return _shown(request, environment, pk, status=422, asked=True)
    except Invalid as error:
        messages.error(request, " ".join([str(error), *(text for _, text in error.problems)]))
        return _shown(request, environment, pk, status=422)
    except Conflict as error:
        messages.error(request, str(error))
        return _shown(request, environment, pk, status=409)
    messages.success(
        request,
        f"The draft is up to date: it changes version {done.base_version} now. Submit it to have it approved.",
    )
    return redirect("rules-draft", environment=environment, pk=pk)


def _known(environment: str, pk: int) -> int:
    if not proposals.belongs(proposal_id=pk, environment=environment):
        raise Http404("There is no such draft.")
    return pk


def _choices(request: HttpRequest) -> dict[str, str]:
    """Read the radio buttons: each is named by the place of its conflict."""
    return {
        name: value for name, value in request.POST.items() if name.startswith("/") and value in (THEIRS, MINE)
    }  # fmt: skip


def _shown(request: HttpRequest, environment: str, pk: int, *, status: int = 200, asked: bool = False) -> HttpResponse:
    """Show the merge with the choices made so far; `asked`: those that are missing are pointed at."""
    choices: Mapping[str, str] = _choices(request)
    found = merges.one(proposal_id=pk, environment=environment, at=timezone.now(), choices=choices)
    if found is None:
        raise Http404("There is no such draft.")
    row = found.row
    if not row.stale:
        if status == 200:
            messages.info(request, "This draft is on the version in force, so there is nothing to bring up to date.")
        return redirect("rules-draft", environment=environment, pk=pk)
    tone, state = state_of(row)
    fragment = "dashboards/_rules_rebase_result.html"
    return render(
        request,
        fragment if request.headers.get("HX-Request") == "true" else "dashboards/rules_rebase.html",
        {
            "environment": environment,
            "found": found,
            "row": row,
            "tone": tone,
            "state": state,
            "conflicts": found.merged.conflicts,
            "unsettled": len(found.merged.unsettled),
            "asked": asked,
            "changes": found.changes,
            "side": comparing.draft_name(row.id),
        },
        status=status,
    )
