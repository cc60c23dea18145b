"""Imports: a range of a gateway's past, taken in as a source of its own, mostly from a file.

# Note [The way of an import]
A file is read once, piece by piece (`reading`), and only its normalised events are kept, in parts that each commit with
the place in the file where the next one begins. Reading that broke off goes on there when the same file is given again;
its hash tells that it is the same. Nothing is booked until a person has seen what the file holds and confirms a range
(`settling`). That makes the source; then a job (`running`) puts part after part into receipts of it, each in one
transaction with the part's own mark, and the intake workers book those like any others.
"""

from usage.services.imports.opening import RangeIsCounted, open_import
from usage.services.imports.reading import GivenUp, OtherReading, OtherWay, Progress, Seen, Unreadable, look, take_file
from usage.services.imports.settling import NotFailed, Settled, again, confirm, drop, usual_range

__all__ = [
    "GivenUp",
    "NotFailed",
    "OtherReading",
    "OtherWay",
    "Progress",
    "RangeIsCounted",
    "Seen",
    "Settled",
    "Unreadable",
    "again",
    "confirm",
    "drop",
    "look",
    "open_import",
    "take_file",
    "usual_range",
]
