from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from tests.factories import make_key


class KeyClient:
    """Asks as a key does. One Django client underneath, since each new one loads the middleware anew."""

    def __init__(self, client: Client, secret: str) -> None:
        self._client = client
        self._headers = {"Authorization": f"Bearer {secret}"}

    def get(self, path: str, query: object = None):
        return self._client.get(f"/api/v1/{path}", query, headers=self._headers)

    def post(self, path: str, body: object = None):
        return self._sent("POST", path, body)

    def patch(self, path: str, body: object = None):
        return self._sent("PATCH", path, body)

    def delete(self, path: str):
        return self._sent("DELETE", path, None)

    def _sent(self, method: str, path: str, body: object):
        return getattr(self._client, method.lower())(
            f"/api/v1/{path}", body if body is not None else {}, content_type="application/json", headers=self._headers
        )


@pytest.fixture(scope="session")
def _one_client() -> Client:
    return Client()


@pytest.fixture
def api(db, _one_client) -> Callable[..., KeyClient]:
    """Make a client with a key of these scopes."""

    def make(*scopes: str, name: str = "pipeline") -> KeyClient:
        return KeyClient(_one_client, make_key(*scopes, name=name))

    return make
