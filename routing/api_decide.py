"""REST for decisions: what the rules would do with a request."""

from __future__ import annotations

from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.api import InstantField, body
from routing.api_parts import RulesEdit, known_draft
from routing.rules.evaluator import REASONS, Decision
from routing.selectors import deciding, proposals


class StepOutput(serializers.Serializer):
    subject = serializers.CharField()
    outcome = serializers.CharField()


class DecisionOutput(serializers.Serializer):
    offering = serializers.CharField(allow_null=True, help_text="Where the request goes; null: it is blocked.")
    model = serializers.CharField(allow_null=True)
    provider = serializers.CharField(allow_null=True)
    gateway_name = serializers.CharField(allow_null=True, help_text="As the request's `gateway_kind` calls it.")
    blocked = serializers.BooleanField()
    rule = serializers.CharField(allow_null=True, help_text="The rule that matched; null: none did.")
    reason = serializers.ChoiceField([(reason, reason) for reason in REASONS])
    taken_from = serializers.CharField(allow_null=True)
    fallbacks = serializers.ListField(child=serializers.CharField(), help_text="To try next, in this order.")
    params = serializers.DictField(help_text="Settings by provider.")
    timeout_ms = serializers.IntegerField(allow_null=True)
    version = serializers.IntegerField(help_text="0: of a draft.")
    revision = serializers.IntegerField(help_text="Of the state; 0: of a draft, held to the present state.")
    canary = serializers.BooleanField()
    budget = serializers.CharField(allow_null=True, help_text="Which moved or blocked the request.")
    task = serializers.CharField(allow_null=True, help_text="As the request says, or as its text was labelled.")
    complexity = serializers.CharField(allow_null=True, help_text="The same; report both in an event's `context`.")
    steps = StepOutput(many=True, help_text="All that was looked at on the way, in order.")


class DecideApi(RulesEdit):
    """What the rules would do with a request, and why."""

    actions: ClassVar[dict[str, str]] = {"POST": "rules.read"}

    class InputSerializer(serializers.Serializer):
        context = serializers.DictField(  # type: ignore[assignment]  # the metaclass takes it out of the class
            help_text='The request, such as {"use_case": "code-review", "task": "code", "complexity": "0.8"}; '
            "see context.schema.json. Numbers are integers or decimal strings. Its `text` is read and not kept."
        )
        draft = serializers.IntegerField(required=False, min_value=1, help_text="Decide by this draft instead.")
        now = InstantField(required=False, help_text="The instant to decide at; the present one, where not given.")

    @extend_schema(
        summary="Decide for a request", operation_id="rules_decide", tags=["rules"],
        request=InputSerializer, responses=DecisionOutput, description="Nothing is sent anywhere and nothing is kept.",
    )  # fmt: skip
    def post(self, request: Request, environment: str) -> Response:
        data = body(self.InputSerializer, request)
        at, draft = data.get("now", timezone.now()), data.get("draft")
        if draft is None:
            decision = deciding.live(environment=environment, context=data["context"], at=at)
        else:
            content = proposals.content(proposal_id=known_draft(environment, draft))
            decision = deciding.trial(content=content, environment=environment, context=data["context"], at=at)
        return Response(_decided(decision))


def _decided(decision: Decision) -> dict[str, Any]:
    steps = [step._asdict() for step in decision.steps]
    return decision._asdict() | {"blocked": decision.blocked, "params": dict(decision.params), "steps": steps}
