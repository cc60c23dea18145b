"""Switches: turned here by the same service as in the console and over the API; the rows stay as they are."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from core.access import label
from core.administration import Served, Shown
from core.errors import Invalid
from routing.models import Switch, SwitchKind
from routing.services import switches


class SwitchForm(forms.Form):
    kind = forms.ChoiceField(choices=SwitchKind.choices)
    name = forms.CharField(max_length=193, help_text="As the catalogue has it, such as claude-opus-4.7@anthropic.")
    turn = forms.ChoiceField(choices=[("off", "off"), ("on", "on")])
    seconds = forms.IntegerField(
        min_value=0,
        max_value=switches.LONGEST_SECONDS,
        initial=3600,
        help_text="It ends by itself. On for 0 seconds takes an earlier off back.",
    )
    reason = forms.CharField(max_length=switches.REASON_CHARACTERS)


@admin.register(Switch)
class SwitchAdmin(Served):
    adds = "switches.turn"
    big = True
    list_display = ("id", "kind", "name", "off", "since", "until", "by", "reason")
    list_filter = ("kind", "off")
    search_fields = ("name", "by")
    sortable_by = ("id",)

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if object_id is not None:
            return Shown.changeform_view(self, request, object_id, form_url, extra_context)
        self.must(request, self.adds)
        if request.method != "POST":
            initial = {name: value for name, value in request.GET.items() if name in SwitchForm.base_fields}
            return self._form_page(request, SwitchForm(initial={"seconds": 3600, **initial}))
        form = SwitchForm(request.POST)
        if not form.is_valid():
            return self._form_page(request, form, status=422)
        given = form.cleaned_data
        off = given["turn"] == "off"
        try:
            switches.turn(
                kind=given["kind"],
                name=given["name"],
                off=off,
                seconds=given["seconds"],
                reason=given["reason"],
                by=label(request.user),
                at=timezone.now(),
            )
        except Invalid as error:
            for field, text in error.problems:
                form.add_error(field if field in form.fields else None, text)
            return self._form_page(request, form, status=422)
        messages.success(
            request, f"{given['name']} is turned {'off' if off else 'on'}; gateways have it with their next poll."
        )
        return redirect("admin:routing_switch_changelist")

    def _form_page(self, request: HttpRequest, form: SwitchForm, *, status: int = 200) -> HttpResponse:
        return self.page(
            request,
            "admin/routing/switch/add_form.html",
            "Turn a provider, model or offering off or on",
            status=status,
            form=form,
        )
