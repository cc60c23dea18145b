"""`manage.py create_key NAME --scope SCOPE...`: prints the new key alone on the last line."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from catalog.models import Gateway
from catalog.services import gateways
from core.commands import QuickCommand
from core.errors import TollkeeperError
from core.models import SCOPES


class Command(QuickCommand):
    help = "Make an API key for a gateway (made if it is new) and print it; it cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="what people call the key")
        parser.add_argument(
            "--scope",
            dest="scopes",
            metavar="SCOPE",
            nargs="+",
            action="extend",
            required=True,
            help=f"what the key may do: {', '.join(SCOPES)}",
        )
        parser.add_argument("--gateway", metavar="G", default="", help="the gateway it stands for (NAME)")
        parser.add_argument("--environment", metavar="E", default="production", help="whose rules it takes")

    def handle(self, *, name: str, scopes: list[str], gateway: str, environment: str, **options: Any) -> None:
        gateway = gateway or name
        known = Gateway.objects.filter(name__iexact=gateway.strip()).exists()
        try:
            with transaction.atomic(durable=True):
                secret = gateways.create_key(
                    name=name,
                    gateway=gateway,
                    environment=environment,
                    scopes=scopes,
                    by="manage.py create_key",
                    at=timezone.now(),
                )
        except TollkeeperError as error:
            raise CommandError(str(error)) from error
        if not known:
            self.stderr.write(f"The gateway {gateway} is new and was made.")
        self.stderr.write(f"A key for {gateway} in {environment}. It is shown this once:")
        self.stdout.write(secret)
