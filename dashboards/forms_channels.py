"""What people fill in about channels. A kind of channel names its fields; what may stand in them it checks itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from django import forms

from alerts.channels import ChannelKind, Field
from alerts.models import Digest, Severity
from alerts.rules import NOTICES
from alerts.selectors.channels import ChannelRow
from dashboards.alerts_words import KINDS, kind_words
from dashboards.forms import Told

SEVERITY_WORDS = {
    Severity.INFO: "Everything",
    Severity.WARNING: "Warnings and what is critical",
    Severity.CRITICAL: "Only what is critical",
}
DIGEST_WORDS = {
    Digest.DAILY: "A digest each day: open alerts, budgets at risk, what was spent",
    Digest.WEEKLY: "A digest each Monday: the week against the one before",
}
ROTATE_HOURS = ((24, "a day"), (72, "three days"), (168, "a week"), (0, "not at all: it stops at once"))
_SETTING = "config_"

_SEPARATORS = re.compile(r"[\s,;]+")


def _boxes() -> forms.CheckboxSelectMultiple:
    return forms.CheckboxSelectMultiple(attrs={"class": "form-check-input"})


class _Numbers(forms.TypedMultipleChoiceField):
    """Rows chosen by number."""

    def __init__(self, **given: Any) -> None:
        super().__init__(coerce=int, required=False, widget=_boxes(), **given)


class WantsForm(Told):
    """Which alerts a channel wants. Nothing chosen means all."""

    ids = "wants_%s"

    least_severity = forms.TypedChoiceField(
        coerce=int, label="How grave", choices=[(int(one), words) for one, words in SEVERITY_WORDS.items()]
    )
    kinds = forms.MultipleChoiceField(required=False, label="Kinds", widget=_boxes())
    teams = _Numbers(label="Teams")
    budgets = _Numbers(label="Budgets")

    def __init__(
        self,
        *args: Any,
        teams: Mapping[int, str],
        budgets: Mapping[int, str],
        also: ChannelRow | None = None,
        **given: Any,
    ) -> None:
        """`also` is the channel that is changed: what it lists can be kept though it is offered to nobody else."""
        super().__init__(*args, **given)
        kinds = [kind for kind in KINDS if kind not in NOTICES]
        kinds += [kind for kind in also.kinds if kind not in kinds] if also else []
        self.fields["kinds"].choices = [(kind, kind_words(kind)) for kind in kinds]  # type: ignore[attr-defined]
        self._number("teams", teams, also.teams if also else ())
        self._number("budgets", budgets, also.budgets if also else ())

    def _number(self, name: str, known: Mapping[int, str], also: Iterable[int]) -> None:
        gone = [(pk, f"number {pk}, which is gone") for pk in also if pk not in known]
        self.fields[name].choices = [*known.items(), *gone]  # type: ignore[attr-defined]

    def about(self) -> list[tuple[Any, str]]:
        """Return the boxes of the kinds, each with what it tells."""
        return [(box, KINDS.get(str(box.data["value"]), ("", ""))[1]) for box in self["kinds"]]

    @property
    def wants(self) -> dict[str, Any]:
        data = self.cleaned_data
        return {name: data[name] for name in ("least_severity", "kinds", "teams", "budgets")}


class ChannelForm(WantsForm):
    """A channel with the fields that its kind names. What is secret is never filled in."""

    ids = "channel_%s"

    name = forms.CharField(required=False, label="Name", help_text="What people call it, such as: #llm-costs, on-call")
    digests = forms.MultipleChoiceField(
        required=False,
        label="Digests",
        choices=[(str(one), words) for one, words in DIGEST_WORDS.items()],
        widget=_boxes(),
    )
    digest_hour = forms.TypedChoiceField(
        coerce=int, label="Digests come at", choices=[(hour, f"{hour:02}:00") for hour in range(24)], initial=8
    )
    canary = forms.BooleanField(required=False, label="The daily check: shows that alerts still go out")

    def __init__(self, *args: Any, kind: ChannelKind, also: ChannelRow | None = None, **given: Any) -> None:
        super().__init__(*args, also=also, **given)
        # A secret that we made is rotated, so that the far side can change over: it is not typed over here.
        self._fields = [field for field in kind.fields if not (also and field.made)]
        self.at_field = {field.name: self._name(field) for field in kind.fields if field in self._fields}
        for field in self._fields:
            self.fields[self._name(field)] = _control(field, kept=also is not None and also.has_secret)
        if also is not None:
            self.fields["reason"] = forms.CharField(
                required=False, max_length=300, label="Why it is changed", help_text="Optional; kept in the audit trail"
            )

    @staticmethod
    def initial_of(row: ChannelRow) -> dict[str, Any]:
        """Return what stands in the form of a channel; secrets never do."""
        settings = {
            f"{_SETTING}{name}": "\n".join(str(one) for one in value) if isinstance(value, list) else value
            for name, value in row.config.items()
        }
        return settings | {
            "name": row.name,
            "least_severity": row.least_severity,
            "kinds": list(row.kinds),
            "teams": list(row.teams),
            "budgets": list(row.budgets),
            "digests": list(row.digests),
            "digest_hour": row.digest_hour,
            "canary": row.canary,
        }

    @property
    def settings(self) -> list[forms.BoundField]:
        return [self[self._name(field)] for field in self._fields]

    @property
    def secret(self) -> str:
        """What was typed into the secret's field; empty where the kind has none."""
        return str(self.cleaned_data.get("secret", "")).strip()

    @property
    def given(self) -> dict[str, Any]:
        """What the services are given, the secret left out."""
        data = self.cleaned_data
        config: dict[str, Any] = {}
        for field in self._fields:
            if field.secret:
                continue
            text = data[self._name(field)]
            config[field.name] = [one for one in _SEPARATORS.split(text) if one] if field.many else text
        return self.wants | {
            "name": data["name"],
            "config": config,
            "digests": data["digests"],
            "digest_hour": data["digest_hour"],
            "canary": data["canary"],
        }

    @staticmethod
    def _name(field: Field) -> str:
        return "secret" if field.secret else f"{_SETTING}{field.name}"


def _control(field: Field, *, kept: bool) -> forms.CharField:
    help_text = field.help
    widget: forms.Widget = forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"})
    if field.secret:
        widget = forms.PasswordInput(attrs={"autocomplete": "new-password", "spellcheck": "false"})
        if kept:
            help_text = "Leave it empty to keep the present one, which is never shown."
    elif field.many:
        widget = forms.Textarea(attrs={"rows": 3, "spellcheck": "false"})
        help_text = f"{field.help} One a line, or separated by commas."
    return forms.CharField(required=False, label=field.label, help_text=help_text, max_length=4000, widget=widget)


class RotateSecretForm(Told):
    """How long a former signing secret goes on. `seen` is until when one did when the form was shown."""

    ids = "rotate_%s"
    at_field = {"keep_for": "keep_hours", "kind": ""}

    keep_hours = forms.TypedChoiceField(
        coerce=int, label="The present one goes on signing for", choices=ROTATE_HOURS, initial=ROTATE_HOURS[0][0]
    )
    seen = forms.CharField(required=False, widget=forms.HiddenInput)


class RetireChannelForm(Told):
    ids = "retire_%s"

    reason = forms.CharField(required=False, max_length=300, label="Reason", help_text="Kept in the audit trail")
