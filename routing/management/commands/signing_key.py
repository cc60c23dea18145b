"""`manage.py signing_key`: prints a new key to sign rules with alone on the last line; `--public`, the public one."""

from __future__ import annotations

import base64
import secrets
from typing import Any

from django.core.management.base import CommandError, CommandParser

from core.commands import QuickCommand
from routing.serving import signing
from routing.serving.signing import Signer


class Command(QuickCommand):
    help = "Make a key for TOLLKEEPER_SIGNING_KEY and print it; nothing is stored."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--public", action="store_true", help="print the public key that belongs to the one in use instead"
        )

    def handle(self, *, public: bool, **options: Any) -> None:
        if public:
            used = signing.signer()
            if used is None:
                raise CommandError("TOLLKEEPER_SIGNING_KEY is not set: rules are not signed here.")
            self.stderr.write(f"Ed25519, key id {used.key_id}. Give it to your gateways:")
            self.stdout.write(used.public_base64)
            return
        seed = secrets.token_bytes(32)
        made = Signer(seed)
        self.stderr.write(f"Public key for your gateways: {made.public_base64} (Ed25519, key id {made.key_id})")
        self.stderr.write("Private key for TOLLKEEPER_SIGNING_KEY of every web process; keep it secret:")
        self.stdout.write(base64.b64encode(seed).decode())
