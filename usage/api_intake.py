"""The ingest edge: bodies in, receipts out.

A body is read in one go from memory, bounded after decompression; nothing is looked up but the key and the source, and
what was answered with 202 is committed. Prompts and the like end here: a format keeps only what an event holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple, cast

from django.conf import settings
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema, inline_serializer
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from catalog.models import Gateway
from catalog.rules import gateway_settings
from core import nudges, turned_away
from core.access import Caller
from core.errors import Invalid, Malformed, NotFound, TooLarge
from usage.events import Parsed, UnreadableBody
from usage.formats import FORMATS, prompts
from usage.formats.body import BodyTooLarge, decompress
from usage.formats.contract import FormatSettings, UseCasePlace
from usage.models import Receipt
from usage.services import intake
from usage.tasks import BOOK


class Unreadable(Malformed):
    """The body as a whole cannot be read; nothing of it was kept."""


@lru_cache(maxsize=1)
def _user_key() -> bytes:
    # Pseudonyms must stay the same for as long as the installation does, and tell nothing about its secret.
    return hashlib.sha256(b"tollkeeper user pseudonyms:" + settings.SECRET_KEY.encode()).digest()


def format_settings(kept: Mapping[str, Any]) -> FormatSettings:
    """Return what a gateway's bodies are read by, from its settings as they are kept."""
    said = gateway_settings.read(kept)
    return FormatSettings(
        user_key=_user_key(),
        max_events=intake.MOST_EVENTS,
        use_case_from=cast("tuple[UseCasePlace, ...]", said.use_case_from),
        use_case_by_key_alias=said.use_case_by_key_alias,
        use_case_by_team=said.use_case_by_team,
    )


def _read(request: Request) -> bytes:
    """Read a body, and no more of it than a body may have: what is over the limit never fills the memory."""
    body: bytes = request._request.read(settings.MAX_BODY_BYTES + 1)
    if len(body) > settings.MAX_BODY_BYTES:
        raise BodyTooLarge(f"The body is over {settings.MAX_BODY_BYTES:,} bytes, the limit here.")
    return body


_Accepted = inline_serializer(
    "Accepted",
    {
        "receipt": serializers.CharField(help_text="What became of the body: GET usage/receipts/{receipt}"),
        "accepted": serializers.IntegerField(help_text="Events kept; the receipt later says how many of them counted."),
        "rejected": inline_serializer(
            "RejectedItem", {"index": serializers.IntegerField(), "error": serializers.CharField()}, many=True
        ),
    },
)


def _schema(summary: str, description: str, *also: str) -> Any:
    return extend_schema(
        summary=summary,
        description=description + " Bodies may be compressed with gzip or zstd.",
        request={
            "application/json": OpenApiTypes.OBJECT,
            "application/x-ndjson": OpenApiTypes.STR,
            **dict.fromkeys(also, OpenApiTypes.OBJECT),
        },
        responses={
            202: _Accepted,
            400: OpenApiResponse(description="The body cannot be read; nothing of it was kept."),
            413: OpenApiResponse(description="The body is over the limit, after decompression."),
            429: OpenApiResponse(description="Too much waits to be booked; come again after Retry-After seconds."),
        },
        tags=["usage"],
    )


def own_gateway(request: Request) -> int | None:
    """Return the gateway that a key is held to which may only send: it sees what is its own. None: all may be seen."""
    caller = request.user
    if not isinstance(caller, Caller) or caller.has_perm("view"):
        return None
    return caller.gateway_id or 0


class Kept(NamedTuple):
    """A body that is committed: its receipt's id, None where nothing was in it, and what the format made of it."""

    receipt_id: int | None
    parsed: Parsed


class IntakeApi(APIView):
    """Takes a body of one format for the gateway that the key stands for."""

    actions: ClassVar[dict[str, str]] = {"POST": "usage.send"}
    format_name: ClassVar[str]
    most_waiting: ClassVar[str] = "BACKLOG_EVENTS"  # the setting that says how many events may wait
    refuse_with_503 = False

    def keep(self, request: Request) -> Kept:
        """Read the body and commit its events.

        Raises:
            Invalid: the key stands for no gateway.
            Unreadable: nothing of the body was kept; the message says why.
            TooLarge, LimitReached, Unavailable: likewise.
        """
        caller = request.user
        if not isinstance(caller, Caller) or caller.gateway_id is None:
            raise Invalid("This key stands for no gateway: make one with manage.py create_key NAME --gateway GATEWAY.")
        intake.check_room(most_waiting=getattr(settings, self.most_waiting), refuse_with_503=self.refuse_with_503)
        received_at = timezone.now()
        try:
            body = decompress(_read(request), request.headers.get("Content-Encoding", ""), settings.MAX_BODY_BYTES)
            parsed = FORMATS[self.format_name](
                body,
                content_type=request.content_type or "",
                headers={name.lower(): value for name, value in request.headers.items()},
                received_at=received_at,
                settings=_gateway_settings(caller.gateway_id, received_at),
            )
        except BodyTooLarge as error:
            turned_away.note_body(key_id=caller.key_id, reason=str(error), path=request.path, at=received_at)
            raise TooLarge(str(error)) from error
        except UnreadableBody as error:
            turned_away.note_body(key_id=caller.key_id, reason=str(error), path=request.path, at=received_at)
            raise Unreadable(str(error)) from error
        if not (parsed.events or parsed.rejected):
            return Kept(None, parsed)  # traces without a call of a model come all day long
        receipt_id = intake.take(
            source_id=intake.live_source(gateway_id=caller.gateway_id, at=received_at),
            environment=caller.environment,
            format=self.format_name,
            events=parsed.events,
            rejected=parsed.rejected,
            received_at=received_at,
            carried_prompts=prompts.carries(self.format_name, body),
        )
        if parsed.events:
            nudges.nudge(BOOK, queue="intake")
        return Kept(receipt_id, parsed)

    def take(self, request: Request) -> Response:
        """Keep the body and answer 202 with what the edge saw of it."""
        kept = self.keep(request)
        answer = {
            "receipt": str(kept.receipt_id),
            "accepted": len(kept.parsed.events),
            "rejected": [{"index": item.index, "error": item.error} for item in kept.parsed.rejected],
        }
        return Response(answer, status=status.HTTP_202_ACCEPTED)


_gateway_kept: dict[int, tuple[datetime, FormatSettings]] = {}


def _gateway_settings(gateway_id: int, at: datetime) -> FormatSettings:
    """Return what a gateway's bodies are read by, looked up at most every five seconds."""
    kept = _gateway_kept.get(gateway_id)
    if kept is None or (at - kept[0]).total_seconds() > 5:
        found = Gateway.objects.filter(pk=gateway_id).values_list("settings", flat=True).first() or {}
        kept = _gateway_kept[gateway_id] = (at, format_settings(found))
    return kept[1]


@_schema(
    "Report usage",
    "Native events: one object, an array, or NDJSON. One bad event never fails a body. Required are `id`, `time` and "
    "`model`. `replaces` names an earlier event in whose place this one counts, `voids` one that it takes back; an "
    "event that voids needs only `id` and `time` beside it. Events may come as CloudEvents, structured, in batches or "
    "in binary mode: the native event is the `data`, and `id` and `time` of the envelope stand in where it has none.",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
)
class UsageEventsApi(IntakeApi):
    format_name = "native"

    def post(self, request: Request) -> Response:
        return self.take(request)


@_schema("Report usage from LiteLLM", "Bodies of LiteLLM's `generic_api` callback, unmodified.")
class UsageLiteLLMApi(IntakeApi):
    format_name = "litellm"
    most_waiting = "BACKLOG_EVENTS_LITELLM"
    refuse_with_503 = True  # LiteLLM drops its queue on 4xx and comes again only after 5xx

    def post(self, request: Request) -> Response:
        return self.take(request)


class ReceiptApi(APIView):
    """What became of a body."""

    actions: ClassVar[dict[str, str]] = {"GET": "receipts.read"}

    class OutputSerializer(serializers.Serializer[Receipt]):
        receipt = serializers.CharField(source="pk")
        state = serializers.ChoiceField(choices=["pending", "done", "failed"])
        format = serializers.CharField()
        received_at = serializers.DateTimeField()
        done_at = serializers.DateTimeField(allow_null=True)
        accepted = serializers.IntegerField(source="booked", help_text="Events that counted.")
        waiting = serializers.SerializerMethodField(help_text="Events still to be booked.")
        duplicates = serializers.IntegerField(help_text="Events that had counted before.")
        conflicts = serializers.IntegerField(help_text="Events with a known id and other content; kept for a look.")
        quarantined = serializers.IntegerField(help_text="Events too old to be told from repeats; kept for a look.")
        shadowed = serializers.IntegerField(help_text="Events kept aside because another source counts them.")
        superseded = serializers.IntegerField(help_text="Events in whose place another one counts.")
        rejected = serializers.JSONField()
        error = serializers.CharField()

        def get_waiting(self, receipt: Receipt) -> int:
            return 0 if receipt.state == "done" else receipt.event_count

    @extend_schema(summary="What became of a body", responses={200: OutputSerializer}, tags=["usage"])
    def get(self, request: Request, receipt_id: int) -> Response:
        receipts = Receipt.objects.defer("events")
        own = own_gateway(request)
        if own is not None:
            receipts = receipts.filter(source__gateway_id=own)
        receipt = receipts.filter(pk=receipt_id).first()
        if receipt is None:
            raise NotFound(f"There is no receipt {receipt_id}.")
        return Response(self.OutputSerializer(receipt).data)
