"""Lines of the ledger, one by one, the last booked first: what is behind a sum.

# Note [Which quarter hours]
The ledger is found by use case and time, so it is never asked what passes a filter. The sums are: `rollup_15min` has
every dimension, and names the quarter hours and use cases in which something passes; only these are read, as many as
fill a page. Each row of sums is made of one line at least, so no page needs more of them than it has lines. The last
two days of the range are looked at first. What is older is found through `rollup_day`, which names days and use cases;
where months were closed in another zone its days are not those of the calendar, and quarter hours have to do.

# Note [Looked so far]
Tags and the kind of a line stand in no sum, and about calls sums give no more than a hint. Pages with such filters read
lines until they are full, or until `SCAN` lines were read: such a page may hold fewer lines than were asked for, or
none, and says how far it looked. The page after it goes on from there, so nothing is left out and no answer takes long.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import connection

from core import periods
from core.errors import Invalid
from usage.selectors import kept
from usage.selectors.lines_ask import FILTERS as FILTERS
from usage.selectors.lines_ask import KINDS as KINDS
from usage.selectors.lines_ask import LinesAsk as LinesAsk
from usage.selectors.lines_ask import conditions
from usage.selectors.lines_rows import NAMED, SELECTED, row_of
from usage.selectors.lines_rows import LineRow as LineRow
from usage.selectors.lines_rows import Place as Place
from usage.selectors.spend_ask import LONGEST

SCAN = 10_000  # lines that a page reads at most where sums cannot tell which pass
LONGEST_SCANNED = timedelta(days=32)  # for files, where sums cannot tell
_NEAR, _WEEKS = timedelta(days=2), timedelta(days=45)
_QUARTER_HOUR = timedelta(minutes=15)
_DAY = timedelta(days=1)
_TICK = timedelta.resolution
_COUNTED = 20_000  # lines that are counted at a time
_CONSIDERED = 4  # so many times SCAN are the lines whose sums a page reads at most, where these are only a hint


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some lines, the last booked first, and where to go on: `older` or `newer` are None at the end of the list.

    `looked_to` says how far it was looked where that is not the end, and the page could not be filled.
    """

    rows: Sequence[LineRow]
    older: Place | None
    newer: Place | None
    looked_to: datetime | None = None
    dropped: Sequence[date] = ()  # months of the range that the ledger does not keep any more


def page(*, ask: LinesAsk, most: int, at: Place | None = None, newer: bool = False, scan: int = SCAN) -> Page:
    """Return the lines after a place in the list, or those before it where `newer`; from its beginning without one.

    Lines that are booked meanwhile shift nothing. Three queries where the last two days fill the page, six where not,
    and one per filter that names rows of the catalogue; more only where months were closed in another zone.

    Raises:
        Invalid: a filter or a value of one that there is not, or a range that is empty or too long.
    """
    walk = _Walk(ask=ask, most=most, at=at, newer=newer, scan=scan)
    rows = walk.read_aside() if ask.aside else walk.read()
    further = len(rows) > most
    rows = rows[:most]
    # Where it goes on: after the last line shown, or from where it was looked to.
    beyond = rows[-1].place if further else walk.stopped_at
    back = at if at is not None and not rows else (rows[0].place if rows and at is not None else None)
    if newer:
        return Page(rows=rows[::-1], newer=beyond, older=back, looked_to=_instant(walk.stopped_at, further),
                    dropped=walk.dropped)  # fmt: skip
    return Page(rows=rows, older=beyond, newer=back, looked_to=_instant(walk.stopped_at, further), dropped=walk.dropped)


def every(*, ask: LinesAsk, most: int, chunk: int = 2000) -> Iterator[LineRow]:
    """Give the lines one by one, the last booked first, `most` at most: some thousand at a time, for files.

    Between two chunks no transaction is open, however slowly somebody reads.

    Raises:
        Invalid: as `page`, when the first line is asked for; sums cannot tell what passes, and the range is long.
    """
    _check_file(ask)
    at: Place | None = None
    while most > 0:
        found = page(ask=ask, most=min(chunk, most), at=at, scan=1_000_000)
        yield from found.rows
        most -= len(found.rows)
        at = found.older
        if at is None:
            return


def longer_than(*, ask: LinesAsk, most: int) -> bool:
    """Say whether there are more lines than `most`: they are counted as `every` finds them, and no further than that.

    Raises:
        Invalid: as `every`.
    """
    _check_file(ask)
    walk = _Walk(ask=ask, most=_COUNTED, at=None, newer=False, scan=1_000_000_000)
    found = 0
    for table, stretches in walk.everywhere():
        found += walk.counted(table, stretches, most + 1 - found)
        if found > most:
            return True
    return False


def _check_file(ask: LinesAsk) -> None:
    if not ask.hinted and not ask.filters.get("use_case") and ask.ends_at - ask.starts_at > LONGEST_SCANNED:
        raise Invalid(
            "With these filters every entry has to be read: for a file ask for 31 days at most, or for a use case.",
            [("to", "more than 31 days after `from`")],
        )


def _instant(stopped_at: Place | None, further: bool) -> datetime | None:
    return None if stopped_at is None or further else stopped_at.booked_at


# --- the way through the list ---


@dataclass(frozen=True, slots=True)
class _Stretch:
    """[lower, upper) of one use case, and how many lines it holds, about."""

    use_case_id: int
    lower: datetime
    upper: datetime
    lines: int = 0


class _Walk:
    """One page's way through the list, from a place on, in one direction."""

    def __init__(self, *, ask: LinesAsk, most: int, at: Place | None, newer: bool, scan: int) -> None:
        self.ask, self.wanted, self.newer, self.scan = ask, conditions(ask), newer, scan
        self.need = most + 1
        self.lower, self.upper = ask.starts_at.astimezone(UTC), ask.ends_at.astimezone(UTC)
        self.dropped = kept.dropped_within(self.lower, self.upper)
        if self.dropped:  # partitions go from the oldest on
            gone_until = periods.add_months(self.dropped[-1], 1)
            self.lower = max(self.lower, datetime(gone_until.year, gone_until.month, 1, tzinfo=UTC))
        self.at = at
        if at is not None and newer:
            self.lower = max(self.lower, at.booked_at)
        elif at is not None:
            # A place without a line is an edge that was looked to: what begins there was read.
            self.upper = min(self.upper, at.booked_at + (_TICK if at.id else timedelta()))
        self.scanned = 0  # lines that were read, about
        self.considered = 0  # lines of the days whose sums by quarter hours were read
        # How many lines a batch is to have. Where hints lead, few of them may pass, or nearly all: it begins small.
        self.batch = self.need * 2 if ask.told_by_sums else self.need * 10
        self.stopped_at: Place | None = None
        self.order = "ASC" if newer else "DESC"

    def read(self) -> list[LineRow]:
        found: list[LineRow] = []
        for stretches in self._quarter_hours():
            found += self._lines("ledger", stretches, self.need - len(found))
            if len(found) >= self.need:
                break
            if self.scanned >= self.scan:
                self._stop(
                    max(one.upper for one in stretches) if self.newer else min(one.lower for one in stretches)
                )  # fmt: skip
                break
        return found

    def _stop(self, edge: datetime) -> None:
        if self.lower < edge < self.upper:
            self.stopped_at = Place(booked_at=edge)

    def read_aside(self) -> list[LineRow]:
        """Read what no sum tells of: the first lines of each use case, by the table's own key."""
        stretches = self._aside()
        return self._lines("ledger_unsummed", stretches, self.need) if stretches else []

    def _aside(self) -> list[_Stretch]:
        if self.lower >= self.upper:
            return []
        return [_Stretch(pk, self.lower, self.upper) for (pk,) in _asked("SELECT id FROM catalog_usecase", {})]

    def everywhere(self) -> Iterator[tuple[str, list[_Stretch]]]:
        """Give the tables and stretches in which something passes, some at a time."""
        if self.ask.aside:
            yield from [("ledger_unsummed", stretches) for stretches in [self._aside()] if stretches]
        else:
            yield from (("ledger", stretches) for stretches in self._quarter_hours())

    def _quarter_hours(self) -> Iterator[list[_Stretch]]:
        """Give quarter hours in which something passes, in the list's order, some at a time."""
        edge = self.lower if self.newer else self.upper
        # Most of what is not rare is found among the sums of some weeks: those of years are read for the rest alone.
        for reach in (_NEAR, _WEEKS, LONGEST):
            span = (edge, min(self.upper, edge + reach)) if self.newer else (max(self.lower, edge - reach), edge)
            if span[0] >= span[1]:
                return
            yield from self._within(None, *span) if reach == _NEAR else self._by_days(*span)
            if self.stopped_at is not None:
                return
            edge = span[1] if self.newer else span[0]

    def _by_days(self, *rest: datetime) -> Iterator[list[_Stretch]]:
        """Give the quarter hours of [lower, upper) in which something passes, by way of the days in which it does."""
        days = self._days(*rest)
        if days is None:
            yield from self._within(None, *rest)
        while days:
            # Each row of sums is a line at least, so these are enough wherever sums tell.
            taken, lines = 0, 0
            enough = self.need if self.ask.told_by_sums else self.scan
            while taken < len(days) and lines < enough:
                lines += days[taken].lines
                taken += 1
            while 0 < taken < len(days) and days[taken].lower == days[taken - 1].lower:
                taken += 1
            some, days = days[:taken], days[taken:]
            begins = max(min(one.lower for one in some), rest[0])
            ends = min(max(one.upper for one in some), rest[1])
            yield from self._within(some, begins, ends)
            self.considered += lines
            if not self.ask.told_by_sums and self.considered >= _CONSIDERED * self.scan:
                return self._stop(ends if self.newer else begins)
            rest = (ends, rest[1]) if self.newer else (rest[0], begins)

    def _within(self, days: list[_Stretch] | None, lower: datetime, upper: datetime) -> Iterator[list[_Stretch]]:
        """Give the quarter hours of [lower, upper) in which something passes, of these days alone where some are given.

        The batches that are given are cut between two quarter hours, and each fills what is left of the page, or
        takes a part of what may be scanned.
        """
        pairs = self.need if self.ask.told_by_sums else 200
        while lower < upper:
            found = self._pairs(days, lower, upper, pairs)
            batch: list[_Stretch] = []
            lines = 0
            for number, one in enumerate(found):
                batch.append(one)
                lines += one.lines
                ends = number + 1 == len(found) or found[number + 1].lower != one.lower
                if ends and lines >= self.batch:
                    yield self._counted(batch, lines, lower, upper)
                    batch, lines = [], 0
            if batch:
                yield self._counted(batch, lines, lower, upper)
            if len(found) < pairs:
                return
            edge = found[-1].lower
            lower, upper = (edge + _QUARTER_HOUR, upper) if self.newer else (lower, edge)
            pairs = min(pairs * 4, 3200)

    def _counted(self, batch: Sequence[_Stretch], lines: int, lower: datetime, upper: datetime) -> list[_Stretch]:
        self.scanned += lines
        if not self.ask.told_by_sums:
            self.batch = max(1, min(self.batch * 4, self.scan - self.scanned))
        return self._cut(batch, lower, upper)

    def _cut(self, stretches: Sequence[_Stretch], lower: datetime, upper: datetime) -> list[_Stretch]:
        """Return the quarter hours with those of a use case that follow each other made one, inside [lower, upper)."""
        joined: dict[int, list[_Stretch]] = {}
        for one in sorted(stretches, key=lambda each: each.lower):
            own = joined.setdefault(one.use_case_id, [])
            if own and own[-1].upper == one.lower:
                own[-1] = replace(own[-1], upper=one.upper)
            else:
                own.append(one)
        return [
            replace(one, lower=max(one.lower, lower), upper=min(one.upper, upper))
            for own in joined.values()
            for one in own
        ]

    def _pairs(self, days: list[_Stretch] | None, lower: datetime, upper: datetime, most: int) -> list[_Stretch]:
        """Return quarter hours with the use cases in which something passes, the last one whole. One query."""
        first = lower - timedelta(seconds=lower.timestamp() % _QUARTER_HOUR.total_seconds())
        source = "rollup_15min r"
        given: dict[str, Any] = {**self.wanted.given, "lower": first, "upper": upper, "most": most}
        if days is not None:
            source = (
                "unnest(%(use_cases)s::bigint[], %(lowers)s::timestamptz[], %(uppers)s::timestamptz[]) "
                "AS d(use_case_id, lower, upper) JOIN rollup_15min r "
                "ON r.use_case_id = d.use_case_id AND r.bucket >= d.lower AND r.bucket < d.upper"
            )
            given |= _columns(self._cut(days, first, upper))
        return [
            _Stretch(use_case_id, bucket, bucket + _QUARTER_HOUR, int(lines))
            for bucket, use_case_id, lines in _asked(
                f"SELECT r.bucket, r.use_case_id, sum(greatest(abs(r.requests), 1)) FROM {source} "
                f"WHERE r.bucket >= %(lower)s AND r.bucket < %(upper)s AND {self.wanted.sums} "
                f"GROUP BY r.bucket, r.use_case_id ORDER BY r.bucket {self.order} FETCH FIRST %(most)s ROWS WITH TIES",
                given,
            )
        ]

    def _days(self, lower: datetime, upper: datetime) -> list[_Stretch] | None:
        """Return the days with the use cases in which something passes, in the list's order; None: not known by days.

        One query.
        """
        zone = self.ask.zone
        # How many lines there are at least, or how many have to be read, about.
        lines = "count(*)" if self.ask.told_by_sums else "sum(greatest(abs(r.requests), 1))"
        rows = _asked(
            f"SELECT r.day, r.use_case_id, {lines}, EXISTS (SELECT FROM usage_month m WHERE m.zone <> %(zone)s) "
            "FROM rollup_day r WHERE r.day >= %(first)s AND r.day <= %(last)s "
            f"AND {self.wanted.sums} GROUP BY r.day, r.use_case_id ORDER BY r.day {self.order}",
            {
                **self.wanted.given,
                "zone": zone,
                "first": periods.local_day(lower, zone) - _DAY,
                "last": periods.local_day(upper, zone) + _DAY,
            },
        )
        if any(closed_elsewhere for *_, closed_elsewhere in rows):
            return None
        found = [
            _Stretch(use_case_id, periods.day_start(day, zone), periods.day_start(day + _DAY, zone), int(lines))
            for day, use_case_id, lines, _ in rows
        ]
        return [one for one in found if one.lower < upper and one.upper > lower]

    def counted(self, table: str, stretches: Sequence[_Stretch], most: int) -> int:
        """Return how many lines of the stretches pass; it stops at `most`. One query."""
        ((found,),) = _asked(
            f"SELECT count(*) FROM (SELECT FROM {_STRETCHES} JOIN {table} l ON l.use_case_id = s.use_case_id "
            f"AND l.booked_at >= s.lower AND l.booked_at < s.upper AND {_WITHIN} AND {self.wanted.lines} "
            "LIMIT %(most)s) AS found",
            {**self._given(stretches), "most": most},
        )
        return int(found)

    def _given(self, stretches: Sequence[_Stretch]) -> dict[str, Any]:
        # Said once more for all of them, so that the planner leaves the other months out.
        span = {"first": min(one.lower for one in stretches), "last": max(one.upper for one in stretches)}
        return {**self.wanted.given, **_columns(stretches), **span}

    def _lines(self, table: str, stretches: Sequence[_Stretch], most: int) -> list[LineRow]:
        """Return the first lines of the stretches that pass, in the list's order. One query."""
        given: dict[str, Any] = {**self._given(stretches), "most": most}
        beyond = "true"
        if self.at is not None:
            beyond = (
                f"(l.booked_at, l.use_case_id, l.id) {'>' if self.newer else '<'} (%(booked_at)s, %(use_case)s, %(id)s)"
            )
            given |= {"booked_at": self.at.booked_at, "use_case": self.at.use_case_id, "id": self.at.id}
        order = self.order
        return [
            row_of(values)
            for values in _asked(
                f"SELECT {SELECTED} FROM (SELECT found.* FROM {_STRETCHES} CROSS JOIN LATERAL (SELECT l.* "
                f"FROM {table} l WHERE l.use_case_id = s.use_case_id AND l.booked_at >= s.lower "
                f"AND l.booked_at < s.upper AND {_WITHIN} AND {beyond} AND {self.wanted.lines} "
                f"ORDER BY l.booked_at {order}, l.id {order} LIMIT %(most)s) AS found "
                f"ORDER BY found.booked_at {order}, found.use_case_id {order}, found.id {order} LIMIT %(most)s) AS l "
                f"{NAMED} ORDER BY l.booked_at {order}, l.use_case_id {order}, l.id {order}",
                given,
            )
        ]


_STRETCHES = (
    "unnest(%(use_cases)s::bigint[], %(lowers)s::timestamptz[], %(uppers)s::timestamptz[]) "
    "AS s(use_case_id, lower, upper)"
)
_WITHIN = "l.booked_at >= %(first)s AND l.booked_at < %(last)s"


def _columns(stretches: Sequence[_Stretch]) -> dict[str, Any]:
    return {
        "use_cases": [one.use_case_id for one in stretches],
        "lowers": [one.lower for one in stretches],
        "uppers": [one.upper for one in stretches],
    }


def _asked(sql: str, given: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, given)
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found
