"""What the pages of channels show, put together from what `alerts` and `budgets` answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from alerts.selectors import channels, deliveries
from alerts.selectors.channels import ChannelRow
from alerts.selectors.deliveries import Standing
from budgets.selectors import canary
from budgets.selectors.canary import Day, Leg
from core import periods
from dashboards.selectors import alerts
from dashboards.selectors.alerts import Names

CHECKED_DAYS = 14


@dataclass(frozen=True, kw_only=True)
class Check:
    """The daily check of a day at one channel."""

    day: date
    leg: Leg | None  # None: none was sent there
    missing: bool  # none was made at all, on a day that should have had one


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A channel with how it does."""

    row: ChannelRow
    standing: Standing | None  # None: nothing was ever sent there
    checks: Sequence[Check]  # of the last days, the earliest first; empty where the channel never took any


@dataclass(frozen=True, kw_only=True)
class Page:
    shown: Sequence[Shown]
    retired: Sequence[ChannelRow]
    names: Names


def listed(*, at: datetime, zone: str) -> Page:
    """Return every channel in use by name, and the retired ones. Nine queries, however many there are."""
    rows = channels.every(with_retired=True)
    in_use = [row for row in rows if row.retired_at is None]
    return Page(
        shown=_shown(in_use, at=at, zone=zone),
        retired=[row for row in rows if row.retired_at is not None],
        names=alerts.names(),
    )


def one(*, channel_id: int, at: datetime, zone: str) -> Shown | None:
    """Return a channel, retired or not, or None. Seven queries."""
    row = channels.one(channel_id=channel_id)
    return _shown([row], at=at, zone=zone)[0] if row else None


def _shown(rows: Sequence[ChannelRow], *, at: datetime, zone: str) -> list[Shown]:
    if not rows:
        return []
    standings = deliveries.standings(channel_ids=[row.id for row in rows])
    today = periods.local_day(at, zone)
    days = [today - timedelta(days=ago) for ago in reversed(range(CHECKED_DAYS))]
    made = {day.day: day for day in canary.days(at=at, count=CHECKED_DAYS)}
    return [
        Shown(row=row, standing=standings.get(row.id), checks=_checks(row, days, made)) for row in rows
    ]  # fmt: skip


def _checks(row: ChannelRow, days: Sequence[date], made: Mapping[date, Day]) -> Sequence[Check]:
    legs = {
        day.day: leg for day in made.values() for leg in day.legs if leg.delivery.channel_id == row.id
    }  # fmt: skip
    if not row.canary and not legs:
        return ()
    return [
        Check(day=day, leg=legs.get(day), missing=row.canary and day in made and made[day].state == "missing")
        for day in days
    ]
