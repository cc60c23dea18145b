"""REST for alerts and the channels they go to. Secrets go in and never come out."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from alerts.channels import KINDS, Delivered, FailedForGood, Outcome
from alerts.models import AlertState, DeliveryState, Severity
from alerts.selectors import alerts as rows
from alerts.selectors import channels as channel_rows
from alerts.services import acknowledging, channels
from core.api import (
    BadQuery,
    InstantField,
    PageQuery,
    acting_as,
    body,
    next_page,
    page_of,
    paged,
    read_cursor,
    written_cursor,
)
from core.api_views import Api
from core.errors import NotFound

SEVERITIES = {str(severity.label): severity for severity in Severity}
_SEVERITY_CHOICES = [(name, name) for name in SEVERITIES]


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
    possibly_repeated = serializers.BooleanField()


class AlertOutput(serializers.Serializer):
    id = serializers.IntegerField()
    kind = serializers.CharField()
    severity = serializers.ChoiceField(_SEVERITY_CHOICES, source="severity_label")
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


def _detail(alert_id: int) -> dict[str, Any]:
    found = rows.one(alert_id=alert_id)
    if found is None:
        raise NotFound(f"There is no alert {alert_id}.")
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
        severity = serializers.ChoiceField(_SEVERITY_CHOICES, required=False)
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


# --- channels ---


class ChannelOutput(serializers.Serializer):
    id = serializers.IntegerField()
    name = serializers.CharField()
    kind = serializers.ChoiceField([(name, name) for name in KINDS])
    target = serializers.CharField(help_text="Where messages go, as far as people may see it.")
    config = serializers.DictField()
    has_secret = serializers.BooleanField()
    enabled = serializers.BooleanField()
    teams = serializers.ListField(child=serializers.IntegerField(), help_text="Empty: all, here and below.")
    budgets = serializers.ListField(child=serializers.IntegerField())
    kinds = serializers.ListField(child=serializers.CharField())
    least_severity = serializers.ChoiceField(_SEVERITY_CHOICES, source="least_severity_label")
    created_at = InstantField()
    retired_at = InstantField(allow_null=True)


def _channel(pk: int) -> Any:
    row = channel_rows.one(channel_id=pk)
    if row is None:
        raise channels.NoSuchChannel(f"There is no channel {pk}.")
    return ChannelOutput(row).data


class _ChannelInput(serializers.Serializer):
    name = serializers.CharField(max_length=128)
    config = serializers.DictField(
        required=False, help_text='What the kind needs, such as {"recipients": ["lead@example.com"]}.'
    )
    secret = serializers.CharField(
        max_length=2000, required=False, allow_blank=True, write_only=True, trim_whitespace=True,
        help_text="Such as a webhook's address. Encrypted, and never shown again.",
    )  # fmt: skip
    enabled = serializers.BooleanField(required=False)
    teams = serializers.ListField(child=serializers.IntegerField(), required=False)
    budgets = serializers.ListField(child=serializers.IntegerField(), required=False)
    kinds = serializers.ListField(child=serializers.CharField(max_length=32), required=False)
    least_severity = serializers.ChoiceField(_SEVERITY_CHOICES, required=False)


def _given(serializer: type[serializers.Serializer], request: Request) -> dict[str, Any]:
    data = body(serializer, request)
    if "least_severity" in data:
        data["least_severity"] = SEVERITIES[data["least_severity"]]
    return data


class ChannelsApi(Api):
    """Where alerts go."""

    actions: ClassVar[dict[str, str]] = {"GET": "view", "POST": "channels.edit"}

    class QuerySerializer(PageQuery):
        retired = serializers.BooleanField(required=False, default=False, help_text="Retired ones too.")

    class InputSerializer(_ChannelInput):
        kind = serializers.ChoiceField([(name, name) for name in KINDS])

    @extend_schema(
        summary="Channels", operation_id="channels_list", tags=["alerts"],
        responses=page_of(ChannelOutput, "ChannelPage"),
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        limit, cursor = self.query["limit"], read_cursor(self.query.get("after"), (int,))
        found = channel_rows.every(with_retired=self.query["retired"])
        wanted = sorted((row for row in found if cursor is None or row.id > cursor[0]), key=lambda row: row.id)
        page = paged(request, wanted, limit=limit, key=lambda row: (row.id,))
        return Response(page | {"results": ChannelOutput(page["results"], many=True).data})

    @extend_schema(
        summary="Set up a channel", operation_id="channels_create", tags=["alerts"],
        request=InputSerializer, responses={201: ChannelOutput},
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        data = {"config": {}, "secret": ""} | _given(self.InputSerializer, request)
        made = channels.create(**data, by=acting_as(request), at=timezone.now())
        return Response(_channel(made.pk), status=status.HTTP_201_CREATED)


class ChannelApi(Api):
    """One channel."""

    actions: ClassVar[dict[str, str]] = {"GET": "view", "PATCH": "channels.edit", "DELETE": "channels.edit"}

    class InputSerializer(_ChannelInput):
        name = serializers.CharField(max_length=128, required=False)
        reason = serializers.CharField(max_length=300, required=False, default="", allow_blank=True)

    @extend_schema(summary="A channel", operation_id="channels_retrieve", tags=["alerts"], responses=ChannelOutput)
    def get(self, request: Request, pk: int) -> Response:
        return Response(_channel(pk))

    @extend_schema(
        summary="Change a channel", operation_id="channels_update", tags=["alerts"],
        request=InputSerializer, responses=ChannelOutput,
        description="What is not given stays, the secret too; the kind never changes.",
    )  # fmt: skip
    def patch(self, request: Request, pk: int) -> Response:
        channels.change(channel_id=pk, by=acting_as(request), **_given(self.InputSerializer, request))
        return Response(_channel(pk))

    @extend_schema(
        summary="Retire a channel", operation_id="channels_retire", tags=["alerts"], responses={204: None},
        description="For good: its secret is forgotten, its deliveries stay. Safe to repeat.",
    )  # fmt: skip
    def delete(self, request: Request, pk: int) -> Response:
        channels.retire(channel_id=pk, by=acting_as(request), at=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)


def _outcome(outcome: Outcome) -> dict[str, str]:
    if isinstance(outcome, Delivered):
        return {"outcome": "delivered", "detail": outcome.answer}
    return {"outcome": "failed" if isinstance(outcome, FailedForGood) else "retry_later", "detail": outcome.reason}


class ChannelTestApi(Api):
    """Trying a channel out."""

    actions: ClassVar[dict[str, str]] = {"POST": "channels.edit"}

    class OutputSerializer(serializers.Serializer):
        outcome = serializers.ChoiceField([(name, name) for name in ("delivered", "retry_later", "failed")])
        detail = serializers.CharField(help_text="What the far side said, or why it did not work.")

    @extend_schema(
        summary="Send a test message", operation_id="channels_test", tags=["alerts"],
        request=None, responses=OutputSerializer, description="Waits for the far side, 10 seconds at most.",
    )  # fmt: skip
    def post(self, request: Request, pk: int) -> Response:
        outcome = channels.send_test(channel_id=pk, by=acting_as(request), at=timezone.now())
        return Response(self.OutputSerializer(_outcome(outcome)).data)
