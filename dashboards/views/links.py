"""What several pages offer in the same way."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from django.http import Http404

NUMBER = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)  # of a row, as an address may give it


@dataclass(frozen=True, kw_only=True)
class Link:
    """One of several ways to look, as a link."""

    id: str
    title: str
    url: str
    current: bool = False


def number(given: Mapping[str, str], name: str) -> int | None:
    """Return the number that an address gives; None where it gives none.

    Raises:
        Http404: it gives something else.
    """
    text = given.get(name, "")
    if not text:
        return None
    if not NUMBER.fullmatch(text):
        raise Http404("There is no such page.")
    return int(text)
