"""Who may see a page, and whose days it counts in."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_http_methods
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails

from core.models import Organisation
from dashboards.templatetags.figures import seen_from

View = Callable[..., HttpResponse]


def page(action: str, *methods: str) -> Callable[[View], View]:
    """Make a function a page of the console for those who may do `action`; strangers are sent to sign in.

    Days are counted in the zone of the organisation, which is found as `request.organisation`; instants are written in
    the person's own zone where she has one. One query beside those of the session and the person.
    """

    def decorate(view: View) -> View:
        @require_http_methods(list(methods) or ["GET", "HEAD"])
        @_signed_in
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            demand(request, action)
            organisation = Organisation.objects.get(pk=1)
            request.organisation = organisation  # type: ignore[attr-defined]
            with timezone.override(organisation.zone), seen_from(getattr(request.user, "zone", "")):
                response = view(request, *args, **kwargs)
            patch_vary_headers(response, ["HX-Request"])
            if not response.has_header("Cache-Control"):
                # Of one person: no proxy keeps it, and a browser asks again who is signed in before it shows it again.
                response["Cache-Control"] = "private, no-cache"
            return response

        return guarded

    return decorate


def _signed_in(view: View) -> View:
    """Send strangers to sign in, and a page whose session has ended as a whole: not into the part that asked."""
    full_page = login_required(view)

    @wraps(view)
    def asked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        part: HtmxDetails = request.htmx  # type: ignore[attr-defined]
        if part and not request.user.is_authenticated:
            came_from = part.current_url_abs_path or "/"
            return HttpResponseClientRedirect(redirect_to_login(came_from).url)
        return full_page(request, *args, **kwargs)

    return asked


def zone_of(request: HttpRequest) -> str:
    """Return the zone that days and months are counted in: the organisation's."""
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    return organisation.zone


def demand(request: HttpRequest, action: str) -> None:
    """Stop here unless the person may do it.

    Raises:
        PermissionDenied
    """
    if not request.user.has_perm(action):
        raise PermissionDenied(action)
