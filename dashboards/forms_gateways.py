"""What people fill in to make and end gateways and keys. What may stand in a field is decided by the services."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from django import forms

from core import periods
from dashboards.forms import Told

KINDS = {
    "native": "One of our own",
    "litellm": "LiteLLM",
    "bifrost": "Bifrost",
    "cloudflare": "Cloudflare AI Gateway",
    "openrouter": "OpenRouter",
    "vercel": "Vercel AI Gateway",
}
SCOPE_WORDS = {
    "usage:write": "Report usage",
    "rules:read": "Fetch the rules in force",
    "read": "Read spend, budgets, alerts and the catalogue",
    "write": "Change them, prices and limits included",
    "admin": "Everything",
}
_LAST_YEAR = 2200


class Expiring(Told):
    """A form with the last day on which a key works."""

    expires_on = forms.DateField(
        required=False,
        label="Works until",
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        help_text="The last day, optional. Left empty, it works until it is revoked.",
    )
    at_field = {"expires_at": "expires_on"}

    def clean_expires_on(self) -> date | None:
        day: date | None = self.cleaned_data["expires_on"]
        if day is not None and day.year >= _LAST_YEAR:
            raise forms.ValidationError("That is too far ahead; leave it empty for a key without an end.")
        return day

    def expires_at(self, zone: str) -> datetime | None:
        """Return the end of the last day in a zone."""
        day: date | None = self.cleaned_data.get("expires_on")
        return periods.day_start(day + timedelta(days=1), zone) if day is not None else None


class KeyForm(Expiring):
    """What a key may do, whose rules it takes, and until when it works."""

    ids = "key_%s"

    environment = forms.CharField(
        required=False, label="Environment", initial="production", help_text="Whose rules it takes"
    )
    scopes = forms.MultipleChoiceField(
        required=False,
        label="What the key may do",
        initial=["usage:write", "rules:read"],
        widget=forms.CheckboxSelectMultiple(attrs={"class": "form-check-input"}),
    )

    def __init__(self, *args: Any, scopes: Sequence[str], **given: Any) -> None:
        super().__init__(*args, **given)
        choices = [(name, f"{SCOPE_WORDS[name]} ({name})") for name in scopes]
        self.fields["scopes"].choices = choices  # type: ignore[attr-defined]


class AnotherKeyForm(KeyForm):
    """A further key of a gateway. `newest` is its newest key when the form was shown."""

    name = forms.CharField(required=False, label="Name", help_text="What people call it, such as: edge, blue fleet")
    newest = forms.IntegerField(min_value=0, max_value=2**62, widget=forms.HiddenInput)
    field_order = ("name", "environment", "scopes", "expires_on", "newest")


class ConnectForm(KeyForm):
    """A gateway with its first key."""

    name = forms.CharField(
        required=False, label="Name", help_text="Letters, digits and . _ : / @ -, such as: litellm-main"
    )
    kind = forms.ChoiceField(choices=list(KINDS.items()), label="Kind", initial="native")
    field_order = ("name", "kind", "environment", "scopes", "expires_on")


class ReasonForm(Told):
    """Why something ends."""

    ids = "reason_%s"

    reason = forms.CharField(required=False, label="Reason", help_text="Kept in the audit trail")


class SettleForm(Told):
    """What was found out about held events. Not called `reason`: that is why they are held, by which one filters."""

    ids = "settle_%s"
    at_field = {"reason": "found"}

    found = forms.CharField(
        required=False, label="What you found", help_text="Optional; kept with them and in the audit trail"
    )


class RotateForm(Expiring):
    """Why a key is replaced, and until when the new one works."""

    ids = "rotate_%s"

    reason = forms.CharField(required=False, label="Reason", help_text="Optional; kept in the audit trail")
    field_order = ("reason", "expires_on")
