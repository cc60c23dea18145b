"""Alerts, their channels and deliveries in the Django admin: to look at. The console acknowledges and edits."""

from __future__ import annotations

from django.contrib import admin

from alerts.models import Alert, AlertComment, Channel, Delivery
from core.administration import Shown


@admin.register(Channel)
class ChannelAdmin(Shown):
    secret = ("secret",)  # a webhook's address is one
    list_display = ("name", "kind", "enabled", "least_severity", "created_at", "retired_at")
    list_filter = ("enabled", ("retired_at", admin.EmptyFieldListFilter))
    search_fields = ("name", "kind")
    edited_at = ("channels", "set up and change")


@admin.register(Alert)
class AlertAdmin(Shown):
    big = True
    heavy = ("facts",)
    list_display = ("id", "title", "kind", "severity", "state", "created_at", "acknowledged_by", "resolved_at")
    list_filter = ("state", "severity")
    search_fields = ("title", "kind")
    sortable_by = ("id", "created_at")
    edited_at = ("alerts", "acknowledge and comment")


@admin.register(AlertComment)
class AlertCommentAdmin(Shown):
    big = True
    heavy = ("alert__facts",)
    list_display = ("id", "alert", "by", "at", "text")
    list_select_related = ("alert",)
    search_fields = ("by", "text")


@admin.register(Delivery)
class DeliveryAdmin(Shown):
    big = True
    heavy = ("alert__facts", "channel__secret")
    list_display = (
        "id", "alert", "channel", "state", "reason", "attempts", "created_at", "delivered_at", "possibly_repeated",
    )  # fmt: skip
    list_filter = ("state", "possibly_repeated")
    search_fields = ("alert__title", "channel__name")
    list_select_related = ("alert", "channel")
    sortable_by = ("id",)
