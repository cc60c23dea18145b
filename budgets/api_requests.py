"""REST for asking for another limit, and deciding on it."""

from __future__ import annotations

from typing import ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from budgets.api import budget_of
from budgets.models import PeriodKind, RequestState, Unit
from budgets.selectors import requests as selector
from budgets.services import requests
from budgets.tasks import tell
from core.api import InstantField, MoneyField, PageQuery, acting_as, body, page_of, paged, read_cursor
from core.api_views import Api
from core.errors import NotFound


class RequestOutput(serializers.Serializer):
    id = serializers.IntegerField()
    budget = serializers.IntegerField(source="budget_id")
    budget_name = serializers.CharField()
    unit = serializers.ChoiceField(Unit.choices)
    period = serializers.ChoiceField(PeriodKind.choices, source="period_kind")
    amount = MoneyField()
    starts_at = InstantField(allow_null=True, help_text="Null: from the approval on.")
    ends_at = InstantField(allow_null=True, help_text="Null: until a later version.")
    reason = serializers.CharField()
    requested_by = serializers.CharField()
    requested_at = InstantField()
    state = serializers.ChoiceField(RequestState.choices)
    decided_by = serializers.CharField()
    decided_at = InstantField(allow_null=True)
    note = serializers.CharField(help_text="Of whoever decided.")
    limit_version = serializers.IntegerField(allow_null=True, help_text="What it became, once approved.")
    too_late = serializers.BooleanField(help_text="It waits, and the time that was asked for has passed.")


_PAGE = page_of(RequestOutput, "LimitRequestPage")


def _answer(request_id: int, made: int = status.HTTP_200_OK) -> Response:
    row = selector.one(request_id=request_id, at=timezone.now())
    if row is None:
        raise NotFound(f"There is no request {request_id}.")
    return Response(RequestOutput(row).data, status=made)


def _page(request: Request, query: dict[str, object], budget_id: int | None = None) -> Response:
    limit, cursor = query["limit"], read_cursor(query.get("after"), (int,))  # type: ignore[arg-type]
    assert isinstance(limit, int)
    rows = selector.newest(
        at=timezone.now(),
        budget_id=budget_id,
        state=str(query.get("state", "")),
        before=cursor[0] if cursor else None,
        most=limit + 1,
    )
    page = paged(request, rows, limit=limit, key=lambda row: (row.id,))
    return Response(page | {"results": RequestOutput(page["results"], many=True).data})


class LimitRequestsApi(Api):
    """Requests of limits, of every budget."""

    actions: ClassVar[dict[str, str]] = {"GET": "view"}

    class QuerySerializer(PageQuery):
        state = serializers.ChoiceField(RequestState.choices, required=False)

    @extend_schema(
        summary="Requests of limits, the latest first", operation_id="limit_requests_list", tags=["budgets"],
        responses=_PAGE,
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        return _page(request, self.query)


class BudgetRequestsApi(Api):
    """Requests of one budget's limit."""

    actions: ClassVar[dict[str, str]] = {"GET": "view", "POST": "limits.request"}

    class QuerySerializer(PageQuery):
        state = serializers.ChoiceField(RequestState.choices, required=False)

    class InputSerializer(serializers.Serializer):
        amount = MoneyField(help_text="In the budget's unit, as a decimal string.")
        starts_at = InstantField(required=False, allow_null=True, help_text="Its approval, where not given.")
        ends_at = InstantField(required=False, allow_null=True, help_text="Until a later version, where not given.")
        reason = serializers.CharField(max_length=300)

    @extend_schema(
        summary="Requests of a budget's limit, the latest first", operation_id="budget_requests_list",
        tags=["budgets"], responses=_PAGE,
    )  # fmt: skip
    def get(self, request: Request, pk: int) -> Response:
        return _page(request, self.query, budget_of(pk).pk)

    @extend_schema(
        summary="Ask for another limit", operation_id="budget_requests_create", tags=["budgets"],
        request=InputSerializer, responses={201: RequestOutput},
        description="Nothing changes until somebody approves it. One request of one sender for one budget waits at a "
        "time; another is refused with 409.",
    )  # fmt: skip
    def post(self, request: Request, pk: int) -> Response:
        data = body(self.InputSerializer, request)
        made = requests.ask(budget=budget_of(pk), by=acting_as(request), at=timezone.now(), **data)
        tell()
        return _answer(made.pk, status.HTTP_201_CREATED)


class LimitRequestApi(Api):
    """One request of a limit."""

    actions: ClassVar[dict[str, str]] = {"GET": "view"}

    @extend_schema(
        summary="A request of a limit", operation_id="limit_requests_retrieve", tags=["budgets"],
        responses=RequestOutput,
    )  # fmt: skip
    def get(self, request: Request, pk: int) -> Response:
        return _answer(pk)


class LimitRequestApproveApi(Api):
    """The approval of a request."""

    actions: ClassVar[dict[str, str]] = {"POST": "limits.approve"}

    class InputSerializer(serializers.Serializer):
        note = serializers.CharField(max_length=300, required=False, default="", allow_blank=True)

    @extend_schema(
        summary="Approve a request of a limit", operation_id="limit_requests_approve", tags=["budgets"],
        request=InputSerializer, responses=RequestOutput,
        description="Makes it a version of the limit, exactly as it was asked for, and evaluates it at once. 409 where "
        "it was decided before, its time has passed, or whoever asked approves while duties are separated.",
    )  # fmt: skip
    def post(self, request: Request, pk: int) -> Response:
        data = body(self.InputSerializer, request)
        requests.approve(request_id=pk, by=acting_as(request), at=timezone.now(), note=data["note"])
        tell()
        return _answer(pk)


class LimitRequestRefuseApi(Api):
    """The refusal of a request."""

    actions: ClassVar[dict[str, str]] = {"POST": "limits.approve"}

    class InputSerializer(serializers.Serializer):
        note = serializers.CharField(max_length=300, help_text="For whoever asked.")

    @extend_schema(
        summary="Refuse a request of a limit", operation_id="limit_requests_refuse", tags=["budgets"],
        request=InputSerializer, responses=RequestOutput,
    )  # fmt: skip
    def post(self, request: Request, pk: int) -> Response:
        data = body(self.InputSerializer, request)
        requests.refuse(request_id=pk, by=acting_as(request), at=timezone.now(), note=data["note"])
        return _answer(pk)


class LimitRequestWithdrawApi(Api):
    """Taking a request back."""

    actions: ClassVar[dict[str, str]] = {"POST": "limits.request"}

    @extend_schema(
        summary="Take a request of a limit back", operation_id="limit_requests_withdraw", tags=["budgets"],
        request=None, responses=RequestOutput, description="Only whoever asked can.",
    )  # fmt: skip
    def post(self, request: Request, pk: int) -> Response:
        requests.withdraw(request_id=pk, by=acting_as(request), at=timezone.now())
        return _answer(pk)
