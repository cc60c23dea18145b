"""Sources, receipts, held events and closed months in the Django admin: to look at.

The ledger, event keys and rollups have keys of several columns, which the admin cannot show.
"""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from core.administration import Shown, span
from usage.models import (
    Correction,
    DroppedPartition,
    HeldEvent,
    ImportPart,
    Month,
    ProviderStatement,
    Rate,
    Rebuild,
    Receipt,
    Reconciliation,
    RequestContext,
    Restatement,
    Source,
    StatementFile,
    UsageImport,
)


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


@admin.register(UsageImport)
class UsageImportAdmin(Shown):
    heavy = ("options", "summary", "error")
    list_display = ("id", "gateway", "format", "file_name", "state", "events", "rejected", "started_at", "started_by")
    list_filter = ("state", "audit")
    list_select_related = ("gateway",)
    search_fields = ("file_name", "gateway__name")


@admin.register(ImportPart)
class ImportPartAdmin(Shown):
    big = True
    secret = ("events",)
    heavy = ("rejected",)
    list_display = ("id", "usage_import_id", "number", "event_count", "receipt_id")
    sortable_by = ("id",)


@admin.register(StatementFile)
class StatementFileAdmin(Shown):
    list_display = ("id", "format", "account", "file_name", "first_day", "last_day", "imported_at", "withdrawn_at")
    search_fields = ("file_name", "account")


@admin.register(ProviderStatement)
class ProviderStatementAdmin(Shown):
    big = True
    list_display = ("id", "file_id", "day", "provider", "model", "key", "item", "cost_usd")
    sortable_by = ("id",)


@admin.register(Reconciliation)
class ReconciliationAdmin(Shown):
    heavy = ("differences",)
    list_display = ("id", "first_day", "last_day", "started_at", "finished_at", "entries", "rows", "differing", "by")


@admin.register(Rebuild)
class RebuildAdmin(Shown):
    heavy = ("mended",)
    list_display = ("id", "first_day", "last_day", "by", "reason", "asked_at", "finished_at")


@admin.register(DroppedPartition)
class DroppedPartitionAdmin(Shown):
    list_display = ("id", "table", "month", "rows", "dropped_at", "by", "keep_ledger_months")
    list_filter = ("table",)
