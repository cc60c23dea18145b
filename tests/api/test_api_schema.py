"""The OpenAPI document and its page."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from io import StringIO
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema
from playwright.sync_api import sync_playwright

from tests.api.test_api_access import SERVED
from tests.browser.screenshots import launch


@pytest.fixture(scope="module")
def schema():
    return SchemaGenerator().get_schema(request=None, public=True)


def test_the_document_is_valid_and_nothing_had_to_be_guessed():
    out = StringIO()

    call_command("spectacular", "--validate", "--fail-on-warn", stdout=out)

    assert "openapi: 3" in out.getvalue()


def test_every_operation_is_in_it_with_keys_and_problems(schema):
    validate_schema(schema)
    described = {(path, method) for path, methods in schema["paths"].items() for method in methods}
    served = {(re.sub(r"<\w+:(\w+)>", r"{\1}", route), method) for route, method, _ in SERVED}

    assert {(path.replace("{id}", "{pk}"), method) for path, method in described} == served
    for methods in schema["paths"].values():
        for operation in methods.values():
            assert "application/problem+json" in operation["responses"]["default"]["content"]
            assert {"key": []} in operation["security"]
            assert operation["summary"]


def test_what_may_be_put_off_says_when_to_come_again(schema):
    export = schema["paths"]["/api/v1/exports/focus"]["get"]["responses"]
    intake = schema["paths"]["/api/v1/usage/events"]["post"]["responses"]

    for put_off in (export["429"], intake["429"]):
        assert put_off["headers"]["Retry-After"]["schema"]["type"] == "integer"
        assert "application/problem+json" in put_off["content"]


def test_it_names_the_query_parameters_that_spend_takes(schema):
    named = {each["name"] for each in schema["paths"]["/api/v1/spend"]["get"]["parameters"]}

    assert {"from", "to", "zone", "group_by", "use_case", "tier", "tag:NAME"} <= named


def test_what_goes_in_for_a_secret_is_not_in_what_comes_out(schema):
    assert "secret" in schema["components"]["schemas"]["ChannelsInput"]["properties"]
    assert "secret" not in schema["components"]["schemas"]["ChannelOutput"]["properties"]


def test_the_page_loads_only_what_our_policy_allows():
    client = Client()
    page = client.get("/api/docs/")
    script = client.get("/api/docs/?script=")

    policy = page["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert b"<style" not in page.content
    assert b"<script>" not in page.content
    assert script["Content-Type"].startswith("application/javascript")
    assert b"/api/schema/" in script.content


@pytest.fixture
def served() -> Iterator[str]:
    """Serve the house from a thread, without a database: the page needs none."""

    class Quiet(WSGIRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    server = make_server("127.0.0.1", 0, StaticFilesHandler(get_wsgi_application()), handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_page_works_in_a_browser_under_our_policy(served):
    complaints = []
    with sync_playwright() as playwright, launch(playwright) as browser:
        page = browser.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{served}/api/docs/")
        operation = page.locator("#operations-spend-spend")
        operation.wait_for(timeout=20_000)
        operation.get_by_role("button").first.click()
        operation.get_by_text("group_by").first.wait_for(timeout=10_000)

    assert complaints == []
