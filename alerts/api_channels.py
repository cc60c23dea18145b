"""REST for the channels that alerts go to. Secrets go in and never come out, save one that was made here, once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from alerts.api import SEVERITIES, SEVERITY_CHOICES
from alerts.channels import KINDS, Delivered, FailedForGood, Outcome
from alerts.models import Digest
from alerts.selectors import channels as channel_rows
from alerts.services import channels
from core.api import InstantField, PageQuery, acting_as, body, page_of, paged, read_cursor
from core.api_views import Api


class ChannelOutput(serializers.Serializer):
    id = serializers.IntegerField()
    name = serializers.CharField()
    kind = serializers.ChoiceField([(name, name) for name in KINDS])
    target = serializers.CharField(help_text="Where messages go, as far as people may see it.")
    config = serializers.DictField()
    has_secret = serializers.BooleanField()
    former_secret_until = InstantField(
        allow_null=True, help_text="After a rotation: until then the former signing secret signs as well."
    )
    enabled = serializers.BooleanField()
    teams = serializers.ListField(child=serializers.IntegerField(), help_text="Empty: all, here and below.")
    budgets = serializers.ListField(child=serializers.IntegerField())
    kinds = serializers.ListField(child=serializers.CharField())
    least_severity = serializers.ChoiceField(SEVERITY_CHOICES, source="least_severity_label")
    digests = serializers.ListField(child=serializers.ChoiceField(Digest.choices))
    digest_hour = serializers.IntegerField(help_text="Of the organisation's time zone.")
    canary = serializers.BooleanField(help_text="Gets the daily check that alerts go out.")
    created_at = InstantField()
    retired_at = InstantField(allow_null=True)


def _row(pk: int) -> channel_rows.ChannelRow:
    row = channel_rows.one(channel_id=pk)
    if row is None:
        raise channels.NoSuchChannel(f"There is no channel {pk}.")
    return row


def _channel(pk: int) -> dict[str, Any]:
    return dict(ChannelOutput(_row(pk)).data)


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
    least_severity = serializers.ChoiceField(SEVERITY_CHOICES, required=False)
    digests = serializers.ListField(child=serializers.ChoiceField(Digest.choices), required=False)
    digest_hour = serializers.IntegerField(min_value=0, max_value=23, required=False)
    canary = serializers.BooleanField(required=False)


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

    class MadeOutput(ChannelOutput):
        made_secret = serializers.CharField(help_text="Shown this once. Empty where one was given, or none is needed.")

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
        request=InputSerializer, responses={201: MadeOutput},
        description="A signed webhook without a secret gets one made, which this answer alone shows.",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        data = {"config": {}, "secret": ""} | _given(self.InputSerializer, request)
        made_secret = "" if data["secret"] else channels.made_secret(kind=data["kind"])
        data["secret"] = data["secret"] or made_secret
        made = channels.create(**data, by=acting_as(request), at=timezone.now())
        return Response(_channel(made.pk) | {"made_secret": made_secret}, status=status.HTTP_201_CREATED)


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


class ChannelSecretApi(Api):
    """Rotating what a signed webhook signs with."""

    actions: ClassVar[dict[str, str]] = {"POST": "channels.edit"}

    class InputSerializer(serializers.Serializer):
        keep_hours = serializers.IntegerField(
            min_value=0, max_value=channels.LONGEST_OVERLAP.days * 24, default=24,
            help_text="How long the former secret signs as well; 0 ends it at once.",
        )  # fmt: skip

    class OutputSerializer(serializers.Serializer):
        made_secret = serializers.CharField(help_text="Shown this once.")
        former_secret_until = InstantField()

    @extend_schema(
        summary="Rotate a signing secret", operation_id="channels_rotate_secret", tags=["alerts"],
        request=InputSerializer, responses=OutputSerializer,
        description="Makes another one at each call; of signed webhooks alone.",
    )  # fmt: skip
    def post(self, request: Request, pk: int) -> Response:
        hours = body(self.InputSerializer, request)["keep_hours"]
        kind = _row(pk).kind
        new = channels.made_secret(kind=kind)
        until = channels.rotate_secret(
            channel_id=pk, new=new, keep_for=timedelta(hours=hours), by=acting_as(request), at=timezone.now()
        )
        return Response(self.OutputSerializer({"made_secret": new, "former_secret_until": until}).data)


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
