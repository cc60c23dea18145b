"""REST for switches: what is off or on everywhere for a while."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from core.api import InstantField, MoneyField, PageQuery, acting_as, body, page_of, paged, read_cursor
from core.api_views import Api
from core.errors import NotFound
from routing.models import SwitchKind
from routing.selectors import switch_costs
from routing.selectors import switches as switch_rows
from routing.services import switches
from usage.selectors.elsewhere import Compared


class SwitchOutput(serializers.Serializer):
    id = serializers.IntegerField()
    kind = serializers.ChoiceField(SwitchKind.choices)
    name = serializers.CharField()
    off = serializers.BooleanField()
    since = InstantField()
    until = InstantField(help_text="When it ends by itself.")
    ended_at = InstantField(help_text="`until`, or when the next word on the name was given if that came first.")
    reason = serializers.CharField()
    by = serializers.CharField()
    holds = serializers.BooleanField(help_text="It is the last word on this name and has not ended.")


class SwitchSumsOutput(serializers.Serializer):
    requests = serializers.IntegerField(help_text="Attempts that were sent elsewhere because of the switch.")
    tokens = serializers.IntegerField()
    cost_usd = MoneyField(help_text="What they cost, as far as that is known.")
    unpriced_requests = serializers.IntegerField(help_text="Those whose cost is not known.")
    compared_requests = serializers.IntegerField(help_text="Those for which both sides are known.")
    compared_usd = MoneyField(help_text="What these cost.")
    instead_usd = MoneyField(help_text="What the same tokens would have cost where the switch was in the way.")
    difference_usd = MoneyField(
        allow_null=True,
        help_text="compared_usd less instead_usd: negative where it saved; null where nothing is known.",
    )


class SwitchMoveOutput(SwitchSumsOutput):
    environment = serializers.CharField()
    rules_version = serializers.IntegerField(help_text="0: not reported.")
    rule = serializers.CharField(help_text="Empty: no rule matched, or none was reported.")
    instead_of = serializers.CharField(help_text="The offering that the switch was in the way of; empty: not known.")
    offering = serializers.CharField(help_text="Where they went.")


class SwitchCostOutput(SwitchSumsOutput):
    so_far = serializers.BooleanField(help_text="It holds still.")
    kept = serializers.BooleanField(help_text="False: the ledger of that time is not kept, so nothing is known.")
    moves = SwitchMoveOutput(many=True)


class SwitchDetailOutput(SwitchOutput):
    cost = SwitchCostOutput(allow_null=True, help_text="Of what was turned off; null for what was turned on.")


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
        row = _found(turned.pk)
        return Response(_word(row, holds=now < row.until), status=status.HTTP_201_CREATED)


class SwitchApi(Api):
    """One word on a provider, model or offering, and what it cost or saved."""

    actions: ClassVar[dict[str, str]] = {"GET": "view"}

    @extend_schema(
        summary="What a switch cost or saved", operation_id="switch", tags=["rules"], responses=SwitchDetailOutput,
        description="Requests that gateways report with the reason `switched_off` while it held, at what they cost, "
        "beside what the same tokens would have cost at the first target of the same rule that the switch covered, "
        "at the prices of that instant. What is not known is compared with nothing: unknown is not free.",
    )  # fmt: skip
    def get(self, request: Request, pk: int) -> Response:
        row, now = _found(pk), timezone.now()
        cost = switch_costs.of([row], at=now).get(row.id)
        told = None if cost is None else _sums(cost.total) | {
            "so_far": cost.so_far,
            "kept": cost.kept,
            "moves": [
                {name: getattr(move, name) for name in _OF_A_MOVE} | _sums(move.sums) for move in cost.moves
            ],
        }  # fmt: skip
        return Response(SwitchDetailOutput(asdict(row) | {"holds": row.holds(now), "cost": told}).data)


_OF_A_MOVE = ("environment", "rules_version", "rule", "instead_of", "offering")


def _sums(sums: Compared) -> dict[str, Any]:
    return asdict(sums) | {"difference_usd": sums.difference_usd}


def _found(pk: int) -> switch_rows.SwitchRow:
    row = switch_rows.one(pk=pk)
    if row is None:
        raise NotFound("There is no such switch.")
    return row


def _word(row: switch_rows.SwitchRow, *, holds: bool) -> dict[str, Any]:
    return dict(SwitchOutput(asdict(row) | {"holds": holds}).data)
