"""Pages that tell of an error: what happened, what to do, and the id by which the log knows the request.

They ask the database nothing and run no context processor, so that they can be shown when it is away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from core import statements

log = structlog.get_logger(__name__)


def _page(request: HttpRequest, status: int, template: str = "", **context: Any) -> HttpResponse:
    context |= {"request_id": getattr(request, "id", ""), "path": request.path}
    return HttpResponse(render_to_string(template or f"{status}.html", context), status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page(request, 400)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page(request, 403)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page(request, 404)


def server_error(request: HttpRequest) -> HttpResponse:
    return _page(request, 500)


class SlowStatements:
    """Middleware: a page whose statement ran out of time says what to do instead."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not statements.took_too_long(exception):
            return None
        log.warning("page.too_slow", path=request.path, query=request.GET.urlencode())
        reads = request.method in ("GET", "HEAD")
        answer = _page(
            request, 503, reads=reads, address=request.get_full_path(), seconds=settings.STATEMENT_SECONDS
        )  # fmt: skip
        answer["Retry-After"] = str(settings.STATEMENT_SECONDS)
        return answer


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Whoever sent a form from a page that is too old, or without cookies, is told that nothing was done."""
    return _page(request, 403, "403_csrf.html")
