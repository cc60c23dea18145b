"""Every address of the console, filled in with what a house has: for whoever opens all of its pages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import product
from urllib.parse import quote

from django.apps import apps
from django.db import connection
from django.urls import URLPattern, URLResolver

# What an <int:...> names, by the beginning of its route and the parameter; the longest beginning counts.
_NUMBERED = {
    ("alerts/", "pk"): "alerts.Alert",
    ("alerts/deliveries/", "pk"): "alerts.Delivery",
    ("attention/use-cases/", "pk"): "catalog.UseCase",
    ("attention/teams/", "pk"): "catalog.Team",
    ("budgets/", "pk"): "budgets.Budget",
    ("budgets/requests/", "pk"): "budgets.LimitRequest",
    ("channels/", "pk"): "alerts.Channel",
    ("gateways/", "pk"): "catalog.Gateway",
    ("gateways/imports/", "pk"): "usage.UsageImport",
    ("gateways/keys/", "pk"): "core.ApiKey",
    ("intake/", "pk"): "usage.Receipt",
    ("prices/contracts/", "pk"): "catalog.Contract",
    ("prices/import/", "pk"): "catalog.PriceTable",
    ("reconciliation/files/", "pk"): "usage.Statement",
    ("rules/", "pk"): "routing.Proposal",
    ("rules/<environment:environment>/fleet/", "pk"): "catalog.Gateway",
    ("rules/<environment:environment>/switches/", "pk"): "routing.Switch",
    ("spend/", "pk"): "dashboards.SavedView",
    ("statements/", "team_id"): "catalog.Team",
    ("statements/", "use_case_id"): "catalog.UseCase",
    ("teams/", "pk"): "catalog.Team",
    ("use-cases/", "pk"): "catalog.UseCase",
}
_MOST = 8  # of a kind that are tried, until one has the page
# Of these the busiest come first: their pages have most to sum. Of budgets, those of the widest scope.
_BUSIEST = {"catalog.Team": "team_id", "catalog.UseCase": "use_case_id"}
_VARIABLE = re.compile(r"<(?:\w+:)?(\w+)>")


def routes(patterns: Sequence[URLPattern | URLResolver] | None = None, before: str = "") -> Iterator[tuple[str, str]]:
    """Yield route and name of every address of the console; variables as they stand in its urls."""
    if patterns is None:
        from dashboards.urls import urlpatterns

        patterns = urlpatterns
    for each in patterns:
        route = before + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from routes(each.url_patterns, route)
        else:
            yield route, each.name or ""


def filled(route: str) -> Iterator[str]:
    """Yield addresses of a route, newest or busiest things first; none where the house has nothing of the kind."""
    names = _VARIABLE.findall(route)
    for values in product(*(_values(route, name) for name in names)):
        address = "/" + route
        for value in values:
            address = _VARIABLE.sub(quote(value), address, count=1)
        yield address


def _values(route: str, name: str) -> list[str]:
    prefixes = [key for key in _NUMBERED if key[1] == name and route.startswith(key[0])]
    if prefixes:
        return _newest(_NUMBERED[max(prefixes)])
    if route.startswith("models/"):
        return _rows(
            "SELECT m.name FROM catalog_offering o JOIN catalog_model m ON m.id = o.model_id "
            f"JOIN ({_busiest('offering_id')}) b ON b.id = o.id ORDER BY b.requests DESC"
        )
    if route.startswith("events/"):
        return _of_an_event(name)
    return {
        "environment": lambda: _rows("SELECT name FROM routing_environment ORDER BY live_version DESC LIMIT 1"),
        "number": lambda: _rows("SELECT number FROM routing_version ORDER BY number DESC LIMIT 8"),
        "form": lambda: ["yaml", "bifrost", "csv", "xlsx"],
        "format": lambda: ["csv", "xlsx"],
        "place": lambda: ["1"],
        "name": lambda: _rows(
            f"SELECT o.name FROM catalog_offering o JOIN ({_busiest('offering_id')}) b ON b.id = o.id "
            "ORDER BY b.requests DESC"
        ),
        "key": lambda: _rows("SELECT 'a' || id FROM catalog_amendment ORDER BY id DESC LIMIT 8"),
        "label": _months,
        "month": _months,
    }.get(name, list)()


def _newest(label: str) -> list[str]:
    try:
        table = apps.get_model(label)._meta.db_table
    except LookupError:
        return []
    if label in _BUSIEST and (found := _rows(f"SELECT id FROM ({_busiest(_BUSIEST[label])}) b")):
        return found
    if label == "budgets.Budget":
        return _rows(f"SELECT id FROM budgets_budget ORDER BY length(scope::text), id LIMIT {_MOST}")
    return _rows(f'SELECT id FROM "{table}" ORDER BY id DESC LIMIT {_MOST}')


def _busiest(column: str) -> str:
    """Write a query for what had most requests on the last day that has any."""
    return (
        f"SELECT {column} AS id, sum(requests) AS requests FROM rollup_day "
        f"WHERE day = (SELECT max(day) FROM rollup_day) GROUP BY 1 ORDER BY 2 DESC LIMIT {_MOST}"
    )


def _of_an_event(name: str) -> list[str]:
    newest = "SELECT source_id, encode(digest, 'hex') FROM event_key ORDER BY first_received_at DESC LIMIT 1"
    with connection.cursor() as cursor:
        cursor.execute(newest)
        row = cursor.fetchone()
    return [] if row is None else [str(row[0] if name == "source" else row[1])]


def _months() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(day) FROM rollup_day")
        (last,) = cursor.fetchone()
    if not isinstance(last, date):
        return []
    before = last.replace(day=1) - timedelta(days=1)
    return [f"{before:%Y-%m}", f"{last:%Y-%m}"]


def _rows(statement: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return [str(value) for (value,) in cursor.fetchall()]
