"""What every page of the console knows: where one can go, and whose console it is."""

from __future__ import annotations

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
    "fleet": "f",
    "intake": "i",
    "exports": "x",
}
# Groups of the menu as people think of them, each with its pages: title, name of the address, icon. What belongs to no
# group stands above all of them.
MENU = (
    ("", (("Overview", "overview", "overview"),)),
    (
        "Cost",
        (
            ("Spend", "spend", "spend"),
            ("What changed", "changes", "chart"),
            ("Savings", "savings", "fall"),
            ("Entries", "entries", "table"),
        ),
    ),
    (
        "Budgets and alerts",
        (
            ("Budgets", "budgets", "budgets"),
            ("Goals", "goals", "gauge"),
            ("Alerts", "alerts", "alerts"),
            ("Attention", "attention", "warning"),
        ),
    ),
    (
        "Routing",
        (
            ("Routing", "routing", "routing"),
            ("Rules", "rules", "rules"),
        ),
    ),
    (
        "Catalogue",
        (
            ("Use cases", "use-cases", "filter"),
            ("Teams", "teams", "user"),
            ("Models", "catalog", "catalog"),
            ("Prices", "prices", "coins"),
        ),
    ),
    (
        "Accounting",
        (
            ("Months", "months", "calendar"),
            ("Statements", "statements", "document"),
            ("Reconciliation", "reconciliation", "bank"),
            ("Restatements", "restatements", "balance"),
            ("Exports", "exports", "download"),
        ),
    ),
    (
        "Gateways",
        (
            ("Gateways", "gateways", "gateways"),
            ("Fleet", "fleet", "plug"),
            ("Intake", "intake", "inbox"),
            ("Imports", "usage-imports", "plus"),
        ),
    ),
    (
        "Settings",
        (
            ("Channels", "channels", "mail"),
            ("Separation of duties", "duties", "lock"),
            ("Retention", "retention", "clock"),
        ),
    ),
)
# What is looked into now and then is folded until somebody unfolds it.
FOLDED = ("Gateways", "Settings")
# Pages whose addresses do not lie below that of the page they belong to.
BELONGS = {
    "events": "entries",
    "event": "entries",
    "model": "catalog",
    "rules-fleet": "fleet",
    "rules-fleet-gateway": "fleet",
}


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


@dataclass(frozen=True, kw_only=True)
class Group:
    """Pages under one heading; the first group has none. `current` is whether the page that is shown belongs to it."""

    title: str
    pages: list[Destination]

    @property
    def current(self) -> bool:
        return any(one.current for one in self.pages)

    @property
    def folded(self) -> bool:
        return self.title in FOLDED


def navigation(path: str, shown: str = "") -> list[Group]:
    """Return the pages that exist, in the order of the menu.

    `shown` is the name of the address that `path` was found under. Of pages whose addresses lie below each other the
    nearest is marked.
    """
    urls = {name: url for _, pages in MENU for _, name, _ in pages if (url := _url_of(name))}
    marked = BELONGS.get(shown, "")
    if not marked:
        above = [name for name, url in urls.items() if path == url or (url != "/" and path.startswith(url))]
        marked = max(above, key=lambda name: len(urls[name]), default="")
    return [
        Group(
            title=title,
            pages=[
                Destination(
                    title=words,
                    name=name,
                    icon=icon,
                    url=urls[name],
                    current="" if name != marked else "page" if path == urls[name] else "true",
                    key=KEYS.get(name, ""),
                )
                for words, name, icon in pages
                if name in urls
            ],
        )
        for title, pages in MENU
    ]


def _url_of(name: str) -> str:
    try:
        return reverse(name)
    except NoReverseMatch:
        return ""  # a page of a later release


def console(request: HttpRequest) -> dict[str, Any]:
    """Offer `navigation` and `organisation`; they are worked out only where a template uses them.

    The organisation costs one query on full pages of people who are signed in, none where the view has found it.
    """
    found = getattr(request, "organisation", None)
    match = request.resolver_match
    return {
        "navigation": SimpleLazyObject(lambda: navigation(request.path, (match and match.url_name) or "")),
        "organisation": found or SimpleLazyObject(lambda: Organisation.objects.filter(pk=1).first() or Organisation()),
    }
