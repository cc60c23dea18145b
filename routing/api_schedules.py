"""REST for schedules: an approved draft published at a moment that somebody chose."""

from __future__ import annotations

from typing import ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from core.api import InstantField, PageQuery, acting_as, body, page_of, paged, read_cursor
from core.api_views import Api
from routing.api_drafts import ProposalDetailOutput, draft_detail
from routing.api_parts import known_draft
from routing.models import ScheduleState
from routing.selectors import schedules as rows
from routing.services import schedules


class ScheduleOutput(serializers.Serializer):
    id = serializers.IntegerField()
    draft = serializers.IntegerField(source="proposal_id")
    title = serializers.CharField(help_text="The draft's.")
    publish_at = InstantField()
    state = serializers.ChoiceField(ScheduleState.choices)
    made_at = InstantField()
    made_by = serializers.CharField(help_text="Published as her, if she still may.")
    ended_at = InstantField(allow_null=True)
    ended_by = serializers.CharField(help_text="Empty where its moment ended it.")
    why = serializers.CharField(help_text="It was suspended or cancelled.")


class SchedulesApi(Api):
    """What is scheduled in an environment, and what became of what was, the latest first."""

    actions: ClassVar[dict[str, str]] = {"GET": "view"}

    class QuerySerializer(PageQuery):
        state = serializers.ChoiceField(ScheduleState.choices, required=False)

    @extend_schema(
        summary="Schedules", operation_id="schedules_list", tags=["rules"],
        responses=page_of(ScheduleOutput, "SchedulePage"),
    )  # fmt: skip
    def get(self, request: Request, environment: str) -> Response:
        cursor = read_cursor(self.query.get("after"), (int,))
        found = rows.newest(
            environment=environment,
            states=[self.query["state"]] if "state" in self.query else (),
            limit=self.query["limit"] + 1,
            before=None if cursor is None else cursor[0],
        )
        page = paged(request, found, limit=self.query["limit"], key=lambda row: (row.id,))
        return Response(page | {"results": ScheduleOutput(page["results"], many=True).data})


class DraftScheduleApi(Api):
    """Schedules a draft."""

    actions: ClassVar[dict[str, str]] = {"POST": "rules.publish"}

    class InputSerializer(serializers.Serializer):
        publish_at = InstantField(help_text="To come, and within a year.")

    @extend_schema(
        summary="Schedule a draft", operation_id="drafts_schedule", tags=["rules"],
        request=InputSerializer, responses={201: ProposalDetailOutput},
        description="It is published then in the name of whoever scheduled it, if she still may and nothing stands "
        "against it; else it is suspended, and an alert says why. Refused where it could not be published now.",
    )  # fmt: skip
    def post(self, request: Request, environment: str, pk: int) -> Response:
        data = body(self.InputSerializer, request)
        schedules.schedule(proposal_id=known_draft(environment, pk), **data, by=acting_as(request), at=timezone.now())
        return Response(draft_detail(environment, pk), status=status.HTTP_201_CREATED)


class DraftScheduleMoveApi(Api):
    """Moves what is scheduled to another moment."""

    actions: ClassVar[dict[str, str]] = {"POST": "rules.publish"}

    class InputSerializer(serializers.Serializer):
        publish_at = InstantField(help_text="To come, and within a year.")
        seen = InstantField(required=False, help_text="The moment you take for the present one; 409 if it is not.")

    @extend_schema(
        summary="Move a schedule", operation_id="drafts_schedule_move", tags=["rules"],
        request=InputSerializer, responses=ProposalDetailOutput,
        description="From then on it is published in the name of whoever moved it.",
    )  # fmt: skip
    def post(self, request: Request, environment: str, pk: int) -> Response:
        data = body(self.InputSerializer, request)
        schedules.move(proposal_id=known_draft(environment, pk), **data, by=acting_as(request), at=timezone.now())
        return Response(draft_detail(environment, pk))


class DraftScheduleCancelApi(Api):
    """Takes a schedule back; the draft stays approved."""

    actions: ClassVar[dict[str, str]] = {"POST": "rules.publish"}

    class InputSerializer(serializers.Serializer):
        why = serializers.CharField(max_length=schedules.REASON_CHARACTERS)

    @extend_schema(
        summary="Cancel a schedule", operation_id="drafts_schedule_cancel", tags=["rules"],
        request=InputSerializer, responses=ProposalDetailOutput,
    )  # fmt: skip
    def post(self, request: Request, environment: str, pk: int) -> Response:
        data = body(self.InputSerializer, request)
        schedules.cancel(proposal_id=known_draft(environment, pk), **data, by=acting_as(request), at=timezone.now())
        return Response(draft_detail(environment, pk))
