"""`GET rules/{environment}` as Django answers it, where the callable in front passes a poll on, and the signing key."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.access import Caller
from core.api_views import Api
from core.errors import NotFound
from routing.serving import documents, loading, reports, signing
from routing.serving.documents import Served
from routing.serving.shelf import SHELF
from routing.serving.waiting import LONGEST_SECONDS

_VERSION_AND_REVISION = "written `<version>.<revision>`, as in the ETag"
_REPORT = {
    "instance": "How this instance of the gateway calls itself, so that the console can tell it from others: "
    f"`{reports.INSTANCE_PATTERN}`.",
    "active": f"What it runs, {_VERSION_AND_REVISION}; else `If-None-Match` says it.",
    "rejected": f"What it refused to run, {_VERSION_AND_REVISION}. Name its ETag in `If-None-Match`, too, and it is "
    "not sent again.",
    "reason": f"Why it refused that; the first {reports.REASON_CHARACTERS} characters are kept.",
    "spec": "The newest specification of rules that it understands, a whole number.",
    "client": f"What asks, name and version: `{reports.CLIENT_PATTERN}`.",
}


class RulesApi(Api):
    """The rules in force. Four queries at most, and one document to put together unless the shelf has it."""

    actions: ClassVar[dict[str, str]] = {"GET": loading.ACTION}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        # Past the check of the query string: what a gateway says of itself never costs it its rules.
        super(Api, self).initial(request, *args, **kwargs)

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        # A gateway that accepts something else gets the rules all the same: it keeps what it has on anything but 200.
        return super().perform_content_negotiation(request, force=True)

    @extend_schema(
        summary="The rules in force",
        operation_id="rules_read",
        description="The document of specification 1 with its state. Send the `ETag` back in `If-None-Match`: 304 says "
        "that you have these rules. Keep what you have on any answer but 200. The query parameters tell the console "
        "how the gateway is; what is not understood there is passed over. With `Prefer: wait=N` a poll that has what "
        "is in force is answered once that changes, or after N seconds. `Preference-Applied` says that it may wait "
        "here: ask again at once. Without it nothing waits here now: ask again when you would without waiting.",
        parameters=[
            OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER, description="ETags of what you have."),
            OpenApiParameter(
                "Prefer",
                str,
                OpenApiParameter.HEADER,
                description=f"`wait=N`: for how many seconds you would wait, {LONGEST_SECONDS} at most.",
            ),
            OpenApiParameter(
                "Preference-Applied", str, OpenApiParameter.HEADER, response=True, description="`wait=N`."
            ),
            OpenApiParameter(
                "Tollkeeper-Signature",
                str,
                OpenApiParameter.HEADER,
                response=[200],
                description="`ed25519=BASE64; keyid=ID` of the uncompressed body, where rules are signed here.",
            ),
            *(OpenApiParameter(name, str, description=said) for name, said in _REPORT.items()),
        ],
        responses={
            (200, documents.JSON_TYPE): OpenApiTypes.OBJECT,
            304: OpenApiResponse(description="You have them."),
            (404, documents.PROBLEM_TYPE): OpenApiResponse(
                response=OpenApiTypes.OBJECT, description="`no-version`: no rules are in force; keep those you have."
            ),
        },
        tags=["rules"],
    )
    def get(self, request: Request, environment: str) -> HttpResponse:
        if_none_match = request.headers.get("If-None-Match")
        served = _in_force(environment)
        caller = request.user
        if isinstance(caller, Caller) and caller.gateway_id is not None and len(environment) <= 64:
            query = request.META.get("QUERY_STRING", "").encode("latin-1", "replace").decode(errors="replace")
            SHELF.polls.note(
                gateway_id=caller.gateway_id, environment=environment, report=reports.read(query),
                if_none_match=if_none_match, given=served, at=timezone.now().timestamp(),
            )  # fmt: skip
        answer = documents.respond(
            served,
            path=request.path,
            if_none_match=if_none_match,
            accept_encoding=request.headers.get("Accept-Encoding"),
        )
        return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))


class SigningKeyApi(Api):
    """The public key of what is signed here."""

    actions: ClassVar[dict[str, str]] = {"GET": loading.ACTION}

    class Output(serializers.Serializer):
        algorithm = serializers.CharField()
        keyid = serializers.CharField(help_text="As in the signature: 16 characters of the SHA-256 of the public key.")
        public_key = serializers.CharField(help_text="Its 32 bytes in base64.")

    @extend_schema(
        summary="The key that rules are signed with", operation_id="signing_key_read", tags=["rules"], responses=Output,
        description="For setting a gateway up. A gateway that asks for it beside the rules learns only that both came "
        "from the same place.",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        signer = signing.signer()
        if signer is None:
            raise NotFound("Rules are not signed here.")
        return Response({"algorithm": "ed25519", "keyid": signer.key_id, "public_key": signer.public_base64})


def _in_force(environment: str) -> Served | None:
    """Return what is in force now, and not what the shelf knew a moment ago."""
    for pointer in loading.pointers(environment=environment):
        kept = SHELF.documents.get(environment)
        return kept if kept is not None and pointer.is_of(kept) else loading.served(pointer)
    return None
