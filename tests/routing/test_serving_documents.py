"""The served document and what a poll is answered with: bytes, tags, codings."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime

import pytest

from routing.rules import document
from routing.selectors import state
from routing.serving import documents
from tests.routing.making import make_content

PUBLISHED_AT = datetime(2026, 6, 15, 12, 30, tzinfo=UTC)
SWITCHED = {
    "budgets": [
        {"id": "b-17", "match": {"use_case": ["código"], "tier": ["frontier"]}, "state": "exceeded",
         "action": "downgrade", "until": "2026-07-01T00:00:00Z"}
    ],
    "switches": [{"provider": "openai", "off": True, "until": "2026-06-15T13:00:00Z", "reason": 'an "outage"'}],
    "orders": {}, "canary": None,
}  # fmt: skip


def build(**overrides):
    given = {
        "environment": "production", "version": 42, "published_at": PUBLISHED_AT, "revision": 881,
        "content": document.canonical(make_content(offerings={})), "state": document.dumps(SWITCHED),
    }  # fmt: skip
    return documents.build(**{**given, **overrides})


def ask(served=None, **overrides):
    given = {"path": "/api/v1/rules/production", "if_none_match": None, "accept_encoding": None}
    return documents.respond(build() if served is None else served, **{**given, **overrides})


def header(answer, name):
    return dict(answer.headers).get(name)


def test_the_document_is_what_the_schema_asks_for_and_holds_what_was_published():
    read = document.parse(build().plain)

    assert document.schema_problems("document", read) == []
    assert {name: read[name] for name in document.CONTENT} == make_content(offerings={})
    assert read["state"] == {"revision": 881, **SWITCHED}
    assert {name: read[name] for name in ("spec", "environment", "version", "published_at")} == {
        "spec": 1, "environment": "production", "version": 42, "published_at": "2026-06-15T12:30:00Z",
    }  # fmt: skip


def test_a_version_without_a_state_revision_has_an_empty_state():
    read = document.parse(build(revision=0, state=None).plain)

    assert document.schema_problems("document", read) == []
    assert read["state"] == {"revision": 0, **state.nothing()}


def test_a_megabyte_is_put_together_without_being_read():
    rules = ",".join(json.dumps({"id": f"r{number}", "rationale": "x" * 2000}) for number in range(500))
    content = b'{"default":{},"offerings":{},"rules":[%s]}' % rules.encode()

    served = build(content=content)

    assert len(served.plain) > 1_000_000
    assert content[1:-1] in served.plain


@pytest.mark.parametrize("broken", [b"", b"{}", b"[1,2,3]", b'{"rules":[]'])
def test_what_is_no_object_with_members_is_refused(broken):
    with pytest.raises(ValueError, match="not the canonical bytes"):
        build(content=broken)


def test_the_same_document_has_the_same_compressed_bytes_at_any_time():
    first, second = build(), build()

    assert first.compressed == second.compressed
    assert first.compressed[4:8] == b"\0\0\0\0"  # the time in gzip's header
    assert gzip.decompress(first.compressed) == first.plain


@pytest.mark.parametrize(
    ("accept_encoding", "compressed"),
    [
        (None, False), ("", False), ("gzip", True), ("GZIP", True), ("x-gzip", True), ("gzip, deflate, br", True),
        ("deflate, br", False), ("gzip;q=0", False), ("gzip; q=0.0, *", False), ("*", True), ("*;q=0", False),
        ("identity", False), ("gzip;q=0.5, identity;q=0.6", False), ("gzip;q=0.5, identity;q=0.5", True),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", True), ("gzip;q=nonsense", False), ("gzip;q=1.0001", False),
        ("identity;q=0", False), ("br, " * 200 + "gzip", True),
    ],
)  # fmt: skip
def test_gzip_is_for_whoever_wants_it(accept_encoding, compressed):
    served = build()

    answer = ask(served, accept_encoding=accept_encoding)

    assert answer.status == 200
    if compressed:
        assert (answer.body, header(answer, "content-encoding")) == (served.compressed, "gzip")
        assert header(answer, "etag") == '"42.881-gzip"'
    else:
        assert (answer.body, header(answer, "content-encoding")) == (served.plain, None)
        assert header(answer, "etag") == '"42.881"'
    assert header(answer, "content-length") == str(len(answer.body))
    assert (header(answer, "vary"), header(answer, "cache-control")) == ("Accept-Encoding", "private, no-cache")


@pytest.mark.parametrize(
    ("if_none_match", "tag"),
    [
        ('"42.881"', '"42.881"'), ('"42.881-gzip"', '"42.881-gzip"'), ('W/"42.881"', '"42.881"'),
        ('W/"42.881-gzip"', '"42.881-gzip"'), ('"41.880", "42.881"', '"42.881"'), ('"a,b",W/"42.881"', '"42.881"'),
        ("*", '"42.881"'), (" * ", '"42.881"'), ('"42.881", "42.881-gzip"', '"42.881"'),
    ],
)  # fmt: skip
def test_whoever_has_these_rules_is_told_so_under_the_tag_she_has(if_none_match, tag):
    answer = ask(if_none_match=if_none_match)

    assert (answer.status, answer.body, header(answer, "etag")) == (304, b"", tag)
    assert (header(answer, "vary"), header(answer, "cache-control")) == ("Accept-Encoding", "private, no-cache")
    assert header(answer, "content-length") is None


def test_of_two_tags_that_match_the_one_of_the_wanted_coding_is_given():
    answer = ask(if_none_match='"42.881", "42.881-gzip"', accept_encoding="gzip")

    assert (answer.status, header(answer, "etag")) == (304, '"42.881-gzip"')


@pytest.mark.parametrize(
    "if_none_match", ['"42.880"', '"41.881"', "42.881", '"42.881', '"42.881-br"', "", '"x42.881"', '"42.8811"', "W/"]
)
def test_whoever_has_others_gets_the_document(if_none_match):
    assert ask(if_none_match=if_none_match).status == 200


def test_head_says_what_get_would_without_the_bytes():
    for accept_encoding in (None, "gzip"):
        get, head = (ask(accept_encoding=accept_encoding, head=head) for head in (False, True))

        assert (head.status, head.headers, head.body) == (200, get.headers, b"")
        assert get.body


def test_an_environment_without_a_version_is_answered_so_that_nobody_keeps_the_answer():
    answer = documents.respond(None, path="/api/v1/rules/new", if_none_match="*", accept_encoding="gzip")

    problem = json.loads(answer.body)
    assert (answer.status, problem["status"], problem["instance"]) == (404, 404, "/api/v1/rules/new")
    assert problem["type"] == "urn:tollkeeper:problem:no-version"
    assert (header(answer, "content-type"), header(answer, "cache-control")) == ("application/problem+json", "no-store")
    assert header(answer, "etag") is None
    assert header(answer, "content-length") == str(len(answer.body))


@pytest.mark.parametrize(
    ("if_none_match", "has"),
    [
        ('"42.881"', (42, 881)), ('W/"42.881-gzip"', (42, 881)), ('"other", "1.2"', (1, 2)), (None, None), ("*", None),
        ('"42"', None), ('"9999999999.1"', None), ('"1.9999999999999999999"', None), ('"x", ' * 200 + '"7.8"', (7, 8)),
    ],
)  # fmt: skip
def test_what_a_gateway_says_it_has_is_read_from_its_tags(if_none_match, has):
    assert documents.has(if_none_match) == has
