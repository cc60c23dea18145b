"""REST for what was saved against a baseline."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core import periods
from core.api import FIRST_YEAR, LAST_YEAR, MoneyField
from core.api_views import Api
from core.errors import Invalid
from core.models import Organisation
from usage.api_months import label_of
from usage.selectors import savings
from usage.selectors.savings import MonthSaved, Sums

MOST_DAYS = 366


class SavedOutput(serializers.Serializer):
    requests = serializers.IntegerField(help_text="That are compared.")
    own_requests = serializers.IntegerField(help_text="Of them, those that went to the baseline itself.")
    paid_usd = MoneyField(help_text="What they did cost.")
    at_baseline_usd = MoneyField(help_text="What they would have cost at the baseline, each day at its price.")
    cache_lost_usd = MoneyField(help_text="Of it, what the baseline's own prompt cache would have spared.")
    net_usd = MoneyField(help_text="What was saved: at the baseline, less the lost prompt cache, less what was paid.")
    left_out_requests = serializers.IntegerField(help_text="Not compared: unpriced on one of the sides.")
    spend_usd = MoneyField(help_text="All spend, compared or not.")
    covered = MoneyField(allow_null=True, help_text="Share of spend that is compared.")


class SavedRowOutput(SavedOutput):
    use_case = serializers.CharField()
    month = serializers.DateField(help_text="Its first day; of a month that the range holds in part, that part counts.")
    baseline = serializers.CharField(allow_null=True, help_text="null: nobody chose one, so nothing is compared.")


class SavingsOutput(serializers.Serializer):
    def get_fields(self) -> dict[str, Any]:  # `from` is a word of Python's
        return {
            "from": serializers.DateField(help_text="First day that is told of, in the organisation's zone."),
            "to": serializers.DateField(help_text="The day after the last one."),
        } | super().get_fields()

    rows = SavedRowOutput(many=True)
    total = SavedOutput()
    without_baseline = serializers.ListField(child=serializers.CharField(), help_text="Use cases, dearest first.")


class SavingsApi(Api):
    """What was saved against a model that would have done everything."""

    actions: ClassVar[dict[str, str]] = {"GET": "view"}

    class QuerySerializer(serializers.Serializer):
        # `from` is a word of Python's, so the fields are given by name.
        def get_fields(self) -> dict[str, Any]:
            return {
                "month": serializers.CharField(
                    required=False,
                    max_length=7,
                    help_text="Such as 2026-10, as the page of savings has it: in place of `from` and `to`.",
                ),
                "from": serializers.DateField(
                    required=False, help_text="First day, in the organisation's zone; else that of the present month."
                ),
                "to": serializers.DateField(
                    required=False, help_text="The day after the last one; tomorrow where not given. 366 days at most."
                ),
            }

    @extend_schema(
        summary="Savings against a baseline", operation_id="savings", tags=["spend"], responses=SavingsOutput,
        description="An estimate, by use case and month, of a month or of days; of the present month where neither "
        "is given. What the baseline of a use case is stands in its record.",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        zone = Organisation.objects.get(pk=1).zone
        today = periods.local_day(timezone.now(), zone)
        if "month" in self.query:
            if "from" in self.query or "to" in self.query:
                said = "Either a month, or days with `from` and `to`."
                raise Invalid(said, [("month", said)])
            first = label_of(self.query["month"])
            return self._told(first, periods.add_months(first, 1), zone)
        until: date = self.query.get("to") or today + timedelta(days=1)
        known = FIRST_YEAR < until.year <= LAST_YEAR
        first = self.query.get("from") or (until - timedelta(days=1) if known else until).replace(day=1)
        if not known or not 0 < (until - first).days <= MOST_DAYS:
            said = f"At least one day after `from`, and {MOST_DAYS} at most."
            raise Invalid("This range cannot be told of.", [("to", said)])
        return self._told(first, until, zone)

    @staticmethod
    def _told(first: date, until: date, zone: str) -> Response:
        found = savings.saved(first=first, until=until, zone=zone)
        answer = {
            "from": first,
            "to": until,
            "rows": [_row(row) for row in found.rows],
            "total": _sums(found.total),
            "without_baseline": found.without_baseline,
        }
        return Response(SavingsOutput(answer).data)


def _sums(sums: Sums) -> dict[str, Any]:
    return {str(name): getattr(sums, str(name)) for name in SavedOutput().fields}


def _row(row: MonthSaved) -> dict[str, Any]:
    return _sums(row) | {"use_case": row.use_case, "month": row.month, "baseline": row.baseline or None}
