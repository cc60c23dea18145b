"""REST for limits of periods ahead, and for the file that finance edits."""

from __future__ import annotations

import re
from datetime import date
from typing import Any, ClassVar

from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from budgets import sheets
from budgets.models import Unit
from budgets.selectors import plans
from budgets.selectors import sheets as lines
from budgets.services import planning
from budgets.services import sheets as service
from budgets.tasks import tell
from core.api import InstantField, MoneyField, acting_as, body
from core.api_views import Api
from core.errors import Invalid, NotFound
from core.periods import KINDS


class LimitStepOutput(serializers.Serializer):
    starts_at = InstantField()
    amount = MoneyField(allow_null=True)


class PlannedPeriodOutput(serializers.Serializer):
    first_day = serializers.DateField(source="period.first_day", help_text="In the budget's zone.")
    starts_at = InstantField(source="period.starts_at")
    ends_at = InstantField(source="period.ends_at")
    amount = MoneyField(allow_null=True, help_text="At its start, or now where it has begun.")
    version = serializers.IntegerField(allow_null=True)
    later = LimitStepOutput(many=True, help_text="Where the limit changes within the period.")


class PastPeriodOutput(serializers.Serializer):
    first_day = serializers.DateField(source="period.first_day")
    starts_at = InstantField(source="period.starts_at")
    ends_at = InstantField(source="period.ends_at")
    used = MoneyField(allow_null=True, help_text="Null where it was not counted.")
    amount = MoneyField(source="limit", allow_null=True, help_text="That held at its end.")


class PlanOutput(serializers.Serializer):
    budget = serializers.IntegerField(source="budget_id")
    version = serializers.IntegerField(help_text="The highest version of the limit.")
    ahead = PlannedPeriodOutput(many=True, help_text="The present period first.")
    past = PastPeriodOutput(many=True, help_text="The latest first.")
    after = MoneyField(allow_null=True, help_text="What holds once no version begins or ends any more.")
    after_from = InstantField()


class BudgetPlanApi(Api):
    """The limits of a budget for the periods ahead."""

    actions: ClassVar[dict[str, str]] = {"GET": "view", "POST": "limits.approve"}

    class QuerySerializer(serializers.Serializer):
        periods = serializers.IntegerField(required=False, default=plans.AHEAD, min_value=1, max_value=plans.MOST_AHEAD)

    class InputSerializer(serializers.Serializer):
        limits = serializers.DictField(
            child=MoneyField(), allow_empty=False,
            help_text='Amounts by the first day of their period: {"2026-12-01": "2000000"}. Others stay as they are.',
        )  # fmt: skip
        version = serializers.IntegerField(
            required=False, allow_null=True, default=None,
            help_text="The highest version that you have seen; 409 where somebody set another one since.",
        )  # fmt: skip
        reason = serializers.CharField(max_length=300)

    @extend_schema(
        summary="Limits for the periods ahead", operation_id="budget_plan_retrieve", tags=["budgets"],
        responses=PlanOutput,
    )  # fmt: skip
    def get(self, request: Request, pk: int) -> Response:
        return self._answer(pk, self.query["periods"])

    @extend_schema(
        summary="Plan limits for periods ahead", operation_id="budget_plan_create", tags=["budgets"],
        request=InputSerializer, responses=PlanOutput,
        description="A version for each period that differs, from its start to its end, all in one step. Safe to "
        "repeat: the same again writes nothing.",
    )  # fmt: skip
    def post(self, request: Request, pk: int) -> Response:
        data, by = body(self.InputSerializer, request), acting_as(request)
        planning.save(
            budget_id=pk, amounts=_by_day(data["limits"]), reason=data["reason"], by=by, approved_by=by,
            at=timezone.now(), seen_version=data["version"],
        )  # fmt: skip
        tell()
        return self._answer(pk, plans.AHEAD)

    def _answer(self, pk: int, periods: int) -> Response:
        found = plans.plan(budget_id=pk, at=timezone.now(), ahead=periods)
        if found is None:
            raise NotFound(f"There is no budget {pk}.")
        return Response(PlanOutput(found).data)


def _by_day(limits: dict[str, Any]) -> dict[date, Any]:
    found, problems = {}, []
    for text, amount in limits.items():
        try:
            found[date.fromisoformat(text if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII) else "")] = amount
        except ValueError:
            problems.append(("limits", f"{text[:40]!r} is no day; write it as 2026-12-01."))
    if problems:
        raise Invalid(" ".join(sentence for _, sentence in problems), problems)
    return found


class BudgetFileApi(Api):
    """Budgets with their limits by period, as a CSV file."""

    actions: ClassVar[dict[str, str]] = {"GET": "view", "POST": "limits.approve"}
    parser_classes = (JSONParser, MultiPartParser)
    largest_body_bytes = 3 * sheets.LARGEST_BYTES  # JSON writes some characters as six

    class QuerySerializer(serializers.Serializer):
        periods = serializers.IntegerField(required=False, default=plans.AHEAD, min_value=1, max_value=plans.MOST_AHEAD)

    class InputSerializer(serializers.Serializer):
        file = serializers.FileField(required=False, allow_empty_file=True, help_text="The file, in a form.")
        csv = serializers.CharField(
            required=False, max_length=sheets.LARGEST_BYTES, trim_whitespace=False, help_text="The file, in JSON."
        )
        confirm = serializers.CharField(
            required=False, default="", allow_blank=True, max_length=64,
            help_text="The `digest` of the changes that you were shown: then they are written. Without it nothing is.",
        )  # fmt: skip
        reason = serializers.CharField(
            required=False, default="", allow_blank=True, max_length=300, help_text="Needed to write."
        )

    class ResultOutput(serializers.Serializer):
        class ChangeOutput(serializers.Serializer):
            row = serializers.IntegerField(help_text="Of the file, its head being 1.")
            budget = serializers.CharField()
            budget_id = serializers.IntegerField(allow_null=True, help_text="Null: a new budget.")
            unit = serializers.ChoiceField(Unit.choices)
            period = serializers.ChoiceField([(kind, kind) for kind in KINDS], source="kind")
            first_day = serializers.DateField(allow_null=True, help_text="Null: what holds later.")
            before = MoneyField(allow_null=True)
            after = MoneyField()

        changes = ChangeOutput(many=True)
        new_budgets = serializers.ListField(child=serializers.CharField())
        same = serializers.IntegerField(help_text="Rows that say what holds already.")
        left = serializers.IntegerField(help_text="Rows without a limit, and those of periods that are over.")
        digest = serializers.CharField(help_text="Send it as `confirm` to write exactly these changes.")
        written = serializers.BooleanField()

    @extend_schema(
        summary="Budgets and their limits as a file", operation_id="budgets_file_retrieve", tags=["budgets"],
        responses={(200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, description="RFC 4180, in UTF-8.")},
    )  # fmt: skip
    def get(self, request: Request) -> Any:  # Django tells answers that stream apart from others
        return StreamingHttpResponse(
            sheets.written(lines.rows(at=timezone.now(), periods=self.query["periods"])),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": 'attachment; filename="budgets.csv"'},
        )

    @extend_schema(
        summary="Bring the file of budgets back", operation_id="budgets_file_create", tags=["budgets"],
        request={"application/json": InputSerializer, "multipart/form-data": InputSerializer},
        responses=ResultOutput,
        description="Says what it would change, and writes exactly that when the same file comes again with `confirm`. "
        "422 names every cell that cannot be used, by row and column. Safe to repeat.",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        data, by = body(self.InputSerializer, request), acting_as(request)
        content, now = self._content(data), timezone.now()
        if not data["confirm"]:
            found = service.compare(content=content, at=now)
            return Response(self.ResultOutput(vars(found) | {"written": False}).data)
        found = service.write(
            content=content, digest=data["confirm"], reason=data["reason"], by=by, approved_by=by, at=now
        )
        tell()
        return Response(self.ResultOutput(vars(found) | {"written": bool(found.changes)}).data)

    def _content(self, data: dict[str, Any]) -> bytes:
        file = data.get("file")
        if file is not None:
            if file.size > sheets.LARGEST_BYTES:
                raise Invalid(f"The file has {file.size:,} bytes; {sheets.LARGEST_BYTES:,} is the most.")
            return bytes(file.read())
        if "csv" in data:
            return str(data["csv"]).encode()
        raise Invalid("Send the file as `csv` in JSON, or as `file` in a form.", [("csv", "This is needed.")])
