"""A statement that takes too long is ended, and whoever asked is told what to do; files take the time they need."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any, ClassVar

import pytest
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import Client
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response

from core import statements
from core.api_views import Api
from core.large_files import Lines
from core.services import barrier
from tests.factories import make_key
from tests.usage.waiting import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

LIMIT_SECONDS = 0.1


def asleep(seconds: float) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", [seconds])


def page(request: HttpRequest) -> HttpResponse:
    asleep(30)
    return HttpResponse("slept")


def file(request: HttpRequest) -> StreamingHttpResponse:
    def lines() -> Iterator[str]:
        for _ in range(2):
            asleep(LIMIT_SECONDS * 1.5)
            yield "line\n"

    return StreamingHttpResponse(Lines(lines()))


class SlowApi(Api):
    actions: ClassVar[dict[str, str]] = {"GET": "view", "POST": "budgets.edit"}

    def get(self, request: Request) -> Response:
        asleep(30)
        return Response({})

    post = get


urlpatterns = [path("page/", page), path("file/", file), path("api/v1/slow", SlowApi.as_view())]


@pytest.fixture
def held() -> Iterator[None]:
    """Be a web process, with less patience."""
    connection.close()
    statements.limit(seconds=LIMIT_SECONDS)
    yield
    statements.limit(seconds=0)
    connection.close()


def test_a_page_that_reads_for_too_long_says_so_and_leads_to_less(client, held):
    read = client.get("/page/?from=2020-01-01&to=2026-01-01")
    sent = client.post("/page/")

    assert (read.status_code, read["Retry-After"]) == (503, "30")
    assert "Choose fewer days" in read.content.decode()
    assert 'href="/page/"' in read.content.decode()
    assert 'href="/page/?from=2020-01-01&amp;to=2026-01-01"' in read.content.decode()
    assert (sent.status_code, "Choose fewer days" in sent.content.decode()) == (503, False)


def test_over_the_api_it_is_a_problem_with_what_to_do(client, held):
    reads, writes = ({"Authorization": f"Bearer {make_key(scope)}"} for scope in ("read", "write"))

    read = client.get("/api/v1/slow", headers=reads)
    written = client.post("/api/v1/slow", headers=writes)

    assert (read.status_code, written.status_code) == (503, 503)
    assert read["Retry-After"] == "30"
    assert read.json()["type"] == "urn:tollkeeper:problem:too-slow"
    assert "Ask for a shorter range" in read.json()["detail"]
    assert "try again" in written.json()["detail"]


def test_a_file_takes_the_time_it_needs_and_what_comes_after_it_on_its_connection_does_not(client: Client, held):
    answer: Any = client.get("/file/")

    assert b"".join(answer.streaming_content) == b"line\n" * 2
    assert client.get("/page/").status_code == 503


def test_whoever_changed_something_waits_for_open_bookings_however_long_they_take(held):
    def book() -> None:
        try:
            with transaction.atomic():
                barrier.hold_shared()
                begun.set()
                until(waits_for_long, what="somebody who waits for this booking")
        finally:
            connection.close()

    begun = Event()
    with ThreadPoolExecutor(1) as pool:
        booking = pool.submit(book)
        assert begun.wait(20)
        barrier.pass_through()
        booking.result()

    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("100ms",)


def waits_for_long() -> bool:
    """Say whether somebody has waited for a lock for three times as long as a statement may run.

    Within one transaction `pg_stat_activity` stays as it was when it was first looked at; `pg_locks` does not.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
            "AND clock_timestamp() - waitstart > %s * interval '1 second'",
            [LIMIT_SECONDS * 3],
        )
        row = cursor.fetchone()
    return bool(row and row[0])


def test_a_process_that_is_no_web_process_has_no_limit():
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)
