"""Tables of prices from outside, as proposals: what differs from the book waits for a person.

# Note [A price from outside]
A table that somebody else keeps is right most of the time. So it prices nothing by itself: an import reads it whole,
refuses it whole where it cannot be right (it shrank, its units are off), and leaves one proposal for each offering of
which it says something else than the book. A person accepts or rejects it.
"""

from catalog.services.imports.proposing import ImportResult, Shrunk, WrongUnits, propose
from catalog.services.imports.reading import FILES, SOURCES, read
from catalog.services.imports.settling import MOST_AT_ONCE, Settled, Stale, accept, apply, reject

__all__ = [
    "FILES",
    "MOST_AT_ONCE",
    "SOURCES",
    "ImportResult",
    "Settled",
    "Shrunk",
    "Stale",
    "WrongUnits",
    "accept",
    "apply",
    "propose",
    "read",
    "reject",
]
