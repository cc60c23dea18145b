"""What people fill in. What may stand in a field is decided by the service; a form only reads what was typed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django import forms

from budgets.models import Action, PeriodKind, Unit
from budgets.rules import TIERS

NOT_A_NUMBER = Decimal("NaN")  # refused by every service
_NUMBER = re.compile(r"(\d+|\d{1,3}(,\d{3})+)(\.\d+)?", re.ASCII)


class AmountField(forms.CharField):
    """A number as people write it: 2,000,000 or 1250.50. Anything else becomes NaN, which the service refuses."""

    def __init__(self, **given: Any) -> None:
        super().__init__(widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}), **given)

    def clean(self, value: Any) -> Decimal:
        text = super().clean(value).replace(" ", "").replace("\N{NO-BREAK SPACE}", "")
        return Decimal(text.replace(",", "")) if _NUMBER.fullmatch(text) else NOT_A_NUMBER


class ThresholdsField(forms.CharField):
    """Per cents, separated by commas or spaces. Anything else becomes 0, which the service refuses."""

    def clean(self, value: Any) -> list[int]:
        words = [word for word in re.split(r"[\s,;%]+", super().clean(value)) if word]
        return [int(word) if word.isascii() and word.isdecimal() and len(word) < 6 else 0 for word in words]


class Told(forms.Form):
    """A form that shows what a service found, all at once and each at its field."""

    use_required_attribute = False
    ids = "id_%s"  # two forms of one page have fields of one name

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **{"auto_id": self.ids, **given})

    at_field: dict[str, str] = {}

    def show(self, problems: Iterable[tuple[str, str]]) -> None:
        for name, sentence in problems:
            field = self.at_field.get(name, name)
            self.add_error(field if field in self.fields else None, sentence)


class BudgetForm(Told):
    at_field = {"scope": "use_case"}

    name = forms.CharField(required=False, label="Name", help_text="Such as: support-routing, frontier tokens")
    unit = forms.ChoiceField(choices=Unit.choices, label="Counted in", initial=Unit.FRONTIER_TOKENS)
    amount = AmountField(required=False, label="Limit", help_text="In the unit, such as 2,000,000 or 1250.50")
    period = forms.ChoiceField(choices=PeriodKind.choices, label="Per", initial=PeriodKind.MONTH)
    use_case = forms.MultipleChoiceField(required=False, label="Use cases", help_text="None chosen: all of them")
    team = forms.MultipleChoiceField(required=False, label="Teams", help_text="None chosen: all of them")
    model = forms.MultipleChoiceField(required=False, label="Models", help_text="None chosen: all of them")
    tier = forms.MultipleChoiceField(
        required=False, label="Tiers", choices=[(tier, tier) for tier in TIERS], help_text="None chosen: all of them"
    )
    thresholds = ThresholdsField(
        required=False, label="Thresholds", initial="70, 90, 100", help_text="Per cent of the limit that is used"
    )
    action = forms.ChoiceField(choices=Action.choices, label="At the limit, gateways", initial=Action.ALERT)
    trial = forms.BooleanField(required=False, label="On trial: say what it would do, and do nothing")
    owner = forms.CharField(required=False, label="Owner", help_text="Who is asked about it")
    reason = forms.CharField(required=False, label="Reason", help_text="Kept in the audit trail")

    def __init__(self, *args: Any, names: dict[str, list[str]], **given: Any) -> None:
        super().__init__(*args, **given)
        for dimension, known in names.items():
            self.fields[dimension].choices = [(name, name) for name in known]  # type: ignore[attr-defined]
        for dimension in ("use_case", "team", "model", "tier"):
            self.fields[dimension].widget.attrs["size"] = 6

    @property
    def scope(self) -> dict[str, list[str]]:
        chosen = {name: self.cleaned_data.get(name) or [] for name in ("use_case", "team", "model", "tier")}
        return {name: values for name, values in chosen.items() if values}


class LimitForm(Told):
    ids = "limit_%s"

    amount = AmountField(required=False, label="New limit", help_text="Holds from now on")
    reason = forms.CharField(required=False, label="Reason", help_text="Kept with the limit")


class RetireForm(Told):
    ids = "retire_%s"

    reason = forms.CharField(required=False, label="Reason", help_text="Kept in the audit trail")


class CommentForm(Told):
    text = forms.CharField(required=False, label="Comment", widget=forms.Textarea(attrs={"rows": 3}))
