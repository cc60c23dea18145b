"""Books made of quotes, as if a person had accepted all of a table: without the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from catalog.rules import METERS, Book, Hours, ListedPrice
from catalog.sources.quotes import Quote, QuotedHours


@dataclass(frozen=True)
class QuotedBook:
    """A book, and the ids of its offerings by provider and model."""

    book: Book
    ids: dict[tuple[str, str], int]


def book_of(quotes: Iterable[Quote]) -> QuotedBook:
    listed: dict[tuple[int, str], list[ListedPrice]] = defaultdict(list)
    ids: dict[tuple[str, str], int] = {}
    windows: dict[QuotedHours, Hours] = {}
    for number, quote in enumerate(quotes, start=1):
        offering = ids.setdefault((quote.provider, quote.model), len(ids) + 1)
        hours = quote.hours
        if hours is not None and hours not in windows:
            days = frozenset(hours.weekdays)
            windows[hours] = Hours(len(windows) + 1, hours.name, hours.zone, days, hours.starts, hours.ends)
        listed[offering, quote.service_tier].append(
            ListedPrice(
                id=number,
                meter=METERS.index(quote.meter),
                usd_per_1m=quote.usd_per_1m,
                scaled=int(quote.usd_per_1m.scaleb(10)),
                starts_at=quote.valid_from,
                ends_at=quote.valid_until,
                context_over=quote.context_over,
                context_inclusive=quote.context_inclusive,
                service_tier=quote.service_tier,
                hours=windows[hours] if hours is not None else None,
                region=quote.region,
            )
        )
    book = Book(priced_offerings=frozenset(ids.values()))
    book.listed = {key: tuple(prices) for key, prices in listed.items()}
    return QuotedBook(book, ids)
