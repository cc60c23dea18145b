"""REST for a month of the ledger as FOCUS 1.2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from django.http import HttpRequest, StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from core.api_views import Api
from core.large_files import Lines
from usage.api_months import label_of
from usage.focus import files
from usage.selectors import focus

_TYPES = {files.CSV: "text/csv; charset=utf-8", files.JSONL: "application/x-ndjson"}


class FocusExportApi(Api):
    """A month as FOCUS."""

    actions: ClassVar[dict[str, str]] = {"GET": "view"}

    class QuerySerializer(serializers.Serializer):
        month = serializers.CharField(max_length=7, help_text="Such as 2026-10: what was booked in it.")
        team = serializers.CharField(required=False, default="", max_length=128, help_text="Only what this team used.")

        def get_fields(self) -> dict[str, Any]:
            # `format` is the framework's own, and `as` no name of Python's.
            return super().get_fields() | {
                "as": serializers.ChoiceField(
                    [files.CSV, files.JSONL],
                    required=False,
                    default=files.CSV,
                    help_text="`jsonl`: an object per line.",
                )
            }

    @extend_schema(
        summary="A month as FOCUS 1.2", operation_id="exports_focus_retrieve", tags=["exports"],
        responses={
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, description="RFC 4180, in UTF-8; null is empty."),
            (200, "application/x-ndjson"): OpenApiResponse(OpenApiTypes.STR, description="An object per line."),
            429: OpenApiResponse(description="Large files enough are being made; come again."),
        },
        description="A line per day, dimensions, meter and price, with all columns of FOCUS 1.2 and ours behind `x_`. "
        "The sum of `BilledCost` is that of the ledger, to the last digit. What came late for a closed month has "
        "`ChargeClass` Correction. Streamed; compressed where `Accept-Encoding` has gzip. A few large "
        "files are made at a time: whoever comes then gets 429, with `Retry-After`.",
    )  # fmt: skip
    def get(self, request: Request) -> Any:  # Django tells answers that stream apart from others
        found = focus.export(month=label_of(self.query["month"]), at=timezone.now(), team=self.query["team"])
        return answer(request, found, self.query["as"])


def answer(request: HttpRequest | Request, found: focus.Export, form: str) -> StreamingHttpResponse:
    """Stream an export as a file of a form, compressed on its way where the reader takes gzip.

    Raises:
        OthersFirst: it is large, and large files enough are being made.
    """
    lines = Lines(found.lines)
    response = _streamed(request, found, files.file(lines, form), form)
    # Also where nobody takes a line: a generator that was never begun has no end.
    response._resource_closers.append(lines.close)  # type: ignore[attr-defined]
    return response


def _streamed(
    request: HttpRequest | Request, found: focus.Export, pieces: Iterator[bytes], form: str
) -> StreamingHttpResponse:
    ending = files.CSV if form == files.CSV_GZ else form
    headers = {
        "Content-Disposition": f'attachment; filename="focus-{found.month:%Y-%m}.{form}"',
        "Vary": "Accept-Encoding",
    }
    if form == files.CSV_GZ:
        return StreamingHttpResponse(pieces, content_type="application/gzip", headers=headers)
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        pieces, headers["Content-Encoding"] = files.gzipped(pieces), "gzip"
    return StreamingHttpResponse(pieces, content_type=_TYPES[ending], headers=headers)
