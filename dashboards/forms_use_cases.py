"""What people fill in about a use case. What may stand in a field, services decide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms

from dashboards.forms_catalog import Dated


class UseCaseForm(Dated):
    """What is said of a use case, and who answers for it from a day on."""

    title = forms.CharField(required=False, label="Title", max_length=200, help_text="What it is for, in a few words")
    owner = forms.CharField(required=False, label="Owner", max_length=254, help_text="Who is asked about it")
    data_class = forms.CharField(
        required=False, label="Data class", max_length=32, help_text="The most sensitive data that its calls carry"
    )
    team = forms.ChoiceField(required=False, label="Team", help_text="Calls that name no team are booked for it")
    field_order = ("title", "owner", "data_class", "team", "since", "reason")

    def __init__(self, *args: Any, teams: Sequence[str], **given: Any) -> None:
        super().__init__(*args, **given)
        self.fields["team"].choices = [("", "as it is"), *((name, name) for name in teams)]  # type: ignore[attr-defined]
        self.fields["since"].label = "Team answers from"
