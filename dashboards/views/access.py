"""Who may see a page, and whose days it counts in."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_http_methods

from core.models import Organisation

View = Callable[..., HttpResponse]


def page(action: str, *methods: str) -> Callable[[View], View]:
    """Make a function a page of the console for those who may do `action`; strangers are sent to sign in.

    Instants are written in the organisation's zone, which is found as `request.organisation`. One query beside those of
    the session and the person.
    """

    def decorate(view: View) -> View:
        @require_http_methods(list(methods) or ["GET", "HEAD"])
        @login_required
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            demand(request, action)
            organisation = Organisation.objects.get(pk=1)
            request.organisation = organisation  # type: ignore[attr-defined]
            with timezone.override(organisation.zone):
                response = view(request, *args, **kwargs)
            patch_vary_headers(response, ["HX-Request"])
            return response

        return guarded

    return decorate


def demand(request: HttpRequest, action: str) -> None:
    """Stop here unless the person may do it.

    Raises:
        PermissionDenied
    """
    if not request.user.has_perm(action):
        raise PermissionDenied(action)
