"""Secrets at rest, such as the address of a webhook: encrypted with keys that only the environment holds.

Keys are rotated by putting a new one in front of `TOLLKEEPER_ENCRYPTION_KEYS`: the first encrypts, all
decrypt, and `manage.py rotate_secrets` writes what the old ones encrypted anew, after which they can go. It finds what
to write by the columns that models name here: `secrets.kept_in(Channel, "secret")`.
"""

from __future__ import annotations

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db.models import Model

from core.errors import TollkeeperError

_UNREADABLE = (
    "A stored secret cannot be read with the keys in TOLLKEEPER_ENCRYPTION_KEYS: "
    "put back the key it was encrypted with, or enter the secret again."
)


# Every column of the house that holds what `encrypt` gave, null or not.
columns: list[tuple[type[Model], str]] = []


def kept_in(model: type[Model], column: str) -> None:
    """Say that a column holds encrypted secrets."""
    columns.append((model, column))


class KeysMissing(TollkeeperError):
    """No usable key is configured: nothing secret can be stored or read."""


class Unreadable(TollkeeperError):
    """A stored secret was encrypted with a key that is no longer configured, or it is damaged."""


def encrypt(plain: bytes) -> bytes:
    """Return the encrypted text, another one each time.

    Raises:
        KeysMissing: no key, or a key that is not one.
    """
    return _keys().encrypt(plain)


def decrypt(token: bytes) -> bytes:
    """Return what was encrypted, with whichever of the keys it was.

    Raises:
        KeysMissing: no key, or a key that is not one.
        Unreadable: none of the keys fits.
    """
    try:
        return _keys().decrypt(bytes(token))
    except InvalidToken as error:
        raise Unreadable(_UNREADABLE) from error


def is_under_first_key(token: bytes) -> bool:
    """Say whether the first key encrypted this, so that there is nothing to rotate.

    Raises:
        KeysMissing: no key, or a key that is not one.
    """
    _keys()
    try:
        Fernet(settings.ENCRYPTION_KEYS[0]).decrypt(bytes(token))
    except InvalidToken:
        return False
    return True


def rotate(token: bytes) -> bytes:
    """Return the same secret encrypted with the first key; errors as of `decrypt`."""
    try:
        return _keys().rotate(bytes(token))
    except InvalidToken as error:
        raise Unreadable("A stored secret cannot be read with the keys in TOLLKEEPER_ENCRYPTION_KEYS.") from error


def _keys() -> MultiFernet:
    if not settings.ENCRYPTION_KEYS:
        raise KeysMissing(
            "TOLLKEEPER_ENCRYPTION_KEYS is not set, so no secret can be stored or read. "
            "Make a key with: python -c 'from cryptography.fernet import Fernet; "
            "print(Fernet.generate_key().decode())'"
        )
    try:
        return MultiFernet([Fernet(key) for key in settings.ENCRYPTION_KEYS])
    except ValueError as error:
        raise KeysMissing(
            "TOLLKEEPER_ENCRYPTION_KEYS holds something that is no key: each is 32 bytes in url-safe base64."
        ) from error
