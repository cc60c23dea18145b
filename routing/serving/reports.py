"""What a gateway says of itself on a poll, in query parameters.

Read leniently: what is not understood counts as not said, because a report must never cost a gateway its rules.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import parse_qsl

INSTANCE_PATTERN = r"[A-Za-z0-9._:@-]{1,128}"
CLIENT_PATTERN = r"[A-Za-z0-9._/ -]{1,64}"
REASON_CHARACTERS = 300

_INSTANCE = re.compile(INSTANCE_PATTERN)
_CLIENT = re.compile(CLIENT_PATTERN)
_SPEC = re.compile(r"[0-9]{1,4}")
# As ETags have it: some send them as they got them.
_PAIR = re.compile(r'(?:W/)?"?([0-9]{1,9})\.([0-9]{1,18})(?:-gzip)?"?')

_KEPT_CHARACTERS = 300  # of a query that is kept with what was read in it; longer ones are read each time
_KEPT = 10_000  # as many as instances are noted of
_LONGEST = 16_384  # characters; what is longer says nothing
_MOST_FIELDS = 32

Pair = tuple[int, int]  # version and revision


class Report(NamedTuple):
    """What one poll said; defaults stand for what it did not say."""

    instance: str = ""  # how it calls itself
    active: Pair | None = None  # what it runs
    rejected: Pair | None = None  # what it refused to run
    reason: str = ""  # and why
    spec: int | None = None  # the newest specification that it understands
    client: str = ""  # what asks, such as tollkeeper-python/1.0


NOTHING = Report()


def read(query: str) -> Report:
    """Read a query string, still percent-encoded. Of a parameter that is there twice the last one counts."""
    if not query:
        return NOTHING
    return _read(query) if len(query) <= _KEPT_CHARACTERS else _read.__wrapped__(query)


@lru_cache(maxsize=_KEPT)
def _read(query: str) -> Report:
    if len(query) > _LONGEST:
        return NOTHING
    try:
        fields = dict(parse_qsl(query, max_num_fields=_MOST_FIELDS))
    except ValueError:  # too many
        return NOTHING
    rejected = _pair(fields.get("rejected", ""))
    return Report(
        instance=_fitting(_INSTANCE, fields.get("instance", "")),
        active=_pair(fields.get("active", "")),
        rejected=rejected,
        reason="" if rejected is None else _one_line(fields.get("reason", "")),
        spec=int(spec) if (spec := _fitting(_SPEC, fields.get("spec", ""))) else None,
        client=_fitting(_CLIENT, fields.get("client", "")),
    )


def _fitting(pattern: re.Pattern[str], value: str) -> str:
    return value if pattern.fullmatch(value) else ""


def _pair(value: str) -> Pair | None:
    found = _PAIR.fullmatch(value)
    return None if found is None else (int(found[1]), int(found[2]))


def _one_line(text: str) -> str:
    """Return a text without what does not print; words that a line break kept apart stay apart."""
    printed = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printed.split())[:REASON_CHARACTERS].rstrip()
