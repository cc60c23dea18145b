"""REST for comparing any two sets of rules."""

from __future__ import annotations

from typing import ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.api import InstantField
from core.api_views import Api
from core.errors import NotFound
from routing.selectors import comparing


class ComparedRulesOutput(serializers.Serializer):
    name = serializers.CharField()
    version = serializers.IntegerField(allow_null=True)
    draft = serializers.IntegerField(allow_null=True)
    title = serializers.CharField()
    state = serializers.CharField(help_text="`in_force`, `published`, or the state of a draft.")
    by = serializers.CharField()
    at = InstantField()


class MemberChangeOutput(serializers.Serializer):
    name = serializers.CharField()
    title = serializers.CharField()
    before = serializers.CharField(help_text="In plain words; empty where the part is new.")
    after = serializers.CharField()
    lines = serializers.ListField(child=serializers.CharField())


class PartChangeOutput(serializers.Serializer):
    kind = serializers.ChoiceField(["rule", "default", "offering", "further"])
    name = serializers.CharField()
    state = serializers.ChoiceField(["added", "removed", "changed", "moved", "same"])
    moved = serializers.BooleanField(help_text="It stands elsewhere among the rules that both have.")
    place_before = serializers.IntegerField(help_text="Of a rule, from 1 on; 0: nowhere.")
    place_after = serializers.IntegerField()
    members = MemberChangeOutput(many=True)


class ComparisonOutput(serializers.Serializer):
    before = ComparedRulesOutput()
    after = ComparedRulesOutput()
    changes = serializers.ListField(child=serializers.CharField(), help_text="All of it in plain words.")
    parts = PartChangeOutput(many=True, help_text="Rules in order, the default, offerings; what is the same, too.")


class CompareApi(Api):
    """Any two sets of rules of an environment, part by part."""

    actions: ClassVar[dict[str, str]] = {"GET": "view"}

    class QuerySerializer(serializers.Serializer):
        before = serializers.CharField(max_length=32, help_text="A version's number, or `draft-ID`.")
        after = serializers.CharField(max_length=32, help_text="A version's number, or `draft-ID`.")

    @extend_schema(
        summary="Compare two versions", operation_id="rules_compare", tags=["rules"], responses=ComparisonOutput,
        description="Or a draft with a version, or two drafts.",
    )  # fmt: skip
    def get(self, request: Request, environment: str) -> Response:
        found = comparing.one(environment=environment, before=self.query["before"], after=self.query["after"])
        if found is None:
            raise NotFound(f"Name two versions or drafts that {environment} has, such as 41 and draft-7.")
        return Response(
            ComparisonOutput(
                {"before": found.before, "after": found.after, "changes": found.lines, "parts": found.parts}
            ).data
        )
