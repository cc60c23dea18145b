"""Hours of the day on a zone's clock, for prices that differ by them. They never change: prices were read by them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import time

from django.db import transaction

from catalog.models import HourWindow
from catalog.services import turns
from catalog.services.labels import checked_name
from core import periods
from core.errors import Conflict, Invalid


class OtherHours(Conflict):
    """The window of that name has other hours; one that prices were read by does not change."""


@transaction.atomic
def ensure(
    *, name: str, zone: str, weekdays: Iterable[int], starts: time, ends: time, by: str, reason: str = ""
) -> HourWindow:
    """Return the window of a name with these hours, made if it is new. Repeating changes nothing.

    `weekdays` are those that the hours begin on, Monday 0; where `ends` is not after `starts` they reach past midnight,
    and where both are the same they are a whole day. Whole minutes and seconds only.

    Raises:
        Invalid: the name, zone, weekdays or times cannot be; all reasons at once.
        OtherHours: a window of that name has other hours.
    """
    turns.acting(by=by, reason=reason)
    name = checked_name(name, length=64)
    days = sorted(set(weekdays))
    problems = []
    if zone not in periods.zones():
        problems.append(("zone", f"There is no time zone {zone!r}; write it as Europe/Berlin or UTC."))
    if not days or days[0] < 0 or days[-1] > 6:
        problems.append(("weekdays", "Give the days the hours begin on, 0 is Monday and 6 is Sunday."))
    for field, at in (("starts", starts), ("ends", ends)):
        if at.microsecond or at.tzinfo is not None:
            problems.append((field, "Give hours, minutes and seconds, without an offset."))
    if problems:
        raise Invalid(" ".join(sentence for _, sentence in problems), problems)
    hours = {"zone": zone, "weekdays": days, "starts": starts, "ends": ends}
    window, _ = HourWindow.objects.get_or_create(name=name, defaults=hours)
    held = (window.zone, sorted(window.weekdays), window.starts, window.ends)
    if held != (zone, days, starts, ends):
        raise OtherHours(f"The hours {name!r} are others: give these a name of their own.")
    return window
