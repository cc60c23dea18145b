"""REST for single entries of the ledger, and for all that is known of one event."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from catalog.rules import METERS
from catalog.selectors import labels
from core import periods
from core.api import (
    FIRST_YEAR,
    LAST_YEAR,
    BadQuery,
    InstantField,
    MoneyField,
    PageQuery,
    instant,
    next_page,
    read_cursor,
    written_cursor,
)  # fmt: skip
from core.api_views import Api
from core.errors import NotFound
from core.models import Organisation
from usage import api as spend_api
from usage.formats.labels import MAX_ID
from usage.selectors import lines, moved, stories, story_lines
from usage.selectors.lines import FILTERS, KINDS, LineRow, LinesAsk, Place
from usage.selectors.story_facts import Story, Unknown
from usage.services.once import digest_of


class EntryOutput(serializers.Serializer):
    """A line of the ledger. Tokens, requests and cost of a reversal are negative; an adjustment counts none."""

    booked_at = InstantField()
    occurred_at = InstantField()
    kind = serializers.ChoiceField(list(KINDS))
    event_id = serializers.CharField()
    source = serializers.IntegerField(help_text="Event ids are unique within a source.")  # type: ignore[assignment]  # every field has an attribute of that name
    gateway = serializers.CharField()
    environment = serializers.CharField()
    use_case = serializers.CharField()
    team = serializers.CharField()
    requested_model = serializers.CharField()
    model = serializers.CharField()
    provider = serializers.CharField()
    offering = serializers.CharField()
    tier = serializers.CharField()
    status = serializers.CharField()
    requests = serializers.IntegerField()
    input_tokens = serializers.IntegerField(help_text="All input, cached, audio and image included.")
    output_tokens = serializers.IntegerField(help_text="All output, reasoning, audio and image included.")
    cost_usd = MoneyField(allow_null=True, help_text="Null: it is unpriced.")
    reported_cost_usd = MoneyField(allow_null=True, help_text="As its gateway reckoned it.")
    unpriced = serializers.CharField(help_text="Why it has no cost; empty where it has one.")
    latency_ms = serializers.IntegerField(allow_null=True)
    rules_version = serializers.IntegerField(help_text="0: the gateway named none.")
    rule = serializers.CharField()
    reason = serializers.CharField()
    fallback_index = serializers.IntegerField()
    call_group = serializers.CharField()
    task = serializers.CharField()
    tags = serializers.DictField(child=serializers.CharField())
    correction_of = serializers.DateField(allow_null=True, help_text="The closed month that it was booked late for.")


class EntryPageOutput(serializers.Serializer):
    results = EntryOutput(many=True)
    next = serializers.CharField(allow_null=True, help_text="Address of the next page, null on the last.")
    looked_to = InstantField(
        allow_null=True,
        help_text="Where filters need every entry to be read: how far back this page looked before it was full. Such a "
        "page may be short or empty; `next` goes on.",
    )


class EntriesApi(Api):
    """Entries of the ledger, one by one."""

    actions: ClassVar[dict[str, str]] = {"GET": "view"}
    query_pattern = "|".join((*FILTERS, r"tag:.{1,64}"))
    query_extras = (
        *spend_api.SpendApi.query_extras[:-1],
        OpenApiParameter("tag:NAME", OpenApiTypes.STR, many=True, description="Only what has this value of the tag."),
    )

    class QuerySerializer(PageQuery):
        kind = serializers.ChoiceField(list(KINDS), required=False)
        unpriced = serializers.BooleanField(required=False, default=False, help_text="Unpriced calls.")
        fallback = serializers.BooleanField(required=False, default=False, help_text="Calls answered by a fallback.")
        min_cost_usd = MoneyField(required=False, help_text="Calls that cost so much or more when they were booked.")
        slower_than_ms = serializers.IntegerField(
            required=False, min_value=0, max_value=2**31 - 1, help_text="Calls that took so long or longer."
        )
        aside = serializers.BooleanField(
            required=False, default=False, help_text="Shadow and audit entries instead, which are in no total."
        )

        def get_fields(self) -> dict[str, Any]:
            text = "An instant, or a day of the organisation's; the range is half-open. "
            return {
                "from": serializers.CharField(required=False, help_text=text + "The month's beginning, if not given."),
                "to": serializers.CharField(required=False, help_text=text + "The month's end, if not given."),
            } | super().get_fields()

    @extend_schema(
        summary="Entries, the last booked first", operation_id="entries_list", tags=["spend"],
        description="Lines of the ledger behind a sum, with the filters of `GET spend`. All lines of a range add up to "
        "what `GET spend` says of it. Lines that are booked meanwhile shift no page.",
        responses=EntryPageOutput,
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        asked = spend_api.asked_of(self.query, request, at=timezone.now())
        found = lines.page(
            ask=LinesAsk(
                starts_at=asked.starts_at,
                ends_at=asked.ends_at,
                zone=asked.zone,
                filters=asked.filters,
                kind=self.query.get("kind", ""),
                unpriced=self.query["unpriced"],
                fallback=self.query["fallback"],
                min_cost_usd=self.query.get("min_cost_usd"),
                slower_than_ms=self.query.get("slower_than_ms"),
                aside=self.query["aside"],
            ),
            most=self.query["limit"],
            at=_place(self.query.get("after")),
        )
        following = found.older and next_page(request, written_cursor(_cursor(found.older)))
        body = {"results": [_line(row) for row in found.rows], "next": following, "looked_to": found.looked_to}
        return Response(EntryPageOutput(body).data)


def _cursor(place: Place) -> tuple[str, int, int]:
    return instant(place.booked_at) or "", place.use_case_id, place.id


def _place(after: str | None) -> Place | None:
    cursor = read_cursor(after, (str, int, int))
    if cursor is None:
        return None
    try:
        booked_at = datetime.fromisoformat(cursor[0])
    except ValueError:
        booked_at = None
    sound = booked_at is not None and booked_at.tzinfo is not None and FIRST_YEAR <= booked_at.year <= LAST_YEAR
    if booked_at is None or not sound or not all(0 <= number < 2**63 for number in cursor[1:]):
        raise BadQuery("after: take it from `next` as it is.", [("after", "not a page of this list")])
    return Place(booked_at=booked_at, use_case_id=cursor[1], id=cursor[2])


def _line(row: LineRow) -> dict[str, Any]:
    return {**vars(row), "booked_at": row.place.booked_at, "source": row.source_id}


# --- one event ---


class PriceSaidOutput(serializers.Serializer):
    id = serializers.IntegerField()
    usd_per_1m = MoneyField()
    contract = serializers.CharField(allow_null=True, help_text="Null: the list price.")
    valid_from = InstantField(allow_null=True)
    valid_until = InstantField(allow_null=True)
    recorded_at = InstantField(allow_null=True)
    recorded_until = InstantField(allow_null=True, help_text="When it was replaced in the book; null: it holds.")
    source = serializers.CharField()  # type: ignore[assignment]
    source_version = serializers.CharField()
    source_url = serializers.CharField()
    entered_by = serializers.CharField()
    approved_by = serializers.CharField()


class WorkedOutPartOutput(serializers.Serializer):
    meter = serializers.ChoiceField(METERS)
    quantity = serializers.IntegerField()
    usd_per_1m = MoneyField()
    of_contract = serializers.BooleanField(help_text="A contract's own price, else one of the list.")
    discount_percent = MoneyField(allow_null=True)
    paid_per_1m = MoneyField(help_text="The price less the discount.")
    amount_usd = MoneyField(help_text="The quantity times that; the parts add up to the cost exactly.")
    list_amount_usd = MoneyField()
    price = PriceSaidOutput(allow_null=True)


class EventLineOutput(EntryOutput):
    running_usd = MoneyField(allow_null=True, help_text="What the event's lines come to up to here.")
    why = serializers.CharField(help_text="Of a restatement: its reason.")
    by = serializers.CharField(help_text="Of a restatement: by whom.")


class EventBudgetOutput(serializers.Serializer):
    id = serializers.IntegerField(source="budget_id")
    name = serializers.CharField()
    unit = serializers.CharField()
    period_start = InstantField()
    period_end = InstantField()
    counts = MoneyField(source="by", help_text="What the event comes to in the budget's unit.")
    used = MoneyField(allow_null=True, help_text="What the period came to by now.")


class AttemptOutput(EntryOutput):
    cost_usd = MoneyField(allow_null=True, help_text="After all corrections.")


class EventOutput(serializers.Serializer):
    """All that is known of an event, its lines in the order of their booking."""

    id = serializers.CharField()
    source = serializers.IntegerField()  # type: ignore[assignment]
    gateway = serializers.CharField()
    imported = serializers.BooleanField()
    summed = serializers.BooleanField(help_text="False: it is kept aside, and in no total.")
    counts = serializers.BooleanField(help_text="False: it was taken back.")
    cost_usd = MoneyField(allow_null=True)
    receipt = serializers.CharField(allow_null=True)
    first_received_at = InstantField(allow_null=True)
    conflicts = serializers.IntegerField(help_text="How often the same id came with other content.")
    lines = EventLineOutput(many=True)
    parts = WorkedOutPartOutput(many=True)
    attempts = AttemptOutput(many=True, help_text="Others of the same call group that count.")
    budgets = EventBudgetOutput(many=True)
    context = serializers.DictField(allow_null=True)  # type: ignore[assignment]


class EventsOutput(serializers.Serializer):
    results = EventOutput(many=True, help_text="One per source that knows the id.")


class EventApi(Api):
    """One event, by the id that its gateway gave it."""

    actions: ClassVar[dict[str, str]] = {"GET": "view"}

    class QuerySerializer(serializers.Serializer):
        gateway = serializers.CharField(required=False, max_length=128, help_text="Its name.")
        use_case = serializers.CharField(
            required=False, max_length=128, help_text="With `day`: where to look for an id that is forgotten."
        )
        day = serializers.DateField(required=False, help_text="A day of the organisation's.")

    @extend_schema(
        summary="An event and its story", operation_id="events_retrieve", tags=["spend"],
        description="What was booked of it, how its cost is worked out and from whose prices, other attempts at the "
        "same call, and the budgets that count it. Ids of a gateway's stream are known for 36 days; of older events "
        "name the use case and the day.",
        responses=EventsOutput,
    )  # fmt: skip
    def get(self, request: Request, event_id: str) -> Response:
        found = _stories(event_id, self.query)
        if not found:
            raise NotFound(
                f"No event is known by this id. Ids are known for {stories.KEPT_DAYS} days; of older events name "
                "`use_case` and `day`."
            )
        return Response(EventsOutput({"results": [_told(one) for one in found]}).data)


def _stories(event_id: str, query: dict[str, Any]) -> list[Story]:
    if len(event_id) > MAX_ID or "\0" in event_id:
        return []
    digest = digest_of(event_id)
    gateway = query.get("gateway", "")
    places: list[tuple[int, Place | None]] = [
        (one.source.id, None) for one in stories.named(digest=digest, gateway=gateway)
    ]
    if not places and "use_case" in query and "day" in query:
        use_case = labels.id_of("use_case", query["use_case"])
        if use_case is None:
            raise NotFound(f"There is no use case {query['use_case']!r}.")
        if not FIRST_YEAR <= query["day"].year <= LAST_YEAR:
            raise BadQuery("day: that is out of all reach.", [("day", "no day that anything was booked on")])
        zone = Organisation.objects.values_list("zone", flat=True).get(pk=1)
        day = periods.starting(query["day"], "day", zone)
        rows = story_lines.find(
            digest=digest, use_case_id=use_case, starts_at=day.starts_at, ends_at=day.ends_at
        )  # fmt: skip
        places = [(row.source_id, row.place) for row in rows if not gateway or row.gateway == gateway]
    found = [stories.one(source_id=source_id, digest=digest, place=place) for source_id, place in places]
    return [one for one in found if not isinstance(one, Unknown)]


def _told(story: Story) -> dict[str, Any]:
    told = story.entry or story.first
    receipt = story.first.posting.receipt_id
    return {
        "id": story.event_id,
        "source": story.source.id,
        "gateway": story.source.gateway,
        "imported": not story.source.live,
        "summed": story.summed,
        "counts": story.summed and story.entry is not None,
        "cost_usd": story.cost_usd,
        "receipt": None if receipt is None else str(receipt),
        "first_received_at": story.first_received_at,
        "conflicts": len([one for one in story.held if one.reason == "conflict"]),
        "lines": [
            {
                **_line(one.row),
                "running_usd": one.running_usd,
                "why": one.restatement.reason if one.restatement else "",
                "by": one.restatement.by if one.restatement else "",
            }
            for one in story.lines
        ],
        "parts": [
            {**part._asdict(), "price": story.prices.get(part.price_id)}
            for part in (story.worked_out.parts if story.worked_out else ())
        ],
        "attempts": [{**_line(one.row), "cost_usd": one.cost_usd} for one in story.attempts],
        "budgets": moved.of(row=told.row, cost_usd=story.cost_usd) if story.summed and story.entry else [],
        "context": story.context,
    }
