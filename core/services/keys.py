"""Bearer keys: a secret of 256 bits that is shown once, and its SHA-256, which is all that is kept."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import transaction

from core import access
from core import secrets as sealed
from core.errors import Conflict, Invalid
from core.models import SCOPES, ApiKey
from core.services import audit

PREFIX = "tk_"  # lets secret scanners find a key that got into a repository
_SHOWN = 10  # characters that the console may show: the prefix and 42 of the 256 bits


def digest_of(secret: str) -> bytes:
    """Return what is kept of a secret and looked up by."""
    return hashlib.sha256(secret.encode()).digest()


def check_scopes(scopes: Sequence[str]) -> list[str]:
    """Return the scopes in their usual order, each once.

    Raises:
        Invalid: none is given, or one is not known.
    """
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown:
        raise Invalid(
            f"There is no scope {', '.join(map(repr, unknown))}. The scopes are {', '.join(SCOPES)}.",
            [("scopes", f"unknown: {name}") for name in unknown],
        )
    if not scopes:
        raise Invalid(f"A key needs a scope: {', '.join(SCOPES)}.", [("scopes", "none given")])
    return [name for name in SCOPES if name in set(scopes)]


def grantable(principal: Any) -> list[str]:
    """Return the scopes that somebody may give a key: none with which it could do what she may not do herself.

    Whoever makes keys would otherwise make one that approves prices and rules for her. No query.
    """
    grants = access.ACTIONS.items()
    return [
        scope
        for scope in SCOPES
        if all(access.may(principal, action) for action, grant in grants if scope in grant.scopes)
    ]


def check(*, name: str, scopes: Sequence[str], at: datetime, expires_at: datetime | None = None) -> list[str]:
    """Return the scopes of a key that can be made so, in their usual order.

    Raises:
        Invalid: no name, an unknown scope, or an expiry that is over already; all reasons at once.
    """
    found = []
    if not name.strip() or len(name.strip()) > 128:
        found.append(Invalid("A key needs a name of 1 to 128 characters.", [("name", "1 to 128 characters")]))
    if expires_at is not None and expires_at <= at:
        found.append(Invalid("The key would have expired before it is made.", [("expires_at", "in the past")]))
    try:
        checked = check_scopes(scopes)
    except Invalid as error:
        found.append(error)
    if found:
        raise Invalid(" ".join(map(str, found)), [problem for error in found for problem in error.problems])
    return checked


@transaction.atomic
def issue(
    *, name: str, scopes: Sequence[str], by: str, at: datetime, expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """Make a key and return it with its secret, which nobody can read again afterwards.

    Raises:
        Invalid: as `check` says.
    """
    audit.acting(by=by)
    name = name.strip()
    checked = check(name=name, scopes=scopes, at=at, expires_at=expires_at)

    secret = PREFIX + secrets.token_urlsafe(32)
    key = ApiKey.objects.create(
        name=name,
        prefix=secret[:_SHOWN],
        digest=digest_of(secret),
        scopes=checked,
        created_at=at,
        created_by=by,
        expires_at=expires_at,
    )
    return key, secret


@transaction.atomic
def revoke(*, key: ApiKey, by: str, at: datetime, reason: str = "") -> bool:
    """End a key. Says whether this call did it; ending it again changes nothing.

    Processes keep keys in memory for a few seconds, so a revoked key may pass that long.
    """
    audit.acting(by=by, reason=reason)
    ended = ApiKey.objects.filter(pk=key.pk, revoked_at__isnull=True).update(revoked_at=at, secret=None)
    key.refresh_from_db(fields=["revoked_at"])
    return ended == 1


# --- for gateways that can only read from S3 ---

_ACCESS_KEY_ID = re.compile(r"TK([1-9][0-9]{0,17})", re.ASCII)


class S3Credentials(NamedTuple):
    """What an S3 client signs with. It can do no more there than read what the key may read."""

    access_key_id: str
    secret_access_key: str


def access_key_id_of(key_id: int) -> str:
    """Return how S3 clients call a key."""
    return f"TK{key_id}"


def key_id_of(access_key_id: str) -> int | None:
    """Return the key that S3 clients call so; None where that is no such name."""
    found = _ACCESS_KEY_ID.fullmatch(access_key_id)
    return int(found[1]) if found else None


@transaction.atomic
def make_s3_secret(*, key: ApiKey, by: str, at: datetime) -> S3Credentials:
    """Give a key a secret to sign S3-style requests with, and return it; nobody can read it again afterwards.

    Unlike the key itself it has to be kept, encrypted, because checking a signature takes it. Each call makes another
    one, and the one before stops at once. It ends with its key.

    Raises:
        Conflict: the key is revoked or has expired.
        Invalid: the key may not read rules, and there is nothing else to read.
        secrets.KeysMissing: there is no key to encrypt it with.
    """
    audit.acting(by=by)
    if key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= at):
        raise Conflict(f"The key {key.name} is revoked or has expired.")
    if access.ACTIONS["rules.read"].scopes.isdisjoint(key.scopes):
        raise Invalid(f"The key {key.name} may not read rules.", [("key", "It needs the scope rules:read.")])
    made = S3Credentials(access_key_id_of(key.pk), secrets.token_urlsafe(30))
    key.secret = sealed.encrypt(made.secret_access_key.encode())
    key.save(update_fields=["secret"])
    return made


def opener(made: S3Credentials, purpose: str) -> str:
    """Return a token for an address that cannot be signed: it opens one thing, and says nothing of the secret."""
    mac = hmac.digest(made.secret_access_key.encode(), purpose.encode(), "sha256")
    return f"{made.access_key_id}.{mac.hex()[:40]}"


def opens(made: S3Credentials, purpose: str, token: str) -> bool:
    """Say whether a token is the opener of these credentials, in a time that does not tell how much of it is right."""
    return hmac.compare_digest(opener(made, purpose).encode(), token.encode())
