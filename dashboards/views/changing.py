"""Changing the catalogue from a page: first what it would do to the past, then, on the same page, doing it.

A page of this kind has one form with two buttons. The first shows the effect; the second, which appears with the
effect, carries a digest of what was filled in, so that nobody confirms other than what was shown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from core import nudges
from core.errors import Conflict, Invalid
from core.services import barrier
from dashboards.forms import Told
from usage.services.restating.previewing import preview
from usage.tasks import JOBS

Make = Callable[[datetime], object]

_NOT_FILLED_IN = frozenset({"csrfmiddlewaretoken", "confirm"})


def settled() -> None:
    """Return once no booking is open that works with the catalogue as it was, and have the past looked at."""
    barrier.pass_through()
    nudges.nudge(JOBS, "background")


def digest(request: HttpRequest) -> str:
    """Identify what was filled in."""
    filled = sorted((name, values) for name, values in request.POST.lists() if name not in _NOT_FILLED_IN)
    return hashlib.sha256(repr(filled).encode()).hexdigest()[:32]


def step(
    request: HttpRequest,
    *,
    form: Told,
    make: Make,
    template: str,
    context: dict[str, Any],
    done: str,
    told: str,
) -> HttpResponse:
    """Answer the POST of a valid form: show what the change would do, or make it where that was confirmed.

    `make` gets the present and makes the change, by services that take part in a transaction; what it refuses is shown
    with the form. `done` is the address to go on to, `told` what is said there. The template gets `form`, and with the
    effect `estimate` and `confirm` (for `dashboards/_estimate.html`).
    """
    at = timezone.now()
    confirmed = request.POST.get("confirm") == digest(request)
    try:
        if confirmed:
            with transaction.atomic(durable=True):
                make(at)
        else:
            estimate = preview(lambda: make(at), at=at)
    except Invalid as error:
        form.show(error.problems or [("", str(error))])
    except Conflict as error:
        form.show([("", str(error))])
    else:
        if not confirmed:
            shown = {**context, "form": form, "estimate": estimate, "confirm": digest(request)}
            return render(request, template, shown)
        settled()
        messages.success(request, told)
        return redirect(done)
    return render(request, template, {**context, "form": form}, status=422)
