from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from playwright.sync_api import Browser, sync_playwright

from tests.browser.screenshots import launch


@pytest.fixture(scope="session", autouse=True)
def _server_lets_go(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """End the connections that threads of the live server still hold, so that the database can be dropped."""
    yield
    with django_db_blocker.unblock():
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        connection.close()


@pytest.fixture(scope="module")
def _launched() -> Iterator[Browser]:
    with sync_playwright() as playwright, launch(playwright) as launched:
        yield launched


@pytest.fixture
def browser(_launched: Browser) -> Iterator[Browser]:
    """A Chromium without a page: one for the tests of a file, since starting it takes a second."""
    yield _launched
    for context in _launched.contexts:
        context.close()
