"""What tells that a gateway is not connected well: what was turned away, what came in, and what became of it."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from catalog.services import gateways
from core import turned_away
from core.models import ApiKey
from core.services import keys
from tests.factories import make_key
from tests.usage import making
from usage.formats import prompts
from usage.models import Receipt
from usage.selectors import connecting

pytestmark = pytest.mark.django_db
EVENTS = "/api/v1/usage/events"
MINUTE = timedelta(minutes=1)


def send(client, secret, body="{}", *, path=EVENTS, **headers):
    return client.post(
        path, body, content_type="application/json", headers={"Authorization": f"Bearer {secret}", **headers}
    )


def seen():
    return [(one.what.why, one.what.looks, one.what.path, one.times) for one in turned_away.recent(at=timezone.now())]


# --- what is turned away ---


def test_a_key_that_nobody_knows_is_noted_by_its_start_a_mark_and_how_often_and_never_as_it_is(client):
    secret = "tk_ab12" + "x" * 39

    for _ in range(3):
        assert send(client, secret).status_code == 401
    (one,) = turned_away.recent(at=timezone.now())

    assert (one.what.why, one.what.path, one.what.start, one.times) == ("key", EVENTS, "tk_ab12", 3)
    assert one.what.mark == turned_away.mark_of(keys.digest_of(secret))
    stored = turned_away._redis()
    everything = b" ".join(name + b"".join(stored.hgetall(name)) for name in stored.keys("tollkeeper:turned-away:*"))
    assert b"tk_ab12" in everything
    assert secret[:8].encode() not in everything
    assert secret[7:].encode() not in everything


def test_what_people_paste_in_the_place_of_a_key_is_told_apart_and_nothing_of_it_is_kept(client):
    looks = {
        "YOUR-KEY": "placeholder",
        '"tk_abc"': "quoted",
        "$TOLLKEEPER_KEY": "variable",
        "sk-proj-abcdef": "provider",
        "": "empty",
        "hunter2": "other",
    }
    for given in looks:
        send(client, given)

    found = [one.what for one in turned_away.recent(at=timezone.now())]
    assert sorted(one.looks for one in found) == sorted(looks.values())
    assert {one.start for one in found} == {""}


def test_a_key_without_the_scope_a_request_without_a_key_and_a_body_nobody_can_read_are_noted(client):
    reads, sends = make_key("rules:read", name="reads"), make_key("usage:write", name="sends")
    of = dict(ApiKey.objects.values_list("name", "id"))

    send(client, reads)
    client.post(EVENTS, "{}", content_type="application/json")
    send(client, sends, "not json", path="/api/v1/usage/litellm")

    found = {one.what.why: one.what for one in turned_away.recent(at=timezone.now())}
    assert (found["scope"].words, found["scope"].key_id) == (
        "usage.send",
        of["reads"],
    )
    assert found["no-key"].path == EVENTS
    assert (found["body"].key_id, found["body"].path) == (of["sends"], "/api/v1/usage/litellm")
    assert "neither a JSON object" in found["body"].words


def test_whoever_guesses_fills_no_memory_and_old_notes_are_not_told(client):
    now = timezone.now()
    for number in range(turned_away.MOST + 20):
        turned_away.note_key(secret=f"tk_{number:06}", path=EVENTS, at=now)
    turned_away.note_no_key(path=EVENTS, at=now - (turned_away.MINUTES + 1) * MINUTE)

    found = turned_away.recent(at=now)

    assert len(found) == turned_away.MOST
    assert {one.what.why for one in found} == {"key"}
    turned_away.note_key(secret="tk_000000", path=EVENTS, at=now)  # one that is known still counts
    assert max(one.times for one in turned_away.recent(at=now)) == 2


def test_notes_are_not_worth_a_failure_while_redis_is_away(client, monkeypatch, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(turned_away, "_redis", turned_away._redis.__wrapped__)  # not the one that was made before
    monkeypatch.setattr(turned_away, "_resting_until", 0.0)

    answer = send(client, "tk_nobody")

    assert answer.status_code == 401
    assert turned_away.recent(at=timezone.now()) == []


# --- prompts ---

MESSAGES = '"messages": [{"role": "user", "content": "%s"}]'


def test_a_body_that_carries_prompts_is_known_by_the_names_under_which_they_come():
    for format, body, carried in (
        ("litellm", "[{%s}]" % (MESSAGES % "Summarise: the invoice is late."), True),
        ("litellm", "[{%s}]" % (MESSAGES % "redacted-by-litellm"), False),
        ("litellm", '[{"messages": "redacted-by-litellm", "id": "x"}]', False),
        ("litellm", '[{"messages": [], "id": "x"}]', False),
        ("litellm", '[{"messages": null, "id": "x"}]', False),
        ("otlp", '{"key": "gen_ai.input.messages", "value": {"stringValue": "[]"}}', True),
        ("otlp", '{"key": "gen_ai.usage.prompt_tokens", "value": {"intValue": "3"}}', False),
        ("otlp", '{"key": "gen_ai.prompt.name", "value": {"stringValue": "greeting"}}', False),
        ("promptlayer", '{"input": {"type": "chat", %s}}' % (MESSAGES % "hello"), True),
        ("native", '{"id": "1", "tags": {"messages": "12", "prompt": "v2"}}', False),
        ("native", '{"id": "1", %s}' % (MESSAGES % "hello"), True),
        ("litellm", " " * 20_000 + "[{%s}]" % (MESSAGES % "too far in to be looked at"), False),
    ):
        assert prompts.carries(format, body.encode()) is carried, body[-80:]


def test_a_receipt_says_that_prompts_came_and_holds_none_of_them(client):
    secret = make_key("usage:write")
    record = {
        "id": "a", "litellm_call_id": "a", "status": "success", "startTime": timezone.now().timestamp(),
        "endTime": timezone.now().timestamp(), "model": "gpt-5.5", "prompt_tokens": 12, "completion_tokens": 3,
        "messages": [{"role": "user", "content": "the secret of the house"}],
    }  # fmt: skip

    send(client, secret, json.dumps([record]), path="/api/v1/usage/litellm")
    send(client, secret, json.dumps([record | {"id": "b", "messages": []}]), path="/api/v1/usage/litellm")

    assert list(Receipt.objects.order_by("id").values_list("carried_prompts", flat=True)) == [True, False]
    facts = connecting.stream(gateway_id=gateways.get("edge").pk, since=timezone.now() - MINUTE, at=timezone.now())
    assert facts.carries_prompts


# --- what came in, and what became of it ---


def test_the_stream_tells_why_events_were_refused_what_waits_and_how_far_ahead_a_clock_is(
    client, django_assert_num_queries
):
    secret = make_key("usage:write")
    now = timezone.now()
    ahead = {"id": "1", "time": (now + 5 * MINUTE).isoformat(), "model": "gpt-5.5", "input_tokens": 1}
    wrong = {"id": "2", "time": (now + timedelta(days=3)).isoformat(), "model": "gpt-5.5"}
    send(client, secret, json.dumps([ahead, wrong, {"id": "3"}, {"id": "4"}]))
    edge = gateways.get("edge").pk

    with django_assert_num_queries(1):
        facts = connecting.stream(gateway_id=edge, since=now - MINUTE, at=now + MINUTE)

    assert (facts.bodies, facts.events, facts.waiting, facts.booked) == (1, 1, 1, 0)
    assert facts.rejected[0] == ("time: required and missing", 2)
    assert 290 < facts.ahead_s < 301
    assert facts.formats == ["native"]
    before = connecting.stream(gateway_id=edge, since=now + MINUTE, at=now + 2 * MINUTE)
    assert (before.bodies, before.last_received_at, before.ahead_s) == (0, None, 0)


def test_the_newest_quarter_hour_tells_what_has_no_use_case_no_price_and_no_counts(django_assert_num_queries):
    making.make_priced_offering()
    now = timezone.now()
    earlier = now - timedelta(hours=2)
    making.send(*(making.make_event(occurred_at=earlier, use_case="") for _ in range(9)), received_at=earlier)
    making.send(
        making.make_event(occurred_at=now),
        making.make_event(occurred_at=now, use_case=""),
        making.make_event(occurred_at=now, model="mystery"),
        making.make_event(
            occurred_at=now, counted=False, status="usage_missing", uncached_input_tokens=0, output_tokens=0
        ),
        received_at=now,
    )
    edge = gateways.get("edge").pk

    with django_assert_num_queries(1):
        found = connecting.newest_quarter(gateway_id=edge, since=now - timedelta(hours=3), at=now)

    assert found is not None
    assert (found.requests, found.unassigned, found.unpriced, found.uncounted) == (4, 1, 1, 1)
    assert "mystery@openai" in found.models
    assert connecting.newest_quarter(gateway_id=edge + 1, since=earlier, at=now) is None


def test_litellm_s_own_captures_are_told_apart_by_whether_its_logging_of_messages_is_off():
    captures = Path(__file__).parents[1] / "payloads" / "litellm"

    told = {path.name: prompts.carries("litellm", path.read_bytes()) for path in captures.glob("3[57]_sdk*ess.json")}

    assert told == {"35_sdk_success.json": True, "37_sdk_redacted_success.json": False}
