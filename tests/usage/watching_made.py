"""Weeks of usage that was really booked, for what is looked for in it.

Today is a Monday at the end of its month, which has four weeks before it: one partition, made once.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import Any

from tests.usage.making import DAY, make_event, send
from usage.events import Event

NOON = datetime(2026, 6, 29, 12, tzinfo=UTC)
TODAY = NOON.date()
HOUR = timedelta(hours=1)


def at(day: date, hour: int = 10) -> datetime:
    return datetime.combine(day, time(hour), tzinfo=NOON.tzinfo)


def ago(days: int) -> date:
    return TODAY - days * DAY


def spend(usd: float, *, day: date = TODAY, **overrides: Any) -> Event:
    """Make a call of `make_priced_offering` that costs so much: 5 USD for a million of input."""
    given = {"occurred_at": at(day), "uncached_input_tokens": round(usd * 200_000), "output_tokens": 0}
    return make_event(**{**given, **overrides})


def usual(usd: float, *, days: int = 28, **overrides: Any) -> list[Event]:
    """Make a call on each of the days before today, of about one size."""
    past = [ago(n) for n in range(days, 0, -1)]
    return [spend(usd * (96 + day.toordinal() % 9) / 100, day=day, **overrides) for day in past]


def book(*events: Event | Iterable[Event], **taking: Any) -> None:
    """Book events as if they had come in time: live ones are taken for 35 days."""
    flat = [event for one in events for event in ([one] if isinstance(one, Event) else one)]
    flat.sort(key=lambda event: event.occurred_at)
    for _, some in groupby(flat, key=lambda event: (event.occurred_at.year, event.occurred_at.month)):
        part = list(some)
        send(*part, received_at=part[-1].occurred_at + timedelta(minutes=1), **taking)
