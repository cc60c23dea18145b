"""What people fill in to make and end gateways and keys. What may stand in a field is decided by the services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from django import forms
from django.utils.html import escape

from catalog.models import TakesRules
from core import periods
from dashboards.connecting import Recipe
from dashboards.forms import Told

KINDS = {
    "native": "One of our own",
    "litellm": "LiteLLM",
    "otlp": "OpenTelemetry (OTLP)",
    "bifrost": "Bifrost",
    "cloudflare": "Cloudflare AI Gateway",
    "openrouter": "OpenRouter",
    "vercel": "Vercel AI Gateway",
    "openclaw": "OpenClaw",
    "langchain": "LangChain, LangGraph",
    "python": "Python",
    "javascript": "JavaScript",
    "promptlayer": "PromptLayer",
}
TAKES_RULES = {
    TakesRules.POLL: "It polls for them, with the clients of Tollkeeper or code of yours",
    TakesRules.EXPORT: "In the form of its kind: drafts that this cannot say are refused",
    TakesRules.NONE: "It takes no rules",
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
    """A gateway with its first key, after a recipe. `environments` are those there are, to choose from."""

    name = forms.CharField(required=False, label="Name", help_text="Letters, digits and . _ : / @ -")
    takes_rules = forms.ChoiceField(
        required=False,
        label="Rules",
        choices=[(way, TAKES_RULES[way]) for way in (TakesRules.EXPORT, TakesRules.NONE)],
    )
    field_order = ("name", "environment", "takes_rules", "scopes", "expires_on")

    def __init__(
        self, *args: Any, recipe: Recipe, environments: Sequence[str] = (), initial: Any = None, **given: Any
    ) -> None:
        offered = [scope for scope in recipe.scopes if scope in given["scopes"]]
        super().__init__(*args, initial={"scopes": offered, **(initial or {})}, **given)
        self._takes_rules = recipe.rules
        if recipe.rules != TakesRules.EXPORT:
            del self.fields["takes_rules"]
        if environments:
            self.fields["environment"].help_text = f"Whose rules it takes. There are: {escape(', '.join(environments))}"

    def takes_rules_so(self) -> str:
        """Return how the gateway takes rules: as its recipe has it, or as was chosen where there is a choice."""
        chosen: str = self.cleaned_data.get("takes_rules", "")
        return chosen or self._takes_rules


PLACES = {
    "tag": "A tag of the request: use_case:NAME",
    "request": "The request's own metadata",
    "key": "The metadata of the key it was made with",
    "key-alias": "The key's alias, by the table below",
    "team": "The team, by the table below",
}
FORMAT_WORDS = {
    "native": "Own events",
    "litellm": "LiteLLM",
    "otlp": "OpenTelemetry (OTLP)",
    "promptlayer": "PromptLayer",
}
_MOST_CHARACTERS = 200_000


class NamesField(forms.CharField):
    """Lines of NAME = USE CASE; becomes a mapping. A line without an equals sign is told of by its number."""

    def __init__(self, **given: Any) -> None:
        widget = forms.Textarea(attrs={"rows": 4, "spellcheck": "false", "autocomplete": "off"})
        super().__init__(widget=widget, strip=False, required=False, max_length=_MOST_CHARACTERS, **given)

    def clean(self, value: Any) -> dict[str, str]:
        found: dict[str, str] = {}
        wrong = []
        for number, line in enumerate(super().clean(value).splitlines(), 1):
            name, equals, label = line.rpartition("=")
            if not line.strip():
                continue
            if not equals or not name.strip() or not label.strip():
                wrong.append(f"Line {number}: write it as NAME = USE CASE.")
            elif name.strip() in found:
                wrong.append(f"Line {number}: this name stands there already.")
            else:
                found[name.strip()] = label.strip()
        if wrong:
            raise forms.ValidationError(wrong[:10])
        return found

    @staticmethod
    def written(names: Mapping[str, str]) -> str:
        return "\n".join(f"{name} = {label}" for name, label in sorted(names.items()))


class SettingsForm(Told):
    """What a gateway does its own way. `seen` is the accounting format when the form was shown.

    `has_form` says that there is a form of the rules for its kind.
    """

    ids = "settings_%s"
    at_field = {"use_case_from": "place_1"}

    by_key_alias = NamesField(label="Key aliases", help_text="One a line, such as: support-bot-prod = support-routing")
    by_team = NamesField(label="Teams", help_text="A team's id or alias, one a line, such as: team-legal = contracts")
    silent_after_minutes = forms.IntegerField(
        required=False, label="Told when silent for, in minutes", help_text="0: never"
    )
    accounting_format = forms.ChoiceField(required=False, label="Its live stream is counted by")
    takes_rules = forms.ChoiceField(required=False, label="How it takes rules")
    seen = forms.CharField(required=False, widget=forms.HiddenInput)
    reason = forms.CharField(
        required=False, label="Reason", help_text="Needed where another format is to count; kept in the audit trail"
    )

    def __init__(self, *args: Any, formats: Sequence[str], has_form: bool, **given: Any) -> None:
        super().__init__(*args, **given)
        for number in range(1, len(PLACES) + 1):
            label = "First from" if number == 1 else "else from"
            self.fields[f"place_{number}"] = forms.ChoiceField(
                required=False, label=label, choices=[("", "nowhere else"), *PLACES.items()]
            )
        ways = [(way, words) for way, words in TAKES_RULES.items() if way != TakesRules.EXPORT or has_form]
        self.fields["takes_rules"].choices = ways  # type: ignore[attr-defined]
        none = [] if self.initial.get("seen") else [("", "the first that comes in")]
        choices = [*none, *((name, FORMAT_WORDS.get(name, name)) for name in formats)]
        self.fields["accounting_format"].choices = choices  # type: ignore[attr-defined]
        self.at_field = {
            **self.at_field, "use_case_by_key_alias": "by_key_alias", "use_case_by_team": "by_team"
        }  # fmt: skip

    @property
    def places(self) -> list[forms.BoundField]:
        return [self[f"place_{number}"] for number in range(1, len(PLACES) + 1)]

    @property
    def given(self) -> dict[str, Any]:
        """What the service is given; an empty field for minutes is one that it refuses."""
        data = self.cleaned_data
        chosen = [data[f"place_{number}"] for number in range(1, len(PLACES) + 1)]
        return {
            "use_case_from": [place for place in chosen if place],
            "use_case_by_key_alias": data["by_key_alias"],
            "use_case_by_team": data["by_team"],
            "silent_after_minutes": data["silent_after_minutes"],
        }


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
