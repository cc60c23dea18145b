"""Why spend changed between two ranges of days, from sums of days: usage/rules/bridge.py has the parts.

Days are the organisation's, ranges are half-open. Both sides are all that was booked on their days, so the change is
that of the Spend page, to the last decimal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection

from catalog.rules import METERS, Book, PriceTable
from usage.rules import bridge, day_prices
from usage.rules.bridge import Cell, Parts, Side
from usage.rules.day_prices import Prices
from usage.rules.postings import METER_COLUMNS
from usage.rules.rating import atto, usd
from usage.selectors import world

_Key = tuple[int, int, int]  # use case, offering, gateway with terms of its own
_NOTHING = Side(0, 0, (0,) * len(METERS))


@dataclass(frozen=True, kw_only=True)
class Days:
    """[first, until)."""

    first: date
    until: date

    @property
    def last(self) -> date:
        return self.until - timedelta(days=1)

    @property
    def length(self) -> int:
        return (self.until - self.first).days


@dataclass(frozen=True, kw_only=True)
class Change:
    """What spend was and is, and the parts of the change, which add up to it; see Note [The parts of a change]. USD."""

    before_usd: Decimal
    after_usd: Decimal
    before_requests: int  # with a known cost
    after_requests: int
    volume_usd: Decimal
    use_cases_usd: Decimal
    models_usd: Decimal
    tokens_usd: Decimal
    price_usd: Decimal
    new_usd: Decimal
    gone_usd: Decimal
    corrections_usd: Decimal = Decimal(0)  # what was booked late for closed months, less what was before

    @property
    def change_usd(self) -> Decimal:
        return usd(atto(self.after_usd) - atto(self.before_usd))

    @property
    def requests_usd(self) -> Decimal:
        """Return what a use case's own number of requests changed: the part of all requests, and its share of them."""
        return usd(atto(self.volume_usd) + atto(self.use_cases_usd))


@dataclass(frozen=True, kw_only=True)
class UseCaseChange(Change):
    use_case_id: int
    use_case: str
    more_of: str = ""  # offering whose share of the use case's requests grew most; empty: none did
    less_of: str = ""  # and shrank most


@dataclass(frozen=True, kw_only=True)
class Bridge:
    """All of the change, and use cases by the size of theirs."""

    before: Days
    after: Days
    total: Change
    use_cases: tuple[UseCaseChange, ...]


def between(*, before: Days, after: Days, zone: str, book: Book | None = None) -> Bridge:
    """Explain what changed from one range to the other. `zone` is the organisation's.

    One read of `rollup_day`; the catalogue costs another query, more after it changed, unless the caller gives it.
    """
    book = book or world.current().book
    sides: tuple[dict[_Key, Side], dict[_Key, Side]] = ({}, {})
    names: dict[int, str] = {}
    corrections = [0, 0]
    for row in _rows(before, after, sorted(book.contract_gateways)):
        if row.correction:
            corrections[row.side] += row.cost
        else:
            names[row.use_case_id] = row.use_case
            key = (row.use_case_id, row.offering_id, row.gateway_id)
            sides[row.side][key] = Side(row.requests, row.cost, row.meters)
    prices = _Prices(book, zone, (before, after))
    cells = []
    for key in {**sides[0], **sides[1]}:
        use_case, offering, gateway = key
        then, now = sides[0].get(key, _NOTHING), sides[1].get(key, _NOTHING)
        cells.append(Cell(use_case, offering, then, now, *prices.of(offering, gateway, then, now)))
    parts = bridge.explain(cells)
    of: dict[int, list[Cell]] = defaultdict(list)
    for cell in cells:
        of[cell.use_case].append(cell)
    found = []
    for use_case, those in of.items():
        more, less = _moved(those, book)
        facts = _facts(those, parts[use_case])
        found.append(UseCaseChange(use_case_id=use_case, use_case=names[use_case], more_of=more, less_of=less, **facts))
    found.sort(key=lambda one: (-abs(one.change_usd), one.use_case))
    total = _facts(cells, bridge.total(parts.values()))
    total["before_usd"] = usd(atto(total["before_usd"]) + corrections[0])
    total["after_usd"] = usd(atto(total["after_usd"]) + corrections[1])
    total["corrections_usd"] = usd(corrections[1] - corrections[0])
    return Bridge(before=before, after=after, total=Change(**total), use_cases=tuple(found))


def _facts(cells: list[Cell], parts: Parts) -> dict[str, Any]:
    return {
        "before_usd": usd(sum(cell.before.cost for cell in cells)),
        "after_usd": usd(sum(cell.after.cost for cell in cells)),
        "before_requests": sum(cell.before.requests for cell in cells),
        "after_requests": sum(cell.after.requests for cell in cells),
        **{f"{name}_usd": usd(amount) for name, amount in parts._asdict().items()},
    }


def _moved(cells: list[Cell], book: Book) -> tuple[str, str]:
    """Return the offerings whose share of a use case's requests grew and shrank most."""
    before, after = sum(cell.before.requests for cell in cells), sum(cell.after.requests for cell in cells)
    if before <= 0 or after <= 0:
        return "", ""
    moved: dict[int, Decimal] = defaultdict(Decimal)
    for cell in cells:
        moved[cell.offering] += Decimal(cell.after.requests) / after - Decimal(cell.before.requests) / before
    ranked = sorted(moved, key=lambda offering: (moved[offering], offering))

    def name(offering: int) -> str:
        return book.offerings[offering].name if offering in book.offerings else ""

    most, least = ranked[-1], ranked[0]
    return name(most) if moved[most] > 0 else "", name(least) if moved[least] < 0 else ""


class _Prices:
    """Mean prices of both ranges. What is looked up or worked out for one cell is kept for the others."""

    def __init__(self, book: Book, zone: str, ranges: tuple[Days, Days]) -> None:
        self._book = book
        self._noons = [
            [day_prices.noon(one.first + timedelta(days=n), zone) for n in range(one.length)] for one in ranges
        ]
        self._per_unit: dict[int, Prices] = {}  # by card, which the book keeps

    def of(self, offering: int, gateway: int, before: Side, after: Side) -> tuple[Prices | None, Prices | None]:
        """Return them for calls of the size of the second range, or of the first where there were none in it."""
        side = after if after.requests > 0 else before
        table = self._book.table(offering, "", gateway)
        if table is None:
            return None, None
        size = day_prices.mean_size(side.meters, side.requests)
        then, now = (day_prices.mean_prices(self._days(table, noons, size)) for noons in self._noons)
        return then, now

    def _days(self, table: PriceTable, noons: Sequence[datetime], size: int) -> list[Prices]:
        if table.at(noons[0].timestamp()) is table.at(noons[-1].timestamp()):  # spans are stretches of time
            noons = noons[:1]
        found = []
        for noon in noons:
            card = day_prices.card_at(table, noon, size)
            if card is not None:
                if id(card) not in self._per_unit:
                    self._per_unit[id(card)] = day_prices.per_unit(card)
                found.append(self._per_unit[id(card)])
        return found


class _Row(NamedTuple):
    side: int  # 0: before
    correction: bool
    use_case_id: int
    offering_id: int
    gateway_id: int  # one with terms of its own; 0: any other
    requests: int
    cost: int  # attodollars
    meters: tuple[int, ...]
    use_case: str


def _rows(before: Days, after: Days, gateways: list[int]) -> list[_Row]:
    """One query. Days that lie in both ranges count in both."""
    sql = f"""
        SELECT sums.*, u.name FROM (
        SELECT w.side, r.correction_of <> 0, r.use_case_id, r.offering_id,
            CASE WHEN r.gateway_id = ANY(%(gateways)s) THEN r.gateway_id ELSE 0 END,
            sum(r.requests - r.unpriced_requests), sum(r.cost_usd),
            {", ".join(f"sum(r.{meter})" for meter in METER_COLUMNS)}
        FROM (VALUES (0, %(before)s::date, %(before_until)s::date), (1, %(after)s::date, %(after_until)s::date))
            AS w (side, first, until)
        JOIN rollup_day r ON r.day >= w.first AND r.day < w.until
        GROUP BY 1, 2, 3, 4, 5
        ) AS sums JOIN catalog_usecase u ON u.id = sums.use_case_id
    """
    parameters: Mapping[str, Any] = {
        "gateways": gateways, "before": before.first, "before_until": before.until, "after": after.first,
        "after_until": after.until,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return [
            _Row._make([*row[:5], int(row[5]), atto(row[6]), tuple(map(int, row[7:-1])), row[-1]])
            for row in cursor.fetchall()
        ]
