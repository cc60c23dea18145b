"""REST for gateways: how their streams are doing, and what people decide about them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from catalog.models import Gateway, TakesRules
from catalog.rules import gateway_settings
from catalog.rules.gateway_settings import MOST_SILENT_MINUTES, USE_CASE_PLACES
from core.api import InstantField, PageQuery, acting_as, body, page_of, paged, read_cursor
from core.api_views import Api
from core.errors import NotFound
from usage.formats import FORMATS
from usage.models import Source, SourceKind
from usage.selectors import freshness
from usage.selectors.freshness import GatewayFreshness, Lag
from usage.services import gateways

_MOST_ID = 2**63 - 1


class SettingsOutput(serializers.Serializer):
    use_case_from = serializers.ListField(
        child=serializers.ChoiceField(USE_CASE_PLACES),
        help_text="Where events of formats without a field for it may name their use case; the first that does wins.",
    )
    use_case_by_key_alias = serializers.DictField(child=serializers.CharField())
    use_case_by_team = serializers.DictField(child=serializers.CharField())
    silent_after_minutes = serializers.IntegerField(help_text="0: its silence is never told.")


class LagOutput(serializers.Serializer):
    median_s = serializers.FloatField()
    p95_s = serializers.FloatField()


class NotCountedOutput(serializers.Serializer):
    rejected = serializers.IntegerField(help_text="Items that could not be events.")
    conflicts = serializers.IntegerField(help_text="A known id with other content; held.")
    quarantined = serializers.IntegerField(help_text="Too old to be told from repeats; held.")
    shadowed = serializers.IntegerField(help_text="Another source or format counts them.")
    superseded = serializers.IntegerField(help_text="Another event counts in their place.")


class GatewayOutput(serializers.Serializer):
    id = serializers.IntegerField()
    name = serializers.CharField()
    kind = serializers.CharField()
    created_at = InstantField()
    retired_at = InstantField(allow_null=True)
    accounting_format = serializers.CharField(
        allow_blank=True, help_text="The format its live stream is counted by; empty before its first body."
    )
    takes_rules = serializers.ChoiceField(
        TakesRules.choices, help_text="Drafts of rules have to fit the form of a gateway that takes them by `export`."
    )
    settings = SettingsOutput()
    last_received_at = InstantField(allow_null=True, help_text="Of its last body; null where there was none.")
    last_occurred_at = InstantField(
        allow_null=True, help_text=f"The newest call in its last {freshness.LAST_BODIES} bodies, by its own word."
    )
    events_15min = serializers.IntegerField(help_text="Received in the last 15 minutes, repeats included.")
    events_hour = serializers.IntegerField()
    events_day = serializers.IntegerField(help_text="In the last 24 hours.")
    lag = LagOutput(
        allow_null=True,
        help_text=f"Seconds from the oldest call of a body to its receipt, of the last {freshness.LAST_BODIES} bodies.",
    )
    booking = LagOutput(allow_null=True, help_text="Seconds from the receipt of a body to its booking, of the same.")
    not_counted = NotCountedOutput(allow_null=True, help_text="Events received in 24 hours that are in no total.")
    oldest_waiting_at = InstantField(allow_null=True, help_text="Of the oldest body still to be booked.")
    waiting_events = serializers.IntegerField()
    set_aside = serializers.IntegerField(help_text="Bodies that could not be booked and wait for a look.")


class GatewaysApi(Api):
    """Gateways, and how far their usage has come. Keys make them: `manage.py create_key`, or the console."""

    actions: ClassVar[dict[str, str]] = {"GET": "view"}

    class QuerySerializer(PageQuery):
        retired = serializers.BooleanField(required=False, default=False, help_text="Retired ones too.")

    @extend_schema(
        summary="Gateways",
        operation_id="gateways_list",
        tags=["usage"],
        responses=page_of(GatewayOutput, "GatewayPage"),
    )
    def get(self, request: Request) -> Response:
        limit, cursor = self.query["limit"], read_cursor(self.query.get("after"), (int,))
        found = Gateway.objects.filter(id__gt=cursor[0] if cursor else 0).order_by("id")
        if not self.query["retired"]:
            found = found.filter(retired_at__isnull=True)
        rows = _told(list(found[: limit + 1]), at=timezone.now())
        page = paged(request, rows, limit=limit, key=lambda row: (row["id"],))
        return Response(page | {"results": GatewayOutput(page["results"], many=True).data})


class GatewayApi(Api):
    """One gateway."""

    actions: ClassVar[dict[str, str]] = {"GET": "view", "PATCH": "keys.manage"}

    class InputSerializer(serializers.Serializer):
        # What may stand in them is decided by the service, which tells of everything at once.
        use_case_from = serializers.ListField(child=serializers.CharField(), required=False)
        use_case_by_key_alias = serializers.DictField(
            child=serializers.CharField(allow_blank=True), required=False, help_text="Replaces the whole mapping."
        )
        use_case_by_team = serializers.DictField(
            child=serializers.CharField(allow_blank=True), required=False, help_text="Replaces the whole mapping."
        )
        silent_after_minutes = serializers.IntegerField(
            required=False, help_text=f"0 (never) to {MOST_SILENT_MINUTES:,}."
        )
        accounting_format = serializers.ChoiceField(
            sorted(FORMATS), required=False, help_text="What is booked from now on is counted by this format."
        )
        takes_rules = serializers.ChoiceField(TakesRules.choices, required=False)
        seen_format = serializers.CharField(
            required=False, allow_blank=True,
            help_text="The format that you believe to be counted by: 409 where it is another one by now.",
        )  # fmt: skip
        reason = serializers.CharField(
            required=False, allow_blank=True, max_length=300, help_text="Needed for another format; audited."
        )

    @extend_schema(
        summary="A gateway", operation_id="gateways_retrieve", tags=["usage"], responses=GatewayOutput
    )  # fmt: skip
    def get(self, request: Request, pk: int) -> Response:
        return _one(pk)

    @extend_schema(
        summary="Change a gateway's settings", operation_id="gateways_change", tags=["usage"], request=InputSerializer,
        responses={200: GatewayOutput, 409: OpenApiResponse(description="Retired, or counted by another format now.")},
        description="What is not given stays. Bodies that come in are read by the new settings within five seconds. "
        "Another accounting format holds for what is booked from then on, bodies that wait included; nothing that is "
        "booked changes.",
    )  # fmt: skip
    def patch(self, request: Request, pk: int) -> Response:
        data = body(self.InputSerializer, request)
        gateways.change(
            gateway_id=pk,
            settings={name: data[name] for name in gateway_settings.NAMES if name in data},
            accounting_format=data.get("accounting_format"),
            seen_format=data.get("seen_format"),
            takes_rules=data.get("takes_rules"),
            reason=data.get("reason", ""),
            by=acting_as(request),
            at=timezone.now(),
        )
        return _one(pk)


def _one(pk: int) -> Response:
    found = Gateway.objects.filter(pk=pk).first()
    if found is None:
        raise NotFound(f"There is no gateway {pk}.")
    return Response(GatewayOutput(_told([found], at=timezone.now(), only=found.pk)[0]).data)


def _told(found: list[Gateway], *, at: datetime, only: int | None = None) -> list[dict[str, Any]]:
    """Return gateways as they are written. Two queries."""
    heard = {row.gateway_id: row for row in freshness.gateways(at=at, only=only)}
    live = Source.objects.filter(gateway__in=[gateway.pk for gateway in found], kind=SourceKind.LIVE)
    formats = dict(live.values_list("gateway_id", "accounting_format"))
    return [
        {
            "id": gateway.pk,
            "name": gateway.name,
            "kind": gateway.kind,
            "created_at": gateway.created_at,
            "retired_at": gateway.retired_at,
            "accounting_format": formats.get(gateway.pk, ""),
            "takes_rules": gateway.takes_rules,
            "settings": gateway_settings.read(gateway.settings),
            **_stream(heard.get(gateway.pk)),
        }
        for gateway in found
    ]


def _stream(row: GatewayFreshness | None) -> dict[str, Any]:
    if row is None:
        nothing = {
            "last_received_at": None,
            "last_occurred_at": None,
            "lag": None,
            "booking": None,
            "not_counted": None,
        }
        none = {"events_15min": 0, "events_hour": 0, "events_day": 0, "waiting_events": 0, "set_aside": 0}
        return {**nothing, **none, "oldest_waiting_at": None}
    stream = {name: getattr(row, name) for name in _FIELDS}
    return stream | {"lag": _rounded(row.lag), "booking": _rounded(row.booking), "not_counted": row.errors}


_FIELDS = (
    "last_received_at", "last_occurred_at", "events_15min", "events_hour", "events_day", "oldest_waiting_at",
    "waiting_events", "set_aside",
)  # fmt: skip


def _rounded(lag: Lag | None) -> dict[str, float] | None:
    return None if lag is None else {"median_s": round(lag.median_s, 3), "p95_s": round(lag.p95_s, 3)}
