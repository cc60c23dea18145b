"""REST for models at providers (offerings). Ids in paths: names may hold slashes."""

from __future__ import annotations

from typing import ClassVar

from django.db import transaction
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from catalog.api_parts import after, one_of, settled
from catalog.api_prices import PriceOutput
from catalog.models import ClaimState, Offering, Tier
from catalog.selectors import lists
from catalog.services import aliases, offerings
from core.api import InstantField, PageQuery, acting_as, body, page_of, paged
from core.api_views import Api

TIERS = {str(tier.label): tier for tier in Tier if tier is not Tier.UNCLASSIFIED}


class OfferingOutput(serializers.Serializer):
    id = serializers.IntegerField()
    name = serializers.CharField(help_text="model@provider")
    model = serializers.CharField()
    provider = serializers.CharField()
    is_default = serializers.BooleanField(help_text="Whether the model named alone means this offering.")
    tier = serializers.ChoiceField([(str(tier.label), str(tier.label)) for tier in Tier])
    state = serializers.ChoiceField(ClaimState.choices)
    region = serializers.CharField()
    data_class = serializers.CharField()
    gateway_names = serializers.DictField(child=serializers.CharField())
    aliases = serializers.ListField(child=serializers.CharField())
    lab = serializers.CharField()
    open_weights = serializers.BooleanField()
    licence = serializers.CharField()
    context_tokens = serializers.IntegerField(allow_null=True)
    first_seen_at = InstantField(allow_null=True)
    retired_at = InstantField(allow_null=True)
    prices = PriceOutput(many=True, help_text="List prices of this moment.")


class ModelsApi(Api):
    """Models at providers (offerings), with tier and prices of this moment."""

    actions: ClassVar[dict[str, str]] = {"GET": "view", "POST": "catalog.edit"}

    class QuerySerializer(PageQuery):
        state = serializers.ChoiceField(ClaimState.choices, required=False)
        provider = serializers.CharField(required=False)
        model = serializers.CharField(required=False)

    class InputSerializer(serializers.Serializer):
        model = serializers.CharField(max_length=128)
        provider = serializers.CharField(max_length=64)
        region = serializers.CharField(max_length=32, required=False, default="", allow_blank=True)
        data_class = serializers.CharField(max_length=32, required=False, default="", allow_blank=True)
        gateway_names = serializers.DictField(child=serializers.CharField(max_length=193), required=False)
        default = serializers.BooleanField(
            required=False, default=False, help_text="Let the model named alone mean this offering, if none does yet."
        )

    @extend_schema(
        summary="Models at providers", operation_id="models_list", tags=["catalogue"],
        responses=page_of(OfferingOutput, "OfferingPage"),
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        limit = self.query["limit"]
        named = {name: self.query.get(name, "") for name in ("state", "provider", "model")}
        rows = lists.offerings(at=timezone.now(), after=after(self.query), most=limit + 1, **named)
        page = paged(request, rows, limit=limit, key=lambda row: (row.id,))
        return Response(page | {"results": OfferingOutput(page["results"], many=True).data})

    @extend_schema(
        summary="Make or claim a model at a provider", operation_id="models_create", tags=["catalogue"],
        request=InputSerializer, responses={201: OfferingOutput},
        description="Safe to repeat. Model and provider are made too where they are new.",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        data = body(self.InputSerializer, request)
        made = offerings.ensure(**data, by=acting_as(request))
        settled()
        row = lists.offerings(at=timezone.now(), only=made.pk)[0]
        return Response(OfferingOutput(row).data, status=status.HTTP_201_CREATED)


class ModelApi(Api):
    """One model at a provider."""

    actions: ClassVar[dict[str, str]] = {"GET": "view", "PATCH": "catalog.edit"}

    class InputSerializer(serializers.Serializer):
        tier = serializers.ChoiceField([(name, name) for name in TIERS], required=False)
        tier_since = InstantField(required=False, help_text="Now, where not given; entries from before keep theirs.")
        region = serializers.CharField(
            max_length=32, required=False, allow_blank=True, help_text="Where it has always been; it is not dated."
        )
        data_class = serializers.CharField(max_length=32, required=False, allow_blank=True)
        gateway_names = serializers.DictField(
            child=serializers.CharField(max_length=193), required=False, help_text="By kind of gateway; replaces all."
        )
        retired = serializers.ChoiceField([(True, "yes")], required=False, help_text="Retires it for good.")
        reason = serializers.CharField(max_length=300, required=False, default="", allow_blank=True)

    @extend_schema(
        summary="A model at a provider", operation_id="models_retrieve", tags=["catalogue"], responses=OfferingOutput
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(OfferingOutput(one_of(lists.offerings(at=timezone.now(), only=pk), "offering", pk)).data)

    @extend_schema(
        summary="Give a model at a provider a tier, say where it is, or retire it", operation_id="models_update",
        tags=["catalogue"], request=InputSerializer, responses=OfferingOutput,
    )  # fmt: skip
    def patch(self, request: Request, pk: int) -> Response:
        data, now, by = body(self.InputSerializer, request), timezone.now(), acting_as(request)
        offering = one_of(list(Offering.objects.filter(pk=pk)), "offering", pk)
        said = {name: data[name] for name in ("region", "data_class", "gateway_names") if name in data}
        with transaction.atomic():  # all that was asked for, or nothing
            if "tier" in data:
                offerings.set_tier(
                    offering=offering, tier=TIERS[data["tier"]], since_at=data.get("tier_since", now), by=by,
                    reason=data["reason"], at=now,
                )  # fmt: skip
            if said:
                offerings.change(offering=offering, by=by, at=now, reason=data["reason"], **said)
            if "retired" in data:
                offerings.retire(offering=offering, by=by, at=now, reason=data["reason"])
        settled()
        return Response(OfferingOutput(lists.offerings(at=timezone.now(), only=pk)[0]).data)


class ModelAliasesApi(Api):
    """Names that gateways use for a model at a provider."""

    actions: ClassVar[dict[str, str]] = {"POST": "catalog.edit"}

    class InputSerializer(serializers.Serializer):
        name = serializers.CharField(max_length=193)
        since = InstantField(required=False, help_text="Now, where not given.")
        until = InstantField(required=False, allow_null=True)
        reason = serializers.CharField(max_length=300, required=False, default="", allow_blank=True)

    @extend_schema(
        summary="Let a gateway's name mean this model at a provider", operation_id="models_add_alias",
        tags=["catalogue"], request=InputSerializer, responses={201: OfferingOutput},
        description="A name that means another one moves on from there. Safe to repeat.",
    )  # fmt: skip
    def post(self, request: Request, pk: int) -> Response:
        data, now = body(self.InputSerializer, request), timezone.now()
        offering = one_of(list(Offering.objects.filter(pk=pk)), "offering", pk)
        aliases.assign(
            name=data["name"], offering=offering, by=acting_as(request), since_at=data.get("since", now),
            until=data.get("until"), reason=data["reason"], at=now,
        )  # fmt: skip
        settled()
        row = lists.offerings(at=timezone.now(), only=pk)[0]
        return Response(OfferingOutput(row).data, status=status.HTTP_201_CREATED)


class ModelMergeApi(Api):
    """Saying that a model at a provider is really another one."""

    actions: ClassVar[dict[str, str]] = {"POST": "catalog.edit"}

    class InputSerializer(serializers.Serializer):
        into = serializers.CharField(max_length=193, help_text="model@provider; a model alone means its default.")
        since = InstantField(required=False, help_text="Now, where not given; calls since then move there.")
        reason = serializers.CharField(max_length=300, required=False, default="", allow_blank=True)

    @extend_schema(
        summary="Let every name of a model at a provider mean another one", operation_id="models_merge",
        tags=["catalogue"], request=InputSerializer, responses=OfferingOutput,
        description="Answers with the one that was merged. What was booked since is restated. Safe to repeat.",
    )  # fmt: skip
    def post(self, request: Request, pk: int) -> Response:
        data, now = body(self.InputSerializer, request), timezone.now()
        offering = one_of(list(Offering.objects.filter(pk=pk)), "offering", pk)
        offerings.merge(
            offering=offering, into=offerings.get(data["into"]), since_at=data.get("since", now),
            by=acting_as(request), at=now, reason=data["reason"],
        )  # fmt: skip
        settled()
        return Response(OfferingOutput(lists.offerings(at=timezone.now(), only=pk)[0]).data)
