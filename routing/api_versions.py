"""REST for versions: what was published, and the way back."""

from __future__ import annotations

from typing import ClassVar

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from core.api import InstantField, PageQuery, acting_as, body, page_of, paged, read_cursor
from core.api_views import Api
from core.errors import NotFound
from routing.api_parts import VersionOutput, version_row
from routing.selectors import versions
from routing.services import versions as publishing
from routing.serving import documents, loading


class FrozenOutput(serializers.Serializer):
    spec = serializers.IntegerField()
    environment = serializers.CharField()
    version = serializers.IntegerField()
    base = serializers.IntegerField(allow_null=True)
    published_at = InstantField()
    published_by = serializers.CharField()
    approved_by = serializers.CharField()
    title = serializers.CharField()
    reason = serializers.CharField()
    rolls_back_to = serializers.IntegerField(allow_null=True)
    sha256 = serializers.CharField(help_text="Of the canonical bytes of the content: its members below.")
    rules = serializers.ListField(child=serializers.DictField())
    default = serializers.DictField()
    offerings = serializers.DictField()
    heuristics = serializers.DictField(
        required=False, allow_null=True, help_text="How requests without task or complexity are labelled."
    )


class VersionsApi(Api):
    """What was published, the latest first."""

    actions: ClassVar[dict[str, str]] = {"GET": "rules.read"}

    class QuerySerializer(PageQuery):
        pass

    @extend_schema(
        summary="Versions", operation_id="versions_list", tags=["rules"],
        responses=page_of(VersionOutput, "VersionPage"),
    )  # fmt: skip
    def get(self, request: Request, environment: str) -> Response:
        cursor = read_cursor(self.query.get("after"), (int,))
        before = None if cursor is None else cursor[0]
        rows = versions.newest(environment=environment, limit=self.query["limit"] + 1, before=before)
        page = paged(request, rows, limit=self.query["limit"], key=lambda row: (row.number,))
        return Response(page | {"results": VersionOutput(page["results"], many=True).data})


class VersionApi(Api):
    """One published version: it never changes, so whoever has it need not ask again."""

    actions: ClassVar[dict[str, str]] = {"GET": "rules.read"}

    @extend_schema(
        summary="A published version",
        operation_id="versions_retrieve",
        tags=["rules"],
        responses={200: FrozenOutput, 304: OpenApiResponse(description="You have it.")},
        description="The last members are those of the canonical bytes as they are stored: written without spaces, in "
        "the order of their names, `sha256` is theirs. Caches of whoever asked may keep it for ever.",
    )
    def get(self, request: Request, environment: str, number: int) -> HttpResponse:
        found = loading.published(environment=environment, number=number)
        if found is None:
            raise NotFound(f"There is no version {number} of {environment}.")
        answer = documents.respond(
            found,
            path=request.path,
            if_none_match=request.headers.get("If-None-Match"),
            accept_encoding=request.headers.get("Accept-Encoding"),
        )
        return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))


class RollbackApi(Api):
    """Goes back to a version in one step."""

    actions: ClassVar[dict[str, str]] = {"POST": "rules.publish"}

    class InputSerializer(serializers.Serializer):
        to = serializers.IntegerField(min_value=1, help_text="A version that was once published.")
        reason = serializers.CharField(max_length=2000)
        seen = serializers.IntegerField(
            min_value=1, required=False, help_text="The version you take for the one in force; 409 if it is not."
        )

    @extend_schema(
        summary="Roll back", operation_id="rules_rollback", tags=["rules"],
        request=InputSerializer, responses={201: VersionOutput},
        description="Publishes that version's content as a new version. It needs a reason and no second approval.",
    )  # fmt: skip
    def post(self, request: Request, environment: str) -> Response:
        data = body(self.InputSerializer, request)
        data.setdefault("seen", versions.live_number(environment=environment))
        made = publishing.roll_back(environment=environment, **data, by=acting_as(request), at=timezone.now())
        return Response(version_row(environment, made.number), status=status.HTTP_201_CREATED)
