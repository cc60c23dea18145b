"""Signatures of S3 clients: AWS's own examples, each part of them changed, and the secrets behind them."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest

from catalog.selectors import callers
from core import secrets, sigv4
from core.errors import Conflict, Invalid
from core.models import ApiKey, AuditEntry
from core.services import keys
from tests.factories import NOON, make_key

# "Examples: Signature Calculations" of the Amazon S3 API Reference.
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
HEADERS = {
    "host": "examplebucket.s3.amazonaws.com",
    "range": "bytes=0-9",
    "x-amz-content-sha256": EMPTY,
    "x-amz-date": "20130524T000000Z",
}
SCOPE = "20130524/us-east-1/s3/aws4_request"
PLAIN = "host;x-amz-content-sha256;x-amz-date"
OBJECT = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"


def authorization(signature: str, signed: str = PLAIN, key: str = "AKIAIOSFODNN7EXAMPLE", scope: str = SCOPE) -> str:
    return f"AWS4-HMAC-SHA256 Credential={key}/{scope},SignedHeaders={signed},Signature={signature}"


def fits(header: str, **overrides) -> bool:
    given = sigv4.read(header)
    assert given is not None
    asked = {"method": "GET", "path": "/", "query": [], "headers": HEADERS, "body": b"", "secret": SECRET}
    return sigv4.fits(given, **{**asked, **overrides})


@pytest.mark.parametrize(
    ("signature", "signed", "path", "query"),
    [
        (OBJECT, "host;range;x-amz-content-sha256;x-amz-date", "/test.txt", []),
        ("fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543", PLAIN, "/", [("lifecycle", "")]),
        (
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            PLAIN,
            "/",
            [("prefix", "J"), ("max-keys", "2")],
        ),
    ],
)
def test_the_examples_of_aws_fit(signature, signed, path, query):
    assert fits(authorization(signature, signed), path=path, query=query)


@pytest.mark.parametrize(
    "changed",
    [
        {"secret": "another"},
        {"method": "HEAD"},
        {"path": "/other.txt"},
        {"query": [("versionId", "1")]},
        {"body": b"not empty"},
        {"headers": {**HEADERS, "host": "elsewhere"}},
        {"headers": {**HEADERS, "range": "bytes=0-99"}},
        {"headers": {**HEADERS, "x-amz-date": "20130524T000001Z"}},
        {"headers": {**HEADERS, "x-amz-date": "20130525T000000Z"}},
        {"headers": {**HEADERS, "x-amz-content-sha256": sigv4.UNSIGNED}},
        {"headers": {}},
    ],
)
def test_a_request_that_is_not_what_was_signed_does_not_fit(changed):
    header = authorization(OBJECT, "host;range;x-amz-content-sha256;x-amz-date")
    assert fits(header, path="/test.txt")

    assert not fits(header, **{"path": "/test.txt", **changed})


def signature(signed: str) -> str:
    """Sign the object's request with these headers alone, as somebody who has the secret may."""
    names = signed.split(";")
    canonical = "\n".join(["GET", "/test.txt", "", *(f"{name}:{HEADERS[name]}" for name in names), "", signed, EMPTY])
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{SECRET}".encode()
    for part in (*SCOPE.split("/"), "\n".join(["AWS4-HMAC-SHA256", HEADERS["x-amz-date"], SCOPE, hashed])):
        key = hmac.digest(key, part.encode(), "sha256")
    return key.hex()


@pytest.mark.parametrize("signed", ["host", "x-amz-content-sha256;x-amz-date", "host;x-amz-date"])
def test_what_leaves_the_place_the_time_or_the_body_unsigned_does_not_fit(signed):
    assert fits(authorization(signature(PLAIN)), path="/test.txt")

    assert not fits(authorization(signature(signed), signed), path="/test.txt")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer tk_something",
        "AWS4-HMAC-SHA256",
        authorization("short"),
        authorization(OBJECT.upper()),
        authorization(OBJECT, scope="20130524/us-east-1/iam/aws4_request"),
        authorization(OBJECT, key="a/b"),
        authorization(OBJECT) + "\nX: y",
    ],
)
def test_another_header_is_none(header):
    assert sigv4.read(header) is None


def test_a_signature_is_good_for_a_quarter_of_an_hour_either_way():
    at = datetime(2013, 5, 24, tzinfo=UTC)

    assert sigv4.is_recent("20130524T001500Z", at=at)
    assert sigv4.is_recent("20130524T000000Z", at=at + sigv4.WINDOW)
    assert not sigv4.is_recent("20130524T001501Z", at=at)
    assert not sigv4.is_recent("20130524T000000Z", at=at + sigv4.WINDOW + timedelta(seconds=1))
    assert not sigv4.is_recent("yesterday", at=at)


@pytest.mark.django_db
def test_a_key_gets_a_secret_that_is_kept_sealed_and_is_in_no_trail():
    make_key("rules:read", gateway="proxy", environment="staging", name="proxy key")
    key = ApiKey.objects.get()

    made = keys.make_s3_secret(key=key, by="platform@example.com", at=NOON)
    again = keys.make_s3_secret(key=key, by="platform@example.com", at=NOON)

    assert keys.key_id_of(made.access_key_id) == key.pk
    assert (again.access_key_id, again.secret_access_key != made.secret_access_key) == (made.access_key_id, True)
    found = callers.signing(key.pk)
    assert found is not None
    caller, told = found
    assert (caller.gateway, caller.environment, told) == ("proxy", "staging", again.secret_access_key)
    kept = bytes(ApiKey.objects.get().secret or b"")
    assert again.secret_access_key.encode() not in kept
    assert secrets.decrypt(kept) == again.secret_access_key.encode()
    trail = AuditEntry.objects.filter(table="core_apikey", operation="update")
    assert [entry.actor for entry in trail] == ["platform@example.com"] * 2
    assert not any("secret" in entry.after for entry in trail)


@pytest.mark.django_db
def test_a_secret_ends_with_its_key_and_is_made_for_no_other():
    make_key("rules:read", name="old")
    make_key("usage:write", name="sender")
    old, sender = ApiKey.objects.order_by("id")
    keys.make_s3_secret(key=old, by="tests", at=NOON)

    keys.revoke(key=old, by="tests", at=NOON)

    assert callers.signing(old.pk) is None
    old.refresh_from_db()
    assert old.secret is None
    with pytest.raises(Conflict):
        keys.make_s3_secret(key=old, by="tests", at=NOON)
    with pytest.raises(Invalid, match="may not read rules"):
        keys.make_s3_secret(key=sender, by="tests", at=NOON)


@pytest.mark.parametrize("name", ["", "TK", "TK0", "TK01", "tk7", "TK7x", "TK" + "9" * 30, "TK\u0667"])
def test_what_is_no_access_key_id_names_no_key(name):
    assert keys.key_id_of(name) is None
