"""Forms about our own sums: making days anew, and how long the ledger is kept. They read; the services judge."""

from __future__ import annotations

from django import forms

from dashboards.forms import Told


class RebuildForm(Told):
    """Days whose sums are made anew from the ledger."""

    ids = "rebuild_%s"

    first = forms.DateField(label="First day", widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"))
    last = forms.DateField(label="Last day", widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"))
    reason = forms.CharField(
        required=False, max_length=300, label="Why", help_text="Kept with the rebuild and in the audit trail"
    )


class RetentionForm(Told):
    keep_ledger_months = forms.IntegerField(
        required=False,
        label="Months of the ledger before the running one",
        help_text="At least 12. Empty: all of them, for good.",
        widget=forms.NumberInput(attrs={"inputmode": "numeric"}),
    )
    keep_receipts_days = forms.IntegerField(
        label="Days that a booked body keeps its events",
        help_text="The receipt itself, and what became of it, stays.",
        widget=forms.NumberInput(attrs={"inputmode": "numeric"}),
    )
    reason = forms.CharField(required=False, max_length=300, label="Why", help_text="Kept in the audit trail")
