"""What was spent, on what: sums by any dimensions over any time.

# Note [Where an answer comes from]
Days of the organisation's zone come from `rollup_day`, or where few dimensions are asked for from what `past` has of
days that are over; the rest of the range and everything by hour come from `rollup_15min`. A range is cut into disjoint
slices, so every row counts once; days of another zone are made of the organisation's (see `spend_slices`). Tags that
are declared come from `rollup_day_tag`. What no rollup can tell (another tag, an instant inside a quarter hour) needs
the ledger, in the background: see `spend_query`. All of them are the same sums over the same entries, by `booked_at`.
Names, times, tables and SQL are in `spend_names`, `spend_times`, `spend_slices` and `spend_sql`.

# Note [One calendar]
Where days, weeks, months and hours begin is worked out in Python and handed to PostgreSQL as lists of instants, so that
a label and the edge of a range can never come from two versions of the time zone database.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Max

from core import money
from core.errors import Invalid
from core.models import Organisation
from usage.models import Month
from usage.selectors import kept, spend_slices, spend_sql, spend_sums
from usage.selectors.spend_ask import DIMENSIONS as DIMENSIONS
from usage.selectors.spend_ask import LONGEST as LONGEST
from usage.selectors.spend_ask import MOST_GROUPS as MOST_GROUPS
from usage.selectors.spend_ask import OTHERS as OTHERS
from usage.selectors.spend_ask import TIMES as TIMES
from usage.selectors.spend_ask import NeedsLedger as NeedsLedger
from usage.selectors.spend_ask import SpendAsk as SpendAsk
from usage.selectors.spend_ask import check as check
from usage.selectors.spend_ask import check_for_ledger as check_for_ledger
from usage.selectors.spend_ask import written_instant as written_instant
from usage.selectors.spend_names import Resolved
from usage.selectors.spend_sql import MOST_ROWS as MOST_ROWS
from usage.selectors.spend_sums import MEASURES as MEASURES
from usage.selectors.spend_sums import Sums as Sums
from usage.selectors.spend_sums import added as added


@dataclass(frozen=True, kw_only=True)
class SpendRow:
    """Sums of one combination; `keys` holds a name per dimension of `group_by`, None for "none"."""

    keys: dict[str, str | None]
    sums: Sums


@dataclass(frozen=True, kw_only=True)
class Spend:
    """Rows in order of time, then dearest first; `total` is their sum and so that of the whole range."""

    ask: SpendAsk
    rows: list[SpendRow]
    total: Sums


def spend(*, ask: SpendAsk) -> Spend:
    """Return the sums from rollups.

    Three queries (organisation, closed months, the sums), and one per filter that names rows of the catalogue.

    Raises:
        Invalid: something is asked by that does not exist, the range is empty or too long, or the rows are too many.
        NeedsLedger: no rollup can tell.
    """
    (answer,) = spends(asks=[ask])
    return answer


def spends(*, asks: Sequence[SpendAsk]) -> list[Spend]:
    """Return the sums for several questions, each as `spend` gives it.

    Two queries, one per question, and one per filter that names rows of the catalogue and differs from those before.

    Raises:
        Invalid, NeedsLedger: as `spend`, for the first question that it is true of.
    """
    for ask in asks:
        check(ask=ask)
    organisation = Organisation.objects.get(pk=1)
    held_since = Month.objects.exclude(zone=organisation.zone).aggregate(until=Max("ends_at"))["until"]
    resolved: Resolved = {}
    answers = []
    for ask in asks:
        if why := spend_slices.why_not_from_rollups(ask, organisation, held_since):
            raise NeedsLedger(why)
        answers.append(_answered(ask, spend_slices.slices_of(ask, organisation.zone, held_since), resolved))
    return answers


def spend_or_none(*, ask: SpendAsk) -> Spend | None:
    """Return the sums from rollups, or None where only the ledger can tell. Raises Invalid as `spend`."""
    try:
        return spend(ask=ask)
    except NeedsLedger:
        return None


def ledger_spend(*, ask: SpendAsk) -> Spend:
    """Return the same sums from the ledger, for whatever instants and tags. It reads every entry: not for pages.

    Two queries, and one per filter that names rows of the catalogue.

    Raises:
        Invalid: as `spend`; the range is longer than 31 days, or not kept any more.
    """
    check_for_ledger(ask=ask)
    check_kept(ask=ask)
    whole = spend_slices.Slice(table=spend_slices.LEDGER, lower=ask.starts_at, upper=ask.ends_at)
    return _answered(ask, [whole], {})


def check_kept(*, ask: SpendAsk) -> None:
    """Refuse what the ledger cannot answer any more: a part of it would look like all. One query.

    Raises:
        Invalid: months of the range were dropped.
    """
    lost = kept.dropped_within(ask.starts_at, ask.ends_at)
    if lost:
        raise Invalid(
            f"This has to be read from the ledger, which does not keep {kept.listed(lost)} any more. Sums by whole "
            "days and declared tags are still there.",
            [("from", "not in the ledger any more")],
        )


def _answered(ask: SpendAsk, slices: Sequence[spend_slices.Slice], resolved: Resolved) -> Spend:
    found = spend_sql.answered(ask, slices, resolved)
    rows = [SpendRow(keys=keys, sums=sums) for keys, sums in found.rows]
    if any(part.less for part in slices):
        rows = [row for row in rows if not row.sums.empty]  # all of it was taken away: nothing was there to begin with
    rows.sort(key=_order)
    return Spend(ask=ask, rows=rows, total=spend_sums.added_of(found.kept, [row.sums for row in rows]))


def _order(row: SpendRow) -> tuple[list[str], Decimal, list[str]]:
    times = [row.keys[name] or "" for name in TIMES if name in row.keys]
    return times, -row.sums.cost_usd, [value or "" for value in row.keys.values()]


def as_json(answer: Spend, *, complete_through: datetime | None) -> dict[str, Any]:
    """Return the answer as `GET spend` writes it: money as decimal strings, instants in UTC."""
    share = answer.total.priced_share
    return {
        "from": written_instant(answer.ask.starts_at),
        "to": written_instant(answer.ask.ends_at),
        "zone": answer.ask.zone,
        "group_by": list(answer.ask.group_by),
        "rows": [{**row.keys, **spend_sums.as_json(row.sums)} for row in answer.rows],
        "total": spend_sums.as_json(answer.total),
        "priced_share": None if share is None else money.plain(share),
        "complete_through": None if complete_through is None else written_instant(complete_through),
    }
