"""What bringing a draft up to date would make of it, before anybody does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from routing.rules.differences import PartChange, compared, differences, lines_of
from routing.rules.document import Problem
from routing.rules.merging import Merged, merge
from routing.selectors import checks, proposals, versions
from routing.selectors.proposals import ProposalRow
from routing.selectors.versions import VersionRow

MOST_VERSIONS = 20


@dataclass(frozen=True, kw_only=True)
class Rebase:
    """A draft merged with what went live since it was started; what is not stale is merged with its own base."""

    row: ProposalRow
    went_live: tuple[VersionRow, ...]  # since it was started, the latest first, at most `MOST_VERSIONS`
    went_live_before: int  # how many more there are
    meanwhile: tuple[str, ...]  # what they changed all together, in plain words
    mine: tuple[str, ...]  # what the draft changes of what it was started from
    merged: Merged
    result: tuple[PartChange, ...]  # what the merged content changes of what is in force: every part, the same too
    problems: tuple[Problem, ...]  # why the merged content could not be submitted

    @property
    def changes(self) -> list[str]:
        """Return what the merged content changes of what is in force, in plain words."""
        return lines_of(self.result)


def one(*, proposal_id: int, environment: str, at: datetime, choices: Mapping[str, str] | None = None) -> Rebase | None:
    """Return a draft as it would be on the version in force, with the choices made so far; None where there is none.

    Seven queries, two more where a rule names a most in USD per 1000 tokens. A conflict that nobody settled stands as
    it is in force.
    """
    found = proposals.with_content(proposal_id=proposal_id, environment=environment)
    if found is None:
        return None
    row, content = found
    base = versions.content_of(environment=environment, number=row.base_version)
    live = versions.content_of(environment=environment, number=row.live_version)
    over = row.base_version or 0
    since = versions.newest(environment=environment, limit=MOST_VERSIONS, over=over)
    merged = merge(base, live, content, choices)
    return Rebase(
        row=row,
        went_live=tuple(since),
        went_live_before=max((row.live_version or 0) - over - len(since), 0),
        meanwhile=tuple(differences(base, live)),
        mine=tuple(differences(base, content)),
        merged=merged,
        result=tuple(compared(live, merged.content)),
        problems=tuple(checks.problems(merged.content, at=at, environment=environment)),
    )
