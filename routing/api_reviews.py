"""REST for reviews: which rules in force are to be looked at again, and the draft that confirms them."""

from __future__ import annotations

from typing import ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from core import periods
from core.api import acting_as, body
from core.api_views import Api
from core.models import Organisation
from routing.api_drafts import ProposalDetailOutput, draft_detail
from routing.api_parts import known_environment
from routing.selectors import reviews
from routing.services import reviews as service


class ReviewOutput(serializers.Serializer):
    rule = serializers.CharField()
    title = serializers.CharField()
    owner = serializers.CharField()
    rationale = serializers.CharField()
    review_by = serializers.DateField(allow_null=True)
    days_left = serializers.IntegerField(allow_null=True, help_text="Below 0 where it is overdue.")
    state = serializers.ChoiceField(
        reviews.STATES, help_text=f"`due` within {reviews.AHEAD_DAYS} days; `never` without a day."
    )
    version = serializers.IntegerField(help_text="The one in force.")


class ReviewsOutput(serializers.Serializer):
    today = serializers.DateField(help_text="In the organisation's zone.")
    results = ReviewOutput(many=True)


class ReviewsApi(Api):
    """The rules in force by the day on which they are to be looked at again."""

    actions: ClassVar[dict[str, str]] = {"GET": "rules.read"}

    @extend_schema(
        summary="Reviews", operation_id="rules_reviews", tags=["rules"], responses=ReviewsOutput,
        description="All rules in force, what is overdue first. Empty where nothing is in force.",
    )  # fmt: skip
    def get(self, request: Request, environment: str) -> Response:
        known_environment(environment)
        zone = Organisation.objects.values_list("zone", flat=True).get(pk=1)
        today = periods.local_day(timezone.now(), zone)
        found = reviews.listed(today=today, environment=environment)
        return Response(ReviewsOutput({"today": today, "results": found}).data)


class ReviewsConfirmApi(Api):
    """Says of rules that they are still right."""

    actions: ClassVar[dict[str, str]] = {"POST": "rules.edit"}

    class InputSerializer(serializers.Serializer):
        rules = serializers.ListField(child=serializers.CharField(max_length=64), min_length=1, max_length=1000)
        review_by = serializers.DateField(help_text="The next day to look at them by.")
        reason = serializers.CharField(max_length=200, help_text="Why they are still right; it stands in the title.")

    @extend_schema(
        summary="Confirm rules", operation_id="rules_reviews_confirm", tags=["rules"],
        request=InputSerializer, responses={201: ProposalDetailOutput},
        description="Begins a draft that moves their review date and nothing else.",
    )  # fmt: skip
    def post(self, request: Request, environment: str) -> Response:
        data = body(self.InputSerializer, request)
        made = service.confirm(environment=environment, **data, by=acting_as(request), at=timezone.now())
        return Response(draft_detail(environment, made.pk), status=status.HTTP_201_CREATED)
