"""What people fill in about rules. What may stand in a field is decided by the services; a form only reads it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django import forms

from dashboards.forms import Told
from dashboards.forms_rules_conditions import GROUPS
from dashboards.forms_rules_typed import (
    CHOOSE,
    CHOOSE_OVER,
    FIELD_WORDS,
    MATCH,
    OPERATOR_WORDS,
    STICKY,
    WHOLE_NUMBER,
    Unreadable,
    local_instant,
)
from dashboards.selectors.rules import OfferingChoice
from dashboards.templatetags.figures import usd
from routing.rules.labelling import LOOKED_AT


class OfferingSelect(forms.Select):
    """The offerings that may be sent to; one that may not, but is there, stays to be seen."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.offerings: Sequence[OfferingChoice] = ()

    def offer(self, offerings: Sequence[OfferingChoice], present: str) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for one in offerings:
            groups.setdefault(one.tier.capitalize() or "No tier", []).append((one.name, _offering_label(one)))
        choices: list[Any] = [("", "Choose an offering"), *groups.items()]
        if present and present not in {one.name for one in offerings}:
            choices.append((present, f"{present} (not to be had)"))
        self.choices = choices


def _offering_label(one: OfferingChoice) -> str:
    prices = [
        f"{usd(price)} {way}" for price, way in ((one.input_usd, "in"), (one.output_usd, "out")) if price is not None
    ]
    return f"{one.name} \N{EN DASH} {one.tier or 'no tier'}, {', '.join(prices)} per 1M"


class ConditionRow(Told):
    field = forms.ChoiceField(
        required=False, label="Looks at", choices=[("", "Choose"), *FIELD_WORDS.items()]
    )  # fmt: skip
    tag = forms.CharField(required=False, label="Name of the tag")
    op = forms.ChoiceField(required=False, label="Compared how", choices=list(OPERATOR_WORDS.items()))
    value = forms.CharField(required=False, label="Value", help_text="Several: separate them by commas")
    zone = forms.CharField(
        required=False, label="Time zone", widget=forms.TextInput(attrs={"list": "known-zones", "autocomplete": "off"})
    )
    group = forms.ChoiceField(required=False, label="Group: requests for which", choices=list(GROUPS.items()))
    depth = forms.CharField(required=False, widget=forms.HiddenInput())


class ParamRow(Told):
    provider = forms.CharField(required=False, label="Provider", widget=forms.Select())
    name = forms.CharField(required=False, label="Setting")
    value = forms.CharField(required=False, label="Value")


class OfferingRow(Told):
    offering = forms.CharField(required=False, label="Offering", widget=OfferingSelect())


class TargetRow(OfferingRow):
    weight = forms.CharField(
        required=False, label="Per cent", widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"})
    )


def _share(label: str) -> forms.CharField:
    return forms.CharField(
        required=False, label=label, widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"})
    )


class RuleFields(Told):
    id = forms.CharField(
        required=False, label="Id", help_text="Stands in every decision and in usage reports. Splits go by it, too."
    )
    title = forms.CharField(required=False, label="Title", help_text="What the rule is for, in a few words")
    use_cases = forms.MultipleChoiceField(required=False, label="Use cases")
    more_use_cases = forms.CharField(
        required=False, label="Others", help_text="Labels that no event has named yet, separated by commas"
    )
    match = forms.ChoiceField(choices=MATCH, label="The rule is for")
    condition = forms.CharField(
        required=False, label="Condition", widget=forms.Textarea(attrs={"rows": 8, "spellcheck": "false"})
    )
    choose = forms.ChoiceField(choices=CHOOSE, label="Targets are chosen")
    sticky_by = forms.ChoiceField(
        choices=STICKY, label="A split sticks to", help_text="The same key always goes to the same side."
    )
    sticky_tag = forms.CharField(required=False, label="Name of the tag")
    score_price = _share("Price, per cent")
    score_latency = _share("Latency, per cent")
    score_errors = _share("Errors, per cent")
    over_choose = forms.ChoiceField(choices=CHOOSE_OVER, label="Targets over budget are chosen")
    timeout_ms = forms.CharField(
        required=False, label="Time-out, ms", widget=forms.TextInput(attrs={"inputmode": "numeric"})
    )
    max_usd = forms.CharField(
        required=False,
        label="Most USD per 1,000 tokens",
        help_text="Checked when the draft is submitted",
        widget=forms.TextInput(attrs={"inputmode": "decimal"}),
    )
    active_from = forms.CharField(required=False, label="Active from")
    active_until = forms.CharField(required=False, label="Active until")
    use_default = forms.BooleanField(required=False, label="Where nothing of this rule is left, go on to the default")
    rationale = forms.CharField(
        required=False,
        label="Rationale",
        help_text="Why these targets for this work; whoever approves reads it",
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    owner = forms.CharField(required=False, label="Owner", help_text="Who answers for this rule")
    review_by = forms.CharField(
        required=False,
        label="Review by",
        widget=forms.TextInput(attrs={"type": "date"}),
        help_text="Looked at again by",
    )


class DraftForm(Told):
    title = forms.CharField(
        required=False, label="Title", help_text="What the change is for, such as: half of code reviews to Gemini"
    )
    offering = forms.CharField(
        required=False,
        label="Where requests go that no rule matches",
        help_text="The default's target; more can be added in the draft",
        widget=OfferingSelect(),
    )

    def __init__(self, *args: Any, offerings: Sequence[OfferingChoice], first: bool, **given: Any) -> None:
        super().__init__(*args, **given)
        if first:
            present = self.data.get("offering", "") if self.is_bound else ""
            self.fields["offering"].widget.offer(offerings, present)
        else:
            del self.fields["offering"]


class TitleForm(Told):
    ids = "title_%s"

    title = forms.CharField(required=False, label="Title")


class ApproveForm(Told):
    ids = "approve_%s"

    comment = forms.CharField(required=False, label="Comment", help_text="Kept with the approval; may be empty")


class WhyForm(Told):
    ids = "why_%s"

    why = forms.CharField(required=False, label="Why", help_text="So that whoever wrote it can do better")


class BackForm(Told):
    reason = forms.CharField(required=False, label="Reason", help_text="Stands on the new version for good")


class SwitchForm(Told):
    at_field = {"name": "what", "kind": "what", "seconds": "minutes"}

    what = forms.CharField(required=False, label="Provider, model or offering", widget=forms.Select())
    minutes = forms.CharField(
        required=False,
        label="For so many minutes",
        initial="30",
        help_text="From 1 to 1440; it ends by itself, also in gateways that cannot reach us",
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}),
    )
    reason = forms.CharField(required=False, label="Reason", help_text="Shown to everybody who sees the switch")

    def __init__(self, *args: Any, names: Mapping[str, Sequence[tuple[str, str]]], **given: Any) -> None:
        super().__init__(*args, **given)
        choices: list[Any] = [("", "Choose")]
        choices += [
            (heading, [(f"{kind}:{name}", name) for kind, name in known]) for heading, known in names.items() if known
        ]
        self.fields["what"].widget.choices = choices

    @property
    def seconds(self) -> int:
        """Return the span in seconds; -1, which the service refuses, for what is no number of minutes."""
        text = self.cleaned_data["minutes"].strip()
        return int(text) * 60 if WHOLE_NUMBER.fullmatch(text) else -1


class TryForm(Told):
    """A request to try, from the address or as it was sent; the service judges what it says."""

    TEXTS = (
        "use_case", "team", "task", "user_tier", "data_class", "region", "session", "user", "request_id", "gateway",
        "gateway_kind",
    )  # fmt: skip
    NUMBERS = ("complexity", "input_tokens", "context_needed", "latency_budget_ms")
    at_field = {name: name for name in (*TEXTS, *NUMBERS, "modalities", "batch", "tags")}

    use_case = forms.CharField(required=False, label="Use case")
    team = forms.CharField(required=False, label="Team")
    task = forms.CharField(required=False, label="Task", help_text="Such as code, summarisation, extraction")
    complexity = forms.CharField(
        required=False, label="Complexity", help_text="0 to 1, such as 0.75",
        widget=forms.TextInput(attrs={"inputmode": "decimal"}),
    )  # fmt: skip
    user_tier = forms.CharField(required=False, label="User tier", help_text="Such as free, paid")
    input_tokens = forms.CharField(
        required=False, label="Input tokens", widget=forms.TextInput(attrs={"inputmode": "numeric"})
    )
    context_needed = forms.CharField(
        required=False, label="Context needed, tokens", widget=forms.TextInput(attrs={"inputmode": "numeric"})
    )
    latency_budget_ms = forms.CharField(
        required=False, label="Latency budget, ms", widget=forms.TextInput(attrs={"inputmode": "numeric"})
    )
    data_class = forms.CharField(required=False, label="Data class")
    region = forms.CharField(required=False, label="Region the data stays in")
    modalities = forms.CharField(required=False, label="Modalities", help_text="Such as text, image")
    batch = forms.ChoiceField(required=False, label="Batch", choices=[("", "not said"), ("yes", "yes"), ("no", "no")])
    session = forms.CharField(required=False, label="Session", help_text="Splits may stick to it")
    user = forms.CharField(required=False, label="User")
    request_id = forms.CharField(required=False, label="Request id")
    gateway = forms.CharField(required=False, label="Gateway")
    gateway_kind = forms.CharField(required=False, label="Kind of gateway", help_text="Such as litellm")
    tags = forms.CharField(
        required=False, label="Tags", help_text="One on a line: name=value", widget=forms.Textarea(attrs={"rows": 2})
    )
    text = forms.CharField(
        required=False, strip=False, label="Text",
        help_text="What the person wrote last. It is read for labels, stays out of the address and is not kept.",
        widget=forms.Textarea(attrs={"rows": 5, "maxlength": LOOKED_AT}),
    )  # fmt: skip
    at = forms.CharField(required=False, label="When", widget=forms.TextInput(attrs={"type": "datetime-local"}))

    def __init__(self, *args: Any, zone: str, **given: Any) -> None:
        super().__init__(*args, **given)
        self.zone = zone
        self.fields["at"].help_text = f"In {zone}; empty: now"
        for name in ("use_case", "team", "gateway"):
            self.fields[name].widget.attrs |= {"list": f"names-{name}", "autocomplete": "off"}

    def clean_at(self) -> datetime | None:
        text = self.cleaned_data["at"].strip()
        try:
            return local_instant(text, self.zone) if text else None
        except Unreadable as error:
            raise forms.ValidationError(str(error)) from error

    def clean_tags(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for line in self.cleaned_data["tags"].splitlines():
            name, equals, value = line.partition("=")
            if not line.strip():
                continue
            if not equals or not name.strip():
                raise forms.ValidationError("Write each tag on a line of its own, as name=value.")
            found[name.strip()] = value.strip()
        return found

    @property
    def context(self) -> dict[str, Any]:
        """Return the request; numbers as the text that was typed."""
        data = self.cleaned_data
        made: dict[str, Any] = {
            name: data[name].strip() for name in (*self.TEXTS, *self.NUMBERS) if data.get(name, "").strip()
        }
        modalities = [part.strip() for part in data["modalities"].split(",") if part.strip()]
        if modalities:
            made["modalities"] = modalities
        if data["batch"]:
            made["batch"] = data["batch"] == "yes"
        if data["tags"]:
            made["tags"] = data["tags"]
        if data["text"]:
            made["text"] = data["text"].replace("\r\n", "\n")  # as it was typed: a browser sends CR LF
        return made


def show_pointers(form: Told, problems: Iterable[tuple[str, str]], *, words: Mapping[str, str]) -> None:
    """Show problems of a request, each a JSON pointer with a sentence, at the fields of a form."""
    told: set[str] = set()
    for pointer, sentence in problems:
        member = pointer.split("/")[1] if "/" in pointer else ""
        if member not in told:
            told.add(member)
            form.show([(member, words.get(member, sentence))])
