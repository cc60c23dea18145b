"""REST for months: what was booked in each, and closing one for good."""

from __future__ import annotations

import re
from datetime import date
from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.api import (
    FIRST_YEAR,
    LAST_YEAR,
    InstantField,
    MoneyField,
    PageQuery,
    acting_as,
    body,
    page_of,
    paged,
    read_cursor,
)
from core.api_views import Api
from core.errors import NotFound
from core.models import Organisation
from usage.selectors import months as selector
from usage.selectors.months import CLOSED, OPEN, RUNNING, MonthRow
from usage.services import months as service

_LABEL = re.compile(r"(\d{4})-(0[1-9]|1[0-2])", re.ASCII)
_MOST = 120  # ten years


@extend_schema_field({"type": "string", "example": "2026-10"})
class MonthField(serializers.Field):
    """A month, written 2026-10."""

    def to_representation(self, value: date) -> str:
        return f"{value:%Y-%m}"


class MonthOutput(serializers.Serializer):
    month = MonthField()
    starts_at = InstantField()
    ends_at = InstantField()
    zone = serializers.CharField()
    state = serializers.ChoiceField([RUNNING, OPEN, CLOSED], help_text="`open`: it is over, and not closed.")
    closed_at = InstantField(allow_null=True)
    closed_by = serializers.CharField()
    reason = serializers.CharField()
    cost_usd = MoneyField(help_text="All that is booked in the month.")
    corrections_usd = MoneyField(help_text="Of it, what came late for months that were closed.")
    corrected_usd = MoneyField(help_text="Booked for this month elsewhere, after it was closed.")
    requests = serializers.IntegerField()
    tokens = serializers.IntegerField()
    unpriced_tokens = serializers.IntegerField()
    uncounted_requests = serializers.IntegerField(help_text="Their gateway gave no token counts.")
    priced_share = MoneyField(allow_null=True, help_text="Tokens that have a price over tokens.")


class PartOutput(serializers.Serializer):
    name = serializers.CharField()
    cost_usd = MoneyField()
    corrections_usd = MoneyField(help_text="Of it, for months that were closed.")
    requests = serializers.IntegerField()


class LateOutput(serializers.Serializer):
    month = MonthField(help_text="The closed month.")
    booked_in = MonthField()
    cost_usd = MoneyField()
    requests = serializers.IntegerField()


class OneMonthOutput(MonthOutput):
    use_cases = PartOutput(many=True)
    teams = PartOutput(many=True)
    booked_elsewhere = LateOutput(many=True, help_text="For this month, after it was closed.")
    booked_here = LateOutput(many=True, help_text="For months closed before.")


class MonthsApi(Api):
    """Months of the organisation."""

    actions: ClassVar[dict[str, str]] = {"GET": "view"}

    class QuerySerializer(PageQuery):
        limit = serializers.IntegerField(
            required=False, default=selector.PER_PAGE, min_value=1, max_value=_MOST, help_text="Rows per page."
        )

    @extend_schema(
        summary="Months, newest first", operation_id="months_list", tags=["months"],
        responses=page_of(MonthOutput, "MonthPage"),
        description="Those that have spend or are closed, in the organisation's zone.",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        limit, cursor = self.query["limit"], read_cursor(self.query.get("after"), (int, int))
        upto = None
        if cursor:
            year, month = cursor
            if not (FIRST_YEAR <= year <= LAST_YEAR and 1 <= month <= 12):
                raise NotFound("There is no such page.")
            upto = date(year - (month == 1), month - 1 or 12, 1)  # the month before the last one shown
        page = paged(request, _rows(upto, limit + 1), limit=limit, key=lambda row: (row.label.year, row.label.month))
        return Response(page | {"results": [_told(row) for row in page["results"]]})


class MonthApi(Api):
    """One month."""

    actions: ClassVar[dict[str, str]] = {"GET": "view"}

    @extend_schema(summary="A month", operation_id="months_retrieve", tags=["months"], responses=OneMonthOutput)
    def get(self, request: Request, month: str) -> Response:
        found = selector.one(label_of(month), at=timezone.now(), zone=_zone())
        if found is None:
            raise NotFound(f"Nothing was booked in {month}.")
        parts = {
            "use_cases": PartOutput(found.use_cases, many=True).data,
            "teams": PartOutput(found.teams, many=True).data,
            "booked_elsewhere": LateOutput(found.booked_elsewhere, many=True).data,
            "booked_here": LateOutput(found.booked_here, many=True).data,
        }
        return Response(_told(found.row) | parts)


class MonthCloseApi(Api):
    """Closing a month."""

    actions: ClassVar[dict[str, str]] = {"POST": "months.close"}

    class InputSerializer(serializers.Serializer):
        reason = serializers.CharField(max_length=300, help_text="Kept with the month and in the audit trail.")

    @extend_schema(
        summary="Close a month for good", operation_id="months_close", tags=["months"], request=InputSerializer,
        responses=MonthOutput,
        description="Its totals never change from then on: what comes late for it is booked in the open month, marked. "
        "409 where it still runs or was closed before. There is no way back.",
    )  # fmt: skip
    def post(self, request: Request, month: str) -> Response:
        label = label_of(month)
        data, now = body(self.InputSerializer, request), timezone.now()
        service.close_month(label=label, by=acting_as(request), at=now, reason=data["reason"])
        row = selector.row(label, at=now, zone=_zone())
        if row is None:
            raise RuntimeError("a month that was just closed is not there")
        return Response(_told(row))


def _told(row: MonthRow) -> dict[str, Any]:
    return dict(MonthOutput({"month": row.label, **{name: getattr(row, name) for name in _FIELDS}}).data)


_FIELDS = [str(name) for name in MonthOutput().fields if name != "month"]


def _rows(upto: date | None, most: int) -> list[MonthRow]:
    now, zone = timezone.now(), _zone()
    found: list[MonthRow] = []
    while True:
        page = selector.listed(at=now, zone=zone, upto=upto)
        found += page.rows
        if len(found) >= most or page.earlier is None:
            return found[:most]
        upto = page.earlier


def _zone() -> str:
    return Organisation.objects.values_list("zone", flat=True).get(pk=1)


def label_of(text: str) -> date:
    """Return the month that an address names.

    Raises:
        NotFound: it is none.
    """
    match = _LABEL.fullmatch(text)
    if match is None or not FIRST_YEAR <= int(match[1]) <= LAST_YEAR:
        raise NotFound("There is no such month; months are written 2026-10.")
    return date(int(match[1]), int(match[2]), 1)
