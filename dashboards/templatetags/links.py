"""Links to the pages of use cases, teams and models, wherever one is named.

Where only a name is at hand, a use case or team is looked up when the link is followed: no page has to ask for ids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlencode

from django import template
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from usage.selectors.drivers import NONE_REPORTED

register = template.Library()


def use_case_url(name: str, pk: int | None = None) -> str:
    """Return the address of a use case's page, by its id or by any label that means it."""
    return _named("use-case", name, pk)


def team_url(name: str, pk: int | None = None) -> str:
    """Return the address of a team's page, by its id or by any label that means it."""
    return _named("team", name, pk)


def model_url(name: str) -> str:
    """Return the address of a model's page; empty for a name that no service would let in."""
    try:
        return reverse("model", args=[name])
    except NoReverseMatch:
        return ""


def offering_url(name: str) -> str:
    """Return the address of an offering's page; empty for a name that no service would let in."""
    try:
        return reverse("offering", args=[name])
    except NoReverseMatch:
        return ""


def _named(page: str, name: str, pk: int | None) -> str:
    return reverse(page, args=[pk]) if pk else f"{reverse(f'{page}-named')}?{urlencode({'name': name})}"


def _link(url: str, name: str) -> str | SafeString:
    return format_html('<a class="tk-break" href="{}">{}</a>', url, name) if url and name else name


@register.simple_tag
def use_case_link(name: str, pk: int | None = None) -> str | SafeString:
    """Render a use case's name as a link to its page."""
    return _link(use_case_url(name, pk), name)


@register.simple_tag
def team_link(name: str, pk: int | None = None) -> str | SafeString:
    """Render a team's name as a link to its page."""
    return _link(team_url(name, pk), name)


@register.simple_tag
def model_link(name: str) -> str | SafeString:
    """Render a model's name as a link to its page."""
    return _link(model_url(name), name)


@register.simple_tag
def offering_link(name: str) -> str | SafeString:
    """Render an offering's name as a link to its page."""
    return _link(offering_url(name), name)


@register.simple_tag
def label_link(kind: str, name: str) -> str | SafeString:
    """Render the name of a breakdown's row as a link, where its kind ("use_case", "team", "model") has pages."""
    return _link(label_url(kind, name), name)


def label_url(kind: str, name: str) -> str:
    """Return the address of what a row of a breakdown names; empty where its kind has no pages, or none is named."""
    return _URLS[kind](name) if kind in _URLS and name and name != NONE_REPORTED else ""


@register.simple_tag
def scope_links(scope: Mapping[str, Iterable[str]]) -> str | SafeString:
    """Render what a budget covers as `budgets.wording.covers` says it, with a link on each name that has a page."""
    parts = []
    for dimension, values in scope.items():
        kind = "use case" if dimension == "use_case" else dimension.replace("tag:", "tag ", 1)
        named = format_html_join(" or ", "{}", ((label_link(dimension, name),) for name in values))
        parts.append((kind, named))
    return format_html_join(", ", "{} {}", parts) if parts else "everything"


_URLS: Mapping[str, Callable[[str], str]] = {
    "use_case": use_case_url, "team": team_url, "model": model_url, "offering": offering_url,
}  # fmt: skip
