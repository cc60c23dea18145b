"""What people fill in about alerts, and until when these may sleep. A form reads; the services judge."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms

from core import periods
from dashboards.forms import Told
from dashboards.forms_prices import MomentField

MORNING = time(9)
_CHOSEN = "chosen"


@dataclass(frozen=True, kw_only=True)
class Snooze:
    """Until when an alert may sleep."""

    key: str
    words: str
    until: datetime


def snoozes(*, at: datetime, zone: str) -> list[Snooze]:
    """Return what is offered: an hour, the next morning of a zone's clock, and the next Monday's if it is another."""
    today = at.astimezone(ZoneInfo(zone)).date()
    tomorrow, monday = today + timedelta(days=1), periods.monday(today) + timedelta(days=7)
    found = [
        Snooze(key="hour", words="For an hour", until=at + timedelta(hours=1)),
        Snooze(key="tomorrow", words=f"Until tomorrow, {_named(tomorrow)}", until=_morning(tomorrow, zone)),
    ]
    if monday != tomorrow:
        found.append(Snooze(key="monday", words=f"Until Monday, {_named(monday)}", until=_morning(monday, zone)))
    return found


def _morning(day: date, zone: str) -> datetime:
    return datetime.combine(day, MORNING, ZoneInfo(zone)).astimezone(UTC)


def _named(day: date) -> str:
    return f"{day.day} {day:%b}, {MORNING:%H:%M}"


class _UntilField(MomentField):
    no_year = "That is no year to come."


class SnoozeForm(Told):
    """A time from the list, or one's own on the clock of `zone`."""

    ids = "snooze_%s"

    snooze = forms.ChoiceField(required=False, label="Snooze")
    until = _UntilField(label="Until")

    def __init__(self, *args: Any, at: datetime, zone: str, **given: Any) -> None:
        super().__init__(*args, **given)
        offered = snoozes(at=at, zone=zone)
        self._until = {one.key: one.until for one in offered}
        self.fields["snooze"].choices = [  # type: ignore[attr-defined]
            *((one.key, one.words) for one in offered),
            (_CHOSEN, "Until a time of your own"),
        ]
        field = self.fields["until"]
        assert isinstance(field, MomentField)
        field.zone = zone
        field.help_text = f"On the clock of {zone}"
        field.widget.input_type = "datetime-local"

    def chosen(self) -> datetime | None:
        """Return until when to sleep; None where a time of one's own is missing, which is then said at its field."""
        key = self.cleaned_data.get("snooze") or _CHOSEN
        until: datetime | None = self._until.get(key) or self.cleaned_data.get("until")
        if until is None:
            self.show([("until", "Choose until when.")])
        return until


class ResolveForm(Told):
    ids = "resolve_%s"
    at_field = {"text": "comment"}

    comment = forms.CharField(
        required=False, label="What it was", widget=forms.Textarea(attrs={"rows": 2}), help_text="Optional"
    )


class ActForm(SnoozeForm):
    """What to do with several alerts at once."""

    ids = "act_%s"
    at_field = {"text": "comment"}

    comment = forms.CharField(required=False, label="What they were", help_text="Optional, kept with each of them")
