"""The catalogue and the price book in the Django admin: to look at. The console and the API change them."""

from __future__ import annotations

from django.contrib import admin

from catalog.models import (
    Alias,
    Amendment,
    Contract,
    Gateway,
    GatewayKey,
    HourWindow,
    Model,
    Offering,
    OfferingTier,
    Price,
    PriceImport,
    PriceProposal,
    PriceSeries,
    Provider,
    Revision,
    SourceTable,
    Team,
    TeamAlias,
    UseCase,
    UseCaseAlias,
    UseCaseTeam,
)
from core.administration import Shown, span


class CatalogueAdmin(Shown):
    edited_at = ("catalog", "look at offerings and prices")


@admin.register(Revision)
class RevisionAdmin(Shown):
    list_display = ("id", "number")


@admin.register(Provider)
class ProviderAdmin(CatalogueAdmin):
    list_display = ("name", "title")
    search_fields = ("name", "title")
    ordering = ("name",)


@admin.register(Model)
class ModelAdmin(CatalogueAdmin):
    list_display = ("name", "lab", "default_offering", "context_tokens", "open_weights", "released_on")
    list_filter = ("open_weights",)
    list_select_related = ("default_offering",)
    search_fields = ("name", "lab")
    ordering = ("name",)


@admin.register(Offering)
class OfferingAdmin(CatalogueAdmin):
    heavy = ("gateway_names",)
    list_display = ("name", "model", "provider", "region", "data_class", "state", "first_seen_at", "retired_at")
    list_filter = ("state", "provider", ("retired_at", admin.EmptyFieldListFilter))
    list_select_related = ("model", "provider")
    search_fields = ("name",)
    ordering = ("name",)


@admin.register(OfferingTier)
class OfferingTierAdmin(CatalogueAdmin):
    list_display = ("id", "offering", "tier", span("valid"))
    list_filter = ("tier",)
    list_select_related = ("offering",)
    search_fields = ("offering__name",)


@admin.register(Alias)
class AliasAdmin(CatalogueAdmin):
    many = "aliases"
    list_display = ("name", "offering", span("valid"))
    list_select_related = ("offering",)
    search_fields = ("name", "offering__name")
    ordering = ("name", "-pk")


@admin.register(Team)
class TeamAdmin(Shown):
    list_display = ("name", "state", "first_seen_at")
    list_filter = ("state",)
    search_fields = ("name",)
    ordering = ("folded",)


@admin.register(UseCase)
class UseCaseAdmin(Shown):
    list_display = ("name", "title", "owner", "data_class", "state", "first_seen_at")
    list_filter = ("state",)
    search_fields = ("name", "title", "owner")
    ordering = ("folded",)


@admin.register(UseCaseTeam)
class UseCaseTeamAdmin(Shown):
    list_display = ("id", "use_case", "team", span("valid"))
    list_select_related = ("use_case", "team")
    search_fields = ("use_case__name", "team__name")


@admin.register(UseCaseAlias)
class UseCaseAliasAdmin(Shown):
    many = "use case aliases"
    list_display = ("folded", "use_case", span("valid"))
    list_select_related = ("use_case",)
    search_fields = ("folded", "use_case__name")


@admin.register(TeamAlias)
class TeamAliasAdmin(Shown):
    many = "team aliases"
    list_display = ("folded", "team", span("valid"))
    list_select_related = ("team",)
    search_fields = ("folded", "team__name")


@admin.register(Gateway)
class GatewayAdmin(Shown):
    list_display = ("name", "kind", "takes_rules", "created_at", "retired_at")
    list_filter = ("takes_rules", ("retired_at", admin.EmptyFieldListFilter))
    search_fields = ("name", "kind")
    ordering = ("name",)
    edited_at = ("gateways", "look after gateways")


@admin.register(GatewayKey)
class GatewayKeyAdmin(Shown):
    sees = "keys.manage"
    secret = ("key__digest",)
    list_display = ("key", "gateway", "environment")
    list_select_related = ("key", "gateway")
    search_fields = ("key__name", "gateway__name", "environment")
    edited_at = ("gateways", "make and revoke keys")


@admin.register(HourWindow)
class HourWindowAdmin(CatalogueAdmin):
    list_display = ("name", "zone", "weekdays", "starts", "ends")


@admin.register(Contract)
class ContractAdmin(CatalogueAdmin):
    list_display = (
        "name", "provider", "offering", "gateway", "discount_percent", span("valid"), span("recorded"), "approved_by",
    )  # fmt: skip
    list_select_related = ("provider", "offering", "gateway")
    search_fields = ("name",)


@admin.register(PriceSeries)
class PriceSeriesAdmin(CatalogueAdmin):
    many = "price series"
    list_display = (
        "id", "provider", "model", "meter", "context_over", "service_tier", "region", "hour_window", "contract",
    )  # fmt: skip
    list_filter = ("meter", "provider")
    list_select_related = ("provider", "model", "hour_window", "contract")
    search_fields = ("model__name", "provider__name")


@admin.register(Price)
class PriceAdmin(CatalogueAdmin):
    list_display = (
        "id", "offering", "meter", "usd_per_1m", span("valid"), span("recorded"), "source", "entered_by", "approved_by",
    )  # fmt: skip
    list_filter = ("series__meter", "series__provider")
    list_select_related = ("series__model", "series__provider")
    search_fields = ("series__model__name", "series__provider__name", "source")

    @admin.display(ordering="series__model__name")
    def offering(self, price: Price) -> str:
        return f"{price.series.model.name}@{price.series.provider.name}"

    @admin.display(ordering="series__meter")
    def meter(self, price: Price) -> str:
        return price.series.get_meter_display()


@admin.register(Amendment)
class AmendmentAdmin(Shown):
    big = True
    list_display = ("id", "kind", "summary", "starts_at", "ends_at", "by", "at")
    list_filter = ("kind",)
    search_fields = ("summary", "by")


@admin.register(SourceTable)
class SourceTableAdmin(Shown):
    heavy = ("quotes",)
    list_display = ("source", "version", "models_count", "read_at", "read_by")
    ordering = ("source",)


@admin.register(PriceImport)
class PriceImportAdmin(Shown):
    heavy = ("problems",)
    list_display = ("id", "source", "version", "file_name", "models_count", "by", "at")
    search_fields = ("source", "file_name", "by")


@admin.register(PriceProposal)
class PriceProposalAdmin(Shown):
    big = True
    heavy = ("lines",)
    list_display = ("id", "of_import", "offering_name", "kind", "disputed", "state", "settled_by", "settled_at")
    list_filter = ("state", "kind", "disputed")
    list_select_related = ("of_import", "offering")
    search_fields = ("offering_name", "source")
