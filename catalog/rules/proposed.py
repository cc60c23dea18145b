"""The lines of a proposal as they are kept, and in words: plain Python, no I/O.

A line is a mapping that JSON can hold: meter, context_over, context_inclusive, service_tier, region, hours (zone,
weekdays, starts, ends; or null), usd_per_1m (a string, null where the table does not name the series), valid_from and
valid_until (ISO or null), book_usd_per_1m, book_price_id, book_source (null where the book has no such price), book_ids
(all prices of the series), others ({source: usd}), differs, note, source_url.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from typing import Any

from catalog.rules.comparing import Line, SeriesKey, disagree
from catalog.sources.quotes import QuotedHours
from core.money import plain

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True)
class ProposedLine:
    """One price that a proposal names. Prices are USD per million units of the meter.

    `usd_per_1m` None: the table does not name it; where it differs, it ends with acceptance. `valid_from` None: from
    acceptance on.
    """

    meter: str
    context_over: int | None
    context_inclusive: bool
    service_tier: str
    region: str
    hours: QuotedHours | None
    usd_per_1m: Decimal | None
    valid_from: datetime | None
    valid_until: datetime | None
    book_usd_per_1m: Decimal | None
    book_price_id: int | None
    book_source: str | None
    book_ids: tuple[int, ...]
    others: Mapping[str, Decimal]
    differs: bool
    note: str
    source_url: str

    @property
    def key(self) -> SeriesKey:
        level = 0
        if self.context_over is not None:
            level = self.context_over if self.context_inclusive else self.context_over + 1
        return SeriesKey(self.meter, level, self.service_tier, self.region, self.hours)

    @property
    def disputed(self) -> bool:
        """Say whether another source's newest table says otherwise by more than 1 per cent."""
        usd = self.usd_per_1m
        return usd is not None and any(disagree(usd, said) for said in self.others.values())

    @property
    def change_percent(self) -> Decimal | None:
        """Return by how much the price would move, in per cent with one place; None where there is no price to move."""
        if self.usd_per_1m is None or not self.book_usd_per_1m:
            return None
        return (100 * (self.usd_per_1m - self.book_usd_per_1m) / self.book_usd_per_1m).quantize(Decimal("0.1"))

    @property
    def what(self) -> str:
        """Say what the price is for: "output, above 200,000 tokens of input, batch"."""
        parts = [self.meter.replace("_", " ")]
        if self.context_over is not None:
            parts.append(f"{'from' if self.context_inclusive else 'above'} {self.context_over:,} tokens of input")
        parts += [part for part in (self.service_tier, self.region and f"in {self.region}") if part]
        if self.hours is not None:
            parts.append(hours_in_words(self.hours))
        return ", ".join(parts)


def hours_in_words(hours: QuotedHours) -> str:
    days = "" if len(set(hours.weekdays)) == 7 else " on " + " ".join(_WEEKDAYS[day] for day in hours.weekdays)
    return f"{hours.starts:%H:%M} to {hours.ends:%H:%M} {hours.zone}{days}"


def written(line: Line) -> dict[str, Any]:
    """Return a line as it is kept."""
    key, book = line.key, line.book
    return {
        "meter": key.meter,
        "context_over": line.context_over,
        "context_inclusive": line.context_inclusive,
        "service_tier": key.service_tier,
        "region": key.region,
        "hours": key.hours and {
            "zone": key.hours.zone,
            "weekdays": list(key.hours.weekdays),
            "starts": key.hours.starts.isoformat(),
            "ends": key.hours.ends.isoformat(),
        },
        "usd_per_1m": None if line.usd_per_1m is None else plain(line.usd_per_1m),
        "valid_from": line.valid_from and line.valid_from.isoformat(),
        "valid_until": line.valid_until and line.valid_until.isoformat(),
        "book_usd_per_1m": book and plain(book.price.usd_per_1m),
        "book_price_id": book and book.price.id,
        "book_source": book and book.source,
        "book_ids": list(line.book_ids),
        "others": {source: plain(usd) for source, usd in line.others.items()},
        "differs": line.differs,
        "note": line.note,
        "source_url": line.source_url,
    }  # fmt: skip


def read(kept: Mapping[str, Any]) -> ProposedLine:
    """Return a line that was kept."""
    hours, usd, book_usd = kept["hours"], kept["usd_per_1m"], kept["book_usd_per_1m"]
    return ProposedLine(
        meter=kept["meter"],
        context_over=kept["context_over"],
        context_inclusive=kept["context_inclusive"],
        service_tier=kept["service_tier"],
        region=kept["region"],
        hours=hours
        and QuotedHours(
            zone=hours["zone"],
            weekdays=tuple(hours["weekdays"]),
            starts=time.fromisoformat(hours["starts"]),
            ends=time.fromisoformat(hours["ends"]),
        ),
        usd_per_1m=None if usd is None else Decimal(usd),
        valid_from=_instant(kept["valid_from"]),
        valid_until=_instant(kept["valid_until"]),
        book_usd_per_1m=None if book_usd is None else Decimal(book_usd),
        book_price_id=kept["book_price_id"],
        book_source=kept["book_source"],
        book_ids=tuple(kept["book_ids"]),
        others={source: Decimal(usd) for source, usd in kept["others"].items()},
        differs=kept["differs"],
        note=kept["note"],
        source_url=kept["source_url"],
    )


def said(kind: str, lines: Iterable[Mapping[str, Any]]) -> frozenset[tuple[Any, ...]]:
    """Return what the tables say in a proposal that a person has to judge, so that it can be known again.

    Of a dispute that is what the others say; else what the table says where it differs from the book.
    """
    found: set[tuple[Any, ...]] = set()
    for kept in lines:
        line = read(kept)
        about = (line.key, line.usd_per_1m)
        if kind == "disputed":
            if line.disputed:
                found.add((*about, tuple(sorted(line.others.items()))))
        elif line.differs:
            # Whose time the table does not name ends with acceptance, whenever the book's price began.
            found.add((*about, line.valid_from, line.valid_until) if line.usd_per_1m is not None else about)
    return frozenset(found)


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
