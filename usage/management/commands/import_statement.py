"""`manage.py import_statement FILE --format FORMAT`: takes in a provider's export of sums. It is in no total."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from core.commands import QuickCommand
from core.errors import TollkeeperError
from usage.services import statements
from usage.statements import FORMATS


class Command(QuickCommand):
    help = (
        "Take in what a provider says was used or what it costs, by day, to be set beside the ledger on the page "
        "Reconciliation. It is in no total. The same file again changes nothing; a newer export takes the place of "
        "the days that it holds too."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="the export; of an API its answers, page behind page")
        parser.add_argument(
            "--format", metavar="FORMAT", choices=list(FORMATS), required=True, help=f"one of {', '.join(FORMATS)}"
        )
        parser.add_argument("--account", default="", help="whose bill it is, where there are several with one provider")
        parser.add_argument("--gateway", default="", help="the gateway through which alone this account is used")
        parser.add_argument(
            "--by", metavar="NAME", default="manage.py import_statement", help="who imports, for the audit trail"
        )

    def handle(self, *, file: str, format: str, account: str, gateway: str, by: str, **options: Any) -> None:
        path = Path(file)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
        try:
            done = statements.import_file(
                content=content,
                format=format,
                file_name=path.name,
                account=account,
                gateway=gateway,
                by=by,
                at=timezone.now(),
            )
        except TollkeeperError as error:
            raise CommandError(str(error)) from error
        if done.known:
            self.stdout.write(f"The same file was imported before, as statement {done.id}. Nothing changed.")
            return
        self.stdout.write(
            f"Statement {done.id}: {done.lines:,} lines of {FORMATS[done.format].title}, "
            f"{done.first_day} to {done.last_day}."
        )
        if done.replaced_days:
            self.stdout.write(f"{done.replaced_days:,} days of an earlier import are replaced.")
        for note in done.notes:
            self.stdout.write(note)
