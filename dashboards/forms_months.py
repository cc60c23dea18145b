"""What people fill in to close a month."""

from __future__ import annotations

from django import forms

from dashboards.forms import Told


class CloseForm(Told):
    reason = forms.CharField(
        required=False,
        max_length=300,
        label="Why it can be closed",
        help_text="Such as: invoices of all providers compared. Kept with the month and in the audit trail.",
    )
