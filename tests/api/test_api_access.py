"""Every address of the API with every role and scope, and a stranger beside them."""

from __future__ import annotations

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


def addresses() -> Iterator[tuple[str, type]]:
    """Yield every address with a class-based view below /api/, its numbers filled in."""

    def walk(resolver: URLResolver, before: str) -> Iterator[tuple[str, type]]:
        for each in resolver.url_patterns:
            route = before + str(each.pattern)
            if isinstance(each, URLResolver):
                yield from walk(each, route)
            elif isinstance(each, URLPattern) and hasattr(each.callback, "view_class"):
                address = "/" + route.replace("<int:pk>", "999999").replace("<int:receipt_id>", "999999")
                yield address, each.callback.view_class

    for address, view in walk(get_resolver(), ""):
        if address.startswith("/api/") and address not in OPEN:
            yield address, view


OPERATIONS = [
    (address, method, view.actions.get(method.upper()))
    for address, view in addresses()
    for method in METHODS
    if hasattr(view, method)
]


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
