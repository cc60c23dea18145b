"""What several pages offer in the same way."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Link:
    """One of several ways to look, as a link."""

    id: str
    title: str
    url: str
    current: bool = False
