"""What every page of the console knows: where one can go, and whose console it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import SimpleLazyObject

from core.models import Organisation

# Letters that lead to a page after `g`.
KEYS = {
    "overview": "o",
    "spend": "s",
    "entries": "e",
    "use-cases": "u",
    "savings": "v",
    "goals": "z",
    "changes": "k",
    "budgets": "b",
    "alerts": "a",
    "channels": "c",
    "attention": "t",
    "routing": "r",
    "rules": "l",
    "catalog": "m",
    "prices": "p",
    "months": "n",
    "statements": "d",
    "gateways": "w",
    "intake": "i",
    "exports": "x",
}
PAGES = (
    ("Overview", "overview", "overview"),
    ("Spend", "spend", "spend"),
    ("Budgets", "budgets", "budgets"),
    ("Alerts", "alerts", "alerts"),
    ("Channels", "channels", "mail"),
    ("Attention", "attention", "inbox"),
    ("Routing", "routing", "routing"),
    ("Rules", "rules", "rules"),
    ("Use cases", "use-cases", "user"),
    ("Models", "catalog", "catalog"),
    ("Prices", "prices", "coins"),
    ("Restatements", "restatements", "balance"),
    ("Months", "months", "calendar"),
    ("Statements", "statements", "document"),
    ("Reconciliation", "reconciliation", "bank"),
    ("Exports", "exports", "table"),
    ("Gateways", "gateways", "gateways"),
    ("Intake", "intake", "download"),
)
# Pages that a key leads to and the menu does not.
FURTHER = (
    ("Entries", "entries", "table"),
    ("Savings", "savings", "coins"),
    ("Goals", "goals", "gauge"),
    ("What changed", "changes", "chart"),
)


@dataclass(frozen=True, kw_only=True)
class Destination:
    """A page that the navigation leads to; `current` is "page" on it, "true" below it, else empty.

    `key` is the letter that leads there after `g`, empty where there is none.
    """

    title: str
    name: str
    icon: str
    url: str
    current: str
    key: str


def navigation(path: str, pages: Sequence[tuple[str, str, str]] = PAGES) -> list[Destination]:
    """Return the pages that exist, in the order of the menu."""
    found = []
    for title, name, icon in pages:
        try:
            url = reverse(name)
        except NoReverseMatch:
            continue  # a page of a later release
        current = ""
        if path == url:
            current = "page"
        elif url != "/" and path.startswith(url):
            current = "true"
        found.append(Destination(title=title, name=name, icon=icon, url=url, current=current, key=KEYS.get(name, "")))
    return found


def console(request: HttpRequest) -> dict[str, Any]:
    """Offer `navigation`, `further` and `organisation`; they are worked out only where a template uses them.

    The organisation costs one query on full pages of people who are signed in, none where the view has found it.
    """
    found = getattr(request, "organisation", None)
    return {
        "navigation": SimpleLazyObject(lambda: navigation(request.path)),
        "further": SimpleLazyObject(lambda: navigation(request.path, FURTHER)),
        "organisation": found or SimpleLazyObject(lambda: Organisation.objects.filter(pk=1).first() or Organisation()),
    }
