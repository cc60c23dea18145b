"""REST for what was spent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from catalog.models import Tier
from core import nudges, periods
from core.api import (
    FIRST_YEAR,
    LAST_YEAR,
    BadQuery,
    InstantField,
    MoneyField,
    acting_as,
)
from core.api_views import Api
from core.models import JobState, Organisation
from usage.models import Status
from usage.selectors import freshness, spend, spend_query
from usage.selectors.spend_sums import USUAL
from usage.services import spend_queries
from usage.tasks import JOBS

_SECONDS_TO_COME_BACK = 1
_FILTERS = tuple(name for name in spend.DIMENSIONS if name not in spend.TIMES)


def _filter(name: str) -> OpenApiParameter:
    help_text = "Only what has this value; given several times, any of them."
    if name in ("rule", "reason", "task", "requested_model", "environment", "rules_version", "correction_of"):
        help_text += " Empty: only what has none."
    choices = {"tier": Tier.labels, "status": Status.labels}.get(name)
    enum: Sequence[str] | None = [str(label) for label in choices] if choices else None
    return OpenApiParameter(name=name, type=OpenApiTypes.STR, many=True, description=help_text, enum=enum)


class SumsOutput(serializers.Serializer):
    requests = serializers.IntegerField()
    input_tokens = serializers.IntegerField(help_text="All input, cached, audio and image included.")
    output_tokens = serializers.IntegerField(help_text="All output, reasoning, audio and image included.")
    cost_usd = MoneyField()
    unpriced_tokens = serializers.IntegerField(help_text="Unpriced tokens; they are not in `cost_usd`.")
    uncounted_requests = serializers.IntegerField(help_text="Requests whose gateway gave no token counts.")
    failed_requests = serializers.IntegerField(help_text="Requests with the status `error`.")
    uncached_input_tokens = serializers.IntegerField(allow_null=True)
    cache_read_input_tokens = serializers.IntegerField(allow_null=True)
    cache_write_5m_input_tokens = serializers.IntegerField(allow_null=True)
    cache_write_1h_input_tokens = serializers.IntegerField(allow_null=True)
    audio_input_tokens = serializers.IntegerField(allow_null=True)
    image_input_tokens = serializers.IntegerField(allow_null=True)
    audio_output_tokens = serializers.IntegerField(allow_null=True)
    image_output_tokens = serializers.IntegerField(allow_null=True)
    reasoning_tokens = serializers.IntegerField(allow_null=True)
    web_searches = serializers.IntegerField(allow_null=True)
    list_cost_usd = MoneyField(allow_null=True, help_text="At list prices, without contracts.")
    avoided_usd = MoneyField(allow_null=True, help_text="What gateways' caches spared.")
    reported_cost_usd = MoneyField(allow_null=True, help_text="As gateways reckoned it themselves.")
    unpriced_requests = serializers.IntegerField(allow_null=True)
    fallback_requests = serializers.IntegerField(allow_null=True)
    error_share = MoneyField(allow_null=True, help_text="Failed requests over all requests; null where there are none.")
    timed_requests = serializers.IntegerField(
        allow_null=True, help_text="Answered requests whose latency is known. Null unless `latency=true`."
    )
    mean_latency_ms = serializers.IntegerField(allow_null=True, help_text="Of `timed_requests`.")
    p50_latency_ms = serializers.IntegerField(allow_null=True, help_text="Estimated from a histogram of 16 buckets.")
    p95_latency_ms = serializers.IntegerField(allow_null=True, help_text="Estimated from a histogram of 16 buckets.")


class SpendRowOutput(SumsOutput):
    """The dimensions of `group_by` come first, each under its name; null says none. `tag:NAME` has that very name."""

    def get_fields(self) -> dict[str, Any]:
        keys = {
            name: serializers.CharField(required=False, allow_null=True)
            for name in (*_FILTERS, *spend.TIMES)
        }  # fmt: skip
        return keys | super().get_fields()


class SpendOutput(serializers.Serializer):
    """Sums over [from, to). Figures that a tag's rollup does not keep are null."""

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        return {"from": InstantField()} | fields  # a word that Python keeps for itself

    to = InstantField()
    zone = serializers.CharField()
    group_by = serializers.ListField(child=serializers.CharField())
    rows = SpendRowOutput(many=True)
    total = SumsOutput()
    priced_share = MoneyField(
        allow_null=True, help_text="Tokens that have a price over tokens, rounded down; null where there are no tokens."
    )
    complete_through = InstantField(
        allow_null=True, help_text="All that was received before is in; null where no gateway was heard of in 24 hours."
    )


class QueryOutput(serializers.Serializer):
    id = serializers.IntegerField()
    state = serializers.ChoiceField(JobState.choices)
    answer = SpendOutput(allow_null=True)
    error = serializers.CharField()


class SpendApi(Api):
    """What was spent, by any dimensions over any time."""

    actions: ClassVar[dict[str, str]] = {"GET": "view"}
    query_pattern = "|".join((*_FILTERS, r"tag:.{1,64}"))
    query_extras = (
        *map(_filter, _FILTERS),
        OpenApiParameter("tag:NAME", OpenApiTypes.STR, many=True, description="Only what has this value of the tag."),
    )

    class QuerySerializer(serializers.Serializer):
        def get_fields(self) -> dict[str, Any]:
            text = "An instant, or a day of `zone`; the range is half-open. "
            return {
                "from": serializers.CharField(required=False, help_text=text + "The month's beginning, if not given."),
                "to": serializers.CharField(required=False, help_text=text + "The month's end, if not given."),
                "group_by": serializers.CharField(
                    required=False,
                    default="",
                    allow_blank=True,
                    help_text=f"Names, separated by commas: {', '.join(spend.DIMENSIONS)}, tag:NAME.",
                ),
                "zone": serializers.CharField(
                    required=False,
                    help_text="IANA name; days, weeks and months are its own. The organisation's, if not given.",
                ),
                "latency": serializers.BooleanField(
                    required=False,
                    default=False,
                    help_text="Whether to answer latencies, too; they take longer to sum.",
                ),
            }

    @extend_schema(
        summary="Spend, tokens and requests", operation_id="spend", tags=["spend"],
        description="From sums that are a few seconds behind. What they cannot tell (a tag that is not declared, an "
        "instant inside a quarter hour) is read from the ledger in the background, for 31 days at most: 202, and the "
        "answer is at `Location`.",
        responses={200: SpendOutput, 202: QueryOutput},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        now = timezone.now()
        ask = asked_of(self.query, request, at=now)
        complete_through = freshness.complete_through(at=now)
        answer = spend.spend_or_none(ask=ask)
        if answer is not None:
            return Response(spend.as_json(answer, complete_through=complete_through))
        query = spend_queries.ask_for(ask=ask, complete_through=complete_through, by=acting_as(request), at=now)
        nudges.nudge(JOBS, "background")
        return _answer(query, location=reverse("api-spend-query", args=[query.id], request=request))


class SpendQueryApi(Api):
    """The answer to a question that was asked of the ledger."""

    actions: ClassVar[dict[str, str]] = {"GET": "view"}

    @extend_schema(
        summary="Answer of a query that runs in the background", operation_id="spend_query", tags=["spend"],
        description="202 with `Retry-After` until it is there.", responses={200: QueryOutput, 202: QueryOutput},
    )  # fmt: skip
    def get(self, request: Request, pk: int) -> Response:
        return _answer(spend_query.get(query_id=pk))


def _answer(query: spend_query.Query, *, location: str | None = None) -> Response:
    answer = {"id": query.id, "state": query.state, "answer": query.answer, "error": query.error}
    under_way = query.state in (JobState.WAITING, JobState.RUNNING)
    headers = {"Retry-After": str(_SECONDS_TO_COME_BACK)} if under_way or location else {}
    if location:
        headers["Location"] = location
    return Response(
        answer, status=status.HTTP_202_ACCEPTED if under_way or location else status.HTTP_200_OK, headers=headers
    )


def asked_of(query: dict[str, Any], request: Request, *, at: datetime) -> spend.SpendAsk:
    """Return the question in the query string.

    Raises:
        BadQuery: a zone, a day or an instant cannot be read.
    """
    zone = query.get("zone") or Organisation.objects.values_list("zone", flat=True).get(pk=1)
    if zone not in periods.zones():
        sentence = f"{zone!r} is not a time zone of the IANA database, such as Europe/Berlin."
        raise BadQuery(sentence, [("zone", sentence)])
    month = periods.containing(at, "month", zone)
    starts_at, ends_at = month.starts_at, month.ends_at
    if "from" in query:
        starts_at = _instant("from", query["from"], zone)
        if "to" not in query:
            ends_at = periods.containing(starts_at, "month", zone).ends_at
    if "to" in query:
        ends_at = _instant("to", query["to"], zone)
    return spend.SpendAsk(
        starts_at=starts_at,
        ends_at=ends_at,
        zone=zone,
        group_by=tuple(
            name.strip()
            for each in request.query_params.getlist("group_by")
            for name in each.split(",")
            if name.strip()
        ),
        filters={
            name: tuple(request.query_params.getlist(name))
            for name in request.query_params
            if name in _FILTERS or name.startswith("tag:")
        },
        measures=spend.MEASURES if query.get("latency") else USUAL,
    )


def _instant(name: str, text: str, zone: str) -> datetime:
    try:
        read = datetime.fromisoformat(text)
    except ValueError as error:
        raise _unreadable(name, text) from error
    if not FIRST_YEAR <= read.year <= LAST_YEAR:
        raise _unreadable(name, text)
    if len(text) == len("2026-11-20"):
        return periods.day_start(read.date(), zone)
    if read.tzinfo is None:
        raise _unreadable(name, text)
    return read.astimezone(UTC)


def _unreadable(name: str, text: str) -> BadQuery:
    sentence = f"{text!r} is neither a day such as 2026-11-20 nor an instant such as 2026-11-20T12:00:00Z."
    return BadQuery(sentence, [(name, sentence)])
