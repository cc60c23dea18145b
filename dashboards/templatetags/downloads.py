"""Links to what a page shows as files."""

from __future__ import annotations

from typing import Any

from django import template
from django.template.context import RequestContext

from dashboards import downloads as files

register = template.Library()


@register.inclusion_tag("_downloads.html", takes_context=True)
def downloads(context: RequestContext, url: str = "", what: str = "this table") -> dict[str, Any]:
    """Link the files of this page, as it is filtered now, or those of another address that offers them.

    `what` says to somebody who hears the links what they load.
    """
    request = context["request"]
    if url:
        path, _, query = url.partition("?")
    else:
        path, query = request.path, files.asked(request).urlencode()
    kept = f"{query}&" if query else ""
    return {
        "what": what,
        "files": [(kind.upper(), f"{path}?{kept}{files.PARAMETER}={kind}") for kind in files.KINDS],
    }
