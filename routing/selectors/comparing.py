"""Any two sets of rules of an environment side by side: versions by their number, drafts as `draft-ID`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from routing.rules.differences import PartChange, compared, lines_of
from routing.selectors import proposals, versions

_NAME = re.compile(r"(draft-)?([1-9][0-9]{0,8})", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One side of a comparison. `version` or `draft` is its number, the other is None."""

    name: str  # as an address names it
    version: int | None
    draft: int | None
    title: str
    state: str  # in_force, published, or the state of a draft
    by: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Comparison:
    before: Compared
    after: Compared
    parts: tuple[PartChange, ...]  # every part of both, what is the same included

    @property
    def lines(self) -> list[str]:
        """Return all that differs in plain words."""
        return lines_of(self.parts)


def draft_name(proposal_id: int) -> str:
    return f"draft-{proposal_id}"


def one(*, environment: str, before: str, after: str) -> Comparison | None:
    """Return what differs from one set of rules to another; None where there is no such. Two queries."""
    sides = [_side(environment, name) for name in (before, after)]
    if sides[0] is None or sides[1] is None:
        return None
    (old, old_content), (new, new_content) = sides[0], sides[1]
    return Comparison(before=old, after=new, parts=tuple(compared(old_content, new_content)))


def _side(environment: str, name: str) -> tuple[Compared, Mapping[str, Any]] | None:
    named = _NAME.fullmatch(name)
    if named is None:
        return None
    number = int(named[2])
    if named[1]:
        draft = proposals.with_content(proposal_id=number, environment=environment)
        if draft is None:
            return None
        row, content = draft
        side = Compared(
            name=name, version=None, draft=row.id, title=row.title, state=row.state, by=row.created_by,
            at=row.created_at,
        )  # fmt: skip
        return side, content
    version = versions.with_content(environment=environment, number=number)
    if version is None:
        return None
    frozen, content = version
    side = Compared(
        name=name, version=frozen.number, draft=None, title=frozen.title,
        state="in_force" if frozen.live else "published", by=frozen.published_by, at=frozen.published_at,
    )  # fmt: skip
    return side, content
