"""Versions at their own addresses, and signatures: what a reader far from here can check for herself."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from routing.models import Version
from routing.rules import document
from routing.serving.signing import Signer
from tests.factories import make_key
from tests.routing.making import make_content, make_rule, make_version, stock
from tests.routing.test_serving_polls import PATH, Poller

pytestmark = pytest.mark.django_db

SEED = bytes(range(32))
FIRST = PATH + "/versions/1"


@pytest.fixture
def version():
    stock()
    return make_version(make_content(make_rule(rationale='"default": é, "quoted" \\ and 規則')))


@pytest.fixture
def signed(settings):
    settings.SIGNING_KEY = SEED


class Reader:
    """A gateway that asks Django, and checks signatures as the README says, with nothing of ours."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def get(self, path: str, **headers: str):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return Client().get(path, headers={"Authorization": f"Bearer {self._secret}", **headers})

    def check(self, body: bytes, header: str) -> None:
        told = self.get("/api/v1/signing-key").json()
        public = base64.b64decode(told["public_key"])
        signature, _, key_id = header.removeprefix("ed25519=").partition("; keyid=")
        assert key_id == told["keyid"] == hashlib.sha256(public).hexdigest()[:16]
        Ed25519PublicKey.from_public_bytes(public).verify(base64.b64decode(signature, validate=True), body)


@pytest.fixture
def reader(version):
    return Reader(make_key("rules:read"))


def test_a_version_at_its_address_can_be_checked_against_its_hash_by_whoever_reads_it(version, reader):
    answer = reader.get(FIRST)

    body = json.loads(answer.content)
    content = {name: body[name] for name in ("rules", "default", "offerings", "heuristics") if name in body}
    rewritten = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert hashlib.sha256(rewritten).hexdigest() == body["sha256"] == bytes(version.sha256).hex()
    # As it is stored, with not a byte between.
    assert answer.content.endswith(b"," + bytes(version.canonical)[1:])
    assert (body["spec"], body["environment"], body["version"], body["base"]) == (1, "production", 1, None)
    assert (body["title"], body["published_by"], body["approved_by"]) == (
        "a change", "publisher@example.com", "approver@example.com",
    )  # fmt: skip


def test_heuristics_are_among_what_can_be_checked(reader):
    heuristics = {"task": {"code_fence": "code"}}
    canonical = document.canonical({**make_content(offerings={}), "heuristics": heuristics})
    environment = Version.objects.get().environment
    Version.objects.create(
        environment=environment, number=2, base=1, canonical=canonical, sha256=document.sha256(canonical),
        published_at=environment.created_at, published_by="tests", approved_by="nobody",
    )  # fmt: skip

    body = reader.get(PATH + "/versions/2").json()

    assert body["heuristics"] == heuristics
    assert body["sha256"] == hashlib.sha256(canonical).hexdigest()


def test_a_version_may_be_kept_for_ever_by_whoever_asked_and_by_no_cache_that_others_share(reader):
    answer = reader.get(FIRST)

    assert answer["Cache-Control"] == "private, max-age=31536000, immutable"
    assert {word.strip() for word in answer["Vary"].split(",")} == {
        "Accept-Encoding", "Authorization", "Cookie", "X-API-Key",
    }  # fmt: skip
    assert answer["ETag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'


def test_whoever_has_a_version_is_told_so_in_either_coding(reader):
    plain, packed = reader.get(FIRST), reader.get(FIRST, Accept_Encoding="gzip")
    again = [reader.get(FIRST, If_None_Match=tag) for tag in (plain["ETag"], packed["ETag"], "W/" + plain["ETag"])]

    assert (gzip.decompress(packed.content), packed["Content-Encoding"]) == (plain.content, "gzip")
    assert packed["ETag"] != plain["ETag"]
    assert [(one.status_code, one.content) for one in again] == [(304, b"")] * 3
    assert again[1]["Cache-Control"] == plain["Cache-Control"]


def test_what_happens_later_changes_no_byte_of_a_version(reader):
    before = reader.get(FIRST)

    make_version(make_content(make_rule("other")))
    after = reader.get(FIRST)

    assert (after.content, after["ETag"]) == (before.content, before["ETag"])


def test_a_version_takes_one_query_and_strangers_get_none_of_it(reader):
    reader.get(FIRST)  # the key's caller is kept for a second
    with CaptureQueriesContext(connection) as captured:
        found = reader.get(FIRST)
        queries = len(captured)
    stranger = Reader(make_key("usage:write", gateway="other"))

    assert (found.status_code, queries) == (200, 1)
    assert [one.get(FIRST).status_code for one in (stranger, Reader("tk_nobody"))] == [403, 401]
    missing = reader.get(PATH + "/versions/2")
    assert (missing.status_code, missing.json()["detail"]) == (404, "There is no version 2 of production.")


@pytest.mark.parametrize("path", [PATH, FIRST])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_the_signature_is_of_the_uncompressed_body_and_of_no_other(signed, reader, path, encoding):
    answer = reader.get(path, Accept_Encoding=encoding)
    body = gzip.decompress(answer.content) if encoding == "gzip" else answer.content

    reader.check(body, answer["Tollkeeper-Signature"])
    for number in (0, len(body) // 2, len(body) - 1):
        forged = body[:number] + bytes([body[number] ^ 1]) + body[number + 1 :]
        with pytest.raises(InvalidSignature):
            reader.check(forged, answer["Tollkeeper-Signature"])


def test_the_front_signs_as_django_does_and_once_per_document(signed, version):
    secret, poller = make_key("rules:read"), Poller()

    native = poller.ask(secret)
    django = Reader(secret).get(PATH)
    unchanged = poller.ask(secret, ("If-None-Match", '"1.1"'))

    assert dict(native.headers)["tollkeeper-signature"] == django["Tollkeeper-Signature"]
    assert poller.ask(secret).headers is native.headers
    assert (unchanged.status, "tollkeeper-signature" in dict(unchanged.headers)) == (304, False)


def test_a_304_carries_no_signature(signed, reader):
    for path in (PATH, FIRST):
        answer = reader.get(path, If_None_Match=reader.get(path)["ETag"])

        assert (answer.status_code, answer.get("Tollkeeper-Signature")) == (304, None)


def test_without_a_key_nothing_is_signed(settings, reader):
    settings.SIGNING_KEY = None

    assert [reader.get(path).get("Tollkeeper-Signature") for path in (PATH, FIRST)] == [None, None]
    assert reader.get("/api/v1/signing-key").status_code == 404


def test_the_public_key_is_for_whoever_may_read_rules(signed, reader):
    stranger = Reader(make_key("usage:write", gateway="other"))

    assert reader.get("/api/v1/signing-key").json() == {
        "algorithm": "ed25519", "keyid": "56475aa75463474c",
        "public_key": "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
    }  # fmt: skip
    assert stranger.get("/api/v1/signing-key").status_code == 403


def test_the_command_makes_a_key_that_fits_and_tells_the_public_one(settings):
    made, told, public = io.StringIO(), io.StringIO(), io.StringIO()

    call_command("signing_key", stdout=made, stderr=told)
    settings.SIGNING_KEY = base64.b64decode(made.getvalue().strip().splitlines()[-1], validate=True)
    call_command("signing_key", "--public", stdout=public, stderr=io.StringIO())

    assert len(settings.SIGNING_KEY) == 32
    assert public.getvalue().strip() == Signer(settings.SIGNING_KEY).public_base64
    assert public.getvalue().strip() in told.getvalue()


def test_the_command_says_so_where_rules_are_not_signed(settings):
    settings.SIGNING_KEY = None

    with pytest.raises(CommandError, match="TOLLKEEPER_SIGNING_KEY is not set"):
        call_command("signing_key", "--public")
