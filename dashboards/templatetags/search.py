"""The search field of the shell."""

from __future__ import annotations

from typing import Any

from django import template

from dashboards.selectors.search import LONGEST

register = template.Library()


@register.inclusion_tag("_search.html", takes_context=True)
def search_field(context: dict[str, Any]) -> dict[str, Any]:
    """Render the search field, with what was searched for last; nothing for whoever may not search."""
    request = context.get("request")
    user = getattr(request, "user", None)
    may = bool(user and user.is_authenticated and user.has_perm("view"))
    return {"may": may, "text": context.get("searched_for", "") if may else "", "longest": LONGEST}
