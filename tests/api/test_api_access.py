"""Every address of the API with every role and scope, and a stranger beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from core import access, keys
from core.models import ROLES, SCOPES
from tests.factories import make_key, make_user

pytestmark = pytest.mark.django_db

# They describe the API and hold no data.
OPEN = {"/api/schema/", "/api/docs/"}
METHODS = ("get", "post", "put", "patch", "delete")


def routes() -> Iterator[tuple[str, type]]:
    """Yield every route with a class-based view below /api/, its variables as they stand in urls."""

    def walk(resolver: URLResolver, before: str) -> Iterator[tuple[str, type]]:
        for each in resolver.url_patterns:
            route = before + str(each.pattern)
            if isinstance(each, URLResolver):
                yield from walk(each, route)
            elif isinstance(each, URLPattern) and hasattr(each.callback, "view_class"):
                yield "/" + route, each.callback.view_class

    for route, view in walk(get_resolver(), ""):
        if route.startswith("/api/") and route not in OPEN:
            yield route, view


def filled(route: str) -> str:
    return re.sub(r"<int:\w+>", "999999", route).replace("<str:environment>", "production")


SERVED = [(route, method, view) for route, view in routes() for method in METHODS if hasattr(view, method)]
OPERATIONS = [(filled(route), method, view.actions.get(method.upper())) for route, method, view in SERVED]


def test_there_are_operations_to_look_at():
    assert len(OPERATIONS) > 30
    assert {"/api/v1/spend", "/api/v1/usage/events"} <= {address for address, _, _ in OPERATIONS}


@pytest.fixture(scope="module")
def client() -> Client:
    """One for all: each new client loads the middleware anew, static files and all."""
    return Client()


@pytest.mark.parametrize(("address", "method", "action"), OPERATIONS, ids=lambda value: str(value))
def test_whoever_may_is_let_through_and_nobody_else(client, address, method, action):
    keys.forget()
    assert action in access.ACTIONS, "every method of every view declares its action"
    grant = access.ACTIONS[action]

    def status(*roles: str, scope: str = "", stranger: bool = False) -> int:
        client.logout()
        headers = {"Authorization": f"Bearer {make_key(scope)}"} if scope else {}
        if not scope and not stranger:
            client.force_login(make_user(*roles))
        return client.generic(
            method.upper(), address, "{}", content_type="application/json", headers=headers
        ).status_code

    let_in = {role for role in ROLES if status(role) not in (401, 403)}
    let_in |= {scope for scope in SCOPES if status(scope=scope) not in (401, 403)}

    assert let_in == grant.roles | grant.scopes
    assert status() == 403  # somebody without a role
    assert status(stranger=True) == 401
