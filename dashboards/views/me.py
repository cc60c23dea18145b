"""The page for oneself: name, the zone that times are written in, and what is kept in this browser alone."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from core import access, periods
from core.errors import Invalid
from core.models import User
from core.services import people
from dashboards.forms import Told
from dashboards.views.access import page


class MeForm(Told):
    ids = "me_%s"

    name = forms.CharField(
        required=False,
        label="Name",
        help_text="As others see it beside what you did",
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    zone = forms.CharField(
        required=False,
        label="Time zone",
        widget=forms.TextInput(attrs={"list": "zones", "autocomplete": "off", "spellcheck": "false"}),
    )


@page("view", "GET", "HEAD", "POST")
def me(request: HttpRequest) -> HttpResponse:
    person = request.user
    assert isinstance(person, User)
    if request.method != "POST":
        return _shown(request, MeForm(initial={"name": person.name, "zone": person.zone}))
    form = MeForm(request.POST)
    if form.is_valid():
        try:
            changed = people.describe_oneself(user_id=person.pk, **form.cleaned_data, by=access.label(person))
        except Invalid as error:
            form.show(error.problems)
        else:
            messages.success(request, "Kept." if changed else "It was so already.")
            return redirect("me")
    return _shown(request, form, status=422)


def _shown(request: HttpRequest, form: MeForm, *, status: int = 200) -> HttpResponse:
    organisation = request.organisation  # type: ignore[attr-defined]
    form.fields["zone"].help_text = (
        f"Such as Europe/Berlin. Empty: times as the organisation has them, {organisation.zone}. "
        "Days, months and budgets stay as they are."
    )
    return render(request, "dashboards/me.html", {"form": form, "zones": sorted(periods.zones())}, status=status)
