"""`manage.py rotate_secrets`: writes all stored secrets anew under the first of TOLLKEEPER_ENCRYPTION_KEYS."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from core.commands import QuickCommand
from core.errors import TollkeeperError
from core.services import rotating


class Command(QuickCommand):
    help = (
        "Encrypt all stored secrets with the first key of TOLLKEEPER_ENCRYPTION_KEYS. Safe to break off and to repeat. "
        "Ends with an error where some cannot be read: then no key may be taken away yet."
    )

    def handle(self, **options: Any) -> None:
        rewritten = already = 0
        unreadable: list[str] = []
        try:
            for batch in rotating.rotate_all(by="manage.py rotate_secrets"):
                rewritten += batch.rewritten
                already += batch.already
                unreadable += [f"{batch.table} {row} ({batch.column})" for row in batch.unreadable]
        except TollkeeperError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{rewritten} secrets written anew, {already} were under the first key already.")
        if unreadable:
            raise CommandError(
                f"{len(unreadable)} cannot be read with the keys that are configured: {', '.join(unreadable)}. "
                "Put back the key that they were encrypted with and repeat this, or enter them again."
            )
