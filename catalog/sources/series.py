"""What the readers of tables share: prices that fit our columns, prices joined over time, and a digest of quotes."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

from catalog.sources.quotes import Quote

PLACES = Decimal("1e-10")  # the last place of a price
_LONG_AGO = datetime.min.replace(tzinfo=UTC)

Series = tuple[str, str, str, int, str, str, str]


def fitted(usd_per_1m: Decimal) -> tuple[Decimal, str]:
    """Return a price with at most ten places, half to even, and a note of what the table says if it says more.

    Tables made by programs have prices such as 0.08333333333333334, which once was a twelfth.
    """
    with localcontext() as context:
        context.prec = 60
        rounded = usd_per_1m.quantize(PLACES, ROUND_HALF_EVEN)
        tidy = rounded.normalize()
        if tidy.as_tuple().exponent > 0:  # type: ignore[operator]  # finite, so a number
            tidy = tidy.quantize(Decimal(1))
        return tidy, "" if rounded == usd_per_1m else f"rounded from {usd_per_1m}"


def series_of(quote: Quote) -> Series:
    """Return what two quotes have in common where only one may hold at a time."""
    return (
        quote.provider,
        quote.model,
        quote.meter,
        -1 if quote.context_over is None else quote.context_over,
        quote.service_tier,
        quote.region,
        "" if quote.hours is None else quote.hours.name,
    )


def joined(quotes: Iterable[Quote]) -> tuple[Quote, ...]:
    """Return quotes sorted by series and time, those of one price that abut made one."""
    grouped: dict[Series, list[Quote]] = defaultdict(list)
    for quote in quotes:
        grouped[series_of(quote)].append(quote)
    found: list[Quote] = []
    for _, group in sorted(grouped.items()):
        group.sort(key=lambda quote: quote.valid_from or _LONG_AGO)
        kept = group[0]
        for quote in group[1:]:
            follows = kept.valid_until is not None and kept.valid_until == quote.valid_from
            if follows and replace(kept, valid_from=None, valid_until=None) == replace(
                quote, valid_from=None, valid_until=None
            ):
                kept = replace(kept, valid_until=quote.valid_until)
            else:
                found.append(kept)
                kept = quote
        found.append(kept)
    return tuple(found)


def overlapping(quotes: Iterable[Quote]) -> list[tuple[Quote, Quote]]:
    """Return pairs of quotes of one series of which more than one holds at some time."""
    grouped: dict[Series, list[Quote]] = defaultdict(list)
    for quote in quotes:
        grouped[series_of(quote)].append(quote)
    pairs = []
    for group in grouped.values():
        group.sort(key=lambda quote: quote.valid_from or _LONG_AGO)
        longest = group[0]  # a short one may lie between two that overlap
        for later in group[1:]:
            if longest.valid_until is None or (later.valid_from or _LONG_AGO) < longest.valid_until:
                pairs.append((longest, later))
            if longest.valid_until is not None and (
                later.valid_until is None or later.valid_until > longest.valid_until
            ):
                longest = later
    return pairs


def digest_of(quotes: Iterable[Quote]) -> str:
    """Return the SHA-256 of quotes in a canonical form, whatever order they come in."""
    lines = sorted(
        json.dumps(
            [
                *series_of(quote),
                quote.context_inclusive,
                f"{quote.usd_per_1m:f}",
                quote.valid_from.isoformat() if quote.valid_from else None,
                quote.valid_until.isoformat() if quote.valid_until else None,
            ]
        )
        for quote in quotes
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
