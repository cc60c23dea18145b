"""Where days, weeks, months and hours begin. See Note [One calendar] in `spend`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from core import periods
from usage.selectors.spend_ask import QUARTER_HOUR, SpendAsk, written_instant


@dataclass(frozen=True, kw_only=True)
class Calendar:
    """Beginnings of the days, weeks, months or hours that a range touches, with what to call them."""

    instants: list[datetime]
    dates: list[date]  # the same for tables by day; empty for hours
    labels: list[str]


def calendar(kind: str, ask: SpendAsk) -> Calendar:
    """Return what of a kind (hour, day, week, month) the range touches, on the clock of its zone."""
    starts_at, ends_at, zone = ask.starts_at.astimezone(UTC), ask.ends_at.astimezone(UTC), ask.zone
    if kind == "hour":
        hours = _hours(starts_at, ends_at, zone)
        return Calendar(instants=hours, dates=[], labels=[written_instant(at) for at in hours])
    found = []
    period = periods.containing(starts_at, kind, zone)
    while period.starts_at < ends_at:
        found.append(period)
        period = periods.containing(period.ends_at, kind, zone)
    width = 7 if kind == "month" else 10
    return Calendar(
        instants=[each.starts_at for each in found],
        dates=[each.first_day for each in found],
        labels=[each.first_day.isoformat()[:width] for each in found],
    )


def _hours(starts_at: datetime, ends_at: datetime, zone: str) -> list[datetime]:
    """Return where hours of the wall clock begin; clocks that are put forward or back begin one too."""
    local = ZoneInfo(zone)
    at = starts_at - timedelta(seconds=starts_at.timestamp() % 900) - 4 * QUARTER_HOUR
    offset = (at - QUARTER_HOUR).astimezone(local).utcoffset()
    found: list[datetime] = []
    while at < ends_at:
        there = at.astimezone(local)
        if there.minute == 0 or there.utcoffset() != offset:
            if at <= starts_at:
                found.clear()
            found.append(at)
        offset = there.utcoffset()
        at += QUARTER_HOUR
    return found
