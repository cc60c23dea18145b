"""The Django admin of the house: who enters, what she may do there, and how nothing is written past a service.

Whoever holds a role enters. What she may do follows from the table in `core/access.py`, never from `is_staff`, groups
or Django's model permissions. A page shows rows and changes none (`Shown`), or changes them through a service
(`Served`, which a package fills with views of its own); pages that Django and other packages bring for their models are
left out, because they write with the ORM.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, NoReturn, cast

from django.contrib import admin, messages
from django.contrib.admin.apps import AdminConfig
from django.contrib.admin.utils import unquote
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.core.paginator import Paginator
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.http.request import QueryDict
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.text import capfirst

from core.access import may

HOUSE = ("core", "catalog", "alerts", "budgets", "usage", "routing", "dashboards", "controlplane")
COUNTED = 10_000  # rows of a big table; its list ends there, and searching leads further
HISTORY_LINES = 50


class PastService(RuntimeError):
    """Something tried to write with the ORM where a service writes. Nothing was written."""


class AdministrationConfig(AdminConfig):
    default_site = "core.administration.Administration"


class Administration(admin.AdminSite):
    site_header = "Tollkeeper administration"
    site_title = "Tollkeeper administration"
    index_title = "Administration"

    def has_permission(self, request: HttpRequest) -> bool:
        return may(request.user, "view")

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        guarded = super().admin_view(view, cacheable)

        def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            # To sign in again would not help: she is known and holds no role.
            if request.user.is_authenticated and not self.has_permission(request):
                raise PermissionDenied
            return guarded(request, *args, **kwargs)

        return inner

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Send everybody to the one way in: it counts failed attempts, and this one would not."""
        query = QueryDict(mutable=True)
        query["next"] = request.GET.get("next") or reverse("admin:index")
        return redirect(f"{reverse('account_login')}?{query.urlencode()}")

    def password_change(self, request: HttpRequest, extra_context: Any = None) -> Any:
        return redirect("account_change_password")

    def password_change_done(self, request: HttpRequest, extra_context: Any = None) -> Any:
        return redirect("account_change_password")

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        found = super().get_app_list(request, app_label)
        for app in found:
            for one in app["models"]:
                one["name"] = self._registry[one["model"]].plural  # type: ignore[attr-defined]
        return found

    def get_log_entries(self, request: HttpRequest) -> Any:
        return ()  # what was done is in the audit trail

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """Register pages of the house; leave out those that other packages bring for models of their own.

        Raises:
            ImproperlyConfigured: pages of a model of the house that would write with the ORM.
        """
        if admin_class is not None and issubclass(admin_class, Shown):
            super().register(model_or_iterable, admin_class, **options)
            return
        given: Iterable[Any] = [model_or_iterable] if isinstance(model_or_iterable, type) else model_or_iterable
        for model in given:
            if model._meta.app_label in HOUSE:
                raise ImproperlyConfigured(f"the pages of {model.__name__} have to be Shown or Served")


class CappedPaginator(Paginator):
    """Pages of a table too big to be counted for each look at it: counting ends at `COUNTED`."""

    @cached_property
    def count(self) -> int:
        found = cast(QuerySet[Any], self.object_list)
        return found.order_by()[:COUNTED].count()


class Shown(admin.ModelAdmin):
    """Pages that show rows to whoever may `sees`, and change none: whatever would write is refused, also to admins."""

    sees: ClassVar[str] = "view"
    secret: ClassVar[tuple[str, ...]] = ()  # columns that nobody is shown, nor ever loaded
    heavy: ClassVar[tuple[str, ...]] = ()  # columns that lists do not load
    big: ClassVar[bool] = False  # too many rows to count
    edited_at: ClassVar[tuple[str, str] | None] = None  # (page of the console, what one does there)
    many: ClassVar[str] = ""  # what several of them are called, where an s at the end is not English

    list_select_related: ClassVar[tuple[str, ...]] = ()
    actions = None
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # a count for each choice of each filter
    list_per_page = 50
    view_on_site = False
    ordering: ClassVar[tuple[str, ...]] = ("-pk",)

    @property
    def plural(self) -> str:
        return capfirst(self.many or str(self.opts.verbose_name_plural))

    def get_paginator(self, request: HttpRequest, queryset: Any, per_page: int, *args: Any, **kwargs: Any) -> Paginator:
        kind = CappedPaginator if self.big else Paginator
        return kind(queryset, per_page, *args, **kwargs)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        found = super().get_queryset(request).defer(*self.secret, *self.heavy)
        # Pages of one row as well: fetched by itself, a row that this one names would come with its secrets.
        return found.select_related(*self.list_select_related) if self.list_select_related else found

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        if self.fields:
            return list(self.fields)
        concrete = [field for field in self.opts.concrete_fields if not isinstance(field, models.BinaryField)]
        return [field.name for field in concrete if field.name not in self.secret]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return self.get_fields(request, obj)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request.user, self.sees)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return may(request.user, self.sees)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return {}

    def get_inline_instances(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return []

    def gone(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Say that there is no such row, on the list of those that there are."""
        messages.warning(request, f"There is no {self.opts.verbose_name} {object_id[:64]}.")
        return redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise PastService(f"{self.opts.label} is written by its services only")

    save_form = save_model = save_related = save_formset = _refuse
    delete_model = delete_queryset = _refuse

    # Nor is Django's log written: the database keeps the trail of every change.
    log_addition = log_change = log_deletions = _refuse

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        # Before Django reads a body: nothing can be posted here.
        if request.method not in ("GET", "HEAD", "OPTIONS") or object_id is None:
            raise PermissionDenied
        extra = {"edited_at": self.edited_at, **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, extra)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if request.method not in ("GET", "HEAD", "OPTIONS"):
            raise PermissionDenied
        if any("\x00" in value for _, values in request.GET.lists() for value in values):
            return redirect(request.path)  # which no text of PostgreSQL holds
        extra = {"edited_at": self.edited_at, "title": self.plural}
        return super().changelist_view(request, {**extra, **(extra_context or {})})

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        raise PermissionDenied

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Show the audit trail of a row, the latest first: who, when, why, and what differed. `?before=ID` goes on."""
        from core.selectors import trail

        row = self.get_object(request, unquote(object_id))
        if row is None:
            return self.gone(request, object_id)
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        before = request.GET.get("before", "")
        number = int(before) if before.isascii() and before.isdigit() and len(before) < 19 else None
        lines = trail.of_row(table=self.opts.db_table, row=str(row.pk), limit=HISTORY_LINES + 1, before=number)
        context = {
            **self.admin_site.each_context(request),
            "title": f"History of {row}",
            "lines": lines[:HISTORY_LINES],
            "older": lines[HISTORY_LINES - 1].id if len(lines) > HISTORY_LINES else None,
            "kept": any(trigger.name == "audited" for trigger in getattr(self.opts, "triggers", ())),
            "module_name": self.plural,
            "object": row,
            "opts": self.opts,
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/object_history.html", context)


def span(column: str) -> Any:
    """Make a column of a list out of a range of instants."""

    @admin.display(description=column.replace("_", " "), ordering=column)
    def shown(row: models.Model) -> str:
        value = getattr(row, column)
        if value is None:
            return "-"
        since, until = (f"{end:%Y-%m-%d %H:%M}" if end else "" for end in (value.lower, value.upper))
        return f"from {since or 'ever'}{f' until {until}' if until else ' on'}"

    return shown


class Served(Shown):
    """Pages that change rows through services, in views of their own; the ways of the ORM stay shut.

    A subclass answers GET and POST of the form itself (`changeform_view`), asks `must` before it acts, and calls its
    service outside any transaction.
    """

    adds: ClassVar[str] = ""  # the action that lets somebody add; empty: nobody adds here

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(self.adds) and may(request.user, self.adds)

    def must(self, request: HttpRequest, action: str) -> None:
        """Go on only for whoever may do this.

        Raises:
            PermissionDenied: she may not.
        """
        if not may(request.user, action):
            raise PermissionDenied

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        raise NotImplementedError

    def page(
        self, request: HttpRequest, template: str, title: str, *, status: int = 200, **context: Any
    ) -> HttpResponse:
        """Render a page of this model's with the admin around it."""
        request.current_app = self.admin_site.name
        return TemplateResponse(
            request,
            template,
            {
                **self.admin_site.each_context(request),
                "title": title,
                "opts": self.opts,
                "module_name": self.plural,
                **context,
            },
            status=status,
        )
