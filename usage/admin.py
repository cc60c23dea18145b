"""Sources, receipts, held events and closed months in the Django admin: to look at.

The ledger, event keys and rollups have keys of several columns, which the admin cannot show.
"""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from core.administration import Shown, span
from usage.models import Correction, HeldEvent, Month, Rate, Receipt, RequestContext, Restatement, Source


@admin.register(Source)
class SourceAdmin(Shown):
    list_display = ("id", "gateway", "kind", span("covers"), "audit", "accounting_format", "created_at", "closed_at")
    list_filter = ("kind", "audit", "gateway")
    list_select_related = ("gateway",)
    search_fields = ("gateway__name", "note")


@admin.register(Receipt)
class ReceiptAdmin(Shown):
    sees = "receipts.read"
    big = True
    secret = ("events",)  # what people sent is megabytes, and theirs
    heavy = ("rejected", "error")
    list_display = (
        "id", "source", "format", "state", "received_at", "event_count", "booked", "duplicates", "conflicts",
        "quarantined", "shadowed", "attempts", "done_at",
    )  # fmt: skip
    list_filter = ("state",)
    list_select_related = ("source",)
    search_fields = ("id__exact",)
    search_help_text = "The number of a receipt"
    sortable_by = ("id",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Receipt], search_term: str
    ) -> tuple[QuerySet[Receipt], bool]:
        # By the key: Django would compare every number as text.
        if not search_term:
            return queryset, False
        number = int(search_term) if search_term.isascii() and search_term.isdigit() and len(search_term) < 19 else 0
        return queryset.filter(pk=number), False


@admin.register(HeldEvent)
class HeldEventAdmin(Shown):
    big = True
    heavy = ("event", "receipt__events", "receipt__rejected", "receipt__error")
    list_display = ("id", "source", "reason", "event_id", "occurred_at", "held_at", "settled_at", "settled_by")
    list_filter = ("reason", ("settled_at", admin.EmptyFieldListFilter))
    list_select_related = ("source", "receipt")
    search_fields = ("event_id__exact",)
    search_help_text = "An event's id, written out"
    sortable_by = ("id",)


@admin.register(Month)
class MonthAdmin(Shown):
    list_display = ("__str__", "starts_at", "ends_at", "zone", "closed_at", "closed_by", "reason")
    ordering = ("-label",)


@admin.register(Rate)
class RateAdmin(Shown):
    big = True
    list_display = ("id", "contract_id", "discount_percent")
    heavy = ("prices",)


@admin.register(RequestContext)
class RequestContextAdmin(Shown):
    big = True
    heavy = ("content",)
    list_display = ("id",)


@admin.register(Restatement)
class RestatementAdmin(Shown):
    big = True
    heavy = ("subject", "before", "after")
    list_display = ("id", "kind", "by", "at", "reason")
    search_fields = ("kind", "by")
    sortable_by = ("id",)


@admin.register(Correction)
class CorrectionAdmin(Shown):
    big = True
    list_display = ("id", "amendment_id", "job_id", "taken_up_at")
    sortable_by = ("id",)
