"""Requests made from the OpenAPI document, sound ones and others: no input makes a 500.

Small sizes unless TOLLKEEPER_SOAK is set.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from itertools import count
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.test import Client
from django.urls import URLResolver, get_resolver
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st

from alerts.models import Alert, Channel
from budgets.models import Budget
from catalog.models import Gateway, Model, Price, Team, UseCase
from core import keys
from tests.drawing import drawn, some
from tests.factories import make_budget, make_key
from tests.usage.making import make_event, make_priced_offering, send
from usage.api_intake import IntakeApi
from usage.models import Receipt

pytestmark = [pytest.mark.soak, pytest.mark.django_db(transaction=True)]
attacked = drawn(2, 20, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))

ODD_BODIES = [
    b"", b"{", b"[]", b"null", b"7", b'"text"', b"\x00\xff", b'{"name": "\\u0000"}', b'{"name": "\\ud800"}',
    b'{"amount": 1e400, "id": 99999999999999999999999}', b"[" * 5000, b'{"a":' * 3000 + b"1" + b"}" * 3000,
    b"\x1f\x8bbroken", b'{"from": "0001-01-01T00:00:00+23:59", "to": "9999-12-31T23:59:59-23:59"}',
]  # fmt: skip
ODD_VALUES = ["\0", "\ud800", "", "9" * 40, "-1", "NaN", "é" * 300, "0001-01-01", "9999-12-31T23:59:59Z"]


@pytest.fixture(scope="module")
def operations() -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of schemathesis's own parts, while they are loaded
        import schemathesis

    document = SchemaGenerator().get_schema(request=None, public=True)
    schema = schemathesis.openapi.from_dict(json.loads(json.dumps(document, default=str)))
    return [found.ok() for found in schema.get_all_operations()]


class Attacker:
    """Sends as somebody who may do everything, to things that are there more often than not; notes what went wrong."""

    def __init__(self) -> None:
        make_priced_offering()
        make_budget()
        send(make_event())
        self._ids = [str(row.pk) for kind in (Budget, UseCase, Team, Model, Price, Gateway, Alert, Channel, Receipt)
                     for row in kind.objects.all()[:3]]  # fmt: skip
        keys.forget()
        self._client = Client(raise_request_exception=False)
        self._headers = {"X-API-KEY": make_key("admin", gateway="edge")}
        self.sent = 0
        self.failed: dict[tuple[str, str], str] = {}

    def send(self, method: str, path: str, query: str, body: bytes | None, content_type: str) -> None:
        answer = self._client.generic(
            method.upper(),
            quote(path),
            body or b"",
            content_type=content_type,
            headers=self._headers,
            QUERY_STRING=query,
        )
        self.sent += 1
        if answer.status_code >= 500:
            said = f"{answer.status_code} {method} {path}?{query} {(body or b'')[:300]!r}: {answer.content[:300]!r}"
            self.failed.setdefault((method, str(answer.resolver_match)), said)

    def path(self, template: str, given: dict[str, Any], which: int) -> str:
        for number, (name, value) in enumerate(given.items()):
            known = {"environment": "production"}.get(name, self._ids[(which + number) % len(self._ids)])
            template = template.replace("{" + name + "}", str(known if which % 4 else value).replace("/", "_"))
        return template


def written(body: Any) -> bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    if type(body).__name__ == "NotSet":
        return None
    return json.dumps(body).encode()


def test_no_request_made_from_the_document_makes_a_500(operations):
    from schemathesis import GenerationMode

    attacker = Attacker()
    for operation in operations:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @given(case=operation.as_strategy(generation_mode=mode), which=st.integers(0, 99))
            @attacked
            def attack(case: Any, which: int) -> None:
                path = attacker.path(case.path, case.path_parameters or {}, which)
                query = urlencode(case.query or {}, doseq=True, errors="replace")
                attacker.send(case.method, path, query, written(case.body), case.media_type or "application/json")

            try:
                attack()
            except Exception as error:
                if "Unsatisfiable" not in type(error).__name__:  # there are operations that no input is wrong for
                    raise

    assert attacker.sent > 3 * len(operations)
    assert list(attacker.failed.values()) == []


def test_no_odd_body_and_no_odd_parameter_makes_a_500(operations):
    attacker = Attacker()
    turns = count()
    for number, operation in enumerate(operations):
        path = attacker.path(operation.path, dict.fromkeys(named(operation.path), "7"), number)
        if operation.method == "get":
            for parameter in (*(one.name for one in operation.query), "unknown"):
                for odd in some(ODD_VALUES, next(turns), 3):
                    attacker.send("get", path, urlencode({parameter: odd}, errors="surrogatepass"), None, "")
            continue
        for body in some(ODD_BODIES, number, 5):
            attacker.send(operation.method, path, "", body, "application/json")
        attacker.send(operation.method, path, "", b"<a/>", "application/xml")

    assert list(attacker.failed.values()) == []


def named(template: str) -> list[str]:
    return [part.split("}")[0] for part in template.split("{")[1:]]


def ways_in() -> list[str]:
    """Return the address of every view that takes usage in."""

    def walk(resolver: URLResolver, before: str) -> Iterator[str]:
        for each in resolver.url_patterns:
            if isinstance(each, URLResolver):
                yield from walk(each, before + str(each.pattern))
            elif issubclass(getattr(each.callback, "view_class", object), IntakeApi):
                yield f"/{before}{each.pattern}"

    return list(walk(get_resolver(), ""))


def test_a_malformed_body_gets_400_with_a_reason_wherever_usage_is_taken_in_and_nothing_is_stored():
    client = Client(headers={"X-API-KEY": make_key("usage:write")})
    addresses = ways_in()

    assert {"/api/v1/usage/events", "/api/v1/usage/litellm", "/log-request", "/v1/traces"} <= set(addresses)
    for address in addresses:
        for body in (b"{", b"[1, 2", b"nonsense", b'{"id": "a"', b"\x1f\x8bbroken", b"\x28\xb5\x2f\xfdbroken"):
            answer = client.post(address, body, content_type="application/json")

            told = answer.json()
            assert (address, body, answer.status_code) == (address, body, 400)
            assert told.get("detail") or told.get("message")
    assert not Receipt.objects.exists()
