"""`GET /price-maps/{token}/litellm.json`: what a LiteLLM proxy reckons with (LITELLM_MODEL_COST_MAP_URL).

LiteLLM sends nothing but the address, so the address is the proof: it holds a token that opens this and nothing else.
LiteLLM writes the address into its log where it cannot reach it. A key there would give away usage and rules; with this
token somebody learns list prices, and the names of the models that have one. Contracts are in no table.
"""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar

from django.http import HttpResponse
from django.utils import timezone
from django.utils.cache import get_conditional_response
from django.utils.decorators import method_decorator
from django.views.decorators.gzip import gzip_page
from drf_spectacular.utils import extend_schema
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from catalog.selectors import callers, price_map
from core.access import Caller
from core.api_views import Api
from core.errors import NotFound
from core.services import keys

# No header of the request says that it is somebody's, so a cache between would keep it for whoever asks next.
_UNSHARED = {"Cache-Control": "private, no-cache"}


class TokenInPath(BaseAuthentication):
    """From the token in the address to the key that it belongs to.

    A wrong one finds nothing here, instead of leaving the request to nobody: what nobody may is noted with its address,
    and tokens stand in that.
    """

    def authenticate(self, request: Request) -> tuple[Caller, None]:
        caller = self._caller(request)
        if caller is None:
            raise _nothing()
        return caller, None

    @staticmethod
    def _caller(request: Request) -> Caller | None:
        token = str(request.parser_context["kwargs"].get("token", ""))
        key_id = keys.key_id_of(token.partition(".")[0])
        known = None if key_id is None else callers.signing(key_id)
        if known is None:
            return None
        caller, secret = known
        if caller.expires_at is not None and caller.expires_at <= timezone.now():
            return None
        made = keys.S3Credentials(keys.access_key_id_of(caller.key_id), secret)
        return caller if keys.opens(made, price_map.PURPOSE, token) else None


@method_decorator(gzip_page, name="dispatch")
class PriceMapApi(Api):
    """LiteLLM's table with our prices. Three queries where nothing changed since the last time."""

    actions: ClassVar[dict[str, str]] = {"GET": "rules.read"}
    authentication_classes = (TokenInPath,)

    def permission_denied(self, request: Request, message: str | None = None, code: str | None = None) -> Any:
        raise _nothing()

    def finalize_response(self, *args: Any, **kwargs: Any) -> Any:
        response: Any = super().finalize_response(*args, **kwargs)
        response._has_been_logged = True  # Django logs the address of what was refused, and the token is in it
        return response

    @extend_schema(exclude=True)  # LiteLLM's to describe
    def get(self, request: Request, token: str) -> HttpResponse:
        table = price_map.litellm(at=timezone.now())
        if table is None:
            raise NotFound(
                "No table of LiteLLM's was read here yet: manage.py import_prices --from litellm FILE. The file is "
                "model_prices_and_context_window_backup.json in the folder that LiteLLM is installed in."
            )
        tag = f'"{hashlib.sha256(table).hexdigest()[:32]}"'
        answer = HttpResponse(table, content_type="application/json", headers={"ETag": tag, **_UNSHARED})
        return get_conditional_response(request, etag=tag, response=answer) or answer


def _nothing() -> NotFound:
    return NotFound("There is nothing here.")
