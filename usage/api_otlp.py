"""The OTLP/HTTP edge: traces in, receipts out; metrics and logs are taken and dropped.

Contract (opentelemetry.io/docs/specs/otlp, OTLP/HTTP): answers have the content type of the request, protobuf or JSON;
200 with an export response, empty or with a partial success that counts the spans that were rejected; errors are a
`google.rpc.Status`. A sender comes again after 429 and 503, and drops its spans after anything else: so what cannot be
read for good is 400, and our own trouble is never one of those.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import msgspec
from django.conf import settings
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.api import problem_details
from core.errors import TooLarge
from usage.api_intake import IntakeApi

PROTOBUF, JSON = "application/x-protobuf", "application/json"

# Statuses of HTTP as the codes of google.rpc that mean the same.
_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 413: 8, 415: 3, 422: 3, 429: 8, 503: 14}
_INTERNAL = 13


class _AsAsked(BaseContentNegotiation):
    """Answers have the type of the request; what a sender says that it accepts is the habit of its HTTP library."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return JSONRenderer(), JSON


class OtlpApi(APIView):
    """What all signals share: answers and errors as OTLP/HTTP wants them."""

    actions: ClassVar[dict[str, str]] = {"POST": "usage.send"}
    content_negotiation_class = _AsAsked

    def get_exception_handler(self) -> Callable[[Exception, dict[str, Any]], HttpResponse]:
        return _status


class OtlpTracesApi(OtlpApi, IntakeApi):
    """Spans of GenAI calls; all others are passed over, and a body without any leaves no trace here."""

    format_name = "otlp"

    @extend_schema(
        operation_id="usage_otlp_traces",
        summary="Report usage as OpenTelemetry traces",
        description="OTLP/HTTP: spans of calls of models become events, all others are ignored. Exporters add "
        "`/v1/traces` to their endpoint, which is this host, or this host with `/api/v1/usage/otlp`. Protobuf and JSON "
        "are told apart by looking; bodies may be compressed with gzip or zstd. Errors are a `google.rpc.Status` in "
        "the type of the request.",
        request={PROTOBUF: OpenApiTypes.BINARY, JSON: OpenApiTypes.OBJECT},
        responses={
            (200, PROTOBUF): OpenApiTypes.BINARY,
            (200, JSON): OpenApiResponse(OpenApiTypes.OBJECT, "Kept; `partialSuccess` tells of spans that were not."),
            400: OpenApiResponse(description="The body cannot be read; nothing of it was kept."),
            413: OpenApiResponse(description="The body is over the limit, after decompression."),
            429: OpenApiResponse(description="Too much waits to be booked; come again after Retry-After seconds."),
        },
        tags=["usage"],
    )
    def post(self, request: Request) -> HttpResponse:
        rejected = self.keep(request).parsed.rejected
        answer: dict[str, Any] = {}
        message = ""
        if rejected:
            first = rejected[0]
            message = f"span {first.index}: {first.error}"
            if len(rejected) > 1:
                message += f" (and {len(rejected) - 1} more)"
            # 64 bits wide, so JSON has it as text.
            answer = {"partialSuccess": {"rejectedSpans": str(len(rejected)), "errorMessage": message}}
        if _is_json(request):
            return HttpResponse(msgspec.json.encode(answer), content_type=JSON)
        export = ExportTraceServiceResponse()
        if rejected:
            export.partial_success.rejected_spans = len(rejected)
            export.partial_success.error_message = message
        return HttpResponse(export.SerializeToString(), content_type=PROTOBUF)


class _DroppedApi(OtlpApi):
    """Takes a signal that holds nothing to count: a sender that is refused would log errors for ever."""

    def drop(self, request: Request) -> HttpResponse:
        size = 0
        while piece := request._request.read(65536):  # a connection that is kept open has to be read to its end
            size += len(piece)
            if size > settings.MAX_BODY_BYTES:
                raise TooLarge(f"The body is over {settings.MAX_BODY_BYTES:,} bytes, the limit here.")
        # An empty message of protobuf is no bytes at all.
        return HttpResponse(b"{}", content_type=JSON) if _is_json(request) else HttpResponse(content_type=PROTOBUF)


def _dropped(operation_id: str, signal: str) -> Any:
    return extend_schema(
        operation_id=operation_id,
        summary=f"Acknowledge OpenTelemetry {signal}",
        description=f"OTLP/HTTP: {signal} are taken and dropped, so that exporters that send them beside traces rest.",
        request={PROTOBUF: OpenApiTypes.BINARY, JSON: OpenApiTypes.OBJECT},
        responses={(200, PROTOBUF): OpenApiTypes.BINARY, (200, JSON): OpenApiTypes.OBJECT},
        tags=["usage"],
    )


class OtlpMetricsApi(_DroppedApi):
    @_dropped("usage_otlp_metrics", "metrics")
    def post(self, request: Request) -> HttpResponse:
        return self.drop(request)


class OtlpLogsApi(_DroppedApi):
    @_dropped("usage_otlp_logs", "logs")
    def post(self, request: Request) -> HttpResponse:
        return self.drop(request)


def _is_json(request: Any) -> bool:
    return "json" in (request.content_type or "").lower()


def _status(exc: Exception, context: dict[str, Any]) -> HttpResponse:
    """Turn whatever was raised into a Status, by way of the problem that the rest of the API would tell."""
    problem: Response = problem_details(exc, context)
    code = _CODES.get(problem.status_code, _INTERNAL)
    # Read but of no use is not told apart here: a sender drops it either way.
    status = 400 if problem.status_code == 422 else problem.status_code
    message = problem.data["detail"]
    headers = {name: problem.headers[name] for name in ("Retry-After", "WWW-Authenticate") if name in problem.headers}
    if _is_json(context["request"]):
        body = msgspec.json.encode({"code": code, "message": message})
        return HttpResponse(body, status=status, content_type=JSON, headers=headers)
    body = Status(code=code, message=message).SerializeToString()
    return HttpResponse(body, status=status, content_type=PROTOBUF, headers=headers)
