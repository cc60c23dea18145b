"""What people fill in about budgets and their limits. What may stand in a field is decided by the services."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django import forms

from budgets.models import DIMENSIONS, Action, PeriodKind, Unit
from budgets.rules import TAG, TIERS
from budgets.sheets import LARGEST_BYTES
from core import money, periods
from dashboards.forms import AmountField, Told
from dashboards.forms_prices import MomentField

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
LABELS = {
    "use_case": "Use cases", "team": "Teams", "model": "Models", "tier": "Tiers", "offering": "Offerings",
    "provider": "Providers", "gateway": "Gateways",
}  # fmt: skip
USUAL = ("use_case", "team", "model", "tier")


class ThresholdsField(forms.CharField):
    """Per cents, separated by commas or spaces. Anything else becomes 0, which the service refuses."""

    def clean(self, value: Any) -> list[int]:
        words = [word for word in re.split(r"[\s,;%]+", super().clean(value)) if word]
        return [int(word) if word.isascii() and word.isdecimal() and len(word) < 6 else 0 for word in words]


class ValuesField(forms.CharField):
    """Values of a tag, one on each line."""

    def __init__(self, **given: Any) -> None:
        super().__init__(widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}), **given)

    def clean(self, value: Any) -> list[str]:
        return list(dict.fromkeys(line.strip() for line in super().clean(value).splitlines() if line.strip()))


class LimitTimesForm(Told):
    """What a limit and a request for one have in common."""

    at_field = {"starts_at": "starts", "ends_at": "ends"}

    amount = AmountField(required=False, label="New limit")
    starts = MomentField(label="From", help_text="A day, such as 2026-12-01. Empty: from now on")
    ends = MomentField(label="Until", help_text="That day is not part of it. Empty: until a later version")
    reason = forms.CharField(required=False, max_length=300, label="Reason", help_text="Kept with the limit")

    def __init__(self, *args: Any, zone: str, **given: Any) -> None:
        super().__init__(*args, **given)
        for name in ("starts", "ends"):
            field = self.fields[name]
            assert isinstance(field, MomentField)
            field.zone, field.no_year = zone, "That is no year in which a limit holds."


class LimitForm(LimitTimesForm):
    ids = "limit_%s"


class AskForm(LimitTimesForm):
    ids = "ask_%s"

    field_order = ("amount", "starts", "ends", "reason")

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        self.fields["starts"].help_text = "A day, such as 2026-12-01. Empty: from its approval on"
        self.fields["reason"].help_text = "Whoever decides reads this first"


class NoteForm(Told):
    note = forms.CharField(required=False, max_length=300, label="Note", help_text="Whoever asked reads it")


class ApproveForm(NoteForm):
    ids = "approve_%s"

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        self.fields["note"].help_text = "If there is something to say"


class RefuseForm(NoteForm):
    ids = "refuse_%s"


class RetireForm(Told):
    ids = "retire_%s"

    reason = forms.CharField(required=False, max_length=300, label="Reason", help_text="Kept in the audit trail")


class ChangeForm(Told):
    """What may change in a budget's life."""

    name = forms.CharField(required=False, label="Name", help_text="Such as: support-routing, frontier tokens")
    owner = forms.CharField(required=False, label="Owner", help_text="Who is asked about it")
    thresholds = ThresholdsField(
        required=False, label="Thresholds", initial="70, 90, 100", help_text="Per cent of the limit that is used"
    )
    forecast_thresholds = ThresholdsField(
        required=False, label="Thresholds of the forecast",
        help_text="Per cent of the limit that the forecast passes, such as 100. Empty: it is not told",
    )  # fmt: skip
    action = forms.ChoiceField(choices=Action.choices, label="At the limit, gateways", initial=Action.ALERT)
    trial = forms.BooleanField(required=False, label="On trial: say what it would do, and do nothing")
    reason = forms.CharField(required=False, max_length=300, label="Reason", help_text="Kept in the audit trail")


class BudgetForm(ChangeForm):
    """A new budget: all of the above, what holds for life, and the first version of its limit."""

    at_field = {"scope": "use_case"}
    field_order = ("name", "unit", "amount", "period")

    unit = forms.ChoiceField(choices=Unit.choices, label="Counted in", initial=Unit.FRONTIER_TOKENS)
    amount = AmountField(required=False, label="Limit", help_text="In the unit, such as 2,000,000 or 1250.50")
    period = forms.ChoiceField(
        choices=[(kind, kind) for kind in PeriodKind.values], label="Per", initial=PeriodKind.MONTH
    )
    zone = forms.CharField(
        required=False, label="Time zone", help_text="Whose days are counted, such as Europe/Berlin",
        widget=forms.TextInput(attrs={"list": "zones", "autocomplete": "off", "spellcheck": "false"}),
    )  # fmt: skip
    fiscal_start_month = forms.TypedChoiceField(
        coerce=int, required=False, choices=list(enumerate(MONTHS, start=1)), initial=1,
        label="The year begins in", help_text="Of quarters and years",
    )  # fmt: skip

    def __init__(
        self, *args: Any, names: Mapping[str, Sequence[str]], tags: Iterable[str], zone: str, **given: Any
    ) -> None:
        super().__init__(*args, **given)
        self.fields["zone"].initial = zone
        chosen = given.get("initial") or {}
        for dimension in DIMENSIONS:
            # What a copied budget names and the catalogue has renamed since is shown, and judged by the service.
            known = dict.fromkeys([*(TIERS if dimension == "tier" else names[dimension]), *chosen.get(dimension, ())])
            self.fields[dimension] = forms.MultipleChoiceField(
                required=False, label=LABELS[dimension], choices=[(name, name) for name in known],
                widget=forms.CheckboxSelectMultiple(attrs={"class": "form-check-input"}),
            )  # fmt: skip
        self.tags = list(dict.fromkeys([*tags, *(name[len(TAG) :] for name in chosen if name.startswith(TAG))]))
        for tag in self.tags:
            self.fields[TAG + tag] = ValuesField(
                required=False, label=f"Tag {tag}", help_text="Its values, one on each line. None: all of them"
            )

    @property
    def zones(self) -> list[str]:
        return sorted(periods.zones())

    @property
    def usual_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in USUAL]

    @property
    def other_fields(self) -> list[forms.BoundField]:
        """Return the dimensions that fewer budgets go by."""
        return [
            self[name] for name in (*(one for one in DIMENSIONS if one not in USUAL), *(TAG + t for t in self.tags))
        ]

    @property
    def narrowed_further(self) -> bool:
        """Say whether one of those is filled in, or wrong: then they are shown at once."""
        return any(field.errors or field.value() for field in self.other_fields)

    def show(self, problems: Iterable[tuple[str, str]]) -> None:
        super().show((name.removeprefix("scope/"), sentence) for name, sentence in problems)

    @property
    def scope(self) -> dict[str, list[str]]:
        chosen = {name: self.cleaned_data.get(name) or [] for name in (*DIMENSIONS, *(TAG + tag for tag in self.tags))}
        return {name: values for name, values in chosen.items() if values}


class PlanForm(Told):
    """An amount for each period ahead; one that is emptied stays as it is."""

    ids = "plan_%s"

    version = forms.IntegerField(required=False, widget=forms.HiddenInput)
    reason = forms.CharField(
        required=False, max_length=300, label="Reason", help_text="One for all of them, kept with each limit"
    )

    def __init__(self, *args: Any, periods: Sequence[tuple[str, str]], **given: Any) -> None:
        super().__init__(*args, **given)
        self.at_field = {}
        for day, label in periods:
            self.fields[day] = AmountField(required=False, label=f"Limit of {label}")
            self.at_field[f"limits/{day}"] = day


class FillForm(forms.Form):
    """How the grid of a plan is filled in: read from the address."""

    use_required_attribute = False

    use = forms.ChoiceField(
        label="From what was used in",
        choices=[
            ("year", "the same period a year before"),
            ("last", "the last full period"),
            ("mean", "the mean of the periods that are over"),
        ],
    )
    percent = forms.DecimalField(
        required=False, label="plus per cent", min_value=-99, max_value=1000, max_digits=7, decimal_places=2,
        initial=10, widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
    )  # fmt: skip


class FileForm(Told):
    """The file of budgets, to be looked at."""

    file = forms.FileField(
        required=False, allow_empty_file=True, max_length=400, label="File",
        widget=forms.FileInput(attrs={"accept": ".csv,text/csv"}),
    )  # fmt: skip


class ConfirmForm(Told):
    """The same file again, with what was shown of it."""

    ids = "confirm_%s"

    content = forms.CharField(
        required=False, strip=False, max_length=LARGEST_BYTES, widget=forms.Textarea(attrs={"hidden": True})
    )
    digest = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)
    reason = forms.CharField(
        required=False, max_length=300, label="Reason", help_text="One for all of it, kept with each limit"
    )


def amount_text(amount: Any) -> str:
    """Return an amount as its field reads it, exact and with its thousands apart."""
    if amount is None:
        return ""
    whole, point, rest = money.plain(amount).partition(".")
    return f"{int(whole):,}{point}{rest}"
