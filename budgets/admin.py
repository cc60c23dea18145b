"""Budgets, their limits, counters and crossings in the Django admin: to look at. The console and the API edit them."""

from __future__ import annotations

from django.contrib import admin

from budgets.models import Budget, BudgetLimit, Change, Counter, CounterDelta, Crossing, LimitRequest, Outlook
from core.administration import Shown


class BudgetsAdmin(Shown):
    edited_at = ("budgets", "change budgets and limits")


@admin.register(Change)
class ChangeAdmin(Shown):
    list_display = ("id", "definitions", "states", "next_at")


@admin.register(Budget)
class BudgetAdmin(BudgetsAdmin):
    list_display = ("id", "name", "unit", "period", "zone", "action", "trial", "owner", "created_at", "retired_at")
    list_filter = ("unit", "period", "action", "trial", ("retired_at", admin.EmptyFieldListFilter))
    search_fields = ("name", "owner")


@admin.register(BudgetLimit)
class BudgetLimitAdmin(BudgetsAdmin):
    list_display = ("id", "budget", "version", "amount", "starts_at", "ends_at", "by", "approved_by", "reason")
    list_select_related = ("budget",)
    search_fields = ("budget__name", "by", "approved_by")


@admin.register(LimitRequest)
class LimitRequestAdmin(BudgetsAdmin):
    list_display = ("id", "budget", "state", "amount", "starts_at", "ends_at", "requested_by", "decided_by", "reason")
    list_filter = ("state",)
    list_select_related = ("budget",)
    search_fields = ("budget__name", "requested_by", "decided_by")


@admin.register(Outlook)
class OutlookAdmin(Shown):
    list_display = ("budget", "looked_at", "period_start")
    list_select_related = ("budget",)


@admin.register(Counter)
class CounterAdmin(BudgetsAdmin):
    big = True
    list_display = ("id", "budget", "period_start", "period_end", "state", "used", "unclassified")
    list_filter = ("state",)
    list_select_related = ("budget",)
    search_fields = ("budget__name",)


@admin.register(CounterDelta)
class CounterDeltaAdmin(Shown):
    big = True
    list_display = ("id", "counter", "used", "unclassified", "transaction")
    list_select_related = ("counter",)


@admin.register(Crossing)
class CrossingAdmin(BudgetsAdmin):
    big = True
    list_display = ("id", "budget", "threshold", "basis", "period_start", "used", "crossed_at", "limit")
    list_filter = ("basis",)
    list_select_related = ("budget", "limit")
    search_fields = ("budget__name",)
