"""Separation of duties: whether whoever wrote a draft may approve it herself, and turning that off and on."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from core import access
from core.errors import Invalid
from core.models import Organisation
from core.selectors import trail
from core.services import organisation as service
from dashboards.forms_rules_schedule import DutiesForm
from dashboards.views.access import demand, page

EDIT = "organisation.edit"
COLUMN = "separation of duties"  # as the trail writes it
_LINES = 200


@page("view", "GET", "HEAD", "POST")
def duties(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return _shown(request, DutiesForm())
    demand(request, EDIT)
    on = {"on": True, "off": False}.get(request.POST.get("separate", ""))
    form = DutiesForm(request.POST)
    if on is None:
        form.add_error(None, "Say whether duties are separated.")
    if not form.is_valid() or on is None:
        return _shown(request, form, status=422)
    try:
        changed = service.separate_duties(on=on, reason=form.cleaned_data["reason"], by=access.label(request.user))
    except Invalid as error:
        form.show(error.problems)
        return _shown(request, form, status=422)
    told = "Nobody approves her own work from now on." if on else "Whoever wrote a draft may approve it from now on."
    messages.success(request, told if changed else "It was so already.")
    return redirect("duties")


def _shown(request: HttpRequest, form: DutiesForm, *, status: int = 200) -> HttpResponse:
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    lines = trail.of_row(table=Organisation._meta.db_table, row=str(organisation.pk), limit=_LINES)
    turned = [
        (line, difference.after == "true")
        for line in lines
        for difference in line.differences
        if difference.column == COLUMN and line.operation != "insert"
    ]
    context = {
        "separated": organisation.separation_of_duties,
        "turned": turned,
        "may_edit": request.user.has_perm(EDIT),
        "form": form,
    }
    return render(request, "dashboards/duties.html", context, status=status)
