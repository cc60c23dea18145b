"""From a file to parts of an import: normalised events and nothing else. See Note [The way of an import]."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO

from django.db import transaction

from catalog.models import Gateway
from catalog.services.labels import checked_name
from core.errors import Conflict, Invalid, Malformed, NotFound, TooLarge
from usage.events import Event, Parsed, Rejected, UnreadableBody
from usage.formats import FILE_FORMATS, FileFormat, FormatSettings
from usage.formats.csv_events import guess
from usage.formats.pieces import MAX_ITEM_BYTES, MOST_ITEMS, Piece, UnreadableFile, cut, head_of, is_table
from usage.models import ImportPart, ImportState, UsageImport
from usage.selectors import world as worlds
from usage.services import intake
from usage.services.imports.summing import Summary

MOST_REJECTIONS = 500  # that are kept one by one; their reasons are counted for all
_TOO_LONG = f"longer than {MAX_ITEM_BYTES // 2**20} MB"

Clock = Callable[[], datetime]


class Unreadable(Malformed):
    """The file is not of its format, or is broken; the message says why."""


class OtherReading(Conflict):
    """Another process reads the same file at this moment."""


class OtherWay(Conflict):
    """The same file was begun for this gateway with another format, environment or mapping."""


class GivenUp(Conflict):
    """Somebody dropped the import while its file was read."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far the reading of a file is."""

    import_id: int
    position: int  # bytes of the unpacked file
    events: int
    rejected: int


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a file holds that was looked at and not kept."""

    events: int
    rejected: int
    rejections: Sequence[Rejected]  # the first of them
    first_at: datetime | None
    last_at: datetime | None
    summary: Mapping[str, Any]


def _untold(progress: Progress) -> None:
    pass


def take_file(
    *,
    file: BinaryIO,
    file_name: str,
    format: str,
    gateway_id: int,
    environment: str,
    options: Mapping[str, Any],
    settings: FormatSettings,
    by: str,
    clock: Clock,
    told: Callable[[Progress], None] = _untold,
    most_bytes: int | None = None,
    most_items: int = MOST_ITEMS,
) -> int:
    """Read a file to its end and return its import, which then waits for somebody who confirms it.

    `file` is seekable. `options` are the format's: `columns` (field to column) and `zone` of a table; without columns
    they are guessed by their names. A file that was read in part goes on where that stopped, one that was read wholly
    is not read again: the same import is returned, whatever became of it. `told` is called after each part.
    `most_bytes` is how much may come out of the file unpacked, `most_items` how many items make a part.

    Raises:
        NotFound: there is no such gateway.
        Invalid: the format, the environment or the columns; nothing was kept.
        Unreadable: not of its format, and nothing was kept; or broken further on, and the import says so.
        OtherWay, OtherReading, GivenUp: see there.
        TooLarge: what was read is kept, and the same file given to `manage.py import_usage` goes on.
    """
    known = _format(format)
    environment = checked_name(environment, field="environment", length=64)
    try:
        chosen = _options(known, file, options)
        found = _begun(
            gateway_id=gateway_id, format=format, environment=environment, options=chosen, file_name=file_name,
            sha256=_digest(file), by=by, at=clock(),
        )  # fmt: skip
        if found.state in (ImportState.READING, ImportState.FAILED) and found.source_id is None:
            _read(found, known, file, settings, clock=clock, told=told, most_bytes=most_bytes, most_items=most_items)
    except UnreadableFile as error:
        raise Unreadable(f"The file cannot be read: {error}.") from error
    return found.pk


def look(
    *,
    file: BinaryIO,
    format: str,
    gateway_id: int,
    options: Mapping[str, Any],
    settings: FormatSettings,
    clock: Clock,
) -> Seen:
    """Read a file to its end and say what it holds, and keep nothing. `take_file` tells of the arguments.

    Raises:
        Invalid, Unreadable: see `take_file`.
    """
    known = _format(format)
    summary = Summary({}, gateway_id=gateway_id)
    events = rejected = items = 0
    first: list[Rejected] = []
    try:
        parse = known.reads(_options(known, file, options))
        for piece in cut(file, table=known.table, whole=known.whole):
            parsed = _parsed(parse, piece, first=not items, at=clock(), settings=settings)
            summary.add(parsed.events, worlds.current().book)
            summary.refuse(parsed.rejected)
            room = max(0, MOST_REJECTIONS - len(first))
            first += [Rejected(index=items + one.index, error=one.error) for one in parsed.rejected[:room]]
            events, rejected, items = events + len(parsed.events), rejected + len(parsed.rejected), items + piece.items
    except UnreadableFile as error:
        raise Unreadable(f"The file cannot be read: {error}.") from error
    return Seen(
        events=events, rejected=rejected, rejections=tuple(first), first_at=summary.first_at, last_at=summary.last_at,
        summary=summary.kept(),
    )  # fmt: skip


def _format(name: str) -> FileFormat:
    known = FILE_FORMATS.get(name)
    if known is None:
        raise Invalid(f"There is no format {name!r}.", [("format", f"One of {', '.join(FILE_FORMATS)}.")])
    return known


def _options(known: FileFormat, file: BinaryIO, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options to read a file with, checked against its head.

    Raises:
        Invalid: with everything that is wrong.
        UnreadableFile
    """
    if known.check is None:
        if given:
            raise Invalid("This format takes no mapping.", [("mapping", "Only tables take one.")])
        return {}
    if not is_table(file):
        raise UnreadableFile("it begins like JSON, and the format is for tables")
    head = head_of(file)
    chosen = {"columns": dict(given.get("columns") or guess(head)), "zone": given.get("zone") or "UTC"}
    problems = list(known.check(chosen, head))
    if problems:
        raise Invalid("\n".join(f"{field}: {sentence}" for field, sentence in problems), problems)
    return chosen


def _digest(file: BinaryIO) -> bytes:
    file.seek(0)
    digest = hashlib.sha256()
    while chunk := file.read(io.DEFAULT_BUFFER_SIZE * 128):
        digest.update(chunk)
    return digest.digest()


@transaction.atomic(durable=True)
def _begun(
    *,
    gateway_id: int,
    format: str,
    environment: str,
    options: Mapping[str, Any],
    file_name: str,
    sha256: bytes,
    by: str,
    at: datetime,
) -> UsageImport:
    """Return the import of a file, made where there is none. Two who begin at once get the same.

    Raises:
        NotFound, OtherWay
    """
    if not Gateway.objects.filter(pk=gateway_id).exists():
        raise NotFound("There is no such gateway.")
    made = UsageImport(
        gateway_id=gateway_id,
        environment=environment,
        format=format,
        options=options,
        file_name=file_name[-200:],
        sha256=sha256,
        started_at=at,
        started_by=by,
    )
    UsageImport.objects.bulk_create([made], ignore_conflicts=True)
    found = UsageImport.objects.exclude(state=ImportState.DROPPED).get(gateway_id=gateway_id, sha256=sha256)
    if (found.format, found.environment, found.options) != (format, environment, dict(options)):
        raise OtherWay(
            f"This file is import {found.pk} already, as {found.format} in {found.environment}"
            f"{' with other columns' if found.options != options else ''}: drop that one first."
        )
    return found


def _read(
    found: UsageImport,
    known: FileFormat,
    file: BinaryIO,
    settings: FormatSettings,
    *,
    clock: Clock,
    told: Callable[[Progress], None],
    most_bytes: int | None,
    most_items: int,
) -> None:
    if found.state == ImportState.FAILED:
        UsageImport.objects.filter(pk=found.pk, state=ImportState.FAILED).update(state=ImportState.READING, error="")
    parse = known.reads(found.options)
    summary = Summary(found.summary, gateway_id=found.gateway_id)
    number = found.parts.count()
    events: list[Event] = []
    rejected: list[Rejected] = []
    items = 0

    def keep(end: int) -> None:
        nonlocal number, events, rejected, items
        summary.add(events, worlds.current().book)
        summary.refuse(rejected)
        _keep(found, number, end, items, events, rejected, summary)
        number += 1
        events, rejected, items = [], [], 0
        told(Progress(import_id=found.pk, position=found.position, events=found.events, rejected=found.rejected))

    end = found.position
    try:
        for piece in cut(file, table=known.table, start=found.position, whole=known.whole, most_items=most_items):
            if most_bytes is not None and piece.end > most_bytes:
                raise TooLarge(
                    f"Unpacked, the file is over {most_bytes:,} bytes, the limit here. What was read of it is kept: "
                    "manage.py import_usage goes on with the same file."
                )
            parsed = _parsed(parse, piece, first=not found.items + items, at=clock(), settings=settings)
            rejected += [Rejected(index=found.items + items + one.index, error=one.error) for one in parsed.rejected]
            events += parsed.events
            items += piece.items
            end = piece.end
            if len(events) + len(rejected) >= most_items or not known.whole:
                keep(end)
        if items:
            keep(end)
        if not found.items:
            raise UnreadableFile("it holds no events")
    except UnreadableFile as error:
        _broken(found, str(error))
        raise
    UsageImport.objects.filter(pk=found.pk, state=ImportState.READING, position=found.position).update(
        state=ImportState.READY
    )


def _parsed(parse: Any, piece: Piece, *, first: bool, at: datetime, settings: FormatSettings) -> Parsed:
    """Read a piece. Of what is no piece of the format at all every item is rejected, unless the file begins with it.

    Raises:
        UnreadableFile
    """
    try:
        parsed: Parsed = parse(piece.body, content_type="", received_at=at, settings=settings)
    except UnreadableBody as error:
        if first:
            raise UnreadableFile(str(error)) from None
        return Parsed(events=[], rejected=[Rejected(index=i, error=str(error)) for i in range(piece.items)])
    for item in parsed.rejected:
        if item.index in piece.too_long:
            item.error = _TOO_LONG
    return parsed


@transaction.atomic(durable=True)
def _keep(
    found: UsageImport,
    number: int,
    end: int,
    items: int,
    events: Sequence[Event],
    rejected: Sequence[Rejected],
    summary: Summary,
) -> None:
    """Commit a part together with where the next one begins.

    Raises:
        OtherReading, GivenUp: nothing was kept.
    """
    firsts = [at for at in (found.first_at, summary.first_at) if at is not None]
    lasts = [at for at in (found.last_at, summary.last_at) if at is not None]
    room = max(0, MOST_REJECTIONS - found.rejected)
    kept = {
        "position": end,
        "items": found.items + items,
        "events": found.events + len(events),
        "rejected": found.rejected + len(rejected),
        "first_at": min(firsts, default=None),
        "last_at": max(lasts, default=None),
        "summary": summary.kept(),
    }
    # Whoever else reads the same file has moved the position, and does the work.
    mine = UsageImport.objects.filter(pk=found.pk, state=ImportState.READING, position=found.position)
    if not mine.update(**kept):
        if UsageImport.objects.filter(pk=found.pk, state=ImportState.DROPPED).exists():
            raise GivenUp("The import was dropped while its file was read.")
        raise OtherReading("Another process reads this file; see its import for how far it is.")
    ImportPart.objects.create(
        usage_import=found,
        number=number,
        events=intake.pack(events) if events else None,
        event_count=len(events),
        rejected=[{"index": one.index, "error": one.error} for one in rejected[:room]],
    )
    for name, value in kept.items():
        setattr(found, name, value)


def _broken(found: UsageImport, error: str) -> None:
    """Note why reading stopped; of a file of which nothing was read, no trace is left."""
    if not found.items:
        UsageImport.objects.filter(pk=found.pk, state=ImportState.READING, items=0).delete()
        return
    UsageImport.objects.filter(pk=found.pk, state=ImportState.READING).update(
        state=ImportState.FAILED, error=f"The file cannot be read further: {error}."[:500]
    )
