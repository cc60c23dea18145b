"""The rule that decided a call, as it stood in the version that its gateway ran."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from routing.selectors import versions


@dataclass(frozen=True, kw_only=True)
class RuleFacts:
    """A version, and of its rules the one that is asked for; `place` is None where it has no such rule."""

    environment: str
    version: int
    published_at: datetime
    published_by: str
    approved_by: str
    place: int | None
    id: str
    title: str
    rationale: str
    owner: str


def one(*, environment: str, version: int, rule: str) -> RuleFacts | None:
    """Return a version's rule; None where the version is not known here, as of another installation. Two queries."""
    if version <= 0:
        return None
    found = versions.one(environment=environment, number=version)
    if found is None:
        return None
    places = [place for place, each in enumerate(found.content["rules"], start=1) if each["id"] == rule]
    content: Mapping[str, Any] = found.content["rules"][places[0] - 1] if places else {}
    return RuleFacts(
        environment=environment,
        version=version,
        published_at=found.row.published_at,
        published_by=found.row.published_by,
        approved_by=found.row.approved_by,
        place=places[0] if places else None,
        id=rule,
        title=content.get("title") or "",
        rationale=content.get("rationale") or "",
        owner=content.get("owner") or "",
    )
