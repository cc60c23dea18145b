"""What the console keeps, in the Django admin: to look at."""

from __future__ import annotations

from django.contrib import admin

from core.administration import Shown
from dashboards.models import SavedView


@admin.register(SavedView)
class SavedViewAdmin(Shown):
    list_display = ("name", "page", "owner", "shared", "changed_at")
    list_select_related = ("owner",)
    list_filter = ("page", "shared")
    search_fields = ("name", "query")
    edited_at = ("spend", "save and delete")
