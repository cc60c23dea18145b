"""`POST /mcp`: the Model Context Protocol over streamable HTTP, one exchange per request.

The SDK is loaded by the first request, not with this module: it takes a second and 57 MB, and most houses never ask.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any, ClassVar
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpResponse
from django.http.request import validate_host
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from core.api import KeyAuthentication
from core.api_views import Api

_loading = Lock()  # threads that load the same packages at once wait for each other anyway, and less surely


class McpApi(Api):
    """One message of a client, one answer. Only keys count here: a browser's session does not."""

    # The least that any tool or resource demands; each demands its own besides.
    actions: ClassVar[dict[str, str]] = {"POST": "rules.read"}
    authentication_classes = (KeyAuthentication,)

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        # A GET that asks for a stream of events is to hear 405, and not that JSON is all there is.
        return JSONRenderer(), JSONRenderer.media_type

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        _from_here(request)
        super().initial(request, *args, **kwargs)

    def post(self, request: Request) -> HttpResponse:
        caller, answer = request.user, _sdk()
        return answer(request._request, lambda: caller)


def _from_here(request: Request) -> None:
    """Refuse what a page from elsewhere sends (DNS rebinding): an Origin has to be one of our own names, if any.

    Raises:
        PermissionDenied: it is not.
    """
    origin = request.headers.get("Origin")
    if origin is None:
        return
    try:
        host = urlsplit(origin).hostname or ""
    except ValueError:  # brackets that do not end
        host = ""
    if not validate_host(host, settings.ALLOWED_HOSTS):
        raise exceptions.PermissionDenied("Pages from elsewhere may not ask here: their Origin is not one of our own.")


def _sdk() -> Callable[..., HttpResponse]:
    with _loading:
        from controlplane.mcp.exchange import answer
    return answer
