"""manage.py reconcile [--from 2026-11-01 --to 2026-12-01]: compare all sums with a recount of the ledger, now."""

from __future__ import annotations

import getpass
import sys
from argparse import ArgumentParser
from datetime import date, timedelta
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from core.commands import QuickCommand
from core.errors import TollkeeperError
from usage.services import reconciling

_SHOWN = 20


class Command(QuickCommand):
    help = (
        "Compare rollups and counters of budgets with a recount of the ledger, as every night. Exits with 1 where "
        "something differs, and raises the alert."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--from", dest="first", metavar="DATE", help="the first day, in the organisation's zone")
        parser.add_argument("--to", dest="until", metavar="DATE", help="the day after the last")

    def handle(self, *args: Any, **options: Any) -> None:
        by = f"manage.py reconcile ({getpass.getuser()})"
        try:
            first = date.fromisoformat(options["first"]) if options["first"] else None
            last = date.fromisoformat(options["until"]) - timedelta(days=1) if options["until"] else None
        except (ValueError, OverflowError) as error:
            raise CommandError(f"{error}. Write days as 2026-11-01; --to is the day after the last.") from error
        try:
            found = reconciling.run_now(first=first, last=last, by=by, clock=timezone.now)
        except TollkeeperError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"{found.first_day} to {found.last_day}: {found.entries:,} entries, {found.rows:,} sums, "
            f"{found.differing:,} differ."
        )
        for one in found.differences[:_SHOWN]:
            which = ", ".join(f"{name} {value}" for name, value in one["which"].items() if value not in ("", 0, None))
            self.stdout.write(f"{one['what']} [{which}] holds {one['held']}, the ledger says {one['recounted']}")
        if found.differing:
            self.stdout.write(
                f"manage.py rebuild_rollups --from {min(found.days)} --to "
                f"{date.fromisoformat(max(found.days)) + timedelta(days=1)} puts them right."
            )
            sys.exit(1)
