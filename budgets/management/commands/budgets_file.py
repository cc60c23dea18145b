"""manage.py budgets_file [FILE]: budgets with their limits as CSV, out and back."""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from budgets import sheets, wording
from budgets.selectors import sheets as selector
from budgets.services import sheets as service
from budgets.tasks import tell
from core.commands import QuickCommand
from core.errors import Invalid, TollkeeperError


class Command(QuickCommand):
    help = "Write all budgets with their limits as CSV, or say what a FILE would change; with --write, change it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", nargs="?", help="to bring back; left out, the file is written to standard output")
        parser.add_argument("--write", action="store_true", help="change what it says; all of it, or nothing")
        parser.add_argument("--reason", default="", help="kept with each limit; needed to write")
        parser.add_argument("--by", default="", help="who sets the limits; the name of this login where it is left out")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        if options["file"] is None:
            for line in sheets.written(selector.rows(at=now)):
                self.stdout.write(line, ending="")
            return
        try:
            content = Path(options["file"]).read_bytes()
            found = service.compare(content=content, at=now)
            if options["write"]:
                by = options["by"] or f"manage.py budgets_file ({getpass.getuser()})"
                found = service.write(
                    content=content, digest=found.digest, reason=options["reason"], by=by, approved_by=by, at=now
                )
                tell()
        except OSError as error:
            raise CommandError(f"{options['file']} cannot be read: {error.strerror}.") from error
        except service.Wrong as error:
            said = [f"row {row}, {column or 'whole'}: {sentence}" for row, column, sentence in error.rows]
            raise CommandError("\n".join([str(error), *said])) from error
        except Invalid as error:
            named = [f"{name}: {sentence}" for name, sentence in error.problems]
            raise CommandError("\n".join(named) or str(error)) from error
        except TollkeeperError as error:
            raise CommandError(str(error)) from error
        for one in found.changes:
            none = "new" if one.budget_id is None else "no limit"
            before = none if one.before is None else wording.quantity(one.unit, one.before)
            after = wording.quantity(one.unit, one.after)
            self.stdout.write(f"{one.budget}, {sheets.period_text(one.kind, one.first_day)}: {before} -> {after}")
        done = "written" if options["write"] else "would be written"
        self.stdout.write(f"{len(found.changes)} limits {done}, {found.same} rows say what holds already.")
