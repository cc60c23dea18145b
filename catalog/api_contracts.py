"""REST for contracts, and for the hours that prices may be set for."""

from __future__ import annotations

from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from catalog.api_parts import after, one_of, settled
from catalog.api_prices import PriceOutput
from catalog.models import Contract, Gateway, HourWindow, Meter, Provider
from catalog.selectors import lists
from catalog.services import contracts, hour_windows, offerings
from catalog.services.prices import NewPrice
from core.api import InstantField, MoneyField, PageQuery, acting_as, body, page_of, paged
from core.api_views import Api


class ContractOutput(serializers.Serializer):
    id = serializers.IntegerField()
    name = serializers.CharField(help_text="What it says over other times are rows of the same name.")
    provider = serializers.CharField(allow_null=True)
    offering = serializers.CharField(allow_null=True)
    gateway = serializers.CharField(allow_null=True)
    discount_percent = MoneyField(allow_null=True, help_text="Off the list price, where it has no price of its own.")
    valid_from = InstantField(allow_null=True)
    valid_until = InstantField(allow_null=True, help_text="Null: until further notice.")
    recorded_at = InstantField(allow_null=True)
    note = serializers.CharField()
    approved_by = serializers.CharField()
    prices = PriceOutput(many=True, help_text="Its own, as recorded now; they hold while the contract does.")


class OwnPriceInput(serializers.Serializer):
    offering = serializers.CharField(max_length=193, help_text="model@provider; a model alone means its default.")
    meter = serializers.ChoiceField(Meter.choices)
    usd_per_1m = MoneyField(help_text="USD per million units of the meter, as a string.")
    valid_from = InstantField(required=False, help_text="The contract's, where not given.")
    valid_until = InstantField(required=False, allow_null=True, help_text="The contract's, where not given.")
    context_over = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=2_147_483_647)
    context_inclusive = serializers.BooleanField(required=False, default=False)
    service_tier = serializers.CharField(max_length=16, required=False, allow_null=True)
    region = serializers.CharField(max_length=32, required=False, allow_null=True)
    hour_window = serializers.SlugRelatedField(
        "name", queryset=HourWindow.objects.all(), required=False, allow_null=True
    )
    source_url = serializers.URLField(max_length=500, required=False, default="", allow_blank=True)
    note = serializers.CharField(max_length=2000, required=False, default="", allow_blank=True)


class ContractsApi(Api):
    """Negotiated terms: a discount on list, or own prices, for a provider, an offering or a gateway."""

    actions: ClassVar[dict[str, str]] = {"GET": "view", "POST": "prices.approve"}

    class QuerySerializer(PageQuery):
        name = serializers.CharField(required=False)
        at = InstantField(required=False, help_text="Only terms that hold at this instant.")

    class InputSerializer(serializers.Serializer):
        name = serializers.CharField(max_length=128)
        provider = serializers.SlugRelatedField("name", queryset=Provider.objects.all(), required=False)
        offering = serializers.CharField(max_length=193, required=False, help_text="model@provider")
        gateway = serializers.SlugRelatedField("name", queryset=Gateway.objects.all(), required=False)
        discount_percent = MoneyField(required=False, allow_null=True, help_text="0 to 100, as a string.")
        valid_from = InstantField()
        valid_until = InstantField(required=False, allow_null=True)
        own_prices = OwnPriceInput(many=True, required=False)
        note = serializers.CharField(max_length=2000, required=False, default="", allow_blank=True)

    @extend_schema(
        summary="Contracts", operation_id="contracts_list", tags=["catalogue"],
        responses=page_of(ContractOutput, "ContractPage"),
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        limit = self.query["limit"]
        rows = lists.contracts(
            after=after(self.query), most=limit + 1, at=self.query.get("at"), name=self.query.get("name", "")
        )
        page = paged(request, rows, limit=limit, key=lambda row: (row.id,))
        return Response(page | {"results": ContractOutput(page["results"], many=True).data})

    @extend_schema(
        summary="Set what a contract says", operation_id="contracts_create", tags=["catalogue"],
        request=InputSerializer, responses={201: ContractOutput},
        description="Give one of provider, offering and gateway. Takes the place of what the contract of that name "
        "said over [valid_from, valid_until). What was booked in that time is restated. Safe to repeat.",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        data, by = body(self.InputSerializer, request), acting_as(request)
        own = [own_price(each, of=data) for each in data.pop("own_prices", ())]
        if "offering" in data:
            data["offering"] = offerings.get(data["offering"])
        made = contracts.set_terms(**data, own_prices=own, by=by, approved_by=by, at=timezone.now())
        settled()
        return Response(ContractOutput(lists.contracts(only=made.pk)[0]).data, status=status.HTTP_201_CREATED)


def own_price(given: dict[str, Any], *, of: dict[str, Any]) -> NewPrice:
    """Read a contract's own price; where it does not say when it holds, it is the contract's time."""
    times = {"valid_from": of["valid_from"], "valid_until": of.get("valid_until"), "source": "contract"}
    return NewPrice(**{**times, **given, "offering": offerings.get(given["offering"])})


class ContractEndApi(Api):
    """The end of a contract."""

    actions: ClassVar[dict[str, str]] = {"POST": "prices.approve"}

    class InputSerializer(serializers.Serializer):
        at = InstantField(required=False, help_text="Now, where not given.")
        note = serializers.CharField(max_length=2000, required=False, default="", allow_blank=True)

    class EndOutput(serializers.Serializer):
        ended = serializers.BooleanField(help_text="False where it did not hold any more.")
        results = ContractOutput(many=True, help_text="What the contract says now.")

    @extend_schema(
        summary="End a contract", operation_id="contracts_end", tags=["catalogue"],
        request=InputSerializer, responses=EndOutput,
        description="It holds no longer from that instant on, nor do its own prices. Any row of the contract will do. "
        "Safe to repeat.",
    )  # fmt: skip
    def post(self, request: Request, pk: int) -> Response:
        data, by, now = body(self.InputSerializer, request), acting_as(request), timezone.now()
        name = one_of(list(Contract.objects.filter(pk=pk)), "contract", pk).name
        ended = contracts.end(
            name=name, ends_at=data.get("at", now), by=by, approved_by=by, at=now, note=data["note"]
        )  # fmt: skip
        settled()
        return Response(self.EndOutput({"ended": ended, "results": lists.contracts(name=name)}).data)


class HourWindowOutput(serializers.Serializer):
    id = serializers.IntegerField()
    name = serializers.CharField()
    zone = serializers.CharField()
    weekdays = serializers.ListField(child=serializers.IntegerField(), help_text="Those they begin on, Monday is 0.")
    starts = serializers.TimeField()
    ends = serializers.TimeField(help_text="Past midnight where it is not after `starts`.")


class HourWindowsApi(Api):
    """Hours of the day that prices may be set for. They never change, since prices were read by them."""

    actions: ClassVar[dict[str, str]] = {"GET": "view", "POST": "prices.approve"}

    class QuerySerializer(PageQuery):
        pass

    class InputSerializer(serializers.Serializer):
        name = serializers.CharField(max_length=64)
        zone = serializers.CharField(max_length=64, help_text="Such as UTC or Asia/Shanghai.")
        weekdays = serializers.ListField(
            child=serializers.IntegerField(min_value=0, max_value=6), min_length=1, max_length=7,
            help_text="Those that the hours begin on, Monday is 0.",
        )  # fmt: skip
        starts = serializers.TimeField()
        ends = serializers.TimeField(help_text="Past midnight where it is not after `starts`.")

    @extend_schema(
        summary="Hours that prices may be set for", operation_id="hour_windows_list", tags=["catalogue"],
        responses=page_of(HourWindowOutput, "HourWindowPage"),
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        limit = self.query["limit"]
        rows = lists.hour_windows(after=after(self.query), most=limit + 1)
        page = paged(request, rows, limit=limit, key=lambda row: (row.id,))
        return Response(page | {"results": HourWindowOutput(page["results"], many=True).data})

    @extend_schema(
        summary="Name hours of the day", operation_id="hour_windows_create", tags=["catalogue"],
        request=InputSerializer, responses={201: HourWindowOutput}, description="Safe to repeat with the same hours.",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        made = hour_windows.ensure(**body(self.InputSerializer, request), by=acting_as(request))
        return Response(HourWindowOutput(lists.hour_windows(only=made.pk)[0]).data, status=status.HTTP_201_CREATED)
