"""Ed25519 signatures of rules, for installations that sign them (`Tollkeeper-Signature: ed25519=BASE64; keyid=ID`)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Any

from .errors import NotConfigured


class WrongSignature(Exception):
    """Not signed, or not by one of the keys that are trusted here."""


class Verifier:
    """Some public keys; a document signed by any of them is taken, so that keys can be changed without a gap."""

    def __init__(self, public_keys: Iterable[str]) -> None:
        """Take public keys in base64, as `manage.py signing_key --public` prints them.

        Raises:
            NotConfigured: one is no key, or the package `cryptography` is missing.
        """
        try:
            from cryptography.exceptions import InvalidSignature
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        except ImportError as error:
            raise NotConfigured(
                "Checking signatures needs the package cryptography: pip install 'tollkeeper-client[signatures]'."
            ) from error
        self._invalid: type[Exception] = InvalidSignature
        self._keys: list[Any] = []
        for text in public_keys:
            try:
                self._keys.append(Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True)))
            except ValueError as error:
                raise NotConfigured(f"{text}: not the 32 bytes of an Ed25519 public key in base64.") from error

    def check(self, body: bytes, header: str | None) -> None:
        """Pass where `header`, the value of `Tollkeeper-Signature`, is of this body, uncompressed.

        Raises:
            WrongSignature: it is missing, unreadable, or by nobody who is trusted here.
        """
        if not header:
            raise WrongSignature("not signed, and this client takes signed rules only")
        parameters = dict(part.strip().partition("=")[::2] for part in header.split(";"))
        try:
            signature = base64.b64decode(parameters.get("ed25519", ""), validate=True)
        except (binascii.Error, ValueError):
            signature = b""
        for key in self._keys:
            try:
                key.verify(signature, body)
            except self._invalid:
                continue
            return
        raise WrongSignature("the signature is not of these bytes, or by a key that is not trusted here")
