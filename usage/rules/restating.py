"""What a corrected entry becomes: an adjustment, a reversal with a new entry, or nothing. No I/O, no clock.

# Note [Adjusted or moved]
Where only money differs, an adjustment moves it and the entry stays what it is. Where an entry belongs elsewhere (use
case, team, offering, tier), or had no price and has one now, it is taken back with all its adjustments and booked anew.
An entry of a closed month is corrected in the open one, and only where its money differs: who paid is settled.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import NamedTuple

import msgspec

from usage.rules.postings import USAGE, Posting, adjustment, reversal


class Cost(NamedTuple):
    """What an entry costs, in attodollars, and what it was rated with."""

    cost: int | None
    list_cost: int | None
    avoided: int
    rate_id: int | None
    unpriced: int


class Place(NamedTuple):
    """What an entry belongs to."""

    use_case_id: int
    team_id: int
    offering_id: int
    tier: int


def place_of(entry: Posting) -> Place:
    return Place(entry.use_case_id, entry.team_id, entry.offering_id, entry.tier)


def differs(entry: Posting, *, held: Cost, due: Cost, place: Place, closed: bool) -> bool:
    """Say whether an entry has to be corrected: `held` is what it costs with its adjustments, `due` what it should."""
    money = (held.cost, held.list_cost, held.avoided) != (due.cost, due.list_cost, due.avoided)
    return money or (not closed and place != place_of(entry))


def corrected(
    entry: Posting,
    *,
    held: Cost,
    due: Cost,
    place: Place,
    ids: Iterator[int],
    booked_at: datetime,
    correction_of: date | None,
    restatement_id: int,
) -> list[Posting]:
    """Return the lines that make an entry what it should be, one or two; see Note [Adjusted or moved]."""
    if place == place_of(entry) and held.cost is not None and due.cost is not None:
        return [
            adjustment(
                entry,
                id_=next(ids),
                booked_at=booked_at,
                correction_of=correction_of,
                restatement_id=restatement_id,
                cost=due.cost - held.cost,
                list_cost=(due.list_cost or 0) - (held.list_cost or 0),
                avoided=due.avoided - held.avoided,
                rate_id=due.rate_id,
            )
        ]
    whole = msgspec.structs.replace(
        entry, cost=held.cost, list_cost=held.list_cost, avoided=held.avoided, rate_id=held.rate_id
    )
    taken_back = reversal(
        whole, id_=next(ids), booked_at=booked_at, correction_of=correction_of, restatement_id=restatement_id
    )
    anew = msgspec.structs.replace(
        entry,
        **place._asdict(),
        id=next(ids),
        kind=USAGE,
        booked_at=booked_at,
        cost=due.cost,
        list_cost=due.list_cost,
        avoided=due.avoided,
        rate_id=due.rate_id,
        unpriced=due.unpriced,
        corrects=None,
        correction_of=correction_of,
        restatement_id=restatement_id,
    )
    return [taken_back, anew]
