"""manage.py rebuild_rollups --from 2026-11-01 --to 2026-12-01: sums of these days made anew from the ledger."""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from datetime import date, timedelta
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from core.commands import QuickCommand
from core.errors import TollkeeperError
from usage.selectors import kept
from usage.services import rebuilding

_USAGE = (
    "Say which days of the organisation's are to be rebuilt: --from 2026-11-01 --to 2026-12-01, the second of them not "
    "included, or --all for every day that the ledger keeps."
)


class Command(QuickCommand):
    help = (
        "Make rollup_15min, rollup_day and rollup_day_tag of some days, and counters of budgets that are wrong, equal "
        "to the ledger, while events keep coming. Safe to break off and to repeat."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--from", dest="first", metavar="DATE", help="the first day, in the organisation's zone")
        parser.add_argument("--to", dest="until", metavar="DATE", help="the day after the last")
        parser.add_argument("--all", action="store_true", help="every day that the ledger keeps")
        parser.add_argument("--reason", default="asked for by command", help="kept in the audit trail")
        parser.add_argument("--by", default="", help="who rebuilds; the name of this login where it is left out")

    def handle(self, *args: Any, **options: Any) -> None:
        first, last = _days(options)
        by = options["by"] or f"manage.py rebuild_rollups ({getpass.getuser()})"
        try:
            rebuild = rebuilding.begin(first=first, last=last, by=by, reason=options["reason"], at=timezone.now())
            rebuilding.go_on(rebuild=rebuild, clock=timezone.now, told=self._told)
        except TollkeeperError as error:
            raise CommandError(str(error)) from error
        rows = sum(sum(tables.values()) for tables in rebuild.mended.values())
        if rows:
            self.stdout.write(
                f"{rows:,} {'row was wrong and is' if rows == 1 else 'rows were wrong and are'} made anew."
            )
        else:
            self.stdout.write("Every sum was what the ledger says.")

    def _told(self, day: date, mended: dict[str, int]) -> None:
        if mended:
            tables = ", ".join(f"{table} {rows:,}" for table, rows in sorted(mended.items()))
            self.stdout.write(f"{day}: {tables}")


def _days(options: dict[str, Any]) -> tuple[date, date]:
    """Return the first and the last day that are asked for."""
    if options["all"] and (options["first"] or options["until"]):
        raise CommandError(f"--all is every day already. {_USAGE}")
    if options["all"]:
        days = kept.current().days()
        return days[0], days[-1]
    if not options["first"] or not options["until"]:
        raise CommandError(_USAGE)
    try:
        first, until = date.fromisoformat(options["first"]), date.fromisoformat(options["until"])
    except ValueError as error:
        raise CommandError(f"{error}. Write days as 2026-11-01.") from error
    if until <= first:
        raise CommandError("No day lies between them: --to is the day after the last.")
    return first, until - timedelta(days=1)
