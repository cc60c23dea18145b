"""Forms about when: the moment of a publication, and the day of the next review. They read; the services judge."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.utils import timezone

from core.services.organisation import REASON_CHARACTERS
from dashboards.forms import Told
from dashboards.forms_prices import MomentField


class PublishAtField(MomentField):
    no_year = "That is no year to come."


class ScheduleForm(Told):
    """A moment on the clock of the page's zone; one that this clock shows never or twice is refused with a sentence."""

    ids = "schedule_%s"

    publish_at = PublishAtField(label="Publish at")

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        field = self.fields["publish_at"]
        assert isinstance(field, MomentField)
        field.zone = timezone.get_current_timezone_name()
        field.help_text = f"On the clock of {field.zone}, such as 2026-12-01 06:00; a day alone is its start"
        field.widget.attrs["placeholder"] = "YYYY-MM-DD HH:MM"

    def clean_publish_at(self) -> datetime:
        instant: datetime | None = self.cleaned_data["publish_at"]
        if instant is None:
            raise forms.ValidationError("Write a day and a time.")
        return instant


class RescheduleForm(ScheduleForm):
    ids = "reschedule_%s"

    seen = forms.CharField(required=False, widget=forms.HiddenInput())

    def clean_seen(self) -> datetime | None:
        try:
            seen = datetime.fromisoformat(self.cleaned_data["seen"])
        except ValueError:
            return None
        return seen if seen.tzinfo is not None else None


class UnscheduleForm(Told):
    ids = "unschedule_%s"

    why = forms.CharField(required=False, label="Why", help_text="For whoever counts on it")


class ConfirmForm(Told):
    """Rules that are still right, and when they are looked at next."""

    ids = "confirm_%s"
    at_field = {"rules": ""}

    review_by = forms.DateField(
        required=False,
        label="Look at them again by",
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    reason = forms.CharField(
        required=False,
        label="Why they are still right",
        help_text="Stands in the draft's title, such as: compared with last month's evaluations",
    )


class DutiesForm(Told):
    reason = forms.CharField(
        required=False, max_length=REASON_CHARACTERS, label="Why", help_text="Kept in the audit trail"
    )
