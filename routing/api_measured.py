"""REST for what was measured of rules: orders by score, and which rules take which requests."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.api import InstantField, MoneyField
from core.api_views import Api
from core.models import Organisation
from routing.api_parts import known_environment
from routing.selectors import hits, orders

_VERDICTS = (hits.FIRES, hits.TAKES_ALL, hits.NEVER, hits.TOO_NEW, hits.QUIET, hits.NOT_ACTIVE, hits.UNSEEN)


class OrderTargetOutput(serializers.Serializer):
    offering = serializers.CharField()
    usd_per_1k_tokens = MoneyField(
        allow_null=True, help_text="At list prices and the mix of tokens of the rule's use cases over 30 days."
    )
    p50_ms = serializers.IntegerField(allow_null=True, help_text="null: fewer than 20 calls answered in six hours.")
    p95_ms = serializers.IntegerField(allow_null=True)
    calls = serializers.IntegerField(help_text="In this environment in the last six hours, answered or failed.")
    failed = serializers.IntegerField()
    price = serializers.IntegerField(help_text="Points, of 10000.")
    latency = serializers.IntegerField(help_text="Points, of 10000.")
    errors = serializers.IntegerField(  # type: ignore[assignment]  # the metaclass takes it out of the class
        help_text="Points, of 10000."
    )
    score = serializers.IntegerField(help_text="The points by the rule's weights, of 10000; the more the better.")


class WeightsOutput(serializers.Serializer):
    price = serializers.IntegerField()
    latency = serializers.IntegerField()
    errors = serializers.IntegerField()  # type: ignore[assignment]


class OrderOutput(serializers.Serializer):
    rule = serializers.CharField(help_text="Its id, or `default`.")
    weights = WeightsOutput(help_text="Against each other.")
    targets = OrderTargetOutput(many=True, help_text="The one tried first, first.")
    computed_at = InstantField()
    moved_at = InstantField(help_text="Since when this has been the order.")


class OrdersOutput(serializers.Serializer):
    results = OrderOutput(many=True)


class OrdersApi(Api):
    """The orders of rules that choose by score, by rule."""

    actions: ClassVar[dict[str, str]] = {"GET": "rules.read"}

    @extend_schema(
        summary="Orders by score", operation_id="rules_orders", tags=["rules"], responses=OrdersOutput,
        description="In which order gateways try the targets of each rule by score, and what that comes from. Worked "
        "out every five minutes.",
    )  # fmt: skip
    def get(self, request: Request, environment: str) -> Response:
        rows = orders.rows(environment=known_environment(environment).name)
        return Response({"results": [OrderOutput(_order(row)).data for row in rows]})


def _order(row: orders.OrderRow) -> dict[str, Any]:
    return asdict(row) | {"weights": row.weights._asdict()}


class RuleHitsOutput(serializers.Serializer):
    rule = serializers.CharField(help_text="Its id, or `default`.")
    title = serializers.CharField()
    place = serializers.IntegerField(help_text="From 1 on; 0 is the default.")
    since_version = serializers.IntegerField(help_text="From this version on it has asked for the same.")
    since = InstantField(help_text="No earlier than the version that was in force when the days began.")
    requests = serializers.IntegerField()
    decided = serializers.IntegerField(help_text="Requests that the same versions decided.")
    reached = serializers.IntegerField(help_text="Of these, those that no rule before it took.")
    last_day = serializers.DateField(allow_null=True)
    cost_usd = MoneyField(help_text="Of answered requests.")
    by_fallback = serializers.IntegerField(help_text="Answered by a fallback.")
    over_budget = serializers.IntegerField(help_text="Sent elsewhere because a budget was used up.")
    switched_off = serializers.IntegerField(help_text="Sent elsewhere because the first choice was switched off.")
    blocked = serializers.IntegerField()
    verdict = serializers.ChoiceField(
        [(name, name) for name in _VERDICTS],
        help_text="`never`: not once in these days; `too_new`: in force for less than a day; `quiet`: not today; "
        "`takes_all`: over 95 % of what came to it; `unseen`: no request named its versions.",
    )


class StrangerOutput(serializers.Serializer):
    version = serializers.IntegerField(help_text="0: none was named.")
    rule = serializers.CharField(allow_blank=True)
    requests = serializers.IntegerField()


class HitsOutput(serializers.Serializer):
    environment = serializers.CharField()
    version = serializers.IntegerField(allow_null=True, help_text="In force.")
    days = serializers.IntegerField()
    first = serializers.DateField()
    last = serializers.DateField(help_text="Today, which is not over.")
    requests = serializers.IntegerField()
    rules = RuleHitsOutput(many=True)
    default = RuleHitsOutput(allow_null=True)
    earlier = serializers.IntegerField(
        help_text="Decided by rules that are no more, or that ask for something else now."
    )
    unnamed = serializers.IntegerField(help_text="Name no rule.")
    strange = serializers.IntegerField(help_text="Name a version or a rule that was never published here.")
    strangers = StrangerOutput(many=True, help_text="The most frequent of these.")


class HitsApi(Api):
    """Which rules take which requests."""

    actions: ClassVar[dict[str, str]] = {"GET": "rules.read"}

    class QuerySerializer(serializers.Serializer):
        days = serializers.ChoiceField(
            choices=[(str(days), str(days)) for days in hits.DAYS], required=False,
            help_text=f"So many days, today among them; {hits.USUAL_DAYS} where not given.",
        )  # fmt: skip

    @extend_schema(
        summary="Hits per rule", operation_id="rules_hits", tags=["rules"], responses=HitsOutput,
        description="What each rule in force took, as gateways reported it, and what names no rule. The numbers of "
        "`rules`, `default`, `earlier`, `unnamed` and `strange` add up to `requests`.",
    )  # fmt: skip
    def get(self, request: Request, environment: str) -> Response:
        row = known_environment(environment)
        found = hits.of(
            environment=row.name,
            version=row.live_version,
            days=int(self.query.get("days", hits.USUAL_DAYS)),
            zone=Organisation.objects.values_list("zone", flat=True).get(pk=1),
            at=timezone.now(),
        )
        return Response(HitsOutput(found).data)
