"""REST for how far a budget can be used beyond its limit."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from budgets.models import Unit
from budgets.selectors import definitions, overview
from core.api import MoneyField
from core.api_views import Api
from core.errors import NotFound
from dashboards.selectors import overshoot
from dashboards.selectors.overshoot import PUBLISHED_WITHIN_S, Overshoot

_PLACES = Decimal("0.000001")


class GatewayOvershootOutput(serializers.Serializer):
    gateway = serializers.CharField()
    per_hour = MoneyField(help_text="What it uses, in the last full hour or the mean hour of a day, whichever is more.")
    reports_s = serializers.FloatField(allow_null=True, help_text="From a call to its report; 95 of 100 are quicker.")
    booking_s = serializers.FloatField(allow_null=True, help_text="From the report until it is booked; the same.")
    publishing_s = serializers.FloatField(help_text="Until the state is published, at most.")
    asks_again_s = serializers.FloatField(
        allow_null=True, source="pause_s", help_text="0 where its polls wait; else its longest pause of late."
    )
    asks = serializers.BooleanField(help_text="For rules, within 24 hours. Where not, no limit reaches it.")
    delay_s = serializers.FloatField(allow_null=True, help_text="All four together.")
    amount = MoneyField(allow_null=True, help_text="What it uses in that time; null where the time is not known.")


class OvershootOutput(serializers.Serializer):
    unit = serializers.ChoiceField(Unit.choices)
    enforces = serializers.BooleanField(help_text="Whether gateways are held to the limit at all.")
    known = serializers.BooleanField(help_text="False without a limit in force, or while the budget is counted.")
    amount = MoneyField(allow_null=True, help_text="Of the gateways whose delay is known, together.")
    share = MoneyField(allow_null=True, help_text="The same as a share of the limit.")
    so_far = MoneyField(allow_null=True, help_text="Used beyond the limit in this period; null: not used up.")
    gateways = GatewayOvershootOutput(many=True)


class BudgetOvershootApi(Api):
    """How far a budget can be used beyond its limit."""

    actions: ClassVar[dict[str, str]] = {"GET": "view"}

    @extend_schema(
        summary="How far a budget can be used beyond its limit", operation_id="budgets_overshoot", tags=["budgets"],
        responses=OvershootOutput,
        description="Nobody here is in the way of a request: what is used beyond a limit is the rate of use times the "
        "time until gateways know. Both are measured. Bursts use more, and so do calls that run for long.",
    )  # fmt: skip
    def get(self, request: Request, pk: int) -> Response:
        at = timezone.now()
        row = overview.one(budget_id=pk, at=at)
        if row is None:
            raise NotFound("There is no such budget.")
        definition = definitions.current().by_id.get(pk)
        found = overshoot.bound(definition=definition, row=row, at=at) if definition else None
        told = {
            "unit": row.unit,
            "enforces": bool(definition and definition.enforces),
            "known": found is not None,
            **_told(found),
        }
        return Response(OvershootOutput(told).data)


def _told(found: Overshoot | None) -> dict[str, Any]:
    if found is None:
        return {"amount": None, "share": None, "so_far": None, "gateways": []}
    return {
        "amount": _short(found.amount),
        "share": _short(found.share),
        "so_far": found.so_far,
        "gateways": [
            {
                "gateway": one.gateway,
                "per_hour": _short(one.per_hour),
                "reports_s": one.reports_s,
                "booking_s": one.booking_s,
                "publishing_s": PUBLISHED_WITHIN_S,
                "pause_s": one.pause_s,
                "asks": one.asks,
                "delay_s": one.delay_s,
                "amount": _short(one.amount),
            }
            for one in found.gateways
        ],
    }


def _short(value: Decimal | None) -> Decimal | None:
    """Return an estimate with six places: more would say what is not known."""
    return None if value is None else value.quantize(_PLACES)
