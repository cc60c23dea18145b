"""Steps that are looked at once more before they are taken: a page that says what will happen, and a form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import Conflict, Invalid, NotFound, TollkeeperError
from routing.rules.texts import plain

REFUSED = (Invalid, Conflict, NotFound)


@dataclass(frozen=True, kw_only=True)
class Step:
    verb: str  # in the address
    action: str  # of the table in core/access.py
    button: str
    says: str  # what will happen
    states: frozenset[str] = frozenset()  # of a proposal, in which it can be taken
    asks: str = ""  # what the text is for; empty where it takes none
    must_say: bool = False
    grave: bool = False


def why_refused(error: TollkeeperError) -> list[str]:
    """Return what a refusal says, sentence by sentence."""
    problems: Sequence[tuple[str, str]] = error.problems if isinstance(error, Invalid) else ()
    return [plain(str(error)), *(plain(f"{place}: {text}" if place else text) for place, text in problems)]


def status_of(error: TollkeeperError) -> int:
    if isinstance(error, NotFound):
        return 404
    return 422 if isinstance(error, Invalid) else 409
