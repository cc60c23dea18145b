"""Our costs against what gateways reported for the same entries.

Only entries that have both are compared: one without a price has no cost of ours, one that a gateway did not price has
none of theirs. Under a contract our cost is taken at the contract's prices or at list prices, whichever the gateway
goes by: most know list prices only, and what a contract takes off is no disagreement. Which of them it is, is said of
an offering, a gateway and a day (`BY`); everything else sums those, so that no two pages differ. Days are the
organisation's, ranges [first, until). All figures come from `rollup_day`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext
from typing import Any

from django.db import connection

CENT = Decimal("0.01")
MOST_DAYS = 366
_DIGITS = 80  # sums hold more digits than the default context keeps

# More than a cent, and more than 1 per cent of what was reported: what is less comes of rounding on their side.
_APART = "abs(ours - theirs) > 0.01 AND abs(ours - theirs) * 100 > abs(theirs)"
_SOME = "(r.compared_cost_usd <> 0 OR r.compared_reported_usd <> 0)"
BY = "r.offering_id, r.gateway_id, r.day"
OURS = (  # of rows of rollup_day called r, grouped by `BY`
    "CASE WHEN abs(sum(r.compared_list_usd) - sum(r.compared_reported_usd)) "
    "< abs(sum(r.compared_cost_usd) - sum(r.compared_reported_usd)) "
    "THEN sum(r.compared_list_usd) ELSE sum(r.compared_cost_usd) END"
)
_COMPARED = f"""
    SELECT {BY}, {OURS} AS ours, sum(r.compared_reported_usd) AS theirs FROM rollup_day r
    WHERE r.day >= %(first)s AND r.day < %(until)s AND {_SOME} GROUP BY {BY}
"""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What we say and what gateways reported, in USD, for the same entries."""

    ours_usd: Decimal
    reported_usd: Decimal

    @property
    def difference_usd(self) -> Decimal:
        """Return how much more we say; negative where it is less."""
        with localcontext() as context:
            context.prec = _DIGITS
            return self.ours_usd - self.reported_usd

    @property
    def share(self) -> Decimal | None:
        """Return the difference as a share of what was reported; None where that is nothing."""
        if not self.reported_usd:
            return None
        with localcontext() as context:
            context.prec = _DIGITS
            return self.difference_usd / abs(self.reported_usd)

    @property
    def apart(self) -> bool:
        """Say whether the two are more than a cent and more than 1 per cent apart."""
        with localcontext() as context:
            context.prec = _DIGITS
            difference = abs(self.difference_usd)
            return difference > CENT and difference * 100 > abs(self.reported_usd)


@dataclass(frozen=True, kw_only=True)
class OfferingDay(Compared):
    offering_id: int
    offering: str
    day: date


@dataclass(frozen=True, kw_only=True)
class GatewayDay(Compared):
    gateway: str
    day: date


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """A part of what was compared, the greatest difference first; how much there is in all; and all of it in sum."""

    rows: Sequence[OfferingDay]
    found: int
    apart: int  # of those found
    total: Compared


def by_offering_and_day(
    *, first: date, until: date, most: int, skip: int = 0, apart_only: bool = False
) -> Disagreement:
    """Return what was compared per offering and day, the greatest difference first. One query.

    `apart_only` leaves out what agrees; the total is of everything that was compared all the same.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH compared AS (
                SELECT offering_id, day, sum(ours) AS ours, sum(theirs) AS theirs FROM ({_COMPARED}) each
                GROUP BY offering_id, day
            ), whole AS (
                SELECT count(*) AS n, count(*) FILTER (WHERE {_APART}) AS apart, coalesce(sum(ours), 0) AS ours,
                    coalesce(sum(theirs), 0) AS theirs FROM compared
            ), shown AS (
                SELECT c.*, o.name FROM compared c JOIN catalog_offering o ON o.id = c.offering_id
                WHERE NOT %(apart_only)s OR ({_APART})
                ORDER BY abs(ours - theirs) DESC, c.day DESC, o.name LIMIT %(most)s OFFSET %(skip)s
            )
            SELECT w.n, w.apart, w.ours, w.theirs, s.offering_id, s.name, s.day, s.ours, s.theirs
            FROM whole w LEFT JOIN shown s ON true
            ORDER BY abs(s.ours - s.theirs) DESC, s.day DESC, s.name
            """,
            {"first": first, "until": until, "apart_only": apart_only, "most": most, "skip": skip},
        )
        rows = cursor.fetchall()
    found, apart, ours, theirs = rows[0][:4]
    return Disagreement(
        rows=[
            OfferingDay(offering_id=id_, offering=name, day=day, ours_usd=mine, reported_usd=reported)
            for *_, id_, name, day, mine, reported in rows
            if id_ is not None
        ],
        found=apart if apart_only else found,
        apart=apart,
        total=Compared(ours_usd=ours, reported_usd=theirs),
    )


def of_offering(*, offering_id: int, first: date, until: date) -> list[GatewayDay]:
    """Return what was compared of one offering per day and gateway, the newest day first. One query."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT g.name, c.day, c.ours, c.theirs FROM ({_COMPARED}) c JOIN catalog_gateway g ON g.id = c.gateway_id
            WHERE c.offering_id = %(offering)s ORDER BY c.day DESC, g.name
            """,
            {"first": first, "until": until, "offering": offering_id},
        )
        rows = cursor.fetchall()
    return [GatewayDay(gateway=name, day=day, ours_usd=ours, reported_usd=theirs) for name, day, ours, theirs in rows]


def total_of(rows: Sequence[Any]) -> Compared:
    """Return the sum of rows that were compared."""
    with localcontext() as context:
        context.prec = _DIGITS
        return Compared(
            ours_usd=sum((one.ours_usd for one in rows), Decimal(0)),
            reported_usd=sum((one.reported_usd for one in rows), Decimal(0)),
        )
