"""manage.py export_focus --month 2026-10: what was booked in a month, as FOCUS 1.2."""

from __future__ import annotations

import os
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import date
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from core.commands import QuickCommand
from core.errors import TollkeeperError
from core.money import plain
from usage.focus import files
from usage.focus.lines import Line
from usage.selectors import focus

_TELL_EVERY = 50_000  # lines


class Command(QuickCommand):
    help = "Write what was booked in a month as FOCUS 1.2. Costs add up to the ledger, to the last digit."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--month", required=True, help="such as 2026-10")
        parser.add_argument("--out", help="a file, there whole or not at all; standard output where it is left out")
        parser.add_argument("--format", choices=files.FORMATS, help="csv where the file's name does not say")
        parser.add_argument("--team", default="", help="only what this team used")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            month = date.fromisoformat(f"{options['month']}-01")
        except ValueError:
            raise CommandError(f"{options['month']!r} is not a month such as 2026-10.") from None
        form = options["format"] or _form_of(options["out"] or "")
        try:
            found = focus.export(month=month, at=timezone.now(), team=options["team"])
        except TollkeeperError as error:
            raise CommandError(str(error)) from error
        self.count, self.billed_usd = 0, Decimal(0)
        pieces = files.file(self._counted(found.lines), form)
        if options["out"]:
            try:
                _write(Path(options["out"]), pieces)
            except OSError as error:
                raise CommandError(f"{options['out']}: {error.strerror}.") from error
        else:
            for piece in pieces:
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
        self.stderr.write(f"{month:%B %Y}: {self.count:,} lines, {plain(self.billed_usd)} USD.")

    def _counted(self, lines: Iterator[Line]) -> Iterator[Line]:
        with localcontext() as context:
            context.prec = 80
            for line in lines:
                self.count += 1
                self.billed_usd = context.add(self.billed_usd, line["BilledCost"])
                if self.count % _TELL_EVERY == 0:
                    self.stderr.write(f"{self.count:,} lines ...")
                yield line


def _form_of(name: str) -> str:
    return next((form for form in (files.CSV_GZ, files.JSONL) if name.endswith(f".{form}")), files.CSV)


def _write(place: Path, pieces: Iterator[bytes]) -> None:
    """Write a file beside its place and move it there when it is whole."""
    handle, made = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        Path(made).chmod(0o644)
        Path(made).replace(place)
    except BaseException:
        Path(made).unlink(missing_ok=True)
        raise
