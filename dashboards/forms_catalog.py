"""What people fill in about models, names, use cases and teams. What may stand in a field, services decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django import forms

from catalog.models import Offering, Tier
from core import periods
from dashboards.forms import AmountField, Told

TIERS = {str(tier.label): tier for tier in Tier if tier is not Tier.UNCLASSIFIED}
_YEARS = range(2000, 2200)
_DAY = {"type": "date"}


class DayField(forms.DateField):
    """A day of the organisation's zone, from its first instant on."""

    def __init__(self, **given: Any) -> None:
        super().__init__(
            widget=forms.DateInput(attrs=_DAY, format="%Y-%m-%d"),
            input_formats=["%Y-%m-%d"],
            error_messages={"required": "Say from which day on.", "invalid": "Write a day as 2026-11-01."},
            **given,
        )

    def clean(self, value: Any) -> date | None:
        day: date | None = super().clean(value)
        if day is not None and day.year not in _YEARS:
            raise forms.ValidationError("That is no year in which models are called.")
        return day


class Dated(Told):
    """A change that holds from a day on, and why it is made."""

    since = DayField(label="From", help_text="From the start of this day on. Earlier calls stay as they were booked.")
    reason = forms.CharField(
        required=False, label="Reason", max_length=300, help_text="Kept in the audit trail, and with what it restates"
    )
    at_field = {"since_at": "since"}

    def since_at(self, zone: str) -> datetime:
        return periods.day_start(self.cleaned_data["since"], zone)


class TierForm(Dated):
    tier = forms.ChoiceField(label="Tier", choices=[(name, name) for name in TIERS])
    field_order = ("tier", "since", "reason")


class TiersForm(Dated):
    """Tiers for several offerings that have none; those left empty stay without."""

    def __init__(self, *args: Any, offerings: Mapping[int, str], **given: Any) -> None:
        super().__init__(*args, **given)
        self.offerings = offerings
        for id_, name in offerings.items():
            self.fields[f"tier_{id_}"] = forms.ChoiceField(
                required=False, label=name, choices=[("", "leave it"), *((tier, tier) for tier in TIERS)]
            )
        self.order_fields([*(f"tier_{id_}" for id_ in offerings), "since", "reason"])

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        if not self.chosen:
            raise forms.ValidationError("Choose a tier for one of them at least.")
        return given

    @property
    def chosen(self) -> dict[int, Tier]:
        """Return the tier that each offering is to have, by its id."""
        given = ((id_, self.cleaned_data.get(f"tier_{id_}")) for id_ in self.offerings)
        return {id_: TIERS[name] for id_, name in given if name}


class AliasForm(Dated):
    name = forms.CharField(
        required=False,
        label="Name",
        max_length=193,
        help_text="As gateways write it, such as openai/gpt-5.5 or gpt-5.5-2026-04-23",
    )
    until = DayField(required=False, label="Until", help_text="The first day on which it does so no more; empty: open")
    field_order = ("name", "since", "until", "reason")
    at_field = {"alias": "name", "since_at": "since"}

    def until_at(self, zone: str) -> datetime | None:
        day: date | None = self.cleaned_data.get("until")
        return None if day is None else periods.day_start(day, zone)


class IntoForm(Dated):
    """What a name really means: an offering, a use case or a team by its name."""

    into = forms.CharField(
        label="It is", max_length=193, error_messages={"required": "Say what it really is."},
        widget=forms.TextInput(attrs={"list": "known", "autocomplete": "off", "spellcheck": "false"}),
    )  # fmt: skip
    field_order = ("into", "since", "reason")


class ReasonForm(Told):
    reason = forms.CharField(required=False, label="Reason", max_length=300, help_text="Kept in the audit trail")


class OfferingFacts(Told):
    """What is said of an offering; nothing of it is needed."""

    region = forms.CharField(
        required=False, label="Region", max_length=32, help_text="Such as eu or us. A price for this region goes first"
    )
    data_class = forms.CharField(
        required=False, label="Data class", max_length=32, help_text="The most sensitive data that may go there"
    )
    gateway_names = forms.CharField(
        required=False,
        label="Names in gateways",
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text="For the rules that gateways fetch. One per line: the gateway's kind, a colon, the name there, "
        "such as litellm: anthropic/claude-opus-4-7",
    )

    def clean_gateway_names(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for line in self.cleaned_data["gateway_names"].splitlines():
            kind, colon, name = (part.strip() for part in line.partition(":"))
            if not (kind or colon or name):
                continue
            if not kind or not name or len(kind) > 32 or len(name) > 193:
                raise forms.ValidationError(f"{line.strip()[:60]!r} is no line such as litellm: openai/gpt-5.5.")
            if kind in found:
                raise forms.ValidationError(f"{kind} stands there twice.")
            found[kind] = name
        return found


class FactsForm(OfferingFacts):
    """What is said of an offering, and of its model wherever it is served."""

    lab = forms.CharField(required=False, label="Lab", max_length=64)
    open_weights = forms.BooleanField(required=False, label="The weights are open")
    licence = forms.CharField(required=False, label="Licence", max_length=64, help_text="Such as Apache-2.0 or MIT")
    context_tokens = AmountField(required=False, label="Context", help_text="Tokens that it reads at once")
    reason = forms.CharField(required=False, label="Reason", max_length=300, help_text="Kept in the audit trail")

    def clean_context_tokens(self) -> int | None:
        if not self.data.get("context_tokens", "").strip():
            return None
        tokens: Decimal = self.cleaned_data["context_tokens"]
        if not tokens.is_finite() or tokens != int(tokens) or not 0 < tokens < 2**31:
            raise forms.ValidationError("Write whole tokens, such as 1,000,000.")
        return int(tokens)

    @classmethod
    def of(cls, offering: Offering) -> dict[str, Any]:
        """Return what stands in the form before anything is changed."""
        model = offering.model
        return {
            "region": offering.region,
            "data_class": offering.data_class,
            "gateway_names": "\n".join(f"{kind}: {name}" for kind, name in sorted(offering.gateway_names.items())),
            "lab": model.lab,
            "open_weights": model.open_weights,
            "licence": model.licence,
            "context_tokens": "" if model.context_tokens is None else f"{model.context_tokens:,}",
        }


class OfferingForm(OfferingFacts):
    """A model at a provider that the catalogue does not know yet."""

    model = forms.CharField(
        label="Model", max_length=128, help_text="Our name for it, such as gpt-5.5",
        error_messages={"required": "Name the model."},
    )  # fmt: skip
    provider = forms.CharField(
        label="Provider", max_length=64, help_text="Who serves it, such as openai",
        error_messages={"required": "Name the provider."},
        widget=forms.TextInput(attrs={"list": "providers", "autocomplete": "off", "spellcheck": "false"}),
    )  # fmt: skip
    tier = forms.ChoiceField(
        required=False,
        label="Tier",
        choices=[("", "not yet"), *((name, name) for name in TIERS)],
        help_text="From now on",
    )
    default = forms.BooleanField(required=False, label="The model named alone means this offering, if none does yet")
    field_order = ("model", "provider", "tier", "default", "region", "data_class", "gateway_names")


class ClaimForm(Told):
    """Who answers for a use case that an event named first."""

    owner = forms.CharField(required=False, label="Owner", max_length=254, help_text="Who is asked about it")
    team = forms.ChoiceField(
        required=False, label="Team", help_text="It answers for the use case from its first event on"
    )
    reason = forms.CharField(required=False, label="Reason", max_length=300, help_text="Kept in the audit trail")

    def __init__(self, *args: Any, teams: Sequence[str], **given: Any) -> None:
        super().__init__(*args, **given)
        self.fields["team"].choices = [("", "none yet"), *((name, name) for name in teams)]  # type: ignore[attr-defined]
