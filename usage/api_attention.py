"""REST for what waits for a person, and for our costs against those that gateways reported."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from catalog.models import ClaimState, Meter
from core import periods
from core.api import FIRST_YEAR, LAST_YEAR, BadQuery, InstantField, MoneyField
from core.api_views import Api
from core.models import Organisation
from usage.models import Unpriced
from usage.selectors import attention, freshness, reported
from usage.selectors.attention import LabelLine, NameLine, Reason, UnclassifiedLine, UnpricedLine
from usage.selectors.reported import MOST_DAYS, Compared, OfferingDay

MOST = 500
USUAL = 100
USUAL_DAYS = 30
_REASONS = {
    Unpriced.NO_PRICE: "no_price",
    Unpriced.METER_WITHOUT_PRICE: "meter_without_price",
    Unpriced.UNKNOWN_CONTEXT: "unknown_service_tier",
    Unpriced.NOT_COUNTED: "not_counted",
    Unpriced.PRICED: "priced_by_now",
}


class ReasonOutput(serializers.Serializer):
    code = serializers.ChoiceField([(name, name) for name in _REASONS.values()])
    meters = serializers.ListField(
        child=serializers.ChoiceField(Meter.choices), help_text="Those without a price, where that is why."
    )
    service_tier = serializers.CharField(help_text="Where nothing is priced for it; else empty.")


class UnpricedOutput(serializers.Serializer):
    """An offering with entries that have no cost. They are in no total."""

    id = serializers.IntegerField(help_text="Of the offering.")
    offering = serializers.CharField()
    state = serializers.ChoiceField(ClaimState.choices)
    unpriced_tokens = serializers.IntegerField()
    unpriced_requests = serializers.IntegerField()
    uncounted_requests = serializers.IntegerField(help_text="Of these, requests whose gateway gave no token counts.")
    first_day = serializers.DateField()
    last_day = serializers.DateField()
    reasons = ReasonOutput(many=True, help_text="By its newest entries. Empty where those were priced since.")


class NameOutput(serializers.Serializer):
    """An offering that was made for a name that nobody knows. Sums are of the last 30 days."""

    id = serializers.IntegerField(help_text="Of the offering.")
    offering = serializers.CharField()
    reported_names = serializers.ListField(child=serializers.CharField(), help_text="As gateways wrote it.")
    gateways = serializers.ListField(child=serializers.CharField())
    first_seen_at = InstantField(allow_null=True)
    last_day = serializers.DateField(allow_null=True)
    tokens = serializers.IntegerField()
    requests = serializers.IntegerField()
    cost_usd = MoneyField()
    unpriced_tokens = serializers.IntegerField(help_text="Of the tokens; they are in no cost.")


class UnclassifiedOutput(serializers.Serializer):
    """An offering without a tier. Sums are of the last 30 days."""

    id = serializers.IntegerField()
    offering = serializers.CharField()
    state = serializers.ChoiceField(ClaimState.choices)
    tokens = serializers.IntegerField()
    requests = serializers.IntegerField()
    cost_usd = MoneyField()
    unpriced_tokens = serializers.IntegerField(help_text="Of the tokens; they are in no cost.")


class LabelOutput(serializers.Serializer):
    """A use case or a team that an event named first and nobody claimed. Sums are of the last 30 days."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    first_seen_at = InstantField(allow_null=True)
    last_day = serializers.DateField(allow_null=True)
    tokens = serializers.IntegerField()
    requests = serializers.IntegerField()
    cost_usd = MoneyField()
    unpriced_tokens = serializers.IntegerField(help_text="Of the tokens; they are in no cost.")


class CountsOutput(serializers.Serializer):
    unpriced = serializers.IntegerField(help_text="Offerings with entries that wait for a price.")
    uncounted = serializers.IntegerField(help_text="Offerings with nothing but requests that no gateway counted.")
    names = serializers.IntegerField()
    unclassified = serializers.IntegerField()
    use_cases = serializers.IntegerField()
    teams = serializers.IntegerField()


class AttentionOutput(serializers.Serializer):
    """How much waits in each list, and the beginning of each, most tokens first."""

    counts = CountsOutput()
    unpriced = UnpricedOutput(many=True)
    uncounted = UnpricedOutput(many=True)
    names = NameOutput(many=True)
    unclassified = UnclassifiedOutput(many=True)
    use_cases = LabelOutput(many=True)
    teams = LabelOutput(many=True)


class AttentionApi(Api):
    """What waits for a person."""

    actions: ClassVar[dict[str, str]] = {"GET": "view"}

    class QuerySerializer(serializers.Serializer):
        limit = serializers.IntegerField(
            required=False, default=USUAL, min_value=1, max_value=MOST, help_text="Rows per list."
        )

    @extend_schema(
        summary="What waits for a person", operation_id="attention", tags=["catalogue"], responses=AttentionOutput,
        description="Unpriced usage, names of models that nobody knows, models without a tier, use cases and "
        "teams without an owner. What is settled is gone from here; `counts` are of everything.",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        now, most = timezone.now(), self.query["limit"]
        shown: dict[str, Any] = {"at": now, "zone": _zone(), "most": most}
        found = {
            "counts": attention.counts(at=now),
            "unpriced": [_unpriced(line) for line in attention.unpriced(most=most)],
            "uncounted": [_unpriced(line) for line in attention.unpriced(most=most, uncounted=True)],
            "names": [_name(line) for line in attention.names(**shown)],
            "unclassified": [_unclassified(line) for line in attention.unclassified(**shown)],
            "use_cases": [_label(line) for line in attention.use_cases(**shown)],
            "teams": [_label(line) for line in attention.teams(**shown)],
        }
        return Response(AttentionOutput(found).data)


def _zone() -> str:
    zone: str = Organisation.objects.values_list("zone", flat=True).get(pk=1)
    return zone


def _unpriced(line: UnpricedLine) -> dict[str, Any]:
    return {
        "id": line.id, "offering": line.name, "state": line.state, "unpriced_tokens": line.tokens,
        "unpriced_requests": line.requests, "uncounted_requests": line.uncounted, "first_day": line.first_day,
        "last_day": line.last_day, "reasons": [_reason(one) for one in line.reasons],
    }  # fmt: skip


def _reason(reason: Reason) -> dict[str, Any]:
    return {
        "code": _REASONS[Unpriced(reason.code)],
        "meters": list(reason.meters),
        "service_tier": reason.service_tier,
    }


def _name(line: NameLine) -> dict[str, Any]:
    return {
        "id": line.id, "offering": line.name, "reported_names": list(line.reported.names),
        "gateways": list(line.reported.gateways), "first_seen_at": line.first_seen_at, "last_day": line.last_day,
        "tokens": line.tokens, "requests": line.requests, "cost_usd": line.cost_usd,
        "unpriced_tokens": line.unpriced_tokens,
    }  # fmt: skip


def _unclassified(line: UnclassifiedLine) -> dict[str, Any]:
    return {
        "id": line.id, "offering": line.name, "state": line.state, "tokens": line.tokens,
        "requests": line.requests, "cost_usd": line.cost_usd,
        "unpriced_tokens": line.unpriced_tokens,
    }  # fmt: skip


def _label(line: LabelLine) -> dict[str, Any]:
    return {
        "id": line.id, "name": line.name, "first_seen_at": line.first_seen_at, "last_day": line.last_day,
        "tokens": line.tokens, "requests": line.requests, "cost_usd": line.cost_usd,
        "unpriced_tokens": line.unpriced_tokens,
    }  # fmt: skip


# --- reported costs ---


class ComparedOutput(serializers.Serializer):
    cost_usd = MoneyField(
        help_text="Ours, of entries that have both costs: under a contract or at list, whichever is nearer."
    )
    reported_cost_usd = MoneyField(help_text="What gateways reported for the same entries.")
    difference_usd = MoneyField(help_text="How much more we say; negative where it is less.")
    apart = serializers.BooleanField(help_text="More than a cent and more than 1 per cent of what was reported.")


class OfferingDayOutput(ComparedOutput):
    offering = serializers.CharField()
    day = serializers.DateField(help_text="A day of the organisation's zone.")


class ReportedOutput(serializers.Serializer):
    """What was compared in [from, to), per offering and day, the greatest difference first."""

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        return {"from": serializers.DateField()} | fields  # a word that Python keeps for itself

    to = serializers.DateField()
    zone = serializers.CharField()
    rows = OfferingDayOutput(many=True)
    found = serializers.IntegerField(help_text="How many rows there are, those beyond `limit` too.")
    apart = serializers.IntegerField(help_text="How many of them are apart.")
    total = ComparedOutput(help_text="Of everything that was compared, whether it is shown or not.")
    complete_through = InstantField(
        allow_null=True, help_text="All that was received before is in; null where no gateway was heard of in 24 hours."
    )


class ReportedCostsApi(Api):
    """Our costs against those that gateways reported."""

    actions: ClassVar[dict[str, str]] = {"GET": "view"}

    class QuerySerializer(serializers.Serializer):
        def get_fields(self) -> dict[str, Any]:
            text = "A day of the organisation's zone; the range is half-open. "
            return {
                "from": serializers.DateField(required=False, help_text=f"{text}{USUAL_DAYS} days before `to`."),
                "to": serializers.DateField(required=False, help_text=text + "Tomorrow, if not given."),
                "apart": serializers.BooleanField(
                    required=False, default=False, help_text="Only what differs by more than a cent and 1 per cent."
                ),
                "limit": serializers.IntegerField(required=False, default=USUAL, min_value=1, max_value=MOST),
            }

    @extend_schema(
        summary="Our costs against reported ones", operation_id="reported_costs", tags=["spend"],
        responses=ReportedOutput,
        description=f"Only entries that have both costs are compared, over {MOST_DAYS} days at most.",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        now, zone = timezone.now(), _zone()
        first, until = _days(self.query, at=now, zone=zone)
        found = reported.by_offering_and_day(
            first=first, until=until, most=self.query["limit"], apart_only=self.query["apart"]
        )
        shown = {
            "from": first, "to": until, "zone": zone, "rows": [_offering_day(row) for row in found.rows],
            "found": found.found, "apart": found.apart, "total": _compared(found.total),
            "complete_through": freshness.complete_through(at=now),
        }  # fmt: skip
        return Response(ReportedOutput(shown).data)


def _days(query: dict[str, Any], *, at: datetime, zone: str) -> tuple[date, date]:
    """Return the days that are asked for as [first, until).

    Raises:
        BadQuery: the range is empty, too long, or of no year that can be.
    """
    until: date = query.get("to") or periods.local_day(at, zone) + timedelta(days=1)
    if not FIRST_YEAR < until.year <= LAST_YEAR:
        raise _refused("to", f"Only the years from {FIRST_YEAR + 1} to {LAST_YEAR} can be told.")
    first: date = query.get("from") or until - timedelta(days=USUAL_DAYS)
    if not FIRST_YEAR <= first.year <= LAST_YEAR:
        raise _refused("from", f"Only the years from {FIRST_YEAR} to {LAST_YEAR} can be told.")
    if not first < until:
        raise _refused("to", "It lies not after `from`, so there is no day in the range.")
    if (until - first).days > MOST_DAYS:
        raise _refused("from", f"{MOST_DAYS} days at most, and these are {(until - first).days:,}.")
    return first, until


def _refused(name: str, sentence: str) -> BadQuery:
    return BadQuery(sentence, [(name, sentence)])


def _compared(row: Compared) -> dict[str, Any]:
    return {
        "cost_usd": row.ours_usd, "reported_cost_usd": row.reported_usd, "difference_usd": row.difference_usd,
        "apart": row.apart,
    }  # fmt: skip


def _offering_day(row: OfferingDay) -> dict[str, Any]:
    return {"offering": row.offering, "day": row.day, **_compared(row)}
