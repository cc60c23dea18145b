"""PromptLayer's way in: `POST /log-request` at the root, where its SDK sends with PROMPTLAYER_BASE_URL set to here."""

from __future__ import annotations

from typing import ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import Invalid
from usage.api_intake import IntakeApi


@extend_schema(exclude=True)  # theirs to describe; what is below /api/ is ours
class LogRequestApi(IntakeApi):
    """Takes one call, and answers as PromptLayer does: 201 with the id of what was logged, here the receipt's."""

    actions: ClassVar[dict[str, str]] = {"POST": "usage.send"}
    format_name = "promptlayer"

    def post(self, request: Request) -> Response:
        kept = self.keep(request)
        if not kept.parsed.events:
            # The SDK shows its user `detail`; the receipt keeps the reason as well.
            raise Invalid("; ".join(item.error for item in kept.parsed.rejected) or "There is no call in it.")
        answer = {"success": True, "id": kept.receipt_id, "request_id": kept.receipt_id, "prompt_version": None}
        return Response(answer, status=status.HTTP_201_CREATED)
