"""From a bearer key to the caller it stands for, fast: read once a second at most, and never later than that.

What a key stands for (its gateway) belongs to the catalogue, which core does not know. The catalogue hands its look-up
in when it is loaded, so that key, gateway and environment still come with one query.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db.models import Q

from core.access import Caller
from core.models import ApiKey

# Note [How soon a revoked key is refused]
# Every process keeps callers it has looked up for at most this long, so a revoked key is refused everywhere within it.
KEPT_SECONDS = 1.0
_KEPT_AT_MOST = 10_000
# "Last used" is for people who wonder whether a key can go; to the minute is enough and spares a write per request.
_USE_NOTED_EVERY = timedelta(minutes=1)

_kept: dict[bytes, tuple[float, Caller]] = {}
_noted: dict[int, datetime] = {}  # when this process last noted the use of a key
_find: Callable[[bytes], Caller | None] | None = None


def looked_up_by(find: Callable[[bytes], Caller | None]) -> None:
    """Set how a digest becomes a caller: a key that is not revoked, with its gateway, in one query."""
    global _find
    _find = find


def caller(*, secret: str, at: datetime) -> Caller | None:
    """Return who a key's secret stands for; None where it is unknown, revoked or expired at `at`.

    At most one query; none within a second of the last. Callers that are not found are not kept, so a new key works at
    once and guessing fills no memory.
    """
    digest = hashlib.sha256(secret.encode()).digest()
    now = time.monotonic()
    kept = _kept.get(digest)
    if kept is not None and kept[0] > now:
        found: Caller | None = kept[1]
    else:
        if _find is None:
            raise RuntimeError("nobody said how keys are looked up: is the catalogue installed?")
        found = _find(digest)
        if found is None:
            _kept.pop(digest, None)
        else:
            if len(_kept) >= _KEPT_AT_MOST:
                _kept.clear()
            _kept[digest] = (now + KEPT_SECONDS, found)
    if found is None or (found.expires_at is not None and found.expires_at <= at):
        return None
    return found


def note_use(*, caller: Caller, at: datetime) -> None:
    """Note that a key was used, at most once a minute. Safe to repeat and to race: the UPDATE repeats its condition."""
    long_ago = at - _USE_NOTED_EVERY
    noted = _noted.get(caller.key_id) or caller.last_used_at
    if noted is not None and noted > long_ago:
        return
    key = ApiKey.objects.filter(Q(last_used_at__isnull=True) | Q(last_used_at__lte=long_ago), pk=caller.key_id)
    key.update(last_used_at=at)
    _noted[caller.key_id] = at


def forget() -> None:
    """Drop what this process keeps."""
    _kept.clear()
    _noted.clear()
