"""manage.py import_usage FILE --format F --gateway G: reads a file of past events, and books it once confirmed.

A second run of the same command goes on where the first stopped, whatever stopped it.
"""

from __future__ import annotations

import getpass
import json
import time
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, BinaryIO

from django.conf import settings
from django.core.management.base import CommandError
from django.utils import timezone

from catalog.models import Gateway
from core import nudges, periods
from core.commands import QuickCommand
from core.errors import TollkeeperError
from core.models import Organisation
from usage.api_intake import format_settings
from usage.formats import FILE_FORMATS
from usage.formats.csv_events import DEFAULT_ZONE, FIELDS, guess
from usage.formats.pieces import UnreadableFile, head_of, is_table
from usage.selectors import imports as selected
from usage.selectors.imports import Group, ImportRow
from usage.services import imports
from usage.tasks import JOBS

_SHOWN = 20  # groups and rejections
_LOOK_S = 0.5
_STILL_S = 30.0  # without progress, after which somebody should look at the workers


class Command(QuickCommand):
    help = (
        "Read a file of past events into a gateway, as an import with a range of its own. Nothing is booked before it "
        "is confirmed, with --yes or in the console. The same command again goes on where it stopped."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", help="plain, gzip or zstd")
        parser.add_argument(
            "--format", required=True, choices=list(FILE_FORMATS),
            help="; ".join(f"{name}: {one.title}" for name, one in FILE_FORMATS.items()),
        )  # fmt: skip
        parser.add_argument("--gateway", metavar="G", required=True, help="whose calls these are; it has to exist")
        parser.add_argument("--environment", metavar="E", default="production", help="where they were made")
        parser.add_argument(
            "--mapping", metavar="COLUMN=FIELD", nargs="+", action="extend", default=[],
            help="of a table: which column holds which field of an event, beside what its names tell; COLUMN= leaves "
            "one out. Or a JSON file: an object from columns to fields",
        )  # fmt: skip
        parser.add_argument("--zone", default="", help=f"of a table: on whose clock its times are ({DEFAULT_ZONE})")
        parser.add_argument("--from", dest="since", metavar="T", default="", help="a day, or a moment with its offset")
        parser.add_argument("--to", dest="until", metavar="T", default="", help="likewise; not part of the range")
        parser.add_argument("--audit", action="store_true", help="keep the events out of every sum")
        parser.add_argument("--note", default="", help="kept with the import and in the audit trail")
        parser.add_argument("--by", default="", help="who imports; the name of this login where it is left out")
        parser.add_argument("--yes", action="store_true", help="confirm what was read, and wait until it is booked")
        parser.add_argument("--dry-run", action="store_true", help="say what the file holds, and keep nothing of it")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with Path(options["file"]).open("rb") as file:
                self._import(file, options)
        except OSError as error:
            raise CommandError(f"{options['file']} cannot be opened: {error.strerror}.") from error
        except (TollkeeperError, UnreadableFile) as error:
            raise CommandError(str(error)) from error

    def _import(self, file: BinaryIO, options: Mapping[str, Any]) -> None:
        gateway = Gateway.objects.filter(name__iexact=options["gateway"].strip()).first()
        if gateway is None:
            known = ", ".join(Gateway.objects.order_by("name").values_list("name", flat=True))
            raise CommandError(f"There is no gateway {options['gateway']!r}. Known are: {known or 'none'}.")
        given: dict[str, Any] = {
            "file": file,
            "format": options["format"],
            "gateway_id": gateway.pk,
            "options": self._mapping(file, options),
            "settings": format_settings(gateway.settings),
            "clock": timezone.now,
        }
        range_ = self._range(options)  # before the file is read, which may take long
        if options["dry_run"]:
            seen = imports.look(**given)
            self._tell_events(seen.events, seen.rejected, seen.first_at, seen.last_at)
            self._tell_groups(selected.groups_of(seen.summary))
            self._tell_rejected(selected.reasons_of(seen.summary), [(one.index, one.error) for one in seen.rejections])
            self.stdout.write("Nothing was kept.")
            return
        by = options["by"] or f"manage.py import_usage ({getpass.getuser()})"
        import_id = imports.take_file(
            **given,
            file_name=Path(options["file"]).name,
            environment=options["environment"],
            by=by,
            told=self._told(),
        )
        row = self._row(import_id)
        self._tell_read(row)
        if row.state == "ready" and options["yes"]:
            self._confirm(row, range_, by, options)
            row = self._row(import_id)
        if row.state == "ready":
            url = f"{settings.BASE_URL}/gateways/imports/{import_id}/"
            self.stdout.write(f"Nothing is booked yet. Confirm at {url}, or run this again with --yes.")
        elif options["yes"]:
            self._wait(row)
        else:
            self._tell_state(row)

    # --- what was asked for ---

    def _mapping(self, file: BinaryIO, options: Mapping[str, Any]) -> dict[str, Any]:
        known = FILE_FORMATS[options["format"]]
        if known.check is None:
            if options["mapping"] or options["zone"]:
                raise CommandError("--mapping and --zone are for tables.")
            return {}
        columns = guess(head_of(file)) if is_table(file) else {}
        for one in options["mapping"]:
            for column, field in self._pairs(one):
                for taken in [name for name, said in columns.items() if said == column]:
                    del columns[taken]
                if field:
                    columns[field] = column
        return {"columns": columns, "zone": options["zone"] or DEFAULT_ZONE}

    def _pairs(self, given: str) -> Sequence[tuple[str, str]]:
        column, equals, field = given.rpartition("=")
        if equals:
            return [(column.strip(), field.strip())]
        try:
            said = json.loads(Path(given).read_text())
        except (OSError, ValueError) as error:
            raise CommandError(f"{given!r} is neither COLUMN=FIELD nor a JSON file of them.") from error
        if not isinstance(said, dict) or not all(isinstance(one, str) for one in said.values()):
            raise CommandError(f"{given} holds no object from columns to fields.")
        return list(said.items())

    def _range(self, options: Mapping[str, Any]) -> tuple[datetime | None, datetime | None]:
        zone = Organisation.objects.values_list("zone", flat=True).get(pk=1)
        return self._moment("--from", options["since"], zone), self._moment("--to", options["until"], zone)

    def _moment(self, option: str, text: str, zone: str) -> datetime | None:
        if not text:
            return None
        try:
            with suppress(ValueError):
                return periods.day_start(date.fromisoformat(text), zone)
            at = datetime.fromisoformat(text)
        except ValueError:
            at = None
        if at is None or at.tzinfo is None:
            raise CommandError(f"{option}: write a day as 2026-11-01, or a moment as 2026-11-01T14:00:00Z.")
        return at.astimezone(UTC)

    # --- what is done ---

    def _row(self, import_id: int) -> ImportRow:
        row = selected.one(import_id=import_id)
        if row is None:
            raise CommandError("The import was dropped meanwhile.")
        return row

    def _confirm(
        self, row: ImportRow, range_: tuple[datetime | None, datetime | None], by: str, options: Mapping[str, Any]
    ) -> None:
        if row.first_at is None or row.last_at is None:
            raise CommandError("The file holds no events, so there is nothing to book.")
        try:
            imports.confirm(
                import_id=row.id,
                by=by,
                at=timezone.now(),
                covers=range_,
                audit_only=options["audit"],
                note=options["note"],
            )
        except imports.RangeIsCounted as error:
            hint = "Give another range with --from and --to, or import for audit with --audit."
            raise CommandError(f"{error} {hint}") from error
        nudges.nudge(JOBS, queue="background")

    def _wait(self, row: ImportRow) -> None:
        """Show how far the booking is until it ends."""
        moved = time.monotonic()
        hinted = False
        while row.state == "booking" and not row.stopped:
            time.sleep(_LOOK_S)
            newer = self._row(row.id)
            if newer.handled != row.handled:
                self.stdout.write(f"{newer.handled:,} of {newer.events:,} events booked")
                moved, hinted = time.monotonic(), False
            elif time.monotonic() - moved > _STILL_S and not hinted:
                self.stdout.write("Nothing moves. Do the workers run? They book it also when this command has ended.")
                hinted = True
            row = newer
        self._tell_state(row)

    # --- what is said ---

    def _told(self) -> Any:
        last = 0.0

        def told(progress: imports.Progress) -> None:
            nonlocal last
            if time.monotonic() - last > 1:
                last = time.monotonic()
                read = progress.position / 1e6
                self.stdout.write(f"{read:,.0f} MB read, {progress.events:,} events, {progress.rejected:,} rejected")

        return told

    def _tell_read(self, row: ImportRow) -> None:
        self.stdout.write(f"Import {row.id}: {row.title}, {row.file_name}, into {row.gateway} ({row.environment})")
        if columns := row.options.get("columns"):
            order = [*(field for field in FIELDS if field in columns), *sorted(columns.keys() - FIELDS.keys())]
            said = ", ".join(f"{columns[field]}={field}" for field in order)
            self.stdout.write(f"Columns: {said}; times on the clock of {row.options['zone']}")
        self._tell_events(row.events, row.rejected, row.first_at, row.last_at)
        self._tell_groups(row.groups)
        rejections = selected.rejections(import_id=row.id, most=_SHOWN)
        self._tell_rejected(row.reasons, [(one.index, one.error) for one in rejections])
        if new := sum(map(len, row.unknown.values())):
            self.stdout.write(f"{new} names are new here: they are made when they are booked, and wait for an owner.")

    def _tell_events(self, events: int, rejected: int, first: datetime | None, last: datetime | None) -> None:
        times = f", {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC" if first and last else ""
        self.stdout.write(f"{events:,} events{times}; {rejected:,} items rejected")

    def _tell_groups(self, groups: Sequence[Group]) -> None:
        for one in groups[:_SHOWN]:
            cost = f"${one.cost_usd:,.2f}" if one.unpriced < one.events else "unpriced"
            self.stdout.write(
                f"  {one.use_case} / {one.model}: {one.events:,} events, {one.input_tokens:,} + "
                f"{one.output_tokens:,} tokens, {cost}"
            )
        if len(groups) > _SHOWN:
            self.stdout.write(f"  and {len(groups) - _SHOWN} more")

    def _tell_rejected(self, reasons: Sequence[tuple[str, int]], items: Sequence[tuple[int, str]]) -> None:
        first = {error: index for index, error in reversed(items)}
        for reason, count in reasons[:_SHOWN]:
            where = f", first at item {first[reason] + 1:,}" if reason in first else ""
            self.stdout.write(f"  rejected {count:,} times{where}: {reason}")

    def _tell_state(self, row: ImportRow) -> None:
        if row.state == "dropped":
            raise CommandError(f"{row.dropped_by} dropped this import.")
        if row.state == "failed" or row.stopped:
            raise CommandError(f"{row.error} {row.handled:,} of {row.events:,} events are booked.")
        if row.state != "done":
            self.stdout.write(f"{row.handled:,} of {row.events:,} events are booked; the workers go on.")
            return
        aside = f", {row.shadowed:,} kept aside" if row.shadowed else ""
        repeats = f", {row.duplicates:,} that came before" if row.duplicates else ""
        doubts = f", {row.conflicts:,} with a known id and other content" if row.conflicts else ""
        self.stdout.write(f"Done: {row.booked:,} events booked{aside}{repeats}{doubts}.")
