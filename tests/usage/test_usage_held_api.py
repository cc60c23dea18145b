"""Receipts, held events and gateways over REST: who sees them, and what may be done about them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from catalog.services import gateways as gateway_service
from core.models import AuditEntry
from tests.factories import make_key
from tests.usage import making
from tests.usage.making import SECOND, make_event, make_gateway, send, take
from usage.models import HeldEvent, Receipt, Source
from usage.services import intake

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


@pytest.fixture
def ask(client: Client):
    """Ask as a key of the gateway `edge` with these scopes does."""

    def asking(*scopes: str):
        headers = {"Authorization": f"Bearer {make_key(*scopes)}"}

        def send_it(method: str, path: str, body: object = None):
            given = {} if body is None else body
            if method == "GET":
                return client.get(f"/api/v1/{path}", given, headers=headers)
            call = getattr(client, method.lower())
            return call(f"/api/v1/{path}", given, content_type="application/json", headers=headers)

        return send_it

    return asking


def set_aside(gateway: str = "edge") -> int:
    receipt_id = take(make_event(), gateway=gateway, received_at=timezone.now())
    Receipt.objects.filter(pk=receipt_id).update(state="failed", attempts=5, error="ZstdError: broken")
    return receipt_id


def hold() -> HeldEvent:
    now = timezone.now()
    known = make_event(occurred_at=now)
    send(known, received_at=now)
    send(make_event(event_id=known.event_id, output_tokens=700, occurred_at=now), received_at=now + SECOND)
    return HeldEvent.objects.get()


# --- receipts ---


def test_receipts_are_listed_by_state_a_page_at_a_time(ask):
    aside = set_aside()
    ids = [send(make_event(), received_at=making.NOON + n * SECOND).pk for n in range(3)]
    get = ask("read")

    failed = get("GET", "usage/receipts", {"state": "failed"}).json()
    first = get("GET", "usage/receipts", {"limit": 2}).json()
    after = first["next"].partition("after=")[2].partition("&")[0]
    second = get("GET", "usage/receipts", {"limit": 2, "after": after}).json()

    assert [(one["receipt"], one["error"]) for one in failed["results"]] == [(str(aside), "ZstdError: broken")]
    assert [one["receipt"] for one in first["results"] + second["results"]] == [str(n) for n in (aside, *ids[::-1])]
    assert second["next"] is None
    assert (second["results"][0]["accepted"], second["results"][0]["gateway"]) == (1, "edge")


def test_a_key_that_only_sends_sees_its_own_gateway_s_receipts(ask):
    mine, other = set_aside(), set_aside("other")
    get = ask("usage:write")

    answer = get("GET", "usage/receipts").json()
    foreign = get("GET", "usage/receipts", {"gateway": make_gateway("other").pk})

    assert [one["receipt"] for one in answer["results"]] == [str(mine)]
    assert foreign.status_code == 404
    assert {one["receipt"] for one in ask("read")("GET", "usage/receipts").json()["results"]} == {str(mine), str(other)}


@pytest.mark.parametrize(
    "query",
    [
        {"state": "lost"}, {"gateway": "x"}, {"gateway": 10**30}, {"after": "x"}, {"colour": "red"},
        {"after": "WyJ4IiwxXQ"}, {"after": "WyIyMDI2LTAxLTAxVDAwOjAwOjAwWiIsLTFd"}, {"limit": 0},
    ],
)  # fmt: skip
def test_a_question_that_cannot_be_read_is_refused(ask, query):
    answer = ask("read")("GET", "usage/receipts", query)

    assert answer.status_code == 400
    assert answer.json()["errors"]


def test_a_body_that_is_set_aside_is_tried_again_and_then_no_more(ask):
    aside = set_aside()
    send_it = ask("write")

    first = send_it("POST", f"usage/receipts/{aside}/retry")
    again = send_it("POST", f"usage/receipts/{aside}/retry")

    assert (first.status_code, first.json()["state"], first.json()["error"]) == (202, "pending", "")
    assert (again.status_code, again.json()["status"]) == (409, 409)
    assert AuditEntry.objects.get(table="receipt").actor == "key:key for write"
    for nobody in (aside + 1, 10**30):
        assert send_it("POST", f"usage/receipts/{nobody}/retry").status_code == 404


def test_a_body_is_given_up_with_a_reason(ask):
    aside = set_aside()
    send_it = ask("write")

    missing = send_it("POST", f"usage/receipts/{aside}/give-up", {"reason": " "})
    answer = send_it("POST", f"usage/receipts/{aside}/give-up", {"reason": "a test of ours"})

    assert missing.status_code == 422
    assert (answer.status_code, answer.json()["given_up_because"]) == (200, "a test of ours")
    assert answer.json()["given_up_by"] == "key:key for write"
    assert send_it("GET", "usage/receipts", {"state": "failed"}).json()["results"] == []


# --- held events ---


def test_held_events_show_both_contents_and_are_settled(ask):
    event = hold()
    send_it = ask("write")

    (one,) = send_it("GET", "usage/held", {"reason": "conflict"}).json()["results"]
    settled = send_it("POST", f"usage/held/{event.pk}/settle", {"reason": "a bug of theirs"})

    lines = {line["name"]: line for line in one["lines"]}
    assert lines["Output tokens"] == {"name": "Output tokens", "counted": "100", "later": "700", "differs": True}
    assert (settled.status_code, settled.json()["settled_because"]) == (200, "a bug of theirs")
    assert send_it("GET", "usage/held").json()["results"] == []
    assert [one["id"] for one in send_it("GET", "usage/held", {"settled": "true"}).json()["results"]] == [event.pk]
    assert send_it("POST", f"usage/held/{event.pk + 1}/settle").status_code == 404


# --- gateways ---


def test_a_gateway_says_how_its_stream_is_doing(ask):
    now = timezone.now()
    send(make_event(occurred_at=now - 3 * SECOND), make_event(occurred_at=now), received_at=now, booked_at=now + SECOND)
    get = ask("read")

    (listed,) = get("GET", "gateways").json()["results"]
    one = get("GET", f"gateways/{make_gateway().pk}").json()

    assert one["lag"] == {"median_s": 3.0, "p95_s": 3.0}
    assert one["booking"] == {"median_s": 1.0, "p95_s": 1.0}
    assert (one["events_15min"], one["events_day"], one["accounting_format"]) == (2, 2, "native")
    assert one["not_counted"] == {"rejected": 0, "conflicts": 0, "quarantined": 0, "shadowed": 0, "superseded": 0}
    assert one["settings"]["silent_after_minutes"] == 60
    assert listed == one


def test_one_that_never_sent_anything_says_so(ask):
    get = ask("read")

    one = get("GET", f"gateways/{make_gateway().pk}").json()

    assert (one["last_received_at"], one["lag"], one["not_counted"], one["events_day"]) == (None, None, None, 0)
    assert get("GET", f"gateways/{make_gateway().pk + 1}").status_code == 404


def test_settings_and_the_format_are_changed_together_or_not_at_all(ask):
    send(make_event())
    path = f"gateways/{make_gateway().pk}"
    patch = ask("admin")
    given = {"silent_after_minutes": 5, "use_case_by_team": {"t-1": "legal"}, "accounting_format": "litellm"}

    without = patch("PATCH", path, given)
    wrong = patch("PATCH", path, {**given, "use_case_from": ["header"], "silent_after_minutes": -1})
    stale = patch("PATCH", path, {**given, "reason": "native goes", "seen_format": "otlp"})
    kept = patch("GET", path).json()
    answer = patch("PATCH", path, {**given, "reason": "native goes", "seen_format": "native"})

    assert (without.status_code, without.json()["errors"][0]["pointer"]) == (422, "#/reason")
    assert {one["pointer"] for one in wrong.json()["errors"]} == {
        "#/reason", "#/use_case_from", "#/silent_after_minutes"
    }  # fmt: skip
    assert stale.status_code == 409
    assert (kept["settings"]["silent_after_minutes"], kept["accounting_format"]) == (60, "native")
    assert answer.status_code == 200
    assert (answer.json()["settings"]["silent_after_minutes"], answer.json()["accounting_format"]) == (5, "litellm")
    trail = AuditEntry.objects.filter(operation="update", reason="native goes").values_list("table", flat=True)
    assert sorted(trail) == ["catalog_gateway", "usage_source"]


def test_another_format_counts_what_is_booked_from_then_on(ask):
    send(make_event(), received_at=making.NOON)
    waits, aside = take(make_event(), format="litellm"), take(make_event(), format="native")

    answer = ask("admin")(
        "PATCH", f"gateways/{make_gateway().pk}", {"accounting_format": "litellm", "reason": "native goes"}
    )
    making.book()

    assert answer.status_code == 200
    assert making.outcome(Receipt.objects.get(pk=waits)) == {"booked": 1}
    assert making.outcome(Receipt.objects.get(pk=aside)) == {"shadowed": 1}
    assert Receipt.objects.earliest("id").booked == 1


def test_the_format_can_be_set_before_the_first_body(ask):
    pk = make_gateway().pk

    answer = ask("admin")("PATCH", f"gateways/{pk}", {"accounting_format": "litellm", "seen_format": ""})

    assert (answer.status_code, answer.json()["accounting_format"]) == (200, "litellm")
    assert Source.objects.get(gateway=pk).pk == intake.live_source(gateway_id=pk, at=making.NOON)


@pytest.mark.parametrize(
    "body", [{"accounting_format": "carrier-pigeon"}, {"colour": "red"}, {"use_case_by_team": ["x"]}, {"reason": ["x"]}]
)
def test_what_is_no_setting_is_refused(ask, body):
    pk = make_gateway().pk

    answer = ask("admin")("PATCH", f"gateways/{pk}", body)

    assert answer.status_code == 422


def test_a_retired_gateway_and_one_that_never_was_are_not_changed(ask):
    patch = ask("admin")
    pk = make_gateway("other").pk
    gateway_service.retire(gateway=make_gateway("other"), by="ann", at=making.NOON)

    assert patch("PATCH", f"gateways/{pk}", {"silent_after_minutes": 5}).status_code == 409
    assert patch("PATCH", f"gateways/{pk + 100}", {"silent_after_minutes": 5}).status_code == 404


# --- who may ---


@pytest.mark.parametrize(
    ("method", "path", "scopes"),
    [
        ("GET", "usage/receipts", {"usage:write", "read", "write", "admin"}),
        ("POST", "usage/receipts/{receipt}/retry", {"write", "admin"}),
        ("POST", "usage/receipts/{receipt}/give-up", {"write", "admin"}),
        ("GET", "usage/held", {"read", "write", "admin"}),
        ("POST", "usage/held/{held}/settle", {"write", "admin"}),
        ("GET", "gateways/{gateway}", {"read", "write", "admin"}),
        ("PATCH", "gateways/{gateway}", {"admin"}),
    ],
)
def test_who_may_do_what(ask, client, method, path, scopes):
    path = path.format(receipt=set_aside(), held=hold().pk, gateway=make_gateway().pk)
    body = {"reason": "because"} if "give-up" in path else None

    allowed = {
        scope
        for scope in ("usage:write", "rules:read", "read", "write", "admin")
        if ask(scope)(method, path, body).status_code not in (401, 403)
    }

    assert allowed == scopes
    stranger = getattr(client, method.lower())(f"/api/v1/{path}")
    assert stranger.status_code == 401
