"""`manage.py mcp`: says where assistants find Tollkeeper; with `--stdio` it is the server of one on this machine.

The key stands in TOLLKEEPER_KEY, never among the arguments, which any user of the machine can read. It is looked up
anew at each question, so one that is revoked is refused within a second or two.
"""

from __future__ import annotations

import asyncio
import os
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import OperationalError, connections
from django.utils import timezone

from controlplane.mcp import asking
from core import keys
from core.access import Caller
from core.commands import QuickCommand
from core.errors import TollkeeperError

_NAME = "TOLLKEEPER_KEY"


class Refused(TollkeeperError):
    """The key does not count, or does not count any more."""


class Command(QuickCommand):
    help = "Say where assistants find the MCP server, or be one over standard input and output (--stdio)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--stdio", action="store_true", help=f"serve one assistant on this machine; its key is in {_NAME}"
        )

    def handle(self, *, stdio: bool, **given: Any) -> None:
        if not stdio:
            self.stdout.write(f"The web process answers at {settings.BASE_URL}/mcp (streamable HTTP, bearer keys).")
            self.stdout.write(f"An assistant on this machine may start `manage.py mcp --stdio` with {_NAME} instead.")
            return
        secret = os.environ.get(_NAME, "")
        if not secret:
            raise CommandError(f"Set {_NAME} to a key: manage.py create_key NAME --scope read makes one.")
        try:
            _caller(secret)
        except TollkeeperError as error:
            raise CommandError(str(error)) from error
        except OperationalError as error:
            raise CommandError("The database does not answer.") from error
        finally:
            connections.close_all()
        asyncio.run(_serve(secret))


async def _serve(secret: str) -> None:
    from mcp.server.stdio import stdio_server

    from controlplane.mcp import server

    # An assistant is idle most of its life: no connection is kept for it in between.
    built = server.build(lambda: _caller(secret), after=connections.close_all)
    async with stdio_server() as (incoming, outgoing):
        await built.run(incoming, outgoing, built.create_initialization_options())


def _caller(secret: str) -> Caller:
    now = timezone.now()
    caller = keys.caller(secret=secret, at=now)
    if caller is None:
        raise Refused(f"The key in {_NAME} is unknown, expired or revoked.")
    asking.demand(caller, "rules.read")  # as the address demands of whoever comes over HTTP
    keys.note_use(caller=caller, at=now)
    return caller
