"""From a key to whoever it stands for."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import close_old_connections, connection
from django.test.utils import CaptureQueriesContext

from core import keys
from core.models import ApiKey
from core.services import keys as key_services
from tests.factories import NOON, make_key

pytestmark = pytest.mark.django_db


@pytest.fixture
def later(monkeypatch):
    """Let this many seconds pass for what a process keeps."""

    def pass_by(seconds: float) -> None:
        for digest, (until, caller) in list(keys._kept.items()):
            keys._kept[digest] = (until - seconds, caller)

    return pass_by


def test_a_key_stands_for_its_gateway_and_environment_with_one_query():
    secret = make_key("usage:write", "read", gateway="edge", environment="staging", name="edge key")

    with CaptureQueriesContext(connection) as queries:
        caller = keys.caller(secret=secret, at=NOON)
        again = keys.caller(secret=secret, at=NOON)

    assert len(queries) == 1
    assert again is caller
    assert (str(caller), caller.scopes, caller.gateway, caller.environment) == (
        "key:edge key", ("usage:write", "read"), "edge", "staging",
    )  # fmt: skip


def test_a_key_without_a_gateway_is_a_caller_too():
    _, secret = key_services.issue(name="script", scopes=["read"], by="tests", at=NOON)

    caller = keys.caller(secret=secret, at=NOON)

    assert (caller.gateway_id, caller.gateway, caller.environment) == (None, None, "")


@pytest.mark.parametrize("secret", ["", "tk_wrong", "ü", "a\x00b"])
def test_what_is_no_key_stands_for_nobody(secret):
    assert keys.caller(secret=secret, at=NOON) is None


def test_a_revoked_key_is_refused_as_soon_as_what_is_kept_runs_out(later):
    secret = make_key("read")
    assert keys.caller(secret=secret, at=NOON)

    key_services.revoke(key=ApiKey.objects.get(), by="tests", at=NOON)

    later(seconds=keys.KEPT_SECONDS)
    assert keys.KEPT_SECONDS <= 2
    assert keys.caller(secret=secret, at=NOON) is None


def test_an_expired_key_is_refused_at_the_instant_even_while_it_is_kept():
    secret = make_key("read", expires_at=NOON + timedelta(hours=1))

    assert keys.caller(secret=secret, at=NOON + timedelta(minutes=59)) is not None
    assert keys.caller(secret=secret, at=NOON + timedelta(hours=1)) is None


def test_a_new_key_works_though_it_was_refused_just_before():
    secret = make_key("read")
    ApiKey.objects.update(revoked_at=NOON)
    assert keys.caller(secret=secret, at=NOON) is None

    ApiKey.objects.update(revoked_at=None)

    assert keys.caller(secret=secret, at=NOON) is not None


def test_use_is_noted_once_a_minute(later):
    secret = make_key("read")
    writes = []
    for seconds in (0, 1, 59, 60, 61, 119, 120):
        at = NOON + timedelta(seconds=seconds)
        with CaptureQueriesContext(connection) as queries:
            keys.note_use(caller=keys.caller(secret=secret, at=at), at=at)
        if any(query["sql"].startswith("UPDATE") for query in queries):
            writes.append(seconds)

    assert writes == [0, 60, 120]
    assert ApiKey.objects.get().last_used_at == NOON + timedelta(seconds=120)


def test_noting_use_never_goes_back_where_another_process_was_later():
    secret = make_key("read")
    caller = keys.caller(secret=secret, at=NOON)
    ApiKey.objects.update(last_used_at=NOON + timedelta(seconds=30))

    keys.note_use(caller=caller, at=NOON)

    assert ApiKey.objects.get().last_used_at == NOON + timedelta(seconds=30)


def test_threads_share_what_is_kept_without_a_lock():
    secret = make_key("read")
    caller = keys.caller(secret=secret, at=NOON)
    found = []

    def look() -> None:
        found.append(keys.caller(secret=secret, at=NOON))
        close_old_connections()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [caller] * 4
