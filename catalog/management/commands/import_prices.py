"""`manage.py import_prices --from SOURCE [FILE]`: reads a table of prices and leaves proposals; it prices nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from catalog.services import imports
from core.commands import QuickCommand
from core.errors import TollkeeperError

_SHOWN = 20
_ABOUT = {
    "new": "offerings that have no list price yet",
    "changed": "offerings whose prices differ from the book",
    "gone": "offerings that the table listed once and lists no more",
    "disputed": "offerings where the book agrees, and another source says otherwise",
}


class Command(QuickCommand):
    help = (
        "Read a table of prices and propose what differs from the price book. Nothing is priced before a person "
        "accepts it in the console. Importing the same table again writes nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--from",
            dest="source",
            metavar="SOURCE",
            choices=imports.SOURCES,
            required=True,
            help=f"one of {', '.join(imports.SOURCES)}; the first is read from the installed package",
        )
        parser.add_argument("file", metavar="FILE", nargs="?", help="the table, for litellm (JSON) and csv")
        parser.add_argument(
            "--accept-shrunk",
            action="store_true",
            help="import a table that lists far fewer models than before; what is missing is proposed as gone",
        )
        parser.add_argument(
            "--by", metavar="NAME", default="manage.py import_prices", help="who imports, for the audit trail"
        )

    def handle(self, *, source: str, file: str | None, accept_shrunk: bool, by: str, **options: Any) -> None:
        path = Path(file) if file is not None else None
        try:
            content = path.read_bytes() if path is not None else None
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
        try:
            done = imports.propose(
                table=imports.read(source=source, content=content),
                file_name=path.name if path is not None else "",
                by=by,
                at=timezone.now(),
                accept_shrunk=accept_shrunk,
            )
        except imports.Shrunk as error:
            raise CommandError(f"{error} The option is --accept-shrunk.") from error
        except TollkeeperError as error:
            raise CommandError(str(error)) from error
        self._tell(done)

    def _tell(self, done: imports.ImportResult) -> None:
        name = f"{done.source} {done.version}".strip()
        self.stdout.write(f"Read {done.models:,} models of {name}; {done.offerings:,} offerings have prices in it.")
        for kind, about in _ABOUT.items():
            if count := getattr(done, kind):
                self.stdout.write(f"{count:>6,} {kind:<9} {about}")
        if not done.proposed:
            self.stdout.write("Nothing new to decide on.")
        if done.waiting:
            self.stdout.write(f"{done.waiting:>6,} proposals of an earlier import say the same and wait still.")
        if done.settled:
            self.stdout.write(f"{done.settled:>6,} differences were decided on before and are not proposed again.")
        if done.replaced:
            self.stdout.write(f"{done.replaced:>6,} older proposals are replaced: the table does not say so any more.")
        if done.problems:
            self.stdout.write(f"{len(done.problems):>6,} names could not be read in full:")
            for offering, problem in done.problems[:_SHOWN]:
                self.stdout.write(f"       {offering}: {problem}")
            if len(done.problems) > _SHOWN:
                self.stdout.write(f"       and {len(done.problems) - _SHOWN:,} more.")
        if done.import_id is not None:
            self.stdout.write(
                f"Import {done.import_id} waits for a person: Prices in the console, or "
                f"GET /api/v1/price-proposals?import={done.import_id}."
            )
        elif done.waiting:
            self.stdout.write("They wait for a person: Prices in the console, or GET /api/v1/price-proposals.")
