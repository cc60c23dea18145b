"""People, keys, the organisation, the audit trail and jobs in the Django admin: to look at. Nothing is changed here."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest

from core.administration import HOUSE, Shown
from core.models import ApiKey, AuditEntry, Job, Organisation, User


@admin.register(User)
class UserAdmin(Shown):
    sees = "users.manage"
    secret = ("password",)
    fields = ("email", "name", "roles", "zone", "is_active", "is_superuser", "joined_at", "last_login")
    list_display = ("email", "name", "roles", "is_active", "is_superuser", "last_login")
    list_filter = ("is_active", "is_superuser")
    search_fields = ("email", "name")
    ordering = ("email",)


@admin.register(Organisation)
class OrganisationAdmin(Shown):
    list_display = ("name", "zone", "separation_of_duties")


@admin.register(ApiKey)
class ApiKeyAdmin(Shown):
    sees = "keys.manage"
    secret = ("digest", "secret")
    list_display = ("name", "prefix", "scopes", "created_by", "created_at", "expires_at", "revoked_at", "last_used_at")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    search_fields = ("name", "prefix")
    edited_at = ("gateways", "make and revoke keys")


class TableFilter(admin.SimpleListFilter):
    """Tables by name. Asking the trail which it knows would read all of it."""

    title = "table"
    parameter_name = "table"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        models = (model for model in apps.get_models() if model._meta.app_label in HOUSE)
        audited = (
            model
            for model in models
            if any(trigger.name == "audited" for trigger in getattr(model._meta, "triggers", ()))
        )
        return sorted((model._meta.db_table, str(model._meta.verbose_name_plural)) for model in audited)

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(table=self.value()) if self.value() else queryset


@admin.register(AuditEntry)
class AuditEntryAdmin(Shown):
    many = "audit entries"
    sees = "users.manage"  # rows about people and keys are among them
    big = True
    heavy = ("before", "after")
    list_display = ("id", "at", "actor", "operation", "table", "row", "reason")
    list_filter = (TableFilter,)
    search_fields = ("actor__exact",)
    search_help_text = "An e-mail address, key:NAME or a process, written out"
    sortable_by = ("id",)


@admin.register(Job)
class JobAdmin(Shown):
    big = True
    heavy = ("arguments", "checkpoint", "result", "error")
    list_display = ("id", "kind", "state", "done", "total", "attempts", "created_by", "created_at", "finished_at")
    list_filter = ("state",)
    search_fields = ("kind__exact", "created_by__exact")
    search_help_text = "A kind, or who asked for it, written out"
    sortable_by = ("id",)
