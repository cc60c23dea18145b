"""Every request has an id: in each line that is logged for it, in its answer, and on the page of an error."""

from __future__ import annotations

import re
from collections.abc import Callable
from uuid import uuid4

import structlog
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware

HEADER = "X-Request-ID"
# What a proxy in front gives it is kept, so that both logs tell of the same one. Anything else is not ours to log.
_GIVEN = re.compile(r"[A-Za-z0-9_-]{8,64}", re.ASCII)


class RequestIds:
    """Middleware, the outermost of our own: `request.id`, `request_id` in the log, and `X-Request-ID` in the answer."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get(HEADER, "")
        found = given if _GIVEN.fullmatch(given) else uuid4().hex
        request.id = found  # type: ignore[attr-defined]
        with structlog.contextvars.bound_contextvars(request_id=found):
            response = self._get_response(request)
        response[HEADER] = found
        return response


class CompressedPages(GZipMiddleware):
    """Compresses pages for whoever takes that: their tables come to a tenth. Files and the API stay as they are.

    What is secret in a page (the token of a form) is masked anew in each, and Django pads the length by chance.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if response.streaming or not response.get("Content-Type", "").startswith("text/html"):
            return response
        return super().process_response(request, response)
