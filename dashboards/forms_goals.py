"""Forms for what the organisation is held to: its goals, and what savings are told against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms

from core.services.organisation import REASON_CHARACTERS
from dashboards.forms import AmountField, Told


class GoalsForm(Told):
    frontier_goal_from_percent = AmountField(label="On frontier, from", help_text="Per cent of answered requests")
    frontier_goal_percent = AmountField(label="On frontier, up to", help_text="Per cent of answered requests")
    open_weights_goal_percent = AmountField(
        label="On open weights, at least", help_text="Per cent of answered requests"
    )
    reason = forms.CharField(
        required=False, max_length=REASON_CHARACTERS, label="Why", help_text="Kept in the audit trail"
    )


class BaselineForm(Told):
    """An offering for one use case, or for all that have none; `offerings` are names to choose from."""

    ids = "baseline_%s"

    use_case = forms.ChoiceField(label="For")
    baseline = forms.ChoiceField(
        required=False,
        label="Baseline",
        help_text="What all of its calls would go to without routing. None: its savings are not told",
    )
    reason = forms.CharField(
        required=False, max_length=REASON_CHARACTERS, label="Why", help_text="Kept in the audit trail"
    )

    def __init__(
        self, *args: Any, use_cases: Sequence[tuple[str, str]], offerings: Sequence[str], **given: Any
    ) -> None:
        super().__init__(*args, **given)
        self.fields["use_case"].choices = list(use_cases)  # type: ignore[attr-defined]
        self.fields["baseline"].choices = [("", "None"), *((name, name) for name in offerings)]  # type: ignore[attr-defined]
