"""Lines of the ledger read back as postings, and what became of them since."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import psycopg

from usage.rules.postings import COLUMNS, METER_COLUMNS, Posting
from usage.rules.rating import atto


class Since(NamedTuple):
    """What was booked for an entry later: whether it was taken back, and sums of its adjustments in attodollars."""

    reversed: bool
    cost: int
    list_cost: int
    avoided: int
    rate_id: int | None  # of the last adjustment


NOTHING_SINCE = Since(False, 0, 0, 0, None)


def posting_of(row: Sequence[Any]) -> Posting:
    """Make the posting that a row of the ledger, columns as in `COLUMNS`, was written from."""
    named = dict(zip(COLUMNS, row, strict=True))
    corrects = (named.pop("corrects_use_case_id"), named.pop("corrects_booked_at"), named.pop("corrects_id"))
    meters = tuple(named.pop(name) for name in METER_COLUMNS)
    money = {name: named.pop(f"{name}_usd") for name in ("cost", "list_cost", "avoided", "reported_cost")}
    tags, flags = named.pop("tags"), named.pop("flags")
    if isinstance(tags, str):  # Django reads jsonb as text and leaves the decoding to its fields
        tags = msgspec.json.decode(tags)
    return Posting(
        **named,
        meters=meters,
        cost=None if money["cost"] is None else atto(money["cost"]),
        list_cost=None if money["list_cost"] is None else atto(money["list_cost"]),
        avoided=atto(money["avoided"]),
        reported=None if money["reported_cost"] is None else atto(money["reported_cost"]),
        tags=tags or {},
        flags=flags or [],
        corrects=None if corrects[2] is None else corrects,
    )


def since(
    cursor: psycopg.Cursor[Any], *, use_case_id: int, ids: Sequence[int], booked_from: datetime
) -> dict[int, Since]:
    """Return, by entry, what was booked for entries of a use case after they were. One query.

    `booked_from` is the earliest `booked_at` of the entries: a correction is never booked before what it corrects.
    """
    if not ids:
        return {}
    cursor.execute(
        "SELECT corrects_id, bool_or(kind = 2), "
        "coalesce(sum(cost_usd) FILTER (WHERE kind = 3), 0), coalesce(sum(list_cost_usd) FILTER (WHERE kind = 3), 0), "
        "coalesce(sum(avoided_usd) FILTER (WHERE kind = 3), 0), "
        "(array_agg(rate_id ORDER BY id DESC) FILTER (WHERE kind = 3))[1] "
        "FROM ledger WHERE corrects_id = ANY(%s) AND use_case_id = %s AND booked_at >= %s GROUP BY corrects_id",
        [list(ids), use_case_id, booked_from],
    )
    return {
        int(id_): Since(bool(taken_back), atto(cost), atto(list_cost), atto(avoided), rate_id)
        for id_, taken_back, cost, list_cost, avoided, rate_id in cursor.fetchall()
    }
