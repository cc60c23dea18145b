"""The rules in force in an environment, every version before, and going back to one."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from core import access
from core.errors import Invalid, NotFound
from dashboards.downloads import Table, offers
from dashboards.forms_rules import BackForm
from dashboards.selectors import rules as page_of
from dashboards.views import files_running
from dashboards.views.access import page
from dashboards.views.rules_measured import measured
from dashboards.views.rules_shown import (
    RuleShown,
    default_of,
    found_environment,
    held_of,
    proposals_of,
    rules_of,
    today,
    whole,
)
from routing.rules import document, labelling_words
from routing.selectors import checks, environments, fleet, versions
from routing.services import versions as service

PER_PAGE = 25


@page("rules.read")
def rules(request: HttpRequest) -> HttpResponse:
    return redirect("rules-environment", environment=environments.USUAL)


@page("rules.read")
def environment(request: HttpRequest, environment: str) -> HttpResponse:
    now = timezone.now()
    found = page_of.in_force(environment=environment, at=now)
    if found is None:
        raise Http404("There is no such environment.")
    day = today(request)
    version = found.version
    shown: list[RuleShown] = []
    default = None
    if version:
        shown, default = measured(
            request, rules_of(version.content, today=day), default_of(version.content, today=day),
            environment=environment, version=version.row.number, content=version.content, at=now,
        )  # fmt: skip
    return render(
        request,
        "dashboards/rules.html",
        {
            "environment": environment,
            "environments": [
                (one.name, reverse("rules-environment", args=[one.name]), one.name == environment)
                for one in found.environments
            ],
            "row": found.environment,
            "version": version.row if version else None,
            "rules": shown,
            "due": [rule for rule in shown if rule.review_tone],
            "default": default,
            "proposals": proposals_of(found.proposals),
            "budgets": held_of(found.budgets),
            "switches": found.switches,
            "may_edit": request.user.has_perm("rules.edit"),
            "may_switch": request.user.has_perm("switches.turn"),
        },
    )


def _history_table(request: HttpRequest, environment: str) -> Table:
    found_environment(environment)
    return files_running.history(environment)


@page("rules.read")
@offers(_history_table)
def history(request: HttpRequest, environment: str) -> HttpResponse:
    row = found_environment(environment)
    before = whole(request.GET.get("before"))
    rows = versions.newest(environment=environment, limit=PER_PAGE + 1, before=before)
    url = reverse("rules-history", args=[environment])
    return render(
        request,
        "dashboards/rules_history.html",
        {
            "environment": environment,
            "row": row,
            "versions": rows[:PER_PAGE],
            "next_url": f"{url}?before={rows[PER_PAGE - 1].number}" if len(rows) > PER_PAGE else "",
            "first_url": url if before is not None else "",
            "may_publish": request.user.has_perm("rules.publish"),
        },
    )


@page("rules.read")
def version(request: HttpRequest, environment: str, number: int) -> HttpResponse:
    found = _version(environment, number)
    day = today(request)
    shown, default = rules_of(found.content, today=day), default_of(found.content, today=day)
    if found.row.live:
        shown, default = measured(
            request, shown, default, environment=environment, version=number, content=found.content, at=timezone.now()
        )  # fmt: skip
    return render(
        request,
        "dashboards/rules_version.html",
        {
            "environment": environment,
            "version": found.row,
            "changes": found.changes,
            "refusals": fleet.refusals(at=timezone.now(), environment=environment, version=number),
            "rules": shown,
            "default": default,
            "labels": labelling_words.sentences(found.content.get("heuristics")),
            "may_go_back": request.user.has_perm("rules.publish") and not found.row.live,
        },
    )


@page("rules.read")
def download(request: HttpRequest, environment: str, number: int) -> HttpResponse:
    """Give a version's canonical bytes: their SHA-256 is the one that was approved."""
    found = _version(environment, number)
    response = HttpResponse(document.canonical(found.content), content_type="text/plain; charset=utf-8")
    name = "".join(letter if letter.isalnum() else "-" for letter in environment)
    response["Content-Disposition"] = f'attachment; filename="rules-{name}-{number}.json"'
    return response


def _version(environment: str, number: int) -> versions.VersionDetail:
    found = versions.one(environment=environment, number=number) if number <= 2_000_000_000 else None
    if found is None:
        raise Http404("There is no such version.")
    return found


@page("rules.publish", "GET", "HEAD", "POST")
def go_back(request: HttpRequest, environment: str, number: int) -> HttpResponse:
    if request.method != "POST":
        return _go_back(request, environment, number, BackForm())
    form = BackForm(request.POST)
    seen = whole(request.POST.get("seen"))
    if not form.is_valid():  # a NUL character, which no text holds
        return _go_back(request, environment, number, form, status=422)
    try:
        made = service.roll_back(
            environment=environment,
            to=min(number, 2_000_000_000),
            seen=seen or 0,
            reason=form.cleaned_data["reason"],
            by=access.label(request.user),
            at=timezone.now(),
        )
    except NotFound as error:
        raise Http404(str(error)) from error
    except Invalid as error:
        form.show(error.problems)
        return _go_back(request, environment, number, form, status=422)
    except service.StaleDraft as error:
        messages.error(
            request, f"{error} Nothing was rolled back. Look at what would change now; your reason is still there."
        )
        return _go_back(request, environment, number, form, status=409)
    messages.success(request, f"Version {made.number} is in force: the rules are those of version {number} again.")
    return redirect("rules-environment", environment=environment)


def _go_back(request: HttpRequest, environment: str, number: int, form: BackForm, *, status: int = 200) -> HttpResponse:
    then = _version(environment, number)
    live = found_environment(environment).live_version
    changes = versions.compared(environment=environment, before=live, after=number) if live else None
    return render(
        request,
        "dashboards/rules_back.html",
        {
            "environment": environment,
            "version": then.row,
            "live": live,
            "changes": changes,
            "problems": checks.problems(then.content, at=timezone.now(), environment=environment),
            "form": form,
        },
        status=status,
    )
