"""manage.py close_month 2026-09: its totals never change from then on."""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from core.commands import QuickCommand
from core.errors import TollkeeperError
from usage.services import months


class Command(QuickCommand):
    help = "Close a month of the organisation's. What comes late for it is booked in the open month, marked."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("month", help="such as 2026-09")
        parser.add_argument("--reason", default="", help="kept in the audit trail")
        parser.add_argument("--by", default="", help="who closes it; the name of this login where it is left out")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            label = date.fromisoformat(f"{options['month']}-01")
        except ValueError:
            raise CommandError(f"{options['month']!r} is not a month such as 2026-09.") from None
        by = options["by"] or f"manage.py close_month ({getpass.getuser()})"
        try:
            month = months.close_month(label=label, by=by, at=timezone.now(), reason=options["reason"])
        except TollkeeperError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{month.label:%B %Y} ({month.zone}) is closed.")
