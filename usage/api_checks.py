"""REST for checks of the sums against the ledger."""

from __future__ import annotations

from typing import ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.api import InstantField, PageQuery, page_of, paged, read_cursor
from core.api_views import Api
from core.errors import NotFound
from usage.selectors import checks


class CheckOutput(serializers.Serializer):
    id = serializers.IntegerField()
    state = serializers.ChoiceField([checks.RIGHT, checks.DIFFERS, checks.UNFINISHED])
    first_day = serializers.DateField(help_text="Days are the organisation's.")
    last_day = serializers.DateField(help_text="Included.")
    full = serializers.BooleanField(help_text="Every day that the ledger keeps was compared.")
    started_at = InstantField()
    finished_at = InstantField(allow_null=True)
    by = serializers.CharField()
    entries = serializers.IntegerField(help_text="Lines of the ledger that were read.")
    rows = serializers.IntegerField(help_text="Sums that were compared.")
    differing = serializers.IntegerField()
    days = serializers.DictField(
        child=serializers.DictField(child=serializers.IntegerField()),
        help_text="What differs, in rows by day and table; counters of budgets by the first day of their period.",
    )


class DifferenceOutput(serializers.Serializer):
    what = serializers.ChoiceField(list(checks.WORDS))
    day = serializers.DateField(allow_null=True)
    at = InstantField(allow_null=True, help_text="Of a quarter hour or a budget's period: when it begins.")
    which = serializers.SerializerMethodField()
    held = serializers.DictField(allow_null=True, help_text="What the sum says; null where there is none.")
    recounted = serializers.DictField(allow_null=True, help_text="What the ledger says; null where it says nothing.")

    def get_which(self, one: checks.Difference) -> dict[str, str]:
        return dict(one.which)


class CheckWithDifferencesOutput(CheckOutput):
    differences = DifferenceOutput(many=True, help_text="The first hundred.")


class ChecksApi(Api):
    """Checks of all sums against a recount of the ledger."""

    actions: ClassVar[dict[str, str]] = {"GET": "view"}

    class QuerySerializer(PageQuery):
        pass

    @extend_schema(
        summary="Checks of the sums, newest first", operation_id="checks_list", tags=["usage"],
        responses=page_of(CheckOutput, "CheckPage"),
        description="Every night rollups and counters of budgets are compared with a recount of the ledger.",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        limit, cursor = self.query["limit"], read_cursor(self.query.get("after"), (int,))
        rows = checks.listed(before=cursor[0] if cursor else None, most=limit + 1)
        page = paged(request, rows, limit=limit, key=lambda row: (row.id,))
        return Response(page | {"results": CheckOutput(page["results"], many=True).data})


class CheckApi(Api):
    """One check."""

    actions: ClassVar[dict[str, str]] = {"GET": "view"}

    @extend_schema(
        summary="A check of the sums, with its differences", operation_id="checks_retrieve", tags=["usage"],
        responses=CheckWithDifferencesOutput,
    )  # fmt: skip
    def get(self, request: Request, pk: int) -> Response:
        found = checks.one(pk)
        if found is None:
            raise NotFound(f"There is no check {pk}.")
        differences = DifferenceOutput(found.differences, many=True).data
        return Response(CheckOutput(found.row).data | {"differences": differences})
