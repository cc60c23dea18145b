"""`manage.py s3_secret KEY-NAME`: prints what a LiteLLM proxy needs to take its configuration from here."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from core.commands import QuickCommand
from core.errors import TollkeeperError
from core.models import ApiKey
from core.services import keys
from routing.selectors import s3_objects


class Command(QuickCommand):
    help = (
        "Make a secret that S3 clients sign with, for a gateway's key, and print the variables for a LiteLLM proxy "
        "that runs without the hook. The secret cannot be shown again; another call makes another one."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("key", metavar="KEY-NAME", help="the name of a key with the scope rules:read")
        parser.add_argument("--url", metavar="URL", default=settings.BASE_URL, help="where proxies reach this house")

    def handle(self, *, key: str, url: str, **options: Any) -> None:
        named = ApiKey.objects.filter(name=key.strip(), revoked_at__isnull=True, gateway_key__isnull=False)
        found = named.select_related("gateway_key").order_by("-id").first()
        if found is None:
            raise CommandError(f"There is no key {key!r} of a gateway that works.")
        try:
            with transaction.atomic(durable=True):
                made = keys.make_s3_secret(key=found, by="manage.py s3_secret", at=timezone.now())
        except TollkeeperError as error:
            raise CommandError(str(error)) from error
        environment = found.gateway_key.environment
        self.stderr.write(f"For {found} in {environment}. The secret is shown this once:")
        for name, value in s3_objects.variables(base_url=url, environment=environment, made=made).items():
            self.stdout.write(f"export {name}={value}")
        self.stdout.write("export TOLLKEEPER_AUTHORIZATION='Bearer THE-KEY-ITSELF'")
