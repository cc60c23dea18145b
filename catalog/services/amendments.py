"""Changes to what held in the past, told to whoever keeps books by the catalogue.

# Note [Amendments]
The catalogue knows no usage, so it cannot restate it. A service that changes what held before now leaves a row in the
same transaction; the upper floor looks for rows that it has not dealt with, and restates. Hence no change of the past
is missed, whoever makes it and through whatever door.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime

from catalog.models import Amendment, AmendmentKind


def note(
    *,
    kind: AmendmentKind,
    summary: str,
    by: str,
    at: datetime,
    starts_at: datetime | None,
    ends_at: datetime | None = None,
    offerings: Iterable[int] = (),
    use_case_id: int | None = None,
    team_id: int | None = None,
    gateway_id: int | None = None,
    into_id: int | None = None,
    reason: str = "",
) -> Amendment | None:
    """Record that [starts_at, ends_at) is other than it was; None where that is all in the future.

    Takes part in the caller's transaction.
    """
    if starts_at is not None and starts_at >= at:
        return None
    made = Amendment.objects.create(
        kind=kind,
        summary=summary[:300],
        offerings=sorted(set(offerings)),
        use_case_id=use_case_id,
        team_id=team_id,
        gateway_id=gateway_id,
        into_id=into_id,
        starts_at=starts_at,
        ends_at=ends_at,
        reason=reason,
        by=by,
        at=at,
    )
    collected = _collected.get()
    if collected is not None:
        collected.append(made)
    return made


@contextmanager
def collecting() -> Iterator[list[Amendment]]:
    """Collect the amendments that are noted inside the block: for whoever tries a change and takes it back."""
    found: list[Amendment] = []
    token = _collected.set(found)
    try:
        yield found
    finally:
        _collected.reset(token)


_collected: ContextVar[list[Amendment] | None] = ContextVar("collected", default=None)
