"""REST for budgets and their limits."""

from __future__ import annotations

from typing import ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from budgets.models import Action, Basis, Budget, PeriodKind, Unit
from budgets.rules.forecasting import METHODS
from budgets.selectors import overview
from budgets.services import budgets
from budgets.tasks import tell
from core.api import InstantField, MoneyField, PageQuery, acting_as, body, page_of, paged, read_cursor
from core.api_views import Api
from core.errors import NotFound
from core.models import Organisation

_STATES = ("OK", "WARN", "ALERT", "EXCEEDED", "BUILDING", "RETIRED")


class LimitOutput(serializers.Serializer):
    version = serializers.IntegerField()
    amount = MoneyField()
    starts_at = InstantField(allow_null=True, help_text="Null: since it was set.")
    ends_at = InstantField(allow_null=True, help_text="Null: until a later version.")
    reason = serializers.CharField()
    by = serializers.CharField()
    approved_by = serializers.CharField()
    created_at = InstantField()
    in_force = serializers.BooleanField()


class CrossingOutput(serializers.Serializer):
    basis = serializers.ChoiceField(Basis.choices)
    threshold = serializers.IntegerField(help_text="Per cent of the limit.")
    limit_version = serializers.IntegerField()
    period_start = InstantField()
    period_end = InstantField()
    used = MoneyField()
    crossed_at = InstantField()
    alert_id = serializers.IntegerField()


class ForecastOutput(serializers.Serializer):
    method = serializers.ChoiceField(
        METHODS, help_text="By weekdays, by the mean of days, or by the pace of the period where days are not summed."
    )
    per_day = MoneyField(help_text="Mean of the days expected.")
    at_end = MoneyField(help_text="What will be used when the period ends, at the present pace.")
    low = MoneyField(allow_null=True, help_text="Eight of ten periods end between `low` and `high`.")
    high = MoneyField(allow_null=True)
    runs_out_on = serializers.DateField(allow_null=True, help_text="Day in the budget's zone; null where it lasts.")
    earliest = serializers.DateField(allow_null=True, help_text="That day, where use is as high as the band goes.")
    latest = serializers.DateField(allow_null=True, help_text="Where it is as low; null also where it may last.")


class BudgetOutput(serializers.Serializer):
    id = serializers.IntegerField()
    name = serializers.CharField()
    scope = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField()), help_text="A conjunction; empty is everything."
    )
    unit = serializers.ChoiceField(Unit.choices)
    period = serializers.ChoiceField(PeriodKind.choices, source="period_kind")
    zone = serializers.CharField()
    fiscal_start_month = serializers.IntegerField()
    action = serializers.ChoiceField(Action.choices)
    trial = serializers.BooleanField()
    thresholds = serializers.ListField(child=serializers.IntegerField())
    forecast_thresholds = serializers.ListField(
        child=serializers.IntegerField(), help_text="Per cents that are told where the forecast passes them."
    )
    owner = serializers.CharField()
    created_at = InstantField()
    created_by = serializers.CharField()
    retired_at = InstantField(allow_null=True)
    period_start = InstantField(source="period.starts_at")
    period_end = InstantField(source="period.ends_at")
    limit = MoneyField(allow_null=True, help_text="In force now.")
    limit_version = serializers.IntegerField(allow_null=True)
    used = MoneyField(help_text="In this period.")
    unclassified = MoneyField(help_text="Tokens of models without a tier, beside `used`; of frontier budgets only.")
    per_cent_used = MoneyField(
        allow_null=True, help_text="Of the limit, rounded down; null without a limit, or while it is `BUILDING`."
    )
    per_cent_gone = MoneyField(help_text="Of the period.")
    forecast = ForecastOutput(allow_null=True, help_text="Null until three full days were used.")
    state = serializers.ChoiceField([(state, state) for state in _STATES])
    enforced = serializers.BooleanField(help_text="Exceeded, and gateways are told.")
    limits = LimitOutput(many=True)
    crossings = CrossingOutput(many=True, help_text="Of this period, the latest first.")


def _row(budget_id: int) -> overview.BudgetRow:
    row = overview.one(budget_id=budget_id, at=timezone.now())
    if row is None:
        raise NotFound(f"There is no budget {budget_id}.")
    return row


def budget_of(budget_id: int) -> Budget:
    budget = Budget.objects.filter(pk=budget_id, canary=False).first()
    if budget is None:
        raise NotFound(f"There is no budget {budget_id}.")
    return budget


class BudgetsApi(Api):
    """Budgets, each in its present period."""

    actions: ClassVar[dict[str, str]] = {"GET": "view", "POST": "limits.approve"}

    class QuerySerializer(PageQuery):
        retired = serializers.BooleanField(required=False, default=False, help_text="Retired ones too.")

    class InputSerializer(serializers.Serializer):
        name = serializers.CharField(max_length=128)
        scope = serializers.DictField(
            child=serializers.ListField(child=serializers.CharField(), allow_empty=False),
            required=False,
            default=dict,
            help_text='Such as {"use_case": ["support-routing"], "model": ["gpt-5.5"]}; empty is everything.',
        )
        unit = serializers.ChoiceField(Unit.choices)
        period = serializers.ChoiceField(PeriodKind.choices, required=False, default=PeriodKind.MONTH)
        zone = serializers.CharField(max_length=64, required=False, help_text="The organisation's, where not given.")
        fiscal_start_month = serializers.IntegerField(required=False, default=1, min_value=1, max_value=12)
        action = serializers.ChoiceField(Action.choices, required=False, default=Action.ALERT)
        trial = serializers.BooleanField(
            required=False, default=False, help_text="Says what it would do; does nothing."
        )
        thresholds = serializers.ListField(
            child=serializers.IntegerField(min_value=1, max_value=1000), required=False, help_text="70, 90 and 100."
        )
        forecast_thresholds = serializers.ListField(
            child=serializers.IntegerField(min_value=1, max_value=1000),
            required=False,
            help_text="Told where the forecast passes them; none, where not given.",
        )
        amount = MoneyField(help_text="The limit in the unit, as a decimal string.")
        reason = serializers.CharField(max_length=300)
        owner = serializers.CharField(max_length=254, required=False, default="", allow_blank=True)

    @extend_schema(
        summary="Budgets", operation_id="budgets_list", tags=["budgets"], responses=page_of(BudgetOutput, "BudgetPage")
    )
    def get(self, request: Request) -> Response:
        limit, cursor = self.query["limit"], read_cursor(self.query.get("after"), (int,))
        found = overview.rows(at=timezone.now(), retired=self.query["retired"])
        rows = sorted((row for row in found if cursor is None or row.id > cursor[0]), key=lambda row: row.id)
        page = paged(request, rows, limit=limit, key=lambda row: (row.id,))
        return Response(page | {"results": BudgetOutput(page["results"], many=True).data})

    @extend_schema(
        summary="Make a budget", operation_id="budgets_create", tags=["budgets"],
        request=InputSerializer, responses={201: BudgetOutput},
        description="Its counter is `BUILDING` until what was used in this period before is summed.",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        data = body(self.InputSerializer, request)
        data.setdefault("zone", Organisation.objects.values_list("zone", flat=True).get(pk=1))
        made = budgets.create(**data, by=acting_as(request), at=timezone.now())
        tell()
        return Response(BudgetOutput(_row(made.pk)).data, status=status.HTTP_201_CREATED)


class BudgetApi(Api):
    """One budget."""

    actions: ClassVar[dict[str, str]] = {"GET": "view", "PATCH": "budgets.edit"}

    class InputSerializer(serializers.Serializer):
        name = serializers.CharField(max_length=128, required=False)
        action = serializers.ChoiceField(Action.choices, required=False)
        trial = serializers.BooleanField(required=False)
        thresholds = serializers.ListField(child=serializers.IntegerField(min_value=1, max_value=1000), required=False)
        forecast_thresholds = serializers.ListField(
            child=serializers.IntegerField(min_value=1, max_value=1000), required=False, help_text="May be empty."
        )
        owner = serializers.CharField(max_length=254, required=False, allow_blank=True)
        retired = serializers.ChoiceField([(True, "yes")], required=False, help_text="Ends it for good.")
        reason = serializers.CharField(max_length=300)

    @extend_schema(summary="A budget", operation_id="budgets_retrieve", tags=["budgets"], responses=BudgetOutput)
    def get(self, request: Request, pk: int) -> Response:
        return Response(BudgetOutput(_row(pk)).data)

    @extend_schema(
        summary="Change or retire a budget", operation_id="budgets_update", tags=["budgets"],
        request=InputSerializer, responses=BudgetOutput,
        description="Scope, unit, period and zone hold for life: another scope is another budget. Thresholds are "
        "evaluated at once.",
    )  # fmt: skip
    def patch(self, request: Request, pk: int) -> Response:
        data, now, by = body(self.InputSerializer, request), timezone.now(), acting_as(request)
        budget, retires, reason = budget_of(pk), data.pop("retired", False), data.pop("reason")
        if data:
            budgets.change(budget=budget, by=by, reason=reason, at=now, **data)
        if retires:
            budgets.retire(budget=budget, reason=reason, by=by, at=now)
        tell()
        return Response(BudgetOutput(_row(pk)).data)


class BudgetLimitsApi(Api):
    """The versions of a budget's limit."""

    actions: ClassVar[dict[str, str]] = {"GET": "view", "POST": "limits.approve"}

    class InputSerializer(serializers.Serializer):
        amount = MoneyField(help_text="In the budget's unit, as a decimal string.")
        starts_at = InstantField(required=False, allow_null=True, help_text="Now, where not given.")
        ends_at = InstantField(required=False, allow_null=True, help_text="Until a later version, where not given.")
        reason = serializers.CharField(max_length=300)

    @extend_schema(
        summary="Limits of a budget", operation_id="budget_limits_list", tags=["budgets"],
        responses=LimitOutput(many=True),
    )  # fmt: skip
    def get(self, request: Request, pk: int) -> Response:
        return Response(LimitOutput(_row(pk).limits, many=True).data)

    @extend_schema(
        summary="Set a budget's limit", operation_id="budget_limits_create", tags=["budgets"],
        request=InputSerializer, responses={201: BudgetOutput},
        description="A new version; who sends it stands as the one who approved it. It is evaluated at once, and a "
        "raised limit may be crossed anew.",
    )  # fmt: skip
    def post(self, request: Request, pk: int) -> Response:
        data, by = body(self.InputSerializer, request), acting_as(request)
        budgets.set_limit(budget=budget_of(pk), by=by, approved_by=by, at=timezone.now(), **data)
        tell()
        return Response(BudgetOutput(_row(pk)).data, status=status.HTTP_201_CREATED)
