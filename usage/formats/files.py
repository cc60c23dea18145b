"""What a format of files is beside a format of bodies: a name for people, a way to cut, and options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from usage.events import Event, UnreadableBody
from usage.formats.contract import Format, FormatSettings, Refused

_encode = msgspec.json.Encoder(decimal_format="number").encode  # LiteLLM's format reads no amount that is a text


@dataclass(frozen=True, kw_only=True)
class FileFormat:
    """A kind of file that holds events.

    `parse` reads a piece of the file like a body. One that depends on options (a table's columns) has `configured`
    instead: it is given the options as they are kept with an import, and gives the `parse` that goes by them.
    """

    title: str
    about: str  # where such a file comes from
    parse: Format | None = None
    configured: Callable[[Mapping[str, Any]], Format] | None = None
    # Says what in the options cannot be, as (field, sentence), for a file with this head.
    check: Callable[[Mapping[str, Any], str], Sequence[tuple[str, str]]] | None = None
    table: bool = False  # what does not begin like JSON is CSV
    whole: bool = False  # each line, or the file where it is binary, is a body of its own and not an item

    def reads(self, options: Mapping[str, Any]) -> Format:
        """Return the function that reads pieces of a file with these options."""
        if self.configured is not None:
            return self.configured(options)
        if self.parse is None:
            raise RuntimeError("a format of files reads nothing")
        return self.parse


def read_one(parse: Format, fields: Mapping[str, Any], received_at: datetime, settings: FormatSettings) -> Event:
    """Read one event by a format of bodies, so that what is wrong with a row is said in the words of that format.

    Raises:
        Refused
    """
    try:
        body = _encode(fields)
        parsed = parse(body, content_type="application/json", received_at=received_at, settings=settings)
    except (UnreadableBody, UnicodeError) as error:
        raise Refused(f"the row cannot be read: {error}"[:160]) from None
    if parsed.rejected:
        raise Refused(parsed.rejected[0].error)
    return parsed.events[0]
