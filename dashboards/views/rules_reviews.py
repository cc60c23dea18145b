"""Which rules in force are to be looked at again, and the draft that confirms some of them."""

from __future__ import annotations

from datetime import date, timedelta

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from core import access
from core.errors import Invalid, NotFound
from dashboards.forms_rules_schedule import ConfirmForm
from dashboards.views.access import demand, page
from dashboards.views.rules_shown import found_environment, review, today
from routing.selectors import reviews as rows
from routing.selectors.reviews import DUE, LATER, NEVER, OVERDUE, Review
from routing.services import reviews as service

USUAL_DAYS = 90
_GROUPS = (
    (OVERDUE, "Overdue", "They hold all the same, until somebody changes them."),
    (DUE, f"Due within {rows.AHEAD_DAYS} days", ""),
    (NEVER, "Without a day", "Change them to set one."),
    (LATER, "Later", ""),
)


@page("rules.read", "GET", "HEAD", "POST")
def reviews(request: HttpRequest, environment: str) -> HttpResponse:
    row = found_environment(environment)
    day = today(request)
    if request.method != "POST":
        form = ConfirmForm(initial={"review_by": day + timedelta(days=USUAL_DAYS)})
        wanted = request.GET.getlist("rule")
        return _shown(request, environment, form, day, chosen=wanted, version=row.live_version)
    demand(request, "rules.edit")
    form = ConfirmForm(request.POST)
    chosen = request.POST.getlist("confirm")
    if form.is_valid():
        try:
            made = service.confirm(
                environment=environment,
                rules=chosen,
                review_by=form.cleaned_data["review_by"],
                reason=form.cleaned_data["reason"],
                by=access.label(request.user),
                at=timezone.now(),
            )
        except NotFound as error:
            raise Http404(str(error)) from error
        except Invalid as error:
            form.show(error.problems)
        else:
            messages.success(
                request, "The draft is made. It moves the review date and nothing else: submit it for approval."
            )
            return redirect("rules-draft", environment=environment, pk=made.pk)
    return _shown(request, environment, form, day, chosen=chosen, version=row.live_version, status=422)


def _shown(
    request: HttpRequest,
    environment: str,
    form: ConfirmForm,
    day: date,
    *,
    chosen: list[str],
    version: int | None,
    status: int = 200,
) -> HttpResponse:
    found = rows.listed(today=day, environment=environment)
    groups = [
        (title, note, [(one, _tone(one, day), one.rule in chosen) for one in found if one.state == state])
        for state, title, note in _GROUPS
    ]
    return render(
        request,
        "dashboards/rules_reviews.html",
        {
            "environment": environment,
            "version": version,
            "groups": [group for group in groups if group[2]],
            "form": form,
            "may_edit": request.user.has_perm("rules.edit"),
        },
        status=status,
    )


def _tone(one: Review, day: date) -> tuple[str, str]:
    return review(None if one.review_by is None else one.review_by.isoformat(), day)
