"""AWS Signature Version 4, as an S3 client puts it into the headers of a request: checked, never made.

Plain functions over what the edge read. The query string that a signed address carries (presigned URLs) and bodies in
signed pieces are not known here: whoever sends them is refused.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import quote

WINDOW = timedelta(minutes=15)  # how far the two clocks may be apart, as with AWS
UNSIGNED = "UNSIGNED-PAYLOAD"
_ALGORITHM = "AWS4-HMAC-SHA256"
_DATE = "%Y%m%dT%H%M%SZ"
_SIGNED_AT_LEAST = frozenset({"host", "x-amz-date", "x-amz-content-sha256"})
_AUTHORIZATION = re.compile(
    rf"{_ALGORITHM} +Credential=(?P<key>[^/,\s]{{1,128}})/(?P<scope>[0-9]{{8}}/[^/,\s]{{1,64}}/s3/aws4_request), *"
    r"SignedHeaders=(?P<headers>[a-z0-9;._-]{1,1000}), *Signature=(?P<signature>[0-9a-f]{64})"
)


class Authorization(NamedTuple):
    """The header `Authorization`, taken apart."""

    access_key_id: str
    scope: str  # date/region/s3/aws4_request
    signed: tuple[str, ...]  # names of headers
    signature: str


def read(header: str) -> Authorization | None:
    """Take the header apart; None where it is not one of this kind, for S3."""
    found = _AUTHORIZATION.fullmatch(header.strip())
    if found is None:
        return None
    return Authorization(found["key"], found["scope"], tuple(found["headers"].split(";")), found["signature"])


def fits(
    given: Authorization,
    *,
    secret: str,
    method: str,
    path: str,
    query: Sequence[tuple[str, str]],
    headers: Mapping[str, str],
    body: bytes,
) -> bool:
    """Say whether somebody who has the secret signed this request, whenever it was.

    `path` is decoded, `headers` have names in lower case. The time to compare does not tell how much of a signature is
    right. Whether it was signed lately is another question: `is_recent`.
    """
    date, payload = headers.get("x-amz-date", ""), headers.get("x-amz-content-sha256", "")
    if not _SIGNED_AT_LEAST.issubset(given.signed) or not date.startswith(given.scope[:8]):
        return False
    if payload not in (UNSIGNED, hashlib.sha256(body).hexdigest()):
        return False
    canonical = "\n".join(
        (
            method,
            quote(path, safe="/~"),
            "&".join(sorted(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in query)),
            *(f"{name}:{' '.join(headers.get(name, '').split())}" for name in given.signed),
            "",
            ";".join(given.signed),
            payload,
        )
    )
    to_sign = "\n".join((_ALGORITHM, date, given.scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{secret}".encode()
    for part in given.scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.compare_digest(hmac.digest(key, to_sign.encode(), "sha256").hex(), given.signature)


def is_recent(date: str, *, at: datetime) -> bool:
    """Say whether `x-amz-date` is within the window around `at`."""
    try:
        signed_at = datetime.strptime(date, _DATE).replace(tzinfo=UTC)
    except ValueError:
        return False
    return abs(at - signed_at) <= WINDOW
