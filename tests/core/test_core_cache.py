from __future__ import annotations

import pytest
from django.core.cache import caches

from tests.controlplane.conftest import a_free_port
from tests.factories import make_user

NOBODY_HOME = {"BACKEND": "core.cache.TolerantRedisCache", "OPTIONS": {"socket_connect_timeout": 1}}


@pytest.fixture
def redis_is_away(settings):
    settings.CACHES = {"default": NOBODY_HOME | {"LOCATION": f"redis://127.0.0.1:{a_free_port()}"}}
    caches["default"].clear()


def test_without_redis_the_cache_remembers_in_the_process(redis_is_away):
    cache = caches["default"]

    cache.set("a", 1)
    cache.incr("a")

    assert (cache.get("a"), cache.get("b"), cache.add("a", 9), cache.has_key("a")) == (2, None, False, True)


@pytest.mark.django_db
def test_people_sign_in_without_redis(redis_is_away, client):
    make_user("viewer", email="ann@example.com", password="a long password")

    answer = client.post("/accounts/login/", {"login": "ann@example.com", "password": "a long password"})

    assert (answer.status_code, answer.headers["Location"]) == (302, "/")
