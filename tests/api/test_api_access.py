"""Every address of the API with every role and scope, and a stranger beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from core import access
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


class Callers:
    """A person of each role and one without any, signed in, and a key of each scope."""

    def __init__(self) -> None:
        self._stranger = Client()
        self._people = {role: Client() for role in ("", *ROLES)}
        for role, client in self._people.items():
            client.force_login(make_user(*filter(None, [role])))
        self._secrets = {scope: make_key(scope) for scope in SCOPES}

    def person(self, role: str, method: str, address: str) -> int:
        return self._status(self._people[role], method, address)

    def key(self, scope: str, method: str, address: str) -> int:
        return self._status(self._stranger, method, address, Authorization=f"Bearer {self._secrets[scope]}")

    def stranger(self, method: str, address: str) -> int:
        return self._status(self._stranger, method, address)

    def _status(self, client: Client, method: str, address: str, **headers: str) -> int:
        return client.generic(
            method.upper(), address, "{}", content_type="application/json", headers=headers
        ).status_code


@pytest.fixture(scope="module")
def callers(django_db_setup, django_db_blocker) -> Iterator[Callers]:
    """The same for every address: what a test writes is taken back, and they stay."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield Callers()
        transaction.set_rollback(True)


@pytest.mark.parametrize(("address", "method", "action"), OPERATIONS, ids=lambda value: str(value))
def test_whoever_may_is_let_through_and_nobody_else(callers, address, method, action):
    assert action in access.ACTIONS, "every method of every view declares its action"
    grant = access.ACTIONS[action]

    let_in = {role for role in ROLES if callers.person(role, method, address) not in (401, 403)}
    let_in |= {scope for scope in SCOPES if callers.key(scope, method, address) not in (401, 403)}

    assert let_in == grant.roles | grant.scopes
    assert callers.person("", method, address) == 403
    assert callers.stranger(method, address) == 401
