"""What API views are made of, and what the OpenAPI document says of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from core.api import PROBLEM_TYPE, NoQuery, parameters
from core.errors import TooLarge

LARGEST_BODY_BYTES = 1_000_000  # usage is taken in elsewhere; no record comes near


class Schema(AutoSchema):
    """How the OpenAPI document comes to describe a view: from what the view itself goes by."""

    def get_override_parameters(self) -> list[Any]:
        """Return the query parameters, from the serializer that reads them."""
        query = getattr(self.view, "QuerySerializer", NoQuery)
        if self.method != "GET" or not query().fields:
            return []
        return [query, *getattr(self.view, "query_extras", ())]

    def get_serializer_name(self, serializer: Any, direction: Any) -> str:
        """Return a component's name. Serializers inside views are called alike: the view's name tells them apart."""
        outer, _, inner = serializer.__class__.__qualname__.rpartition(".")
        return outer.removesuffix("Api") + inner


class Api(APIView):
    """One operation, or several on one thing. Knows its query parameters before the method runs."""

    actions: ClassVar[Mapping[str, str]] = {}
    # Of GET; other methods take no query parameters.
    QuerySerializer: ClassVar[type[serializers.Serializer]] = NoQuery
    query_pattern: ClassVar[str | None] = None  # of names besides, which the method reads for itself
    query_extras: ClassVar[Sequence[Any]] = ()  # how the OpenAPI document describes those
    largest_body_bytes: ClassVar[int] = LARGEST_BODY_BYTES
    query: dict[str, Any]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if int(request.META.get("CONTENT_LENGTH") or 0) > self.largest_body_bytes:
            raise TooLarge(f"A body here has {self.largest_body_bytes:,} bytes at most.")
        if request.method in ("GET", "HEAD"):
            self.query = parameters(self.QuerySerializer, request, also=self.query_pattern)
        else:
            self.query = parameters(NoQuery, request)


class KeyScheme(OpenApiAuthenticationExtension):
    """How the OpenAPI document describes keys."""

    target_class = "core.api.KeyAuthentication"
    name = "key"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A key made with `manage.py create_key NAME --scope SCOPE` or in the console. "
            "Where `Authorization` cannot be set, `X-API-Key: KEY` does the same.",
        }


class MoneyInSchema(OpenApiSerializerFieldExtension):
    """How the OpenAPI document describes money."""

    target_class = "core.api.MoneyField"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: str) -> dict[str, Any]:
        return {"type": "string", "format": "decimal", "example": "12.34"}


_RETRY_AFTER: dict[str, Any] = {
    "description": "Seconds until it is worth another try.",
    "schema": {"type": "integer", "minimum": 0},
}
_PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457. `type` ends with a name that programs may rely on; `errors` says what is wrong where.",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string", "format": "uri-reference"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "JSON pointer into the body."},
                    "parameter": {"type": "string", "description": "Name of the query parameter."},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}


def problems_in_schema(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Add problem details to every operation of the OpenAPI document (a post-processing hook of drf-spectacular).

    What is answered with 429 or 503 says when to come again, wherever a view declares it.
    """
    result["components"].setdefault("schemas", {})["Problem"] = _PROBLEM_SCHEMA
    answer = {
        "description": "Anything that went wrong.",
        "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for operations in result["paths"].values():
        for operation in operations.values():
            operation["responses"]["default"] = answer
            for code in {"429", "503"} & operation["responses"].keys():
                operation["responses"][code] |= {"content": answer["content"], "headers": {"Retry-After": _RETRY_AFTER}}
    return result
