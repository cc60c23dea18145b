"""REST for what came in: receipts and what became of them, and events that were held."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from core import nudges
from core.api import BadQuery, InstantField, PageQuery, acting_as, body, instant, page_of, paged, read_cursor
from core.api_views import Api
from core.errors import NotFound
from usage.api_intake import own_gateway
from usage.models import HeldReason
from usage.selectors import held as held_events
from usage.selectors import receipts as selector
from usage.selectors.receipts import SHOWN, ReceiptRow
from usage.services import held, receipts
from usage.tasks import BOOK

_STATES = [name for name in SHOWN if name != "all"]
_MOST_ID = 2**63 - 1


class ReceiptLineOutput(serializers.Serializer):
    receipt = serializers.CharField()
    gateway = serializers.CharField()
    imported = serializers.BooleanField(help_text="A part of a file, no body of the gateway.")
    environment = serializers.CharField()
    format = serializers.CharField()
    state = serializers.ChoiceField(["pending", "done", "failed"])
    received_at = InstantField()
    first_occurred_at = InstantField(allow_null=True, help_text="Of its events, by their own word.")
    last_occurred_at = InstantField(allow_null=True)
    done_at = InstantField(allow_null=True)
    events = serializers.IntegerField()
    accepted = serializers.IntegerField(help_text="Events that counted.")
    duplicates = serializers.IntegerField(help_text="Events that had counted before.")
    conflicts = serializers.IntegerField(help_text="Events with a known id and other content; kept for a look.")
    quarantined = serializers.IntegerField(help_text="Events too old to be told from repeats; kept for a look.")
    shadowed = serializers.IntegerField(help_text="Events kept aside because another source or format counts them.")
    superseded = serializers.IntegerField(help_text="Events in whose place another one counts.")
    rejected = serializers.IntegerField(help_text="Items that could not be events.")
    attempts = serializers.IntegerField(help_text="Tries to book it that failed.")
    error = serializers.CharField(help_text="Why the last of them failed.")
    given_up_at = InstantField(allow_null=True)
    given_up_by = serializers.CharField()
    given_up_because = serializers.CharField()


class ReceiptsApi(Api):
    """Bodies that came in, and what became of them."""

    actions: ClassVar[dict[str, str]] = {"GET": "receipts.read"}

    class QuerySerializer(PageQuery):
        state = serializers.ChoiceField(
            _STATES,
            required=False,
            help_text="`failed`: set aside after several tries. `given_up`: of these, those that nobody is asked about "
            "any more. `in_part`: something of it was refused, or kept without being counted.",
        )
        gateway = serializers.IntegerField(required=False, min_value=1, max_value=_MOST_ID, help_text="Its id.")

    @extend_schema(
        summary="Receipts, newest first", operation_id="receipts_list", tags=["usage"],
        description="A key that may only send sees those of its own gateway.",
        responses=page_of(ReceiptLineOutput, "ReceiptPage"),
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        limit, cursor = self.query["limit"], read_cursor(self.query.get("after"), (str, int))
        gateway = self.query.get("gateway")
        own = own_gateway(request)
        if own is not None:
            if gateway not in (None, own):
                raise NotFound(f"There is no gateway {gateway}, or not for this key.")
            gateway = own
        rows = selector.listed(
            show=self.query.get("state", "all"),
            gateway_id=gateway,
            before=_before(cursor) if cursor else None,
            most=limit + 1,
        )
        page = paged(request, rows, limit=limit, key=lambda row: (instant(row.received_at) or "", row.id))
        return Response(page | {"results": [_told(row) for row in page["results"]]})


def _before(cursor: list[Any]) -> tuple[datetime, int]:
    try:
        received_at = datetime.fromisoformat(cursor[0])
    except ValueError:
        received_at = None
    if received_at is None or received_at.tzinfo is None or not 0 <= cursor[1] <= _MOST_ID:
        raise BadQuery("after: take it from `next` as it is.", [("after", "not a page of this list")])
    return received_at, cursor[1]


def _told(row: ReceiptRow) -> dict[str, Any]:
    return dict(ReceiptLineOutput({"receipt": str(row.id), "accepted": row.booked, **vars(row)}).data)


class ReceiptRetryApi(Api):
    """Trying to book a body again that was set aside."""

    actions: ClassVar[dict[str, str]] = {"POST": "intake.settle"}

    @extend_schema(
        summary="Try a receipt again", operation_id="receipts_retry", tags=["usage"], request=None,
        description="Puts one that was set aside, or given up, back in line; what it holds counts once. 409 where it "
        "is booked or waits already.",
        responses={202: ReceiptLineOutput, 409: OpenApiResponse(description="It is not set aside.")},
    )  # fmt: skip
    def post(self, request: Request, receipt_id: int) -> Response:
        receipts.try_again(receipt_id=receipt_id, by=acting_as(request), at=timezone.now())
        nudges.nudge(BOOK, queue="intake")
        return _one(receipt_id, status.HTTP_202_ACCEPTED)


class ReceiptGiveUpApi(Api):
    """Giving up a body that can never be booked."""

    actions: ClassVar[dict[str, str]] = {"POST": "intake.settle"}

    class InputSerializer(serializers.Serializer):
        reason = serializers.CharField(
            max_length=receipts.REASON_CHARACTERS, help_text="Kept with it and in the audit trail."
        )

    @extend_schema(
        summary="Give a receipt up", operation_id="receipts_give_up", tags=["usage"], request=InputSerializer,
        description="Nobody is asked about it any more. Its events stay with it, in no total, and it can still be "
        "tried again.",
        responses={200: ReceiptLineOutput, 409: OpenApiResponse(description="It is not set aside.")},
    )  # fmt: skip
    def post(self, request: Request, receipt_id: int) -> Response:
        data = body(self.InputSerializer, request)
        receipts.give_up(receipt_id=receipt_id, by=acting_as(request), at=timezone.now(), reason=data["reason"])
        return _one(receipt_id, status.HTTP_200_OK)


def _one(receipt_id: int, answered: int) -> Response:
    found = selector.one(receipt_id=receipt_id)
    if found is None:
        raise receipts.NoSuchReceipt(f"There is no receipt {receipt_id}.")
    return Response(_told(found.row), status=answered)


# --- events that were held ---


class HeldLineOutput(serializers.Serializer):
    name = serializers.CharField()
    counted = serializers.CharField(allow_null=True)
    later = serializers.CharField(allow_null=True)
    differs = serializers.BooleanField()


class HeldOutput(serializers.Serializer):
    id = serializers.IntegerField()
    reason = serializers.ChoiceField(HeldReason.choices)
    gateway = serializers.CharField()
    receipt = serializers.CharField()
    format = serializers.CharField()
    event_id = serializers.CharField()
    occurred_at = InstantField()
    held_at = InstantField()
    lines = HeldLineOutput(
        many=True, help_text="Of a conflict: what was counted beside what came later, where the entry is still there."
    )
    settled_at = InstantField(allow_null=True)
    settled_by = serializers.CharField()
    settled_because = serializers.CharField()


def _held(row: held_events.HeldRow) -> dict[str, Any]:
    return dict(HeldOutput({"receipt": str(row.receipt_id), **vars(row)}).data)


class HeldApi(Api):
    """Events that were kept without being counted."""

    actions: ClassVar[dict[str, str]] = {"GET": "view"}

    class QuerySerializer(PageQuery):
        reason = serializers.ChoiceField(HeldReason.values, required=False)
        gateway = serializers.IntegerField(required=False, min_value=1, max_value=_MOST_ID, help_text="Its id.")
        receipt = serializers.IntegerField(required=False, min_value=1, max_value=_MOST_ID)
        settled = serializers.BooleanField(required=False, default=False, help_text="Those that are settled instead.")

    @extend_schema(
        summary="Held events, newest first", operation_id="held_list", tags=["usage"],
        responses=page_of(HeldOutput, "HeldPage"),
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        limit, cursor = self.query["limit"], read_cursor(self.query.get("after"), (int,))
        rows = held_events.listed(
            reason=self.query.get("reason", ""),
            gateway_id=self.query.get("gateway"),
            receipt_id=self.query.get("receipt"),
            settled=self.query["settled"],
            before=cursor[0] if cursor else None,
            most=limit + 1,
        )
        page = paged(request, rows, limit=limit, key=lambda row: (row.id,))
        return Response(page | {"results": [_held(row) for row in page["results"]]})


class HeldSettleApi(Api):
    """Saying that somebody has seen a held event."""

    actions: ClassVar[dict[str, str]] = {"POST": "intake.settle"}

    class InputSerializer(serializers.Serializer):
        reason = serializers.CharField(
            required=False, default="", allow_blank=True, max_length=held.REASON_CHARACTERS, help_text="Kept with it."
        )

    @extend_schema(
        summary="Settle a held event", operation_id="held_settle", tags=["usage"], request=InputSerializer,
        description="It books nothing: what was counted stays. Whoever was first stays named.",
        responses=HeldOutput,
    )  # fmt: skip
    def post(self, request: Request, pk: int) -> Response:
        data = body(self.InputSerializer, request)
        held.settle(held_ids=[pk], by=acting_as(request), at=timezone.now(), reason=data["reason"])
        (row,) = held_events.listed(only=[pk], settled=None)
        return Response(_held(row))
