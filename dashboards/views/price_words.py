"""Prices in words: what they are for, in which order they go, and the tables of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from catalog.models import METER_LABELS
from catalog.selectors.price_rows import PriceRow
from dashboards.charts.prices import price


@dataclass(frozen=True, kw_only=True)
class PriceWords:
    """A price as a row of a table, its source an address only where that is one that may be followed."""

    row: PriceRow
    meter: str
    usd: str
    each: str  # what it comes to for a thousand, of what is counted singly
    terms: str
    link: str
    state: str  # empty while it is in force


@dataclass(frozen=True, kw_only=True)
class PriceGroup:
    """The prices in force on the same terms."""

    terms: str
    note: str
    rows: Sequence[PriceWords]


def terms_of(row: PriceRow) -> str:
    """Return when a price applies, in words: "batch service, above 272,000 tokens of input"; empty where always."""
    parts = []
    if row.contract:
        parts.append(f"contract {row.contract}")
    if row.service_tier:
        parts.append(f"{row.service_tier} service")
    if row.context_over:
        parts.append(f"{'from' if row.context_inclusive else 'above'} {row.context_over:,} tokens of input")
    if row.region:
        parts.append(f"in {row.region}")
    if row.hour_window:
        parts.append(f"at the hours {row.hour_window}")
    return ", ".join(parts)


def terms_title(row: PriceRow) -> str:
    """Return `terms_of` as a title; "List price" where they are none."""
    words = terms_of(row) or "list price"
    return words[0].upper() + words[1:]


def words_of(row: PriceRow, now: datetime) -> PriceWords:
    """Return a price in words; its source is an address only where that is one that may be followed."""
    if row.recorded_until is not None:
        state = "replaced"
    elif row.holds(now):
        state = ""
    else:
        state = "to come" if row.valid_from and row.valid_from > now else "over"
    return PriceWords(
        row=row,
        meter=METER_LABELS.get(row.meter, row.meter),
        usd=price(row.usd_per_1m),
        each=f"{price(row.usd_per_1m / 1000)} per 1,000" if row.meter in ("requests", "web_searches") else "",
        terms=terms_title(row),
        link=row.source_url if row.source_url.lower().startswith("https://") else "",
        state=state,
    )


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """The prices in force at a glance: a row for each terms, a column for each meter; None where it has none."""

    meters: Sequence[str]
    rows: Sequence[tuple[str, Sequence[PriceWords | None]]]


def matrix_of(groups: Sequence[PriceGroup]) -> Matrix | None:
    """Return the prices at a glance, None where a single row would only repeat what the page says already."""
    if len(groups) < 2:
        return None
    meters = [meter for meter in METER_LABELS if any(one.row.meter == meter for group in groups for one in group.rows)]
    return Matrix(
        meters=[METER_LABELS[meter] for meter in meters],
        rows=[
            (group.terms, [next((one for one in group.rows if one.row.meter == meter), None) for meter in meters])
            for group in groups
        ],
    )


def _note(row: PriceRow, region: str) -> str:
    """Say when a price goes before the others, or why it never does."""
    if row.region and row.region.lower() != region.lower():
        return (
            f"Not used: this offering is in {region}." if region else "Not used: nobody said in which region this is."
        )
    parts = []
    if row.contract:
        parts.append("Goes before the list price for calls that the contract is for.")
    if row.hour_window:
        parts.append("Goes before other prices at these hours.")
    elif row.region:
        parts.append("Goes before prices for any region.")
    if row.context_over:
        parts.append("All of a request is priced so, not only what goes beyond.")
    return " ".join(parts)


def groups_of(rows: Iterable[PriceRow], now: datetime, region: str) -> list[PriceGroup]:
    found = []
    for _, each in groupby(rows, key=lambda row: row.series[:-1]):
        prices = list(each)
        note = _note(prices[0], region)
        found.append(PriceGroup(terms=terms_title(prices[0]), note=note, rows=[words_of(row, now) for row in prices]))
    return found
