"""What decides about alerts in plain Python: which channels fit, how long to wait, when to give up."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

FIRST_PAUSE_SECONDS = 30
LONGEST_PAUSE_SECONDS = 3600
GIVE_UP_AFTER = timedelta(days=1)
# Kinds that tell something and leave nothing to do; they go to channels that are ticked for them.
CANARY = "canary"
NOTICES = ("digest_daily", "digest_weekly", CANARY)


def fits(
    *,
    teams: Collection[int],
    budgets: Collection[int],
    kinds: Collection[str],
    least_severity: int,
    kind: str,
    severity: int,
    team_ids: Collection[int],
    budget_id: int | None,
) -> bool:
    """Say whether a channel wants an alert: what it lists (`teams`, `budgets`, `kinds`; empty means all) must be met.

    An alert that belongs to no team, or to no budget, goes only to channels that do not choose by it.
    """
    return (
        severity >= least_severity
        and (not kinds or kind in kinds)
        and (not teams or not set(teams).isdisjoint(team_ids))
        and (not budgets or budget_id in budgets)
    )


def pause_seconds(*, attempts: int, chance: float) -> float:
    """Return how long to wait after so many attempts: 30 s to 1 min after the first, to 2 min after the second ... 1 h.

    `chance` in [0, 1) picks the place between the least and the longest, so that what failed together does not
    come back together.
    """
    ceiling = min(float(LONGEST_PAUSE_SECONDS), FIRST_PAUSE_SECONDS * 2.0 ** min(attempts, 10))
    return FIRST_PAUSE_SECONDS + chance * (ceiling - FIRST_PAUSE_SECONDS)


def next_try_at(
    *, day_began_at: datetime, failed_at: datetime, attempts: int, chance: float, retry_after_seconds: float | None
) -> datetime | None:
    """Return when to try again after a failure, or None to give up: a day after the delivery was made or asked for.

    The far side's Retry-After is honoured where it is longer than the pause. The last try comes when the day is
    over, even if the far side asked for more: after it there is none.
    """
    last = day_began_at + GIVE_UP_AFTER
    if failed_at >= last:
        return None
    # A far side may ask for any number; what lies past the day is all the same.
    asked = min(retry_after_seconds or 0.0, GIVE_UP_AFTER.total_seconds())
    wait = max(pause_seconds(attempts=attempts, chance=chance), asked)
    return min(failed_at + timedelta(seconds=wait), last)
