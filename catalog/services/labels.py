"""Checks of names and labels that several services share."""

from __future__ import annotations

import re

from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from catalog.models import NAME_PATTERN
from catalog.rules import fold
from core.errors import Conflict, Invalid

_NAME = re.compile(NAME_PATTERN)
ALIAS_LENGTH = 193


class LabelIsTaken(Conflict):
    """The label means another use case or team."""


def checked_name(name: str, *, field: str = "name", length: int = 128) -> str:
    """Return a name of a provider, model or gateway as it is kept.

    Raises:
        Invalid: it holds other than letters, digits and `. _ : / @ -`, or is too long.
    """
    name = name.strip()
    if not _NAME.fullmatch(name) or len(name) > length:
        message = f"{name!r} is not a name: use letters, digits and . _ : / @ - only, {length} at most."
        raise Invalid(message, [(field, f"letters, digits and . _ : / @ - only, {length} at most")])
    return name


def checked_label(label: str, *, field: str = "name") -> tuple[str, str]:
    """Return a label of a use case or team, tidied, and its folded form.

    Raises:
        Invalid: it is empty, too long, or holds control characters.
    """
    tidy = " ".join(label.split())
    folded = fold(label)
    if not tidy or max(len(tidy), len(folded)) > 128 or not tidy.isprintable():
        raise Invalid(f"{label!r} is not a label: 1 to 128 printable characters.", [(field, "1 to 128 characters")])
    return tidy, folded


def folded_alias(name: str, *, field: str = "alias") -> str:
    """Return a gateway's name for an offering in the form it is looked up by.

    Raises:
        Invalid: it is empty, too long, or holds blanks or control characters.
    """
    folded = name.strip().lower()
    if not folded or len(folded) > ALIAS_LENGTH or not folded.isprintable() or " " in folded:
        message = f"{name!r} is not a name that a gateway can send: 1 to {ALIAS_LENGTH} characters, no blanks."
        raise Invalid(message, [(field, f"1 to {ALIAS_LENGTH} characters, no blanks")])
    return folded


def since(lower: object, upper: object = None) -> DateTimeTZRange:
    """Return the half-open range [lower, upper); None is open."""
    return DateTimeTZRange(lower, upper, "[)")


def rests(old: DateTimeTZRange, new: DateTimeTZRange) -> list[DateTimeTZRange]:
    """Return what is left of `old` on either side of `new`; a beginning of None is before all others."""
    left = []
    if new.lower is not None and (old.lower is None or old.lower < new.lower):
        left.append(since(old.lower, new.lower))
    if new.upper is not None and (old.upper is None or new.upper < old.upper):
        left.append(since(new.upper, old.upper))
    return left
