"""REST for alerts and their deliveries."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from alerts.models import AlertState, DeliveryState, Severity
from alerts.selectors import alerts as rows
from alerts.services import acknowledging, deliveries
from alerts.tasks import DELIVER_DUE, QUEUE
from core import nudges
from core.api import (
    BadQuery,
    InstantField,
    PageQuery,
    acting_as,
    body,
    next_page,
    page_of,
    read_cursor,
    written_cursor,
)
from core.api_views import Api
from core.errors import NotFound

SEVERITIES = {str(severity.label): severity for severity in Severity}
SEVERITY_CHOICES = [(name, name) for name in SEVERITIES]


class DeliveryOutput(serializers.Serializer):
    id = serializers.IntegerField()
    channel_id = serializers.IntegerField(allow_null=True, help_text="Null: no channel wanted the alert.")
    channel = serializers.CharField()
    channel_kind = serializers.CharField()
    state = serializers.ChoiceField(DeliveryState.choices)
    reason = serializers.CharField()
    answer = serializers.CharField(help_text="Of the far side.")
    attempts = serializers.IntegerField()
    created_at = InstantField()
    due_at = InstantField()
    delivered_at = InstantField(allow_null=True)
    asked_again_at = InstantField(allow_null=True, help_text="When somebody had it tried again after it had failed.")
    possibly_repeated = serializers.BooleanField()


class AlertOutput(serializers.Serializer):
    id = serializers.IntegerField()
    kind = serializers.CharField()
    severity = serializers.ChoiceField(SEVERITY_CHOICES, source="severity_label")
    state = serializers.ChoiceField(AlertState.choices)
    title = serializers.CharField()
    facts = serializers.DictField(help_text="What happened, in words and figures; of a crossing, what was crossed.")
    subject_kind = serializers.CharField()
    subject_id = serializers.IntegerField(allow_null=True)
    team_ids = serializers.ListField(child=serializers.IntegerField())
    budget_id = serializers.IntegerField(allow_null=True)
    created_at = InstantField()
    acknowledged_at = InstantField(allow_null=True)
    acknowledged_by = serializers.CharField()
    snoozed_until = InstantField(allow_null=True)
    resolved_at = InstantField(allow_null=True)
    deliveries = DeliveryOutput(many=True)


class CommentOutput(serializers.Serializer):
    at = InstantField()
    by = serializers.CharField()
    text = serializers.CharField()


class AlertDetailOutput(AlertOutput):
    comments = CommentOutput(many=True)


def _alert(alert_id: int) -> rows.AlertDetail:
    found = rows.one(alert_id=alert_id)
    if found is None:
        raise NotFound(f"There is no alert {alert_id}.")
    return found


def _detail(alert_id: int) -> dict[str, Any]:
    found = _alert(alert_id)
    comments = CommentOutput(found.comments, many=True).data
    return dict(AlertOutput(found.alert).data) | {"comments": comments}


def _before(after: str | None) -> tuple[datetime, int] | None:
    cursor = read_cursor(after, (str, int))
    if cursor is None:
        return None
    try:
        created_at = datetime.fromisoformat(cursor[0])
    except ValueError as error:
        raise BadQuery("after: take it from `next` as it is.", [("after", "not a page of this list")]) from error
    if created_at.tzinfo is None:
        raise BadQuery("after: take it from `next` as it is.", [("after", "not a page of this list")])
    return created_at, cursor[1]


class AlertsApi(Api):
    """Alerts of every kind, newest first, with their deliveries."""

    actions: ClassVar[dict[str, str]] = {"GET": "view"}

    class QuerySerializer(PageQuery):
        state = serializers.ChoiceField(AlertState.choices, required=False)
        kind = serializers.CharField(required=False)
        severity = serializers.ChoiceField(SEVERITY_CHOICES, required=False)
        team_id = serializers.IntegerField(required=False)
        budget_id = serializers.IntegerField(required=False)

    @extend_schema(
        summary="Alerts", operation_id="alerts_list", tags=["alerts"], responses=page_of(AlertOutput, "AlertPage")
    )
    def get(self, request: Request) -> Response:
        query = self.query
        page = rows.newest(
            limit=query["limit"],
            before=_before(query.get("after")),
            states=[query["state"]] if "state" in query else [],
            kinds=[query["kind"]] if "kind" in query else [],
            severities=[SEVERITIES[query["severity"]]] if "severity" in query else [],
            team_id=query.get("team_id"),
            budget_id=query.get("budget_id"),
        )
        following = None
        if page.next_before is not None:
            following = next_page(request, written_cursor((page.next_before[0].isoformat(), page.next_before[1])))
        return Response({"results": AlertOutput(page.rows, many=True).data, "next": following})


class AlertApi(Api):
    """One alert."""

    actions: ClassVar[dict[str, str]] = {"GET": "view"}

    @extend_schema(summary="An alert", operation_id="alerts_retrieve", tags=["alerts"], responses=AlertDetailOutput)
    def get(self, request: Request, pk: int) -> Response:
        return Response(_detail(pk))


class AlertAcknowledgeApi(Api):
    """Taking care of an alert."""

    actions: ClassVar[dict[str, str]] = {"POST": "alerts.acknowledge"}

    class InputSerializer(serializers.Serializer):
        comment = serializers.CharField(max_length=4000, required=False, help_text="Kept with the alert.")

    @extend_schema(
        summary="Acknowledge an alert", operation_id="alerts_acknowledge", tags=["alerts"],
        request=InputSerializer, responses=AlertDetailOutput,
        description="Safe to repeat: whoever was first stays named.",
    )  # fmt: skip
    def post(self, request: Request, pk: int) -> Response:
        data, by, now = body(self.InputSerializer, request), acting_as(request), timezone.now()
        acknowledging.acknowledge(alert_id=pk, by=by, at=now)
        if "comment" in data:
            acknowledging.comment(alert_id=pk, text=data["comment"], by=by, at=now)
        return Response(_detail(pk))


class AlertSnoozeApi(Api):
    """Putting an alert aside for a while."""

    actions: ClassVar[dict[str, str]] = {"POST": "alerts.acknowledge"}

    class InputSerializer(serializers.Serializer):
        until = InstantField(help_text="Until then it is not among the open ones.")

    @extend_schema(
        summary="Snooze an alert", operation_id="alerts_snooze", tags=["alerts"],
        request=InputSerializer, responses=AlertDetailOutput,
        description="It stays in its state, and what is on its way to a channel still goes out.",
    )  # fmt: skip
    def post(self, request: Request, pk: int) -> Response:
        data = body(self.InputSerializer, request)
        acknowledging.snooze(alert_id=pk, until=data["until"], by=acting_as(request), at=timezone.now())
        return Response(_detail(pk))


class AlertResolveApi(Api):
    """Ending an alert."""

    actions: ClassVar[dict[str, str]] = {"POST": "alerts.acknowledge"}

    @extend_schema(
        summary="Resolve an alert", operation_id="alerts_resolve", tags=["alerts"],
        request=None, responses=AlertDetailOutput, description="Safe to repeat: the first moment stays.",
    )  # fmt: skip
    def post(self, request: Request, pk: int) -> Response:
        acknowledging.resolve(alert_id=pk, by=acting_as(request), at=timezone.now())
        return Response(_detail(pk))


class AlertCommentsApi(Api):
    """What people say about an alert."""

    actions: ClassVar[dict[str, str]] = {"POST": "alerts.acknowledge"}

    class InputSerializer(serializers.Serializer):
        text = serializers.CharField(max_length=4000)

    @extend_schema(
        summary="Comment on an alert", operation_id="alerts_comment", tags=["alerts"],
        request=InputSerializer, responses={201: AlertDetailOutput}, description="In any state. Not safe to repeat.",
    )  # fmt: skip
    def post(self, request: Request, pk: int) -> Response:
        data = body(self.InputSerializer, request)
        acknowledging.comment(alert_id=pk, text=data["text"], by=acting_as(request), at=timezone.now())
        return Response(_detail(pk), status=status.HTTP_201_CREATED)


class DeliveryRetryApi(Api):
    """Asking for a failed delivery again."""

    actions: ClassVar[dict[str, str]] = {"POST": "alerts.acknowledge"}

    @extend_schema(
        summary="Send a failed delivery again", operation_id="deliveries_retry", tags=["alerts"],
        request=None, responses=AlertDetailOutput,
        description="It is tried at once, and for a day if it has to be. 409 where it has not failed.",
    )  # fmt: skip
    def post(self, request: Request, pk: int, delivery: int) -> Response:
        if not any(row.id == delivery for row in _alert(pk).alert.deliveries):
            raise deliveries.NoSuchDelivery(f"Alert {pk} has no delivery {delivery}.")
        deliveries.ask_again(delivery_id=delivery, by=acting_as(request), at=timezone.now())
        nudges.nudge(DELIVER_DUE, queue=QUEUE)
        return Response(_detail(pk))
