"""The ingest edge over HTTP: what is answered, what is kept, and what never is."""

import gzip
import json
import time
from datetime import timedelta
from pathlib import Path

import pytest
import zstandard
from django.db.models import Sum
from django.utils import timezone

from catalog.models import GatewayKey
from catalog.services import gateways
from core import keys, nudges
from tests.usage.checks import assert_rollups_equal_ledger, everything_in_the_database
from tests.usage.making import make_event, make_gateway, take
from usage.models import LedgerEntry, Receipt
from usage.services import booking, intake

pytestmark = pytest.mark.django_db
EVENTS, LITELLM = "/api/v1/usage/events", "/api/v1/usage/litellm"
PAYLOADS = Path(__file__).parents[1] / "payloads"


def make_key(name="edge", *scopes, **given):
    return gateways.create_key(
        name=name, gateway=given.pop("gateway", name), scopes=scopes or ["usage:write"], by="tests", at=timezone.now(),
        **given,
    )  # fmt: skip


@pytest.fixture
def secret():
    return make_key()


def post(client, path, body, secret=None, **headers):
    if not isinstance(body, bytes):
        body = json.dumps(body, default=str).encode()
    sent = {"Authorization": f"Bearer {secret}"} if secret else {}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(path, body, content_type="application/json", headers=sent)


def event(**overrides):
    given = {
        "id": "e-1", "time": timezone.now().isoformat(), "use_case": "support-routing", "model": "gpt-5.5",
        "input_tokens": 1200, "output_tokens": 85,
    }  # fmt: skip
    return {**given, **overrides}


# --- what is answered ---


def test_what_got_a_202_is_kept_with_a_receipt_that_later_says_what_counted(client, secret):
    answer = post(client, EVENTS, [event(id="a"), event(id="b"), event(id="a")], secret)

    assert answer.status_code == 202
    receipt_id = answer.json()["receipt"]
    assert answer.json() == {"receipt": receipt_id, "accepted": 3, "rejected": []}
    waiting = client.get(f"/api/v1/usage/receipts/{receipt_id}", headers={"Authorization": f"Bearer {secret}"}).json()
    assert (waiting["state"], waiting["waiting"], waiting["accepted"]) == ("pending", 3, 0)

    booking.book_pending(at=timezone.now())

    done = client.get(f"/api/v1/usage/receipts/{receipt_id}", headers={"Authorization": f"Bearer {secret}"}).json()
    assert {name: done[name] for name in ("state", "waiting", "accepted", "duplicates", "conflicts", "format")} == {
        "state": "done", "waiting": 0, "accepted": 2, "duplicates": 1, "conflicts": 0, "format": "native",
    }  # fmt: skip
    entry = LedgerEntry.objects.first()
    assert (entry.gateway.name, entry.environment) == ("edge", "production")


def test_a_key_stands_for_its_gateway_and_environment_and_rotating_it_keeps_the_source(client):
    old = make_key("staging-key", gateway="edge", environment="staging")
    post(client, EVENTS, event(), old)
    key = GatewayKey.objects.get().key

    new = gateways.rotate_key(key=key, by="tests", at=timezone.now())
    keys.forget()
    answer = post(client, EVENTS, event(), new)
    booking.book_pending(at=timezone.now())

    assert post(client, EVENTS, event(), old).status_code == 401
    assert Receipt.objects.get(pk=answer.json()["receipt"]).duplicates == 1
    assert LedgerEntry.objects.get().environment == "staging"


@pytest.mark.parametrize(
    ("packed", "encoding"),
    [
        (gzip.compress, "gzip"),
        (lambda body: zstandard.compress(body), "zstd"),
        (gzip.compress, ""),  # a proxy dropped the header
    ],
)
def test_bodies_may_be_compressed_and_the_header_may_be_lost(client, secret, packed, encoding):
    body = packed(json.dumps([event(id="a"), event(id="b")]).encode())
    headers = {"Content_Encoding": encoding} if encoding else {}

    answer = post(client, EVENTS, body, secret, **headers)

    assert (answer.status_code, answer.json()["accepted"]) == (202, 2)


def test_one_bad_event_never_fails_a_body(client, secret):
    answer = post(
        client,
        EVENTS,
        [event(id="good"), event(id=""), {"nothing": 1}, event(id="neg", output_tokens=-1), event(id="also good")],
        secret,
    )

    assert (answer.status_code, answer.json()["accepted"]) == (202, 2)
    assert [item["index"] for item in answer.json()["rejected"]] == [1, 2, 3]
    receipt = Receipt.objects.get()
    assert (receipt.event_count, [one["index"] for one in receipt.rejected]) == (2, [1, 2, 3])


def test_a_body_of_bad_events_alone_has_a_receipt_that_is_done(client, secret):
    answer = post(client, EVENTS, [event(id="")], secret)

    assert (answer.status_code, answer.json()["accepted"]) == (202, 0)
    assert Receipt.objects.get().state == "done"


def test_an_event_more_than_a_day_ahead_is_refused_and_one_within_a_day_is_not(client, secret):
    now = timezone.now()
    near, far = now + timedelta(hours=23, minutes=59), now + timedelta(days=1, minutes=1)

    answer = post(client, EVENTS, [event(id="near", time=near), event(id="far", time=far)], secret)

    assert [item["index"] for item in answer.json()["rejected"]] == [1]
    assert "ahead" in answer.json()["rejected"][0]["error"]


def test_an_event_more_than_35_days_old_is_taken_and_quarantined_visibly(client, secret):
    old = event(time=timezone.now() - timedelta(days=36))

    receipt_id = post(client, EVENTS, old, secret).json()["receipt"]
    booking.book_pending(at=timezone.now())

    answer = client.get(f"/api/v1/usage/receipts/{receipt_id}", headers={"Authorization": f"Bearer {secret}"}).json()
    assert (answer["accepted"], answer["quarantined"]) == (0, 1)


@pytest.mark.parametrize("body", [b"", b"{", b"[1, 2", b"nonsense", b"[]", b"\x00\xff", b"\x1f\x8bbroken"])
@pytest.mark.parametrize("path", [EVENTS, LITELLM])
def test_a_body_that_cannot_be_read_gets_400_and_stores_nothing(client, secret, path, body):
    answer = post(client, path, body, secret)

    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json")
    assert not Receipt.objects.exists()


def test_a_body_that_is_too_large_once_it_is_unpacked_gets_413_and_stores_nothing(client, secret, settings):
    settings.MAX_BODY_BYTES = 100_000
    bomb = gzip.compress(b"[" + b" " * 100_000 + b"]")

    for body in (bomb, b"[" + b" " * 100_000 + b"]"):
        assert post(client, EVENTS, body, secret).status_code == 413
    assert not Receipt.objects.exists()


def test_a_body_of_a_full_litellm_batch_is_not_too_large(client, secret):
    body = gzip.compress(b"[" + b" " * (13 * 1024 * 1024) + json.dumps(event()).encode() + b"]")

    assert post(client, EVENTS, body, secret).status_code == 202


# --- back pressure ---


def test_when_too_much_waits_senders_are_told_to_come_again_litellm_later_and_otherwise(client, secret, settings):
    settings.BACKLOG_EVENTS, settings.BACKLOG_EVENTS_LITELLM = 2, 4
    litellm = (PAYLOADS / "litellm" / "01_chat_mock_basic.json").read_bytes()
    take(make_event(), make_event(), make_event())

    refused = post(client, EVENTS, event(), secret)
    accepted = post(client, LITELLM, litellm, secret)

    assert (refused.status_code, accepted.status_code) == (429, 202)
    assert int(refused.headers["Retry-After"]) > 0
    take(make_event(), make_event(), make_event())
    intake._backlog = (0.0, 0)
    unavailable = post(client, LITELLM, litellm, secret)
    assert (unavailable.status_code, int(unavailable.headers["Retry-After"]) > 0) == (503, True)
    assert Receipt.objects.filter(source__gateway__name="edge").count() == 3


def test_what_waits_is_looked_up_once_a_second_at_most(client, secret, django_assert_num_queries):
    post(client, EVENTS, event(id="1"), secret)

    with django_assert_num_queries(0):  # the receipt goes by the driver's own cursor, which is not counted
        post(client, EVENTS, event(id="2"), secret)


# --- access ---


def test_without_a_key_or_with_a_wrong_one_nothing_is_taken(client):
    for secret in (None, "tk_wrong"):
        answer = post(client, EVENTS, event(), secret)
        assert (answer.status_code, answer.headers["WWW-Authenticate"].split()[0]) == (401, "Bearer")
    assert not Receipt.objects.exists()


@pytest.mark.parametrize("scope", ["read", "write", "rules:read"])
def test_a_key_without_the_scope_is_refused(client, scope):
    answer = post(client, EVENTS, event(), make_key("edge", scope))

    assert answer.status_code == 403
    assert not Receipt.objects.exists()


def test_a_receipt_is_seen_by_the_gateway_that_sent_it_and_by_readers_only(client, secret):
    receipt_id = post(client, EVENTS, event(), secret).json()["receipt"]
    path = f"/api/v1/usage/receipts/{receipt_id}"

    def seen_with(key):
        return client.get(path, headers={"Authorization": f"Bearer {key}"}).status_code

    assert seen_with(secret) == 200
    assert seen_with(make_key("second-key", gateway="edge")) == 200
    assert seen_with(make_key("other")) == 404
    assert seen_with(make_key("reader", "read")) == 200
    assert seen_with(make_key("writer", "write")) == 200
    assert seen_with(make_key("rules-only", "rules:read")) == 403
    assert client.get(path).status_code == 401


# --- what does not depend on Redis ---


def test_without_redis_the_answer_is_still_202_and_quick(client, secret, settings, tmp_path):
    settings.REDIS_URL = f"unix://{tmp_path}/nobody-listens.sock"
    nudges._redis.cache_clear()
    nudges._resting_until = 0.0
    try:
        started = time.monotonic()
        answers = [post(client, EVENTS, event(id=str(number)), secret).status_code for number in range(5)]
        took = time.monotonic() - started
    finally:
        nudges._redis.cache_clear()
        nudges._resting_until = 0.0

    assert answers == [202] * 5
    assert took < 3
    assert booking.book_pending(at=timezone.now()) == 5


# --- what is never kept ---

PROMPT = "the merger with Initech stays between us"
EMAIL = "jane.doe@customer-mail.example"
API_KEY = "sk-proj-4f9ab8c7d6e5f4a3b2c1d0"


def planted_everywhere(value):
    """Put secrets into every text of a LiteLLM payload that may hold a prompt or an answer."""
    if isinstance(value, dict):
        return {name: planted_everywhere(one) for name, one in value.items()}
    if isinstance(value, list):
        return [planted_everywhere(one) for one in value]
    return f"{value} {PROMPT} {API_KEY} {EMAIL}" if isinstance(value, str) else value


@pytest.mark.parametrize("path", sorted((PAYLOADS / "litellm").glob("*.json")), ids=lambda path: path.stem)
def test_nothing_of_a_conversation_reaches_any_table(client, secret, path):
    calls = json.loads(path.read_text())
    now = timezone.now().timestamp()
    for call in calls if isinstance(calls, list) else [calls]:
        call["startTime"], call["endTime"] = now - 2, now - 1
        call["messages"] = [{"role": "user", "content": f"{PROMPT} {EMAIL} {API_KEY}"}]
        for name in ("response", "error_str", "error_information", "model_parameters", "guardrail_information"):
            if name in call:
                call[name] = planted_everywhere(call[name])
        call["api_key"] = API_KEY
        call["end_user"] = EMAIL
        metadata = call.setdefault("metadata", {}) or {}
        metadata["user_api_key_user_email"] = metadata["user_api_key_user_id"] = EMAIL
        metadata["requester_metadata"] = {**(metadata.get("requester_metadata") or {}), "note": PROMPT, "key": API_KEY}
        call["request_tags"] = [*(call.get("request_tags") or []), EMAIL, f"owner:{EMAIL}"]

    answer = post(client, LITELLM, calls, secret)
    assert answer.status_code == 202
    kept_before_booking = everything_in_the_database()
    booking.book_pending(at=timezone.now())

    assert set(Receipt.objects.values_list("state", flat=True)) == {"done"}
    assert LedgerEntry.objects.exists() or answer.json()["accepted"] == 0
    for kept in (kept_before_booking, everything_in_the_database()):
        for planted in (PROMPT, "Initech", EMAIL, "jane.doe", API_KEY, "4f9ab8c7d6e5", secret):
            assert planted not in kept, planted


def test_nothing_that_a_native_event_should_not_hold_reaches_any_table(client, secret):
    planted = event(
        user=EMAIL, session=f"session of {EMAIL}", team=EMAIL, use_case=f"mail {EMAIL}", tags={"owner": EMAIL},
        context={"task": "code", "who": EMAIL}, messages=[{"content": PROMPT}], prompt=PROMPT, completion=PROMPT,
        metadata={"key": API_KEY}, rule_id=EMAIL, call_group=EMAIL,
    )  # fmt: skip

    answer = post(client, EVENTS, [planted, {**planted, "id": "bad", "output_tokens": PROMPT}], secret)
    booking.book_pending(at=timezone.now())

    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
    kept = everything_in_the_database()
    for text in (PROMPT, "Initech", EMAIL, "jane.doe", API_KEY, secret):
        assert text not in kept, text
    assert LedgerEntry.objects.get().user_key.startswith("h:")


def test_the_pseudonym_of_a_user_is_the_same_every_time(client, secret):
    post(client, EVENTS, [event(id="1", user=EMAIL), event(id="2", user=EMAIL.upper())], secret)
    booking.book_pending(at=timezone.now())

    assert len(set(LedgerEntry.objects.values_list("user_key", flat=True))) == 1


# --- captured bodies ---


@pytest.mark.parametrize("directory", ["litellm", "litellm_1.74.9"])
def test_every_captured_litellm_body_is_taken_booked_and_counts_once(client, secret, directory):
    received_at = timezone.now()
    make_gateway()
    kept = 0
    for path in sorted((PAYLOADS / directory).iterdir()):
        for _ in range(2):
            answer = post(client, LITELLM, path.read_bytes(), secret)
            assert answer.status_code == 202, (path.name, answer.content)
            kept += answer.json()["accepted"]
    booking.book_pending(at=received_at + timedelta(seconds=5))

    sums = Receipt.objects.aggregate(
        booked=Sum("booked"), duplicates=Sum("duplicates"), conflicts=Sum("conflicts"), quarantined=Sum("quarantined")
    )
    assert set(Receipt.objects.values_list("state", flat=True)) == {"done"}
    assert kept == sum(sums.values()) > 0
    assert sums["duplicates"] >= sums["booked"] == LedgerEntry.objects.count()
    assert sums["conflicts"] == 0
    assert_rollups_equal_ledger()
