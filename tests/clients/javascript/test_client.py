"""The JavaScript client keeps its last good rules and its events through whatever a server does."""

from __future__ import annotations

import base64
import gzip
import json
import os
import signal
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.clients.javascript.far import Far, Say, far_side
from tests.clients.javascript.node import Node, running
from tests.running import eventually

TARGET = {"offering": "a@p", "weight": 10_000}


def document(version: int = 42, **overrides: Any) -> bytes:
    made = {
        "spec": 1, "environment": "production", "version": version, "published_at": "2026-11-20T12:00:00Z", "rules": [],
        "default": {"targets": [TARGET]}, "offerings": {"a@p": {"model": "a", "provider": "p"}},
        "state": {"revision": 1, "budgets": [], "switches": [], "orders": {}, "canary": None},
    }  # fmt: skip
    return json.dumps(made | overrides).encode()


def good(version: int = 42, **headers: str) -> Say:
    return Say(200, document(version), {"ETag": f'"{version}.1"', **headers})


@pytest.fixture(scope="module")
def process() -> Iterator[Node]:
    with running("polling.mjs") as node:
        yield node


@pytest.fixture
def far() -> Iterator[Far]:
    with far_side() as side:
        yield side


@pytest.fixture
def client(process: Node, far: Far) -> Iterator[Node]:
    process.ask("create", url=far.url, key="secret")
    yield process
    process.ask("close", seconds=0)


def test_without_rules_it_says_so(client):
    assert "no rules for production were ever had" in client.ask("decide", context={})

    client.ask("poll")

    assert "answered 500" in client.ask("decide", context={})
    assert client.ask("status")["source"] == "none"


BAD = {
    "401": Say(401), "403": Say(403, b"{}"), "404": Say(404, b'{"type": "urn:tollkeeper:problem:no-version"}'),
    "500": Say(500), "503": Say(503, headers={"Retry-After": "3"}), "204": Say(204),
    "empty": Say(200, b"", {"ETag": '"43.1"'}), "cut off": Say(200, document(43), {"ETag": '"43.1"'}, cut=True),
    "malformed": Say(200, document(43)[:-9], {"ETag": '"43.1"'}), "a page": Say(200, b"<html>", {}),
    "a list": Say(200, b"[]", {"ETag": '"43.1"'}),
    "another environment's": Say(200, document(43, environment="staging"), {"ETag": '"43.1"'}),
    "unknown to the schema": Say(200, document(43, colour="red"), {"ETag": '"43.1"'}),
    "another specification": Say(200, document(43, spec=2), {"ETag": '"43.1"'}),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_good_stays_until_something_better_comes(client, far, name):
    far.say(good(), BAD[name], Say(304, headers={"ETag": '"42.1"'}), good(44))

    client.ask("poll")
    client.ask("poll")
    kept, status = client.ask("decide", context={}), client.ask("status")
    client.ask("poll")
    unchanged = client.ask("status")
    client.ask("poll")

    assert (kept, status["version"]) == (42, 42)
    assert status["failing"] or status["rejected"]
    assert client.ask("heard")["problems"] != []
    assert (unchanged["failing"], unchanged["rejected"]) == (None, None)
    assert client.ask("decide", context={}) == 44
    # What came to nothing is asked for again: only what was read whole and refused is named.
    named = far.asked[2].headers["If-None-Match"]
    assert named == ('"42.1", "43.1"' if name in ("a list", *[*BAD][-3:]) else '"42.1"')


def test_a_refused_version_is_reported_and_not_sent_again(client, far):
    refused = '"43.1-gzip"'
    broken = Say(200, document(43, rules=[{"id": "r", "targets": [{"offering": "a@p"}]}]), {"ETag": refused})
    far.say(good(), broken, Say(304, headers={"ETag": refused}))

    for _ in range(4):
        client.ask("poll")

    assert far.asked[0].query == {"instance": "i-1", "spec": "1", "client": "tollkeeper-javascript/1.0"}
    assert far.asked[1].query["active"] == "42.1"
    assert far.asked[1].headers["Authorization"] == "Bearer secret"
    told = far.asked[3].query  # after a 304 for the refused one it is still refused
    assert (told["active"], told["rejected"]) == ("42.1", "43.1")
    assert told["reason"] == "/rules/0/targets/0: weight is missing"
    assert far.asked[3].headers["If-None-Match"] == f'"42.1", {refused}'


def test_rules_are_kept_on_disk_and_damaged_ones_are_passed_over(process, far, tmp_path):
    far.say(good())
    process.ask("create", url=far.url, key="secret", dir=str(tmp_path))
    process.ask("poll")
    gone = {"url": "http://127.0.0.1:9", "key": "secret", "dir": str(tmp_path)}

    process.ask("create", **gone)
    process.ask("start")
    kept, status = process.ask("decide", context={}), process.ask("status")
    [path] = tmp_path.glob("rules-*")
    whole = path.read_bytes()
    damaged = []
    for body in (whole[:-1], whole.replace(b'"version": 42', b'"version": 43'), b"", b"\xff\xfe\n{}"):
        path.write_bytes(body)
        process.ask("create", **gone)
        process.ask("poll")
        damaged.append(process.ask("decide", context={}))
    process.ask("create", **gone | {"environment": "staging"})

    assert (kept, status["source"], status["version"]) == (42, "storage", 42)
    assert ["no rules for production" in said for said in damaged] == [True] * 4
    assert (path.stat().st_mode & 0o777, list(tmp_path.glob("*.next"))) == (0o600, [])


def test_writers_that_share_a_directory_and_a_number_keep_whole_rules(process, tmp_path):
    texts = [letter * size for letter, size in (("a", 3_000_000), ("b", 1_000_000), ("c", 2_000_000))]

    saved, found = process.ask("saveAtOnce", path=str(tmp_path / "rules"), texts=texts)

    assert saved == ["fulfilled"] * 3
    assert found in texts
    assert [file.name for file in tmp_path.iterdir()] == ["rules"]


def test_a_poll_that_waits_is_woken_and_asked_again_at_once(process, far):
    held = threading.Event()
    waiting = {"Preference-Applied": "wait=50"}
    far.say(good(), good(43, **waiting)._replace(hold=held))
    far.otherwise = Say(304, headers={"ETag": '"43.1"', **waiting}, hold=threading.Event())
    process.ask("create", url=far.url, key="secret", pollSeconds=3600)

    process.ask("start")
    assert eventually(lambda: len(far.asked) == 2)
    held.set()
    assert eventually(lambda: process.ask("heard")["versions"] == [42, 43])
    assert eventually(lambda: len(far.asked) == 3)
    process.ask("close", seconds=0)

    assert [one.headers.get("Prefer") for one in far.asked] == [None, "wait=50", "wait=50"]


def test_answers_that_claim_to_wait_and_do_not_are_not_asked_for_in_a_circle(process, far):
    far.say(good())
    far.otherwise = Say(304, headers={"ETag": '"42.1"', "Preference-Applied": "wait=50"})
    process.ask("create", url=far.url, key="secret", pollSeconds=0.2)

    process.ask("start")
    assert eventually(lambda: len(far.asked) >= 4)
    process.ask("close", seconds=0)

    pauses = [later.at - one.at for one, later in pairwise(far.asked[1:])]
    assert min(pauses) > 0.1


@pytest.mark.parametrize("body", [document(), b"[]", document(43)], ids=["what we have", "what is refused", "untagged"])
def test_a_cache_that_knows_neither_tags_nor_waiting_is_not_asked_in_a_circle(process, far, body):
    tag = {} if body == document(43) else {"ETag": '"42.1"'}
    far.otherwise = Say(200, body, {**tag, "Preference-Applied": "wait=50"})
    process.ask("create", url=far.url, key="secret", pollSeconds=0.2)

    process.ask("start")
    assert eventually(lambda: len(far.asked) >= 4)
    process.ask("close", seconds=0)

    pauses = [later.at - one.at for one, later in pairwise(far.asked[1:])]
    assert min(pauses[1:]) > 0.1


def test_neither_rules_nor_usage_follow_a_redirect(client, far):
    with far_side() as elsewhere:
        elsewhere.otherwise = good(66)
        far.otherwise = Say(307, headers={"Location": f"{elsewhere.url}/taken"})

        client.ask("poll")
        client.ask("report", events=[EVENT])
        done = client.ask("flush", seconds=5)

        assert elsewhere.asked == []
    assert done is False
    assert "redirects are not followed" in client.ask("decide", context={})
    assert client.ask("status")["usage"]["queued"] == 1


@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_that_unpacks_without_an_end_is_given_up(client, far, status):
    far.say(good(), Say(status, gzip.compress(bytes(65 << 20), 1), {"Content-Encoding": "gzip", "ETag": '"43.1"'}))

    client.ask("poll")
    client.ask("poll")

    assert client.ask("status")["failing"] == ("the answer is over 67108864 bytes" if status == 200 else "answered 500")
    assert client.ask("decide", context={}) == 42


def test_a_server_that_fails_is_left_alone_longer_and_longer(process, far):
    process.ask("create", url=far.url, key="secret", pollSeconds=0)

    process.ask("start")
    assert eventually(lambda: len(far.asked) == 2)

    assert process.ask("status")["failing"] == "answered 500"
    process.ask("close", seconds=0)
    assert len(process.ask("heard")["problems"]) == 1  # once, until it changes


def test_an_edge_asks_no_more_often_than_it_wants_and_waits_for_nobody(client, far):
    held = threading.Event()
    far.say(good(), good(43)._replace(hold=held))

    for _ in range(3):
        client.ask("poll", maxAgeSeconds=60)
    asked = len(far.asked)
    client.ask("pollAside")
    assert eventually(lambda: len(far.asked) == 2)
    client.ask("poll")  # answered while the other one hangs
    meanwhile = client.ask("decide", context={})
    held.set()

    assert (asked, meanwhile, len(far.asked)) == (1, 42, 2)
    assert eventually(lambda: client.ask("decide", context={}) == 43)


def test_rules_that_are_not_signed_with_the_key_are_refused_kept_ones_too(process, far, tmp_path):
    key = Ed25519PrivateKey.generate()
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()

    def signed(version: int, body: bytes) -> Say:
        said = f"ed25519={base64.b64encode(key.sign(body)).decode()}; keyid=0123456789abcdef"
        return good(version, **{"Tollkeeper-Signature": said})

    settings = {"url": far.url, "key": "secret", "dir": str(tmp_path), "publicKey": f"{'A' * 43}=, {public}"}
    far.say(signed(42, document(42)), good(43), signed(44, document(45)))
    process.ask("create", **settings)
    for _ in range(3):
        process.ask("poll")
    kept, status = process.ask("decide", context={}), process.ask("status")
    process.ask("create", **settings | {"url": "http://127.0.0.1:9"})
    process.ask("poll")
    again = process.ask("decide", context={})
    process.ask("create", **settings | {"url": "http://127.0.0.1:9", "publicKey": "A" * 43 + "="})
    process.ask("poll")

    assert (kept, again) == (42, 42)
    assert status["rejected"] == {"version": "44.1", "reason": "not signed with a key that is known"}
    assert "no rules for production" in process.ask("decide", context={})


def test_an_event_says_what_decided_and_who_answered(client, far):
    rule = {"id": "r", "when": {"field": "batch", "op": "eq", "value": True}, "targets": [TARGET], "fallbacks": ["b@q"]}
    offerings = {name: {"model": name[0], "provider": name[2]} for name in ("a@p", "b@q")}
    far.say(Say(200, document(rules=[rule], offerings=offerings), {}))
    context = {
        "batch": True, "use_case": "support", "text": "secret", "complexity": "0.40", "tags": {"env": "prod", "n": 1},
        "user_tier": "paid", "input_tokens": 9,
    }  # fmt: skip
    client.ask("poll")

    event = client.ask(
        "event", context=context, offering="b@q", usage={"input_tokens": 9}, tags={"x": "y"}, status=None
    )

    assert event == {
        "use_case": "support", "rules_version": 42, "state_revision": 1, "rule_id": "r", "route_reason": "rule",
        "fallback_index": 1, "model": "b", "provider": "q", "usage": {"input_tokens": 9},
        "context": {"user_tier": "paid", "batch": "true", "complexity": "0.40"}, "tags": {"env": "prod", "x": "y"},
    }  # fmt: skip
    with pytest.raises(AssertionError, match="not among what was decided"):
        client.ask("event", context=context, offering="c@q")
    assert client.ask("offering", name="b@q") == {"model": "b", "provider": "q", "gateway_names": {}}
    assert client.ask("offering", name="constructor") is None


def accepted(*rejected: dict[str, Any]) -> Say:
    return Say(202, json.dumps({"receipt": "r", "accepted": 1, "rejected": list(rejected)}).encode())


EVENT = {"id": "e-1", "use_case": "support", "model": "a", "input_tokens": 1, "output_tokens": 2}


def test_usage_is_sent_in_batches_and_what_is_refused_is_counted(client, far):
    far.say(accepted({"index": 0, "error": "no model"}), accepted())

    ids = client.ask("report", events=[EVENT | {"id": None, "context": {"task": "code", "text": "secret"}}] * 501)
    done = client.ask("flush", seconds=5)

    assert done is True
    assert [len(one.body) for one in far.asked] == [500, 1]
    assert [event["id"] for event in far.events] == ids
    assert far.events[0]["context"] == {"task": "code"}  # the text of a request is not reported
    assert far.events[0]["time"].endswith("Z")
    status = client.ask("status")["usage"]
    assert status == {"queued": 0, "sent": 500, "refused": 1, "dropped": 0, "failing": None}


def test_usage_waits_through_what_fails_and_there_is_an_end_of_room(process, far):
    process.ask("create", url=far.url, key="secret", maxEvents=3)
    ids = process.ask("report", events=[EVENT | {"id": f"e-{n}"} for n in range(4)])

    for answer in (Say(503, headers={"Retry-After": "9"}), Say(401), Say(429), accepted()):
        far.say(answer)
        process.ask("flush", seconds=5)

    assert ids == ["e-0", "e-1", "e-2", None]
    assert [[event["id"] for event in one.body] for one in far.asked] == [["e-0", "e-1", "e-2"]] * 4
    assert process.ask("status")["usage"] | {"failing": None} == {
        "queued": 0, "sent": 3, "refused": 0, "dropped": 1, "failing": None,
    }  # fmt: skip


FOREIGN = {
    "a page": Say(200, b"<html>"), "a page with 202": Say(202, b"<html>"), "a proxy's 400": Say(400, b"<html>"),
    "another problem": Say(400, b'{"type": "about:blank"}'), "422": Say(422), "null": Say(202, b"null"),
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_not_the_servers_own_word_ends_no_event(client, far, name):
    client.ask("report", events=[EVENT])
    far.say(FOREIGN[name])

    done = client.ask("flush", seconds=5)

    assert done is False
    assert client.ask("status")["usage"] | {"failing": None} == {
        "queued": 1, "sent": 0, "refused": 0, "dropped": 0, "failing": None,
    }  # fmt: skip


def test_refusals_that_name_no_event_count_for_nothing(client, far):
    client.ask("report", events=[EVENT, EVENT | {"id": "e-2"}])
    odd = [None, 1, {}, {"index": 9}, {"index": 1, "error": "no model"}, {"index": 1}]
    far.say(Say(202, json.dumps({"accepted": 1, "rejected": odd}).encode()))

    done = client.ask("flush", seconds=5)

    status = client.ask("status")["usage"]
    assert (done, status["sent"], status["refused"]) == (True, 1, 1)


def test_one_event_that_cannot_be_read_costs_no_other(client, far):
    client.ask("report", events=[EVENT | {"id": f"e-{n}"} for n in range(4)])
    nothing = client.ask("reportWhatIsNoJson")
    unreadable = Say(400, b'{"type": "urn:tollkeeper:problem:malformed"}')
    far.say(unreadable, accepted(), Say(413), unreadable, accepted())

    done = client.ask("flush", seconds=5)

    assert [[event["id"][2:] for event in one.body] for one in far.asked] == [
        ["0", "1", "2", "3"], ["0", "1"], ["2", "3"], ["2"], ["3"],
    ]  # fmt: skip
    assert (nothing, done) == (None, True)
    assert client.ask("status")["usage"]["refused"] == 2


def test_events_survive_a_process_that_is_killed(far, tmp_path: Path):
    settings = {"url": far.url, "key": "secret", "dir": str(tmp_path)}
    with running("polling.mjs") as first:
        first.ask("create", **settings)
        first.ask("report", events=[EVENT | {"id": f"e-{n}"} for n in range(1500)])
        os.kill(first.ask("pid"), signal.SIGKILL)
    [half, _] = sorted(tmp_path.glob("events-*"))
    half.write_bytes(half.read_bytes() + b'{"id": "half')
    far.otherwise = accepted()

    with running("polling.mjs") as second:
        second.ask("create", **settings)
        done = second.ask("flush", seconds=10)

    assert done is True
    assert sorted(int(event["id"][2:]) for event in far.events) == list(range(1500))
    assert list(tmp_path.glob("events-*")) == []
