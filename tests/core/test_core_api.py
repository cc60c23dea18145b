"""Problem details, query parameters, pages: what every API view stands on."""

from __future__ import annotations

import json
from decimal import Decimal
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.db import DataError, OperationalError, connections
from django.test import Client
from django.urls import path
from rest_framework import serializers
from rest_framework.response import Response

from controlplane.urls import urlpatterns as house
from core import errors
from core.api import InstantField, MoneyField, PageQuery, body, paged, read_cursor
from core.api_views import Api
from core.models import User
from tests.factories import make_key, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


class NamedConflict(errors.Conflict):
    code = "stale-draft"


RAISED = {
    "not-found": errors.NotFound("There is no budget 7."),
    "malformed": errors.Malformed("Neither JSON nor NDJSON."),
    "invalid": errors.Invalid("Two things.", [("amount", "More than 0."), ("scope.tier", "Unknown.")]),
    "conflict": errors.Conflict("Somebody was first."),
    "stale-draft": NamedConflict("Version 41 is no longer in force."),
    "limit-reached": errors.LimitReached("Too much waits.", retry_after_seconds=7),
    "too-large": errors.TooLarge("Over 64 MB."),
    "unavailable": errors.Unavailable("Come again.", retry_after_seconds=3),
    "upstream-failed": errors.UpstreamFailed("The provider's page is gone."),
    "database": OperationalError("the connection is lost: host=secret-host"),
    "out-of-range": DataError("secret_column: bigint out of range"),
    "surrogate": UnicodeEncodeError("utf-8", "secret \ud800", 7, 8, "surrogates not allowed"),
    "bug": ZeroDivisionError("secret internals"),
}


class RaisingApi(Api):
    actions = {"POST": "view"}

    def post(self, request, kind):
        raise RAISED[kind]


class EchoApi(Api):
    actions = {"GET": "view", "POST": "view"}

    class QuerySerializer(PageQuery):
        size = serializers.IntegerField(required=False)

    class InputSerializer(serializers.Serializer):
        amount = MoneyField()
        at = InstantField(required=False)
        limits = serializers.ListField(child=serializers.IntegerField(min_value=1), required=False)

    def get(self, request):
        cursor = read_cursor(self.query.get("after"), (int,))
        after, limit = cursor[0] if cursor else 0, self.query["limit"]
        rows = [SimpleNamespace(id=number) for number in range(after + 1, 8)][: limit + 1]
        page = paged(request, rows, limit=limit, key=lambda row: (row.id,))
        return Response(page | {"results": [row.id for row in page["results"]]})

    def post(self, request):
        return Response(self.InputSerializer(body(self.InputSerializer, request)).data)


class UndeclaredApi(Api):
    actions = {"GET": "view"}

    def get(self, request):
        return Response({})

    def post(self, request):
        return Response({})


urlpatterns = [
    path("api/v1/raise/<kind>", RaisingApi.as_view()),
    path("api/v1/echo", EchoApi.as_view()),
    path("api/v1/undeclared", UndeclaredApi.as_view()),
    *house,
]


@pytest.fixture
def caller():
    return Client(headers={"Authorization": f"Bearer {make_key('read')}"}, raise_request_exception=False)


def posted(client, address, data="{}", content_type="application/json"):
    return client.post(address, data=data, content_type=content_type)


@pytest.mark.parametrize(
    ("kind", "status", "headers"),
    [
        ("not-found", 404, {}),
        ("malformed", 400, {}),
        ("invalid", 422, {}),
        ("conflict", 409, {}),
        ("stale-draft", 409, {}),
        ("limit-reached", 429, {"Retry-After": "7"}),
        ("too-large", 413, {}),
        ("unavailable", 503, {"Retry-After": "3"}),
        ("upstream-failed", 502, {}),
    ],
)
def test_each_kind_of_error_has_its_status_and_says_what_it_is(caller, kind, status, headers):
    answer = posted(caller, f"/api/v1/raise/{kind}")

    problem = answer.json()
    assert answer.status_code == problem["status"] == status
    assert answer["Content-Type"] == "application/problem+json"
    assert problem["type"] == f"urn:tollkeeper:problem:{kind}"
    assert problem["detail"] == str(RAISED[kind])
    assert problem["instance"] == f"/api/v1/raise/{kind}"
    assert problem["title"]
    for name, value in headers.items():
        assert answer[name] == value


def test_everything_that_is_invalid_is_listed_with_a_pointer(caller):
    assert posted(caller, "/api/v1/raise/invalid").json()["errors"] == [
        {"pointer": "#/amount", "detail": "More than 0."},
        {"pointer": "#/scope/tier", "detail": "Unknown."},
    ]


def test_a_database_that_is_away_asks_to_come_again_and_tells_nothing_of_it(caller):
    answer = posted(caller, "/api/v1/raise/database")

    assert (answer.status_code, answer["Retry-After"]) == (503, "2")
    assert b"secret" not in answer.content


def test_what_nobody_expected_is_500_without_internals_and_is_logged(caller, caplog):
    answer = posted(caller, "/api/v1/raise/bug")

    assert answer.status_code == 500
    assert answer.json()["type"] == "urn:tollkeeper:problem:internal-error"
    assert b"secret" not in answer.content
    assert b"ZeroDivision" not in answer.content
    assert any(record.exc_info and record.exc_info[0] is ZeroDivisionError for record in caplog.records)


def test_tests_see_what_nobody_expected():
    client = Client(headers={"Authorization": f"Bearer {make_key('read')}"})

    with pytest.raises(ZeroDivisionError):
        posted(client, "/api/v1/raise/bug")


def test_a_body_that_is_not_json_is_400_and_fields_that_do_not_validate_are_422(caller):
    unreadable = posted(caller, "/api/v1/echo", data='{"amount": ')
    wrong = posted(caller, "/api/v1/echo", data='{"amount": 0.1, "limits": [1, 0], "ammount": "1"}')
    another_type = posted(caller, "/api/v1/echo", data="amount=1", content_type="application/x-www-form-urlencoded")

    assert (unreadable.status_code, wrong.status_code, another_type.status_code) == (400, 422, 415)
    assert {each["pointer"] for each in wrong.json()["errors"]} == {"#/amount", "#/limits/1"}
    assert another_type.json()["detail"].endswith(" Send application/json, and say so in Content-Type.")


def test_a_field_that_nobody_knows_is_refused_by_name(caller):
    answer = posted(caller, "/api/v1/echo", data='{"amount": "1", "ammount": "1"}')

    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"pointer": "#/ammount", "detail": "Unknown; known are amount, at, limits."}]


@pytest.mark.parametrize(
    ("given", "read"),
    [("0.1", "0.1"), ("12.340000000000000000", "12.34"), (5, "5"), ("-3", "-3"), ("1.000000000000000001",) * 2],
)
def test_money_goes_in_and_out_exactly(caller, given, read):
    answer = posted(caller, "/api/v1/echo", data=json.dumps({"amount": given}))

    assert answer.json()["amount"] == read


@pytest.mark.parametrize("given", [0.1, True, "1e3", "NaN", "", None, "1,5", "٣", "0." + "1" * 19])
def test_money_that_is_not_a_decimal_string_is_refused(caller, given):
    assert posted(caller, "/api/v1/echo", data=json.dumps({"amount": given})).status_code == 422


def test_instants_come_with_any_offset_and_go_out_in_utc(caller):
    answer = posted(caller, "/api/v1/echo", data='{"amount": "1", "at": "2026-11-20T12:00:00+05:45"}')
    naive = posted(caller, "/api/v1/echo", data='{"amount": "1", "at": "2026-11-20T12:00:00"}')

    assert answer.json()["at"] == "2026-11-20T06:15:00Z"
    assert naive.status_code == 422


@pytest.mark.parametrize(
    ("data", "status"),
    [
        ('{"amount": "1", "at": "9999-12-31T23:59:59-12:00"}', 422),
        ('{"amount": "1", "at": "0001-01-01T00:00:00+12:00"}', 422),
        ('{"amount": NaN}', 400),
        ("[" * 100_000, 400),
        ("[]", 422),
        ("null", 422),
        (b"\xff", 400),
        (" " * 1_000_001, 413),
    ],
)
def test_hostile_bodies_get_an_answer_of_their_own(caller, data, status):
    assert posted(caller, "/api/v1/echo", data=data).status_code == status


@pytest.mark.parametrize("kind", ["out-of-range", "surrogate"])
def test_what_the_database_cannot_keep_is_the_senders_mistake(caller, kind):
    answer = posted(caller, f"/api/v1/raise/{kind}")

    assert answer.status_code == 422
    assert b"secret" not in answer.content


def test_a_query_parameter_that_nobody_knows_is_400_with_those_that_are_known(caller):
    for answer in (caller.get("/api/v1/echo?siez=3"), posted(caller, "/api/v1/echo?size=3")):
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["parameter"] in ("siez", "size")
    assert "size" in caller.get("/api/v1/echo?siez=3").json()["detail"]
    assert caller.get("/api/v1/echo?size=big").status_code == 400
    assert caller.get("/api/v1/echo?limit=501").status_code == 400


def test_pages_lead_from_one_to_the_next_with_the_same_parameters(caller):
    seen, address = [], "/api/v1/echo?limit=3&size=9"
    while address:
        page = caller.get(address).json()
        seen.append(page["results"])
        address = page["next"]
        assert address is None or "size=9" in address

    assert seen == [[1, 2, 3], [4, 5, 6], [7]]


@pytest.mark.parametrize("after", ["x", "WzEsMl0", "WyJhIl0", "%FF%FE", "W3RydWVd", "e30"])
def test_a_page_made_by_hand_is_refused(caller, after):
    assert caller.get(f"/api/v1/echo?after={after}").status_code == 400


def test_what_a_view_does_not_declare_is_refused_even_to_an_admin():
    client = Client(headers={"Authorization": f"Bearer {make_key('admin')}"})

    assert client.get("/api/v1/undeclared").status_code == 200
    assert posted(client, "/api/v1/undeclared").status_code == 403
    assert client.delete("/api/v1/undeclared").status_code == 405


def test_whoever_may_not_is_told_what_it_is_and_which_scopes_or_roles_would_do():
    by_key = Client(headers={"Authorization": f"Bearer {make_key('rules:read')}"}).get("/api/v1/spend")
    person = Client()
    person.force_login(make_user("viewer"))
    by_role = posted(person, "/api/v1/switches")

    assert (by_key.status_code, by_role.status_code) == (403, 403)
    assert by_key.json()["detail"] == (
        "This key may not see spend, budgets, alerts and the catalogue. One of these scopes would do: "
        "read, write, admin."
    )
    assert by_role.json()["detail"] == (
        "You may not turn a model, offering or provider off and on. One of these roles would do: "
        "admin, engineer, platform."
    )


def test_nobody_is_401_with_a_challenge_and_a_bad_key_is_told_so():
    stranger = Client().get("/api/v1/echo")
    wrong = Client(headers={"Authorization": "Bearer tk_wrong"}).get("/api/v1/echo")

    assert (stranger.status_code, stranger["WWW-Authenticate"]) == (401, 'Bearer realm="tollkeeper"')
    assert (wrong.status_code, wrong["WWW-Authenticate"]) == (401, 'Bearer realm="tollkeeper", error="invalid_token"')
    assert wrong.json()["type"] == "urn:tollkeeper:problem:authentication-failed"


def test_a_bad_key_is_not_covered_by_a_session_beside_it():
    client = Client(headers={"Authorization": "Bearer tk_wrong"})
    client.force_login(make_user("admin"))

    assert client.get("/api/v1/echo").status_code == 401


def test_a_key_may_come_in_the_other_header_and_any_case_of_bearer():
    secret = make_key("read")

    assert Client(headers={"X-API-Key": secret}).get("/api/v1/echo").status_code == 200
    assert Client(headers={"Authorization": f"bearer {secret}"}).get("/api/v1/echo").status_code == 200


def test_a_signed_in_person_needs_the_csrf_token_to_write():
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_user("viewer"))

    assert client.get("/api/v1/echo").status_code == 200
    assert posted(client, "/api/v1/echo", data='{"amount": "1"}').status_code == 403


def test_a_person_who_was_deactivated_is_nobody():
    client = Client()
    client.force_login(make_user("admin"))
    User.objects.update(is_active=False)

    assert client.get("/api/v1/echo").status_code == 401


@pytest.mark.parametrize("address", ["/api/v1/bugdets", "/api/", "/api/v2/spend", "/api/v1/budgets/"])
def test_an_unknown_path_below_api_is_a_problem_for_anybody(address):
    for answer in (Client().get(address), Client(enforce_csrf_checks=True).post(address)):
        assert answer.status_code == 404
        assert answer["Content-Type"] == "application/problem+json"
        assert answer.json()["instance"] == address


def test_api_views_are_never_atomic():
    assert not any(connections[name].settings_dict["ATOMIC_REQUESTS"] for name in connections)
    assert settings.REST_FRAMEWORK["EXCEPTION_HANDLER"] == "core.api.problem_details"


def test_metrics_are_for_whoever_may_read_them():
    secret = make_key("read")

    assert Client().get("/metrics").status_code == 401
    assert Client(headers={"Authorization": f"Bearer {make_key('usage:write')}"}).get("/metrics").status_code == 403
    answer = Client(headers={"Authorization": f"Bearer {secret}", "Accept": "text/plain"}).get("/metrics")
    assert answer.status_code == 200
    assert b"django_http_requests" in answer.content


def test_a_cent_is_a_cent():
    assert MoneyField().run_validation("0.01") == Decimal("0.01")
