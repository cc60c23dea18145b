"""What a format of files is beside a format of bodies: a name for people, a way to cut, and options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from usage.formats.contract import Format


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
