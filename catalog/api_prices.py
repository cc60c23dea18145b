"""REST for the price book."""

from __future__ import annotations

from typing import ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from catalog.api_parts import after, settled
from catalog.models import HourWindow, Meter
from catalog.selectors import lists
from catalog.services import offerings, prices
from core.api import InstantField, MoneyField, PageQuery, acting_as, body, page_of, paged
from core.api_views import Api


class PriceOutput(serializers.Serializer):
    id = serializers.IntegerField()
    offering = serializers.CharField()
    provider = serializers.CharField()
    model = serializers.CharField()
    meter = serializers.ChoiceField(Meter.choices)
    usd_per_1m = MoneyField(help_text="USD per million units of the meter.")
    valid_from = InstantField(allow_null=True)
    valid_until = InstantField(allow_null=True, help_text="Null: until further notice.")
    recorded_at = InstantField(allow_null=True)
    context_over = serializers.IntegerField(
        allow_null=True, help_text="Holds for requests whose input passes so many tokens (reaches, where inclusive)."
    )
    context_inclusive = serializers.BooleanField()
    service_tier = serializers.CharField(allow_null=True)
    region = serializers.CharField(allow_null=True)
    hour_window = serializers.CharField(allow_null=True)
    contract = serializers.CharField(allow_null=True, help_text="Null: the list price.")
    source = serializers.CharField()  # type: ignore[assignment]  # every field has an attribute of that name
    source_version = serializers.CharField()
    source_url = serializers.CharField()
    note = serializers.CharField()
    entered_by = serializers.CharField()
    approved_by = serializers.CharField()


class PricesApi(Api):
    """The price book as it is held true now. Prices are never changed: a new one takes the old one's place."""

    actions: ClassVar[dict[str, str]] = {"GET": "view", "POST": "prices.approve"}

    class QuerySerializer(PageQuery):
        offering = serializers.CharField(required=False, help_text="model@provider")
        provider = serializers.CharField(required=False)
        model = serializers.CharField(required=False)
        meter = serializers.ChoiceField(Meter.choices, required=False)
        at = InstantField(required=False, help_text="Only prices that hold at this instant.")

    class InputSerializer(serializers.Serializer):
        offering = serializers.CharField(max_length=193, help_text="model@provider; a model alone means its default.")
        meter = serializers.ChoiceField(Meter.choices)
        usd_per_1m = MoneyField(help_text="USD per million units of the meter, as a string.")
        valid_from = InstantField()
        valid_until = InstantField(required=False, allow_null=True)
        context_over = serializers.IntegerField(required=False, allow_null=True, min_value=1)
        context_inclusive = serializers.BooleanField(required=False, default=False)
        service_tier = serializers.CharField(max_length=16, required=False, allow_null=True)
        region = serializers.CharField(max_length=32, required=False, allow_null=True)
        hour_window = serializers.SlugRelatedField(
            "name", queryset=HourWindow.objects.all(), required=False, allow_null=True
        )
        currency = serializers.CharField(max_length=3, required=False, default="USD", help_text="USD, nothing else.")
        source = serializers.CharField(  # type: ignore[assignment]
            max_length=64, help_text="Where the figure comes from."
        )
        source_version = serializers.CharField(max_length=64, required=False, default="", allow_blank=True)
        source_url = serializers.URLField(max_length=500, required=False, default="", allow_blank=True)
        note = serializers.CharField(max_length=2000, required=False, default="", allow_blank=True)

    class SetOutput(serializers.Serializer):
        price = PriceOutput()
        written = serializers.BooleanField(help_text="False where the book said so already.")
        replaced = serializers.ListField(child=serializers.IntegerField(), help_text="Ids of prices no longer held.")
        example = serializers.CharField(help_text="What one request costs with it: look whether the unit is right.")

    @extend_schema(
        summary="The price book", operation_id="prices_list", tags=["catalogue"],
        responses=page_of(PriceOutput, "PricePage"),
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        limit = self.query["limit"]
        named = {name: self.query.get(name, "") for name in ("offering", "provider", "model", "meter")}
        rows = lists.prices(after=after(self.query), most=limit + 1, at=self.query.get("at"), **named)
        page = paged(request, rows, limit=limit, key=lambda row: (row.id,))
        return Response(page | {"results": PriceOutput(page["results"], many=True).data})

    @extend_schema(
        summary="Set a price", operation_id="prices_create", tags=["catalogue"],
        request=InputSerializer, responses={200: SetOutput, 201: SetOutput},
        description="Holds over [valid_from, valid_until) and takes the place of what the book said for that time. "
        "Events booked after the answer are priced with it; entries that waited for a price get it. 200 and "
        "`written: false` where the book said so already.",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        data, by = body(self.InputSerializer, request), acting_as(request)
        offering = offerings.get(data.pop("offering"))
        done = prices.set_price(offering=offering, by=by, approved_by=by, at=timezone.now(), **data)
        settled()
        row = lists.prices(after=done.price.pk - 1, most=1)[0]
        answer = {
            "price": row,
            "written": done.written,
            "replaced": list(done.replaced),
            "example": prices.worked_example(prices={data["meter"]: data["usd_per_1m"]}),
        }
        made = status.HTTP_201_CREATED if done.written else status.HTTP_200_OK
        return Response(self.SetOutput(answer).data, status=made)
