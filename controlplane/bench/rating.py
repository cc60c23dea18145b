"""Rating one event with the pure function: all meters in use, a price table with a context cliff."""

from __future__ import annotations

import statistics
import time
from datetime import UTC, datetime
from decimal import Decimal

from catalog.rules import METERS, Book, ListedPrice
from controlplane.bench.main import Figure
from usage.rules.rating import rate

CALLS = 20_000


def measure() -> list[Figure]:
    book = Book()
    prices = [
        ListedPrice(index * 2 + bool(over), index, Decimal(5), 5 * 10**10, None, None, over, False, "")
        for index in range(len(METERS))
        for over in (None, 200_000)
    ]
    book.listed = {(1, ""): tuple(prices)}
    at = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()
    meters = (1200, 1024, 0, 0, 85, 0, 0, 0, 0, 1, 0)
    rounds = []
    for _ in range(7):
        start = time.perf_counter()
        for _ in range(CALLS):
            rate(book=book, offering=1, service_tier="", timestamp=at, meters=meters)
        rounds.append((time.perf_counter() - start) / CALLS * 1e6)
    return [Figure(what="rating one event", value=statistics.median(rounds), unit="us", limit=10, aim=3, better="less")]
