"""Liveness asks nobody; readiness asks the database. (What a dead database does to both is in test_compose.py.)"""

from __future__ import annotations

import pytest

from controlplane import health
from routing.serving.shelf import SHELF


def test_liveness_needs_no_database(client):
    answer = client.get("/healthz")  # a query would fail: this test may not use the database

    assert (answer.status_code, answer.content) == (200, b"ok\n")
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.django_db
def test_readiness_tells_what_it_found(client):
    answer = client.get("/readyz")

    assert answer.status_code == 200
    assert answer.json() == {"ready": True, "database": "ok", "redis": "ok", "rules": "off"}
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.django_db
def test_readiness_reports_a_missing_redis_and_does_not_count_it(client, settings, tmp_path):
    settings.REDIS_URL = f"unix://{tmp_path}/nobody-listens-here"
    health._broker.cache_clear()

    answer = client.get("/readyz")

    health._broker.cache_clear()
    assert (answer.status_code, answer.json()["ready"], answer.json()["redis"]) == (200, True, "unavailable")


@pytest.mark.django_db
def test_a_process_that_has_read_no_rules_yet_is_not_ready(client, monkeypatch):
    monkeypatch.setattr(SHELF, "served_here", True)
    found = []

    for loaded, fresh in ((False, False), (True, True), (True, False)):
        monkeypatch.setattr(SHELF, "loaded", loaded)
        monkeypatch.setattr(SHELF, "fresh", fresh)
        answer = client.get("/readyz")
        found.append((answer.status_code, answer.json()["rules"]))

    assert found == [(503, "loading"), (200, "ok"), (200, "stale")]
