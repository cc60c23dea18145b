"""The rules document as gateways get it: its bytes, its gzip, its ETags, and what a poll is answered with.

Pure functions. The callable in front of Django and the view behind it both answer with `respond`, so an answer is the
same whichever of them gives it.

# Note [Tags]
`"<version>.<revision>"` is the tag of the plain bytes and `"<version>.<revision>-gzip"` that of the compressed ones.
They hold the same rules, so either is answered with 304; the 304 carries the tag that matched, because a cache drops
what it keeps under another one.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

JSON_TYPE = "application/json"
PROBLEM_TYPE = "application/problem+json"
# May be kept by whoever asked, and never used without asking again: rules are in force now or not at all.
CACHE_CONTROL = "private, no-cache"
VARY = "Accept-Encoding"
# A published version never changes. Private, since it is for whoever has a key: caches that are shared and do not ask
# for one (several keep to no `Vary` but that of encodings) would hand rules to strangers.
CACHE_CONTROL_FOREVER = "private, max-age=31536000, immutable"
VARY_FOREVER = "Accept-Encoding, Authorization, Cookie, X-API-Key"
SIGNATURE = "tollkeeper-signature"
# As routing.selectors.state has it where nothing is exceeded and nothing is off: for a version without a revision yet.
EMPTY_STATE = b'{"budgets":[],"canary":null,"orders":{},"switches":[]}'

_GZIP_LEVEL = 6  # level 9 takes twice as long for one per cent
_KEPT_HEADER = 256  # characters of a header that is kept with what was read in it; longer ones are read each time
_TAG = re.compile(r'(?:W/)?"([^"]*)"')
_OUR_TAG = re.compile(r'(?:W/)?"([0-9]{1,9})\.([0-9]{1,18})(?:-gzip)?"')

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes out. `headers` are shared by many answers: nobody may change them."""

    status: int
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """Bytes with all that they may be answered with, made already."""

    tag: str
    compressed_tag: str
    plain: bytes
    compressed: bytes
    plain_headers: Headers
    compressed_headers: Headers
    unchanged: dict[str, Answer]  # by the tag that matched


@dataclass(frozen=True, slots=True, kw_only=True)
class Served(Whole):
    """The document of an environment."""

    environment: str
    version: int
    revision: int
    given: tuple[int, int]  # version and revision, as polls note them


def build(
    *,
    environment: str,
    version: int,
    published_at: datetime,
    content: bytes,
    revision: int,
    state: bytes | None,
    sign: Callable[[bytes], str] | None = None,
) -> Served:
    """Put a document together from canonical bytes, without reading them.

    `content` is an object with `rules`, `default` and `offerings`; `state` an object without `revision`, None for an
    environment that has no state revision yet; `sign` gives the value of the signature's header.

    Raises:
        ValueError: `content` or `state` is not an object with members.
    """
    head = json.dumps(
        {"spec": 1, "environment": environment, "version": version, "published_at": instant(published_at)},
        separators=(",", ":"),
    ).encode()
    plain = b"".join(
        (
            head[:-1],
            b",",
            _members(content),
            b',"state":{"revision":%d,' % revision,
            _members(EMPTY_STATE if state is None else state),
            b"}}",
        )
    )
    return Served(
        environment=environment,
        version=version,
        revision=revision,
        given=(version, revision),
        **_whole(
            plain,
            opaque=f"{version}.{revision}",
            vary=VARY,
            cache_control=CACHE_CONTROL,
            signature=sign and sign(plain),
        ),
    )


def published(*, about: Mapping[str, Any], content: bytes) -> bytes:
    """Return the bytes of a version at its own address: what is known of it, then the members of its canonical bytes.

    Raises:
        ValueError: `content` is not an object with members.
    """
    head = json.dumps(about, ensure_ascii=False, separators=(",", ":")).encode()
    return b"".join((head[:-1], b",", _members(content), b"}"))


@lru_cache(maxsize=8)
def forever(plain: bytes, *, signature: str | None) -> Whole:
    """Make what bytes that never change are answered with. Their tag is their own hash."""
    opaque = hashlib.sha256(plain).hexdigest()
    return Whole(
        **_whole(plain, opaque=opaque, vary=VARY_FOREVER, cache_control=CACHE_CONTROL_FOREVER, signature=signature)
    )


def tagged(plain: bytes, *, opaque: str, media_type: str = JSON_TYPE) -> Whole:
    """Make what bytes of what is in force are answered with, under a tag of the caller's."""
    made = _whole(plain, opaque=opaque, vary=VARY, cache_control=CACHE_CONTROL, signature=None, media_type=media_type)
    return Whole(**made)


def _whole(
    plain: bytes,
    *,
    opaque: str,
    vary: str,
    cache_control: str,
    signature: str | None,
    media_type: str = JSON_TYPE,
) -> dict[str, Any]:
    compressed = gzip.compress(plain, _GZIP_LEVEL, mtime=0)
    tag, compressed_tag = f'"{opaque}"', f'"{opaque}-gzip"'
    kept = {each: [("etag", each), ("vary", vary), ("cache-control", cache_control)] for each in (tag, compressed_tag)}
    signed = [] if signature is None else [(SIGNATURE, signature)]
    return {
        "tag": tag,
        "compressed_tag": compressed_tag,
        "plain": plain,
        "compressed": compressed,
        "plain_headers": [
            ("content-type", media_type), ("content-length", str(len(plain))), *kept[tag], *signed,
        ],
        "compressed_headers": [
            ("content-type", media_type), ("content-encoding", "gzip"), ("content-length", str(len(compressed))),
            *kept[compressed_tag], *signed,
        ],
        "unchanged": {each: Answer(304, headers, b"") for each, headers in kept.items()},
    }  # fmt: skip


def respond(
    served: Whole | None, *, path: str, if_none_match: str | None, accept_encoding: str | None, head: bool = False
) -> Answer:
    """Answer a poll: 200 with the plain or the compressed bytes, 304, or 404 where there is no version.

    `if_none_match` and `accept_encoding` are the headers' values, several of one name joined by commas.
    """
    if served is None:
        return no_version(path, head=head)
    if if_none_match is not None:
        # Nearly every poll has the very tag that it was given.
        unchanged = served.unchanged.get(if_none_match)
        if unchanged is not None:
            return unchanged
        tag = _matching(served, if_none_match, accept_encoding)
        if tag is not None:
            return served.unchanged[tag]
    if takes_gzip(accept_encoding):
        return Answer(200, served.compressed_headers, b"" if head else served.compressed)
    return Answer(200, served.plain_headers, b"" if head else served.plain)


def no_version(path: str, *, head: bool = False) -> Answer:
    """Answer 404 as `core.api.problem` would. Gateways keep the rules they have; nobody keeps this answer."""
    body = json.dumps(
        {
            "type": "urn:tollkeeper:problem:no-version",
            "title": "Not found",
            "status": 404,
            "detail": "No rules are in force in this environment; keep those you have.",
            "instance": path,
        },
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode()
    headers = [("content-type", PROBLEM_TYPE), ("content-length", str(len(body))), ("cache-control", "no-store")]
    return Answer(404, headers, b"" if head else body)


def has(if_none_match: str | None) -> tuple[int, int] | None:
    """Return version and revision that a gateway says it has: of the first of its tags that is one of ours."""
    if if_none_match is None:
        return None
    return _has(if_none_match) if len(if_none_match) <= _KEPT_HEADER else _has.__wrapped__(if_none_match)


def takes_gzip(accept_encoding: str | None) -> bool:
    """Say whether gzip is what a client wants: named (or meant by `*`) and not less welcome than the plain bytes.

    A client that says nothing gets plain bytes, and so does one that takes neither: rules that cannot be unpacked are
    of no use to it, and none at all of less.
    """
    if not accept_encoding:
        return False
    if len(accept_encoding) <= _KEPT_HEADER:
        return _takes_gzip(accept_encoding)
    return _takes_gzip.__wrapped__(accept_encoding)


def _members(canonical: bytes) -> bytes:
    if len(canonical) < 5 or canonical[:1] != b"{" or canonical[-1:] != b"}":
        raise ValueError("not the canonical bytes of an object with members")
    return canonical[1:-1]


def instant(value: datetime) -> str:
    """Write an instant as documents have it."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _matching(served: Whole, if_none_match: str, accept_encoding: str | None) -> str | None:
    """Return the tag of ours that a list names, compared weakly (RFC 9110, 13.1.2)."""
    wanted = served.compressed_tag if takes_gzip(accept_encoding) else served.tag
    if if_none_match.strip() == "*":
        return wanted
    named = {f'"{opaque}"' for opaque in _TAG.findall(if_none_match)}
    if wanted in named:
        return wanted
    return next((tag for tag in served.unchanged if tag in named), None)


@lru_cache(maxsize=1024)
def _has(if_none_match: str) -> tuple[int, int] | None:
    found = _OUR_TAG.search(if_none_match)
    return None if found is None else (int(found[1]), int(found[2]))


@lru_cache(maxsize=256)
def _takes_gzip(accept_encoding: str) -> bool:
    weights: dict[str, float] = {}
    for part in accept_encoding.lower().split(","):
        coding, *parameters = (word.strip() for word in part.split(";"))
        weights[coding] = _weight(parameters)
    anything = weights.get("*", 0.0)
    compressed = max(weights.get("gzip", anything), weights.get("x-gzip", 0.0))
    return compressed > 0 and compressed >= weights.get("identity", 0.0)


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            return float(value) if re.fullmatch(r"[01](\.[0-9]{0,3})?", value.strip()) else 0.0
    return 1.0
