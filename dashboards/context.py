"""What every page of the console knows: where one can go, and whose console it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import SimpleLazyObject

from core.models import Organisation

PAGES = (
    ("Overview", "overview", "overview"),
    ("Spend", "spend", "spend"),
    ("Budgets", "budgets", "budgets"),
    ("Alerts", "alerts", "alerts"),
    ("Attention", "attention", "inbox"),
    ("Routing", "routing", "routing"),
    ("Rules", "rules", "rules"),
    ("Models", "catalog", "catalog"),
    ("Prices", "prices", "coins"),
    ("Restatements", "restatements", "balance"),
    ("Months", "months", "calendar"),
    ("Reconciliation", "reconciliation", "bank"),
    ("Gateways", "gateways", "gateways"),
    ("Intake", "intake", "download"),
)


@dataclass(frozen=True, kw_only=True)
class Destination:
    """A page that the navigation leads to; `current` is "page" on it, "true" below it, else empty."""

    title: str
    name: str
    icon: str
    url: str
    current: str


def navigation(path: str) -> list[Destination]:
    """Return the pages that exist, in the order of the menu."""
    found = []
    for title, name, icon in PAGES:
        try:
            url = reverse(name)
        except NoReverseMatch:
            continue  # a page of a later release
        current = ""
        if path == url:
            current = "page"
        elif url != "/" and path.startswith(url):
            current = "true"
        found.append(Destination(title=title, name=name, icon=icon, url=url, current=current))
    return found


def console(request: HttpRequest) -> dict[str, Any]:
    """Offer `navigation` and `organisation`; both are worked out only where a template uses them.

    The organisation costs one query on full pages of people who are signed in, none where the view has found it.
    """
    found = getattr(request, "organisation", None)
    return {
        "navigation": SimpleLazyObject(lambda: navigation(request.path)),
        "organisation": found or SimpleLazyObject(lambda: Organisation.objects.filter(pk=1).first() or Organisation()),
    }
