"""Forms about providers' statements. They read; the services judge."""

from __future__ import annotations

from typing import Any

from django import forms

from catalog.models import Gateway
from dashboards.forms import Told
from usage.services.statements import MOST_ACCOUNT_CHARACTERS
from usage.statements import FORMATS


class StatementForm(Told):
    """An export of a provider from a file."""

    ids = "statement_%s"

    format = forms.ChoiceField(label="What it is", choices=[(name, one.title) for name, one in FORMATS.items()])
    file = forms.FileField(
        required=False, allow_empty_file=True, max_length=400, label="File",
        widget=forms.FileInput(attrs={"accept": ".json,.ndjson,.jsonl,.csv,.txt,text/csv,application/json"}),
    )  # fmt: skip
    account = forms.CharField(
        required=False, max_length=MOST_ACCOUNT_CHARACTERS, label="Account",
        help_text="Whose bill it is, where there are several with one provider",
    )  # fmt: skip
    gateway = forms.ChoiceField(
        required=False, label="Used through", help_text="The gateway through which alone the account is used"
    )

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        names = Gateway.objects.order_by("name").values_list("name", flat=True)
        self.fields["gateway"].choices = [("", "Any gateway"), *((name, name) for name in names)]  # type: ignore[attr-defined]


class WithdrawForm(Told):
    reason = forms.CharField(required=False, max_length=200, label="Reason", help_text="Kept with the audit trail")
