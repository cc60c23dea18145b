"""Environments, state revisions, approvals, contributions, schedules, orders and polls: to look at."""

from __future__ import annotations

from django.contrib import admin

from core.administration import Shown
from routing.models import Approval, Contribution, Environment, GatewayPoll, Order, Schedule, StateRevision


@admin.register(Environment)
class EnvironmentAdmin(Shown):
    list_display = ("name", "live_version", "state_revision", "created_at")
    search_fields = ("name",)
    ordering = ("name",)


@admin.register(StateRevision)
class StateRevisionAdmin(Shown):
    big = True
    heavy = ("canonical",)
    fields = ("environment", "revision", "version", "holds_from", "content")
    list_display = ("revision", "environment", "version", "holds_from")
    list_filter = ("environment",)
    list_select_related = ("environment",)
    sortable_by = ()

    @admin.display
    def content(self, revision: StateRevision) -> str:
        return bytes(revision.canonical).decode()


@admin.register(Approval)
class ApprovalAdmin(Shown):
    fields = ("proposal", "content_sha256", "by", "at", "comment")
    list_display = ("id", "proposal", "by", "at", "comment")
    heavy = ("proposal__content", "proposal__sha256")
    list_select_related = ("proposal",)
    search_fields = ("by", "proposal__title")

    @admin.display(description="SHA-256 of what was approved")
    def content_sha256(self, approval: Approval) -> str:
        return bytes(approval.sha256).hex()


@admin.register(Contribution)
class ContributionAdmin(Shown):
    list_display = ("id", "proposal", "by", "at")
    heavy = ("proposal__content", "proposal__sha256")
    list_select_related = ("proposal",)
    search_fields = ("by", "proposal__title")


@admin.register(Schedule)
class ScheduleAdmin(Shown):
    list_display = ("id", "proposal", "publish_at", "state", "made_by", "made_at", "ended_at")
    heavy = ("proposal__content", "proposal__sha256")
    list_select_related = ("proposal",)
    list_filter = ("state",)
    search_fields = ("made_by", "proposal__title")


@admin.register(Order)
class OrderAdmin(Shown):
    list_display = ("rule", "environment", "order", "moved_at", "computed_at")
    list_select_related = ("environment",)
    list_filter = ("environment",)
    search_fields = ("rule",)


@admin.register(GatewayPoll)
class GatewayPollAdmin(Shown):
    list_display = (
        "gateway", "environment", "instance", "version", "revision", "given_version", "given_revision", "polled_at",
    )  # fmt: skip
    list_select_related = ("gateway",)
    search_fields = ("gateway__name", "environment", "instance")
    edited_at = ("gateways", "see what gateways run")
