"""What was turned away at the API's door in the last minutes, so that a page can tell whoever connects a gateway.

A key that nobody knows belongs to no gateway, so nothing of it is a row anywhere. It is noted in Redis, where it may be
lost: how often, at which address, how it begins, and a keyed hash by which a revoked key of ours is known again. Never
the key: somebody may have sent a provider's. Noting never raises and costs one message to Redis, only where a request
is refused. A minute holds `MOST` different notes at most, whoever guesses.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

import msgspec
import redis
import structlog
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

log = structlog.get_logger(__name__)

MOST = 100
MINUTES = 15
_SHOWN = 7  # characters of a key of ours: its prefix and 24 of the 256 bits
_PATH, _WORDS = 100, 160
_REST_SECONDS = 10.0  # after a failure, in each process
_NAME = "tollkeeper:turned-away:{}"
_NOTE = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('HINCRBY', KEYS[1], ARGV[1], 1)
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""

# Why.
NO_KEY, KEY, SCOPE, BODY, SIGNATURE = "no-key", "key", "scope", "body", "signature"
SKEWED = "skewed"
# How what came in a key's place looks: what people paste by mistake.
OURS, EMPTY, PLACEHOLDER, QUOTED, VARIABLE, PROVIDERS, OTHER = (
    "ours", "empty", "placeholder", "quoted", "variable", "provider", "other",
)  # fmt: skip

_resting_until = 0.0  # by time.monotonic()


class TurnedAway(msgspec.Struct, frozen=True, array_like=True):
    """One kind of request that was refused. Fields that do not go with `why` are empty.

    `looks` says how the key looks, and `start` how it begins where it looks like one of ours; `mark` is its keyed hash
    (`mark_of`). `key_id` is the key that may not do what was asked, or that sent the body; of a signature the key that
    it names, true or not, or 0. `words` is the action that its scopes do not allow, why the body cannot be read, or
    `SKEWED` of a signature that fits and is not of now.
    """

    why: str
    path: str
    looks: str = ""
    start: str = ""
    mark: str = ""
    key_id: int = 0
    words: str = ""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """How often something was turned away in the last minutes, and the minute of the last time."""

    what: TurnedAway
    times: int
    last_at: datetime


def note_key(*, secret: str, path: str, at: datetime) -> None:
    """Note that a key was refused: unknown, expired or revoked."""
    looks = _looks(secret)
    start = secret[:_SHOWN] if looks == OURS else ""
    mark = mark_of(hashlib.sha256(secret.encode("utf-8", "replace")).digest())
    _note(TurnedAway(KEY, path[:_PATH], looks, start, mark), at)


def note_no_key(*, path: str, at: datetime) -> None:
    """Note that something came without a key."""
    _note(TurnedAway(NO_KEY, path[:_PATH]), at)


def note_scope(*, key_id: int, action: str, path: str, at: datetime) -> None:
    """Note that a key was used for what its scopes do not allow."""
    _note(TurnedAway(SCOPE, path[:_PATH], key_id=key_id, words=action[:_WORDS]), at)


def note_body(*, key_id: int, reason: str, path: str, at: datetime) -> None:
    """Note that a body could not be read at all; `reason` quotes nothing of it."""
    _note(TurnedAway(BODY, path[:_PATH], key_id=key_id, words=reason[:_WORDS]), at)


def note_signature(*, key_id: int, skewed: bool, path: str, at: datetime) -> None:
    """Note that a signed request was refused: it does not fit the key that it names, or is `skewed`: not of now."""
    _note(TurnedAway(SIGNATURE, path[:_PATH], key_id=key_id, words=SKEWED if skewed else ""), at)


def recent(*, at: datetime) -> list[Seen]:
    """Return what was turned away in the last `MINUTES`, the last first; nothing while Redis is away."""
    newest = _minute(at)
    minutes = range(newest, newest - MINUTES, -1)
    try:
        with _redis().pipeline(transaction=False) as pipe:
            for minute in minutes:
                pipe.hgetall(_NAME.format(minute))
            found = pipe.execute()
    except redis.RedisError as error:
        log.warning("turned_away.unread", error=type(error).__name__)
        return []
    times: Counter[TurnedAway] = Counter()
    last: dict[TurnedAway, int] = {}
    for minute, noted in zip(minutes, found, strict=True):
        for written, count in noted.items():
            what = _decoder.decode(written)
            times[what] += int(count)
            last.setdefault(what, minute)
    return [
        Seen(what=what, times=times[what], last_at=datetime.fromtimestamp(minute * 60, UTC))
        for what, minute in last.items()
    ]


def mark_of(digest: bytes) -> str:
    """Return the keyed hash of a key, from its digest: without this installation's secret it tells nothing."""
    return hmac.digest(_hash_key(), digest, "sha256")[:9].hex()


def _note(what: TurnedAway, at: datetime) -> None:
    global _resting_until
    if time.monotonic() < _resting_until:
        return
    try:
        name = _NAME.format(_minute(at))
        _redis().eval(_NOTE, 1, name, _encoder.encode(what), str(MOST), str((MINUTES + 1) * 60))
    except Exception as error:  # a note is never worth a failure
        _resting_until = time.monotonic() + _REST_SECONDS
        log.warning("turned_away.not_noted", error=type(error).__name__)


def _looks(secret: str) -> str:
    bare = secret.strip("\"'")
    if not bare:
        return EMPTY
    if bare != secret and bare.startswith("tk_"):
        return QUOTED
    if secret.startswith("tk_"):
        return OURS
    if bare.upper().replace("_", "-") in ("YOUR-KEY", "KEY", "YOUR-API-KEY", "<YOUR-KEY>"):
        return PLACEHOLDER
    if bare.startswith(("$", "{", "os.environ/", "env.", "%")):
        return VARIABLE
    return PROVIDERS if bare.startswith("sk-") else OTHER


def _minute(at: datetime) -> int:
    return int(at.timestamp()) // 60


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(TurnedAway)


@lru_cache(maxsize=1)
def _hash_key() -> bytes:
    return hashlib.sha256(b"tollkeeper keys turned away:" + settings.SECRET_KEY.encode()).digest()


@lru_cache(maxsize=1)
def _redis() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=0.4, socket_connect_timeout=0.4, retry=Retry(NoBackoff(), 1)
    )
