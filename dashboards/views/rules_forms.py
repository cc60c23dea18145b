"""The rules in force in the forms of gateways that do not poll: what fits, the text, and how it is brought in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from catalog.models import TakesRules
from catalog.services import gateways
from core import access
from core.errors import Conflict, Invalid, NotFound
from dashboards.connecting import YOUR_KEY
from dashboards.forms_gateways import KINDS, TAKES_RULES
from dashboards.views.access import demand, page
from dashboards.views.rules_shown import found_environment, whole
from routing.rules.document import Problem
from routing.rules.exports import FEATURES, FORMS, Form, Frozen
from routing.rules.exports.parts import ASKED_OF_NO_RULE, NO, OUT, YES, needs
from routing.selectors import exports
from routing.selectors.exports import Fit, Registered

_CELLS = {YES: ("ok", "yes"), OUT: ("neutral", "left out"), NO: ("danger", "no")}
_RULE = re.compile(r"/rules/([0-9]+)(?:/|$)")


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why a form cannot say the rules, with the rule in question; `url` is empty where it is none."""

    subject: str
    url: str
    text: str
    code: str


@dataclass(frozen=True, kw_only=True)
class Cell:
    tone: str
    text: str
    remark: str
    in_the_way: bool  # the rules in force need it, and the form cannot say it


@dataclass(frozen=True, kw_only=True)
class Row:
    feature: str
    needed: int | None  # places of the rules in force that need it; None where it is not theirs to need
    cells: Sequence[Cell]


@page("rules.read")
def forms_page(request: HttpRequest, environment: str) -> HttpResponse:
    row = found_environment(environment)
    form = _form(request.GET.get("format", next(iter(FORMS))))
    now = timezone.now()
    known = exports.registered(environment=environment, at=now)
    named = request.GET.get("gateway", "")
    gateway = named if any(one.name == named for one in known) else None
    frozen = exports.in_force(environment=environment, at=now, gateway=gateway)
    fits = {} if frozen is None else {name: exports.beside(frozen, one) for name, one in FORMS.items()}
    return render(
        request,
        "dashboards/rules_forms.html",
        {
            "environment": environment,
            "row": row,
            "frozen": frozen,
            "form": form,
            "gateway": gateway,
            # Every second part of a step stood in backticks.
            "steps": [step.split("`") for step in form.bring_in],
            "query": _query(form.name, gateway),
            "tabs": [
                (one.title, f"?{_query(name, gateway)}#form", one is form, bool(fits) and not fits[name].unfit)
                for name, one in FORMS.items()
            ],
            "fit": fits.get(form.name),
            "reasons": _reasons(frozen, fits[form.name].unfit, environment) if frozen else [],
            "left_out": _reasons(frozen, fits[form.name].left_out, environment) if frozen else [],
            "fields": _fields(frozen, form, fits),
            "rows": _matrix(frozen),
            "titles": [one.title for one in FORMS.values()],
            "gateways": _gateways(known, fits),
            "in_the_way": [
                one.name for one in known
                if one.takes_rules == TakesRules.EXPORT and one.form and fits and fits[one.form.name].unfit
            ],
            "ways": TAKES_RULES.items(),
            "may_set": request.user.has_perm("keys.manage"),
            "curl": _curl(environment, _query(form.name, gateway), form),
        },
    )  # fmt: skip


@page("rules.read")
def form_file(request: HttpRequest, environment: str, form: str) -> HttpResponse:
    """Give the rules in force in a form as a file; 409 with the reasons where they do not fit."""
    chosen = _form(form)
    found_environment(environment)
    frozen = exports.in_force(environment=environment, at=timezone.now(), gateway=request.GET.get("gateway"))
    if frozen is None:
        raise Http404("Nothing is in force here yet.")
    fit = exports.beside(frozen, chosen)
    if fit.text is None:
        lines = [f"{chosen.title} cannot say these rules:", *map(str, fit.unfit)]
        return HttpResponse("\n".join(lines) + "\n", status=409, content_type="text/plain; charset=utf-8")
    response = HttpResponse(fit.text, content_type=f"{chosen.media_type}; charset=utf-8")
    plain = re.sub(r"[^A-Za-z0-9]+", "-", f"{environment}-{frozen.stamp}")
    response["Content-Disposition"] = f'attachment; filename="{chosen.name}-{plain}{chosen.suffix}"'
    return response


@page("rules.read", "POST")
def take(request: HttpRequest, environment: str) -> HttpResponse:
    """Say how a gateway takes rules."""
    demand(request, "keys.manage")
    found_environment(environment)
    gateway_id = whole(request.POST.get("gateway"))
    if gateway_id is None:
        raise Http404("There is no such gateway.")
    try:
        changed = gateways.take_rules(
            gateway_id=gateway_id, how=request.POST.get("takes_rules", ""), by=access.label(request.user)
        )
    except NotFound as error:
        raise Http404(str(error)) from error
    except Invalid as error:
        messages.error(request, " ".join(text for _, text in error.problems) or str(error))
    except Conflict as error:
        messages.error(request, str(error))
    else:
        if changed:
            messages.success(request, "Kept. Drafts are held to it from now on; what is in force stays as it is.")
        else:
            messages.info(request, "Nothing was changed.")
    return redirect(f"{reverse('rules-forms', args=[environment])}#gateways")


def _query(form: str, gateway: str | None) -> str:
    return urlencode({"format": form} | ({"gateway": gateway} if gateway else {}))


def _form(name: str) -> Form:
    if name not in FORMS:
        raise Http404(f"There is no form {name}; there are {', '.join(FORMS)}.")
    return FORMS[name]


def _reasons(frozen: Frozen, problems: Sequence[Problem], environment: str) -> list[Reason]:
    rules_url = reverse("rules-environment", args=[environment])
    found = []
    for one in problems:
        at = _RULE.match(one.pointer)
        if at is not None:
            place = int(at[1])
            rule = frozen.content["rules"][place]
            subject, url = rule.get("title") or rule["id"], f"{rules_url}#rule-{place + 1}"
        elif one.pointer.startswith("/default"):
            subject, url = "The default", f"{rules_url}#rule-default"
        else:
            subject, url = "All of it", ""
        found.append(Reason(subject=subject, url=url, text=one.text, code=one.code))
    return found


def _matrix(frozen: Frozen | None) -> list[Row]:
    needed = Counter(need.feature for need in needs(frozen)) if frozen else Counter()
    return [
        Row(
            feature=title,
            needed=None if feature in ASKED_OF_NO_RULE else needed[feature],
            cells=[
                Cell(
                    tone=_CELLS[form.says[feature]][0],
                    text=_CELLS[form.says[feature]][1],
                    remark=form.remarks.get(feature, "").replace("`", ""),
                    in_the_way=form.says[feature] == NO and needed[feature] > 0,
                )
                for form in FORMS.values()
            ],
        )
        for feature, title in FEATURES.items()
    ]


def _fields(frozen: Frozen | None, form: Form, fits: Mapping[str, Fit]) -> list[tuple[str, str]]:
    """Return what the rules read of a request and where the form has it; nothing where they do not fit."""
    return form.fields(frozen) if frozen is not None and not fits[form.name].unfit else []


def _gateways(known: Sequence[Registered], fits: Mapping[str, Fit]) -> list[tuple[Registered, str, Any]]:
    """Return gateways with the words for their kind and, where they take a form, whether it fits."""
    shown = []
    for one in known:
        takes = one.form is not None and one.takes_rules == TakesRules.EXPORT
        fits_it = not fits[one.form.name].unfit if one.form is not None and takes and fits else None
        shown.append((one, KINDS.get(one.kind, one.kind), fits_it))
    return shown


def _curl(environment: str, query: str, form: Form) -> str:
    address = f"{settings.BASE_URL}/api/v1/rules/{environment}/export?{query}"
    return f'curl -f "{address}" \\\n  -H "Authorization: Bearer {YOUR_KEY}" -o {form.name}{form.suffix}'
