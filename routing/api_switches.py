"""REST for switches: what is off or on everywhere for a while."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from core.api import InstantField, PageQuery, acting_as, body, page_of, paged, read_cursor
from core.api_views import Api
from routing.models import SwitchKind
from routing.selectors import switches as switch_rows
from routing.services import switches


class SwitchOutput(serializers.Serializer):
    id = serializers.IntegerField()
    kind = serializers.ChoiceField(SwitchKind.choices)
    name = serializers.CharField()
    off = serializers.BooleanField()
    since = InstantField()
    until = InstantField()
    reason = serializers.CharField()
    by = serializers.CharField()
    holds = serializers.BooleanField(help_text="It is the last word on this name and has not ended.")


class SwitchesApi(Api):
    """Switches, the latest first."""

    actions: ClassVar[dict[str, str]] = {"GET": "view", "POST": "switches.turn"}

    class QuerySerializer(PageQuery):
        pass

    class InputSerializer(serializers.Serializer):
        provider = serializers.CharField(max_length=193, required=False)
        model = serializers.CharField(max_length=193, required=False)
        offering = serializers.CharField(max_length=193, required=False, help_text="Give one of the three.")
        off = serializers.BooleanField(required=False, default=True, help_text="False: on again, or on all the same.")
        seconds = serializers.IntegerField(
            required=False, min_value=0, max_value=switches.LONGEST_SECONDS,
            help_text='How long it holds. "On" for 0 seconds, as where not given, takes an "off" back.',
        )  # fmt: skip
        reason = serializers.CharField(max_length=switches.REASON_CHARACTERS)

        def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
            named = [kind for kind in SwitchKind.values if kind in attrs]
            if len(named) != 1:
                raise serializers.ValidationError(f"Give exactly one of {', '.join(SwitchKind.values)}.")
            if attrs["off"] and "seconds" not in attrs:
                raise serializers.ValidationError({"seconds": "Say for how long it is off."})
            return attrs

    @extend_schema(
        summary="Switches", operation_id="switches_list", tags=["rules"],
        responses=page_of(SwitchOutput, "SwitchPage"),
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        cursor = read_cursor(self.query.get("after"), (int,))
        before = None if cursor is None else cursor[0]
        rows = switch_rows.newest(limit=self.query["limit"] + 1, before=before)
        page = paged(request, rows, limit=self.query["limit"], key=lambda row: (row.id,))
        holding = {row.id for row in switch_rows.in_force(at=timezone.now())}
        return Response(page | {"results": [_word(row, holds=row.id in holding) for row in page["results"]]})

    @extend_schema(
        summary="Turn a switch", operation_id="switches_create", tags=["rules"],
        request=InputSerializer, responses={201: SwitchOutput},
        description="Off, or on, in every environment from now on; it ends by itself, also in gateways that cannot "
        "reach Tollkeeper. Gateways have it with their next poll.",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        data, now = body(self.InputSerializer, request), timezone.now()
        kind = next(kind for kind in SwitchKind.values if kind in data)
        turned = switches.turn(
            kind=kind,
            name=data[kind],
            off=data["off"],
            seconds=data.get("seconds", 0),
            reason=data["reason"],
            by=acting_as(request),
            at=now,
        )
        row = next(row for row in switch_rows.newest(limit=1, before=turned.pk + 1))
        return Response(_word(row, holds=now < row.until), status=status.HTTP_201_CREATED)


def _word(row: switch_rows.SwitchRow, *, holds: bool) -> dict[str, Any]:
    return dict(SwitchOutput(asdict(row) | {"holds": holds}).data)
