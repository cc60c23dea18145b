"""Ed25519 over the bytes that gateways run, for installations with a signing key (TOLLKEEPER_SIGNING_KEY).

TLS ends at whatever proxy or cache stands in between. A gateway that has got the public key in another way can tell
that rules are as this installation made them; one that has it from here alone knows only who gave it both.

The signature is of the body as it is without compression. The key's id is the first half of what SHA-256 makes of the
public key, in hexadecimal: 16 characters.
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings


class Signer:
    """One key pair."""

    def __init__(self, seed: bytes) -> None:
        """Raises ValueError where the seed has not 32 bytes."""
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._key.public_key().public_bytes_raw()
        self.key_id = hashlib.sha256(self.public).hexdigest()[:16]

    def header(self, body: bytes) -> str:
        """Return the value of `Tollkeeper-Signature` for an uncompressed body. The same bytes give the same value."""
        signature = base64.b64encode(self._key.sign(body)).decode()
        return f"ed25519={signature}; keyid={self.key_id}"

    @property
    def public_base64(self) -> str:
        return base64.b64encode(self.public).decode()


def signer() -> Signer | None:
    """Return the installation's, None where it does not sign."""
    return None if settings.SIGNING_KEY is None else _signer(settings.SIGNING_KEY)


@lru_cache(maxsize=2)
def _signer(seed: bytes) -> Signer:
    return Signer(seed)
