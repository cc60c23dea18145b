"""What a gateway does its own way, how it takes rules, and the format that it is counted by."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from catalog.models import Gateway
from catalog.rules import gateway_settings
from core import access
from core.errors import Conflict, Invalid
from dashboards.connecting import format_of
from dashboards.forms_gateways import NamesField, SettingsForm
from dashboards.views.access import page
from routing.selectors.exports import FORM_OF_KIND
from usage.formats import FORMATS
from usage.models import Source, SourceKind
from usage.services import gateways


@page("keys.manage", "GET", "POST")
def settings_page(request: HttpRequest, pk: int) -> HttpResponse:
    found = Gateway.objects.filter(pk=pk).first()
    if found is None:
        raise Http404("There is no such gateway.")
    if found.retired_at is not None:
        messages.info(request, f"The gateway {found.name} is retired: it sends nothing any more.")
        return redirect("gateway", pk=pk)
    counted = (
        Source.objects.filter(gateway=pk, kind=SourceKind.LIVE).values_list("accounting_format", flat=True).first()
    )
    formats = [*FORMATS, *([counted] if counted and counted not in FORMATS else [])]
    has_form = found.kind in FORM_OF_KIND
    if request.method != "POST":
        form = SettingsForm(formats=formats, has_form=has_form, initial=_initial(found, counted or ""))
        return _shown(request, found, form)
    form = SettingsForm(request.POST, formats=formats, has_form=has_form, initial={"seen": counted or ""})
    if form.is_valid():
        data = form.cleaned_data
        chosen = data["accounting_format"]
        try:
            changed = gateways.change(
                gateway_id=pk,
                settings=form.given,
                accounting_format=chosen if chosen and chosen != data["seen"] else None,
                seen_format=data["seen"],
                takes_rules=data["takes_rules"] or None,
                reason=data["reason"],
                by=access.label(request.user),
                at=timezone.now(),
            )
        except Invalid as error:
            form.show(error.problems)
        except gateways.FormatMoved as error:
            form.show([("accounting_format", str(error))])
        except Conflict as error:
            messages.info(request, str(error))
            return redirect("gateway", pk=pk)
        else:
            if changed:
                messages.success(request, "The settings are kept. Bodies are read by them within five seconds.")
            else:
                messages.info(request, "Nothing was changed.")
            return redirect("gateway", pk=pk)
    return _shown(request, found, form, status=422)


def _initial(found: Gateway, counted: str) -> dict[str, Any]:
    known = gateway_settings.read(found.settings)
    return {
        **{f"place_{number}": place for number, place in enumerate(known.use_case_from, 1)},
        "by_key_alias": NamesField.written(known.use_case_by_key_alias),
        "by_team": NamesField.written(known.use_case_by_team),
        "silent_after_minutes": known.silent_after_minutes,
        "takes_rules": found.takes_rules,
        "accounting_format": counted,
        "seen": counted,
    }


def _shown(request: HttpRequest, found: Gateway, form: SettingsForm, *, status: int = 200) -> HttpResponse:
    context = {"gateway": found, "form": form, "is_native": format_of(found.kind) == "native"}
    return render(request, "dashboards/gateway_settings.html", context, status=status)
