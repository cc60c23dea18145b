"""Pages of time buckets, as OpenAI's and Anthropic's admin APIs answer: `{"data": [...], "has_more": false}`.

A file is one page, a list of pages, or pages behind each other. Buckets of a minute or an hour are summed into UTC days
by whoever reads them; which days they hold whole is worked out here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

from usage.statements.values import documents, instant, objects, wrong

_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A part of a UTC day, with its results and the words for where each stands."""

    day: date
    starts_at: datetime
    ends_at: datetime
    results: list[tuple[str, Mapping[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Buckets:
    """All buckets of a file in the order of time, and the days that they hold whole or in part."""

    buckets: list[Bucket]
    whole_days: set[date]
    partial_days: set[date]
    notes: list[str]


def read_buckets(content: bytes, *, starts: str, ends: str, endpoint: str) -> Buckets:
    """Read pages whose buckets say with the fields `starts` and `ends` when they are.

    Raises:
        Malformed: it is no such page, a bucket is no part of one UTC day, or the same time stands in it twice.
    """
    found: list[Bucket] = []
    goes_on: list[datetime] = []  # where pages end that say that there is more
    for where, page in _pages(content, endpoint):
        buckets = [_bucket(place, given, starts, ends) for place, given in objects(page.get("data"), "data", where)]
        found += buckets
        if page.get("has_more") is True and buckets:
            goes_on.append(max(each.ends_at for each in buckets))
    found.sort(key=lambda each: each.starts_at)
    for one, other in pairwise(found):
        if other.starts_at < one.ends_at:
            wrong(
                f"The bucket that begins {other.starts_at.isoformat()}",
                "stands in the file twice, or overlaps another one; it would be counted twice",
            )
    held: dict[date, timedelta] = {}
    for each in found:
        held[each.day] = held.get(each.day, timedelta()) + (each.ends_at - each.starts_at)
    notes = []
    if found and found[-1].ends_at in goes_on:
        notes.append(
            f"The export is not whole: its last page says has_more, so {endpoint} had more to tell after "
            f"{_day_before(found[-1].ends_at)}. Fetch the next pages and import them too."
        )
    return Buckets(
        buckets=found,
        whole_days={each for each, time in held.items() if time == _ONE_DAY},
        partial_days={each for each, time in held.items() if time != _ONE_DAY},
        notes=notes,
    )


def _day_before(at: datetime) -> date:
    return (at - timedelta(microseconds=1)).date()


def _pages(content: bytes, endpoint: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    number = 0
    for document in documents(content):
        for page in document if isinstance(document, list) else [document]:
            number += 1
            where = f"Page {number}"
            if not isinstance(page, dict) or "data" not in page:
                wrong(where, f'is no answer of {endpoint}, which is an object with "data" and "has_more"')
            yield where, page


def _bucket(where: str, given: Mapping[str, Any], starts: str, ends: str) -> Bucket:
    starts_at, ends_at = (instant(given.get(name), name, where) for name in (starts, ends))
    if ends_at <= starts_at:
        wrong(where, f"ends at {ends_at.isoformat()}, not after it begins")
    day = starts_at.date()
    if _day_before(ends_at) != day:
        wrong(where, "spans more than one UTC day: export buckets of a day, an hour or a minute")
    results = list(objects(given.get("results"), "results", where))
    return Bucket(day=day, starts_at=starts_at, ends_at=ends_at, results=results)
