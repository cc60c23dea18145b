"""Rules as fields that people fill in, and back. What may stand in a rule is decided by the services and the schema.

A form only reads what was typed. What it cannot read, such as a weight of "1,5", it says at once and never guesses. A
part of a rule whose fields were sent as they had been shown stays as it is stored, byte for byte.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.http import QueryDict
from django.utils.datastructures import MultiValueDict

from dashboards.forms import Told
from dashboards.selectors.rules import Choices, OfferingChoice
from dashboards.templatetags.figures import usd
from routing.rules import document
from routing.rules.conditions import BOOLEAN, NUMBER, TAG, ZONED, kind_of
from routing.rules.differences import condition_text, percent
from routing.rules.document import NotADocument, Problem

MOST_ROWS = {"condition": 50, "target": 20, "fallback": 20, "over": 20}
FIELD_WORDS = {
    "task": "Task",
    "complexity": "Complexity (0 to 1)",
    "input_tokens": "Input tokens",
    "context_needed": "Context needed, tokens",
    "latency_budget_ms": "Latency budget, ms",
    "user_tier": "User tier",
    "team": "Team",
    "use_case": "Use case",
    "data_class": "Data class",
    "region": "Region the data stays in",
    "modalities": "Modalities",
    "batch": "Batch",
    "hour": "Hour of the day (0 to 23)",
    "weekday": "Weekday (1 is Monday)",
    "tag": "Tag",
}
KIND_OF_FIELD = {name: kind_of(name) for name in FIELD_WORDS}
OPERATOR_WORDS = {
    "eq": "is",
    "ne": "is not",
    "in": "is one of",
    "not_in": "is none of",
    "gt": "is over",
    "gte": "is at least",
    "lt": "is under",
    "lte": "is at most",
    "contains": "contains",
    "exists": "is known",
    "missing": "is not known",
}
WITHOUT_VALUE = ("exists", "missing")
MATCH = [
    ("always", "every request"),
    ("all", "requests for which all of these hold"),
    ("any", "requests for which any of these holds"),
    ("json", "a condition written as JSON"),
]
STICKY = [
    ("request_id", "nothing: each request anew"),
    ("session", "the session"),
    ("user", "the user"),
    ("use_case", "the use case"),
    ("team", "the team"),
    ("tag", "a tag"),
]
CHOOSE = [("weight", "by weight"), ("order", "in order")]
_WEIGHT = re.compile(r"[0-9]{1,3}(\.[0-9]{1,2})?", re.ASCII)
_WHOLE = re.compile(r"[0-9]{1,9}", re.ASCII)
_ROW = re.compile(r"(condition|target|fallback|over)-([0-9]{1,3})-([a-z]+)", re.ASCII)
_BOOLEANS = {"yes": True, "true": True, "no": False, "false": False}

# What the schema says in its own tongue, for people; by the member of the rule that breaks it.
_SCHEMA_WORDS = {
    "id": "This is 1 to 64 letters, digits, dots, dashes or underscores, and not \N{LEFT DOUBLE QUOTATION MARK}default"
    "\N{RIGHT DOUBLE QUOTATION MARK}.",
    "title": "This is a line of 200 characters at most.",
    "use_cases": "A use case has 1 to 128 characters, and a rule at most 500 of them.",
    "targets": "Add at least one target; at most 20 are allowed.",
    "over_budget": "Add at least one target; at most 20 are allowed.",
    "fallbacks": "At most 20 fallbacks, each once.",
    "sticky_by": "Name the tag, in 64 characters at most.",
    "timeout_ms": "This is a whole number of milliseconds from 1 to 3,600,000.",
    "max_usd_per_1k_tokens": "Write a decimal such as 0.02.",
    "params": 'This is an object of settings by provider, such as {"anthropic": {"thinking": "adaptive"}}.',
    "active_from": "This is a day from 2000 on, with hour and minute.",
    "active_until": "This is a day from 2000 on, with hour and minute.",
    "rationale": "At most 4,000 characters.",
    "owner": "At most 254 characters.",
    "review_by": "Write a day such as 2027-02-20.",
}
_AT_FIELD = {
    "id": "id",
    "title": "title",
    "use_cases": "more_use_cases",
    "when": "match",
    "sticky_by": "sticky_by",
    "timeout_ms": "timeout_ms",
    "max_usd_per_1k_tokens": "max_usd",
    "params": "params",
    "use_default": "use_default",
    "active_from": "active_from",
    "active_until": "active_until",
    "rationale": "rationale",
    "owner": "owner",
    "review_by": "review_by",
}


# --- What was typed, or what is there to be typed over


@dataclass
class Typed:
    """The fields of the editor as text: single ones by name, and rows by kind."""

    single: dict[str, list[str]] = field(default_factory=dict)
    rows: dict[str, list[dict[str, str]]] = field(default_factory=lambda: {kind: [] for kind in MOST_ROWS})

    @classmethod
    def sent(cls, data: QueryDict) -> Typed:
        typed = cls()
        found: dict[tuple[str, int], dict[str, str]] = {}
        for name, values in data.lists():
            texts = [value.replace("\r\n", "\n") for value in values]
            at = _ROW.fullmatch(name)
            if at is None:
                typed.single[name] = texts
            else:
                found.setdefault((at[1], int(at[2])), {})[at[3]] = texts[-1]
        for (kind, _), row in sorted(found.items()):
            if len(typed.rows[kind]) < MOST_ROWS[kind]:
                typed.rows[kind].append(row)
        return typed

    @classmethod
    def of(cls, rule: Mapping[str, Any], zone: str) -> Typed:
        """Return what the editor shows for a rule, or the default, as it is stored."""
        typed = cls()
        when = rule.get("when")
        simple = simple_rows(when)
        match, typed.rows["condition"] = simple or ("json", [])
        over = rule.get("over_budget") or {}
        typed.rows["target"] = _target_rows(rule)
        typed.rows["over"] = _target_rows(over)
        typed.rows["fallback"] = [{"offering": name} for name in rule.get("fallbacks") or ()]
        sticky = rule.get("sticky_by") or "request_id"
        values: dict[str, Any] = {
            "id": rule.get("id"),
            "title": rule.get("title"),
            "match": match,
            "condition": json.dumps(when, ensure_ascii=False, indent=1) if simple is None else "",
            "choose": rule.get("choose") or "weight",
            "over_choose": over.get("choose") or "weight",
            "sticky_by": "tag" if sticky.startswith(TAG) else sticky,
            "sticky_tag": sticky[len(TAG) :] if sticky.startswith(TAG) else "",
            "timeout_ms": rule.get("timeout_ms"),
            "max_usd": rule.get("max_usd_per_1k_tokens"),
            "active_from": _local_text(rule.get("active_from"), zone),
            "active_until": _local_text(rule.get("active_until"), zone),
            "params": json.dumps(rule["params"], ensure_ascii=False, indent=1) if rule.get("params") else "",
            "rationale": rule.get("rationale"),
            "owner": rule.get("owner"),
            "review_by": rule.get("review_by"),
            "more_use_cases": "",
        }
        typed.single = {name: [_text(value)] for name, value in values.items()}
        typed.single["use_cases"] = list(rule.get("use_cases") or ())
        typed.single["use_default"] = ["on"] if rule.get("use_default", True) else []
        return typed

    def one(self, name: str) -> str:
        return (self.single.get(name) or [""])[-1].strip()

    def add(self, kind: str) -> None:
        if kind in self.rows and len(self.rows[kind]) < MOST_ROWS[kind]:
            self.rows[kind].append({})

    def remove(self, named: str) -> None:
        kind, index = self._row(named)
        if index is not None:
            del self.rows[kind][index]

    def up(self, named: str) -> None:
        kind, index = self._row(named)
        if index:
            rows = self.rows[kind]
            rows[index - 1], rows[index] = rows[index], rows[index - 1]

    def _row(self, named: str) -> tuple[str, int | None]:
        kind, _, number = named.partition("-")
        if _WHOLE.fullmatch(number) and kind in self.rows and int(number) < len(self.rows[kind]):
            return kind, int(number)
        return kind, None


def _text(value: Any) -> str:
    return "" if value is None else str(value).replace("\r\n", "\n")


def _target_rows(part: Mapping[str, Any]) -> list[dict[str, str]]:
    return [
        {"offering": target["offering"], "weight": percent(target["weight"])[:-2] if "weight" in target else ""}
        for target in part.get("targets") or ()
    ]


def simple_rows(when: Mapping[str, Any] | None) -> tuple[str, list[dict[str, str]]] | None:
    """Return how a condition's comparisons are joined, and these as rows; None for one that rows cannot express."""
    if when is None:
        return "always", []
    if "field" in when:
        match, parts = "all", [when]
    else:
        match = "all" if "all" in when else "any"
        parts = when.get(match) or []
    rows = [_row_of(part) for part in parts]
    if not rows or any(row is None for row in rows):
        return None
    return match, [row for row in rows if row is not None]


def _row_of(part: Mapping[str, Any]) -> dict[str, str] | None:
    if "field" not in part:
        return None
    name, op, value = part["field"], part["op"], part["value"]
    if op == "exists":
        op, text = ("exists" if value is True else "missing"), ""
    elif isinstance(value, list):
        text = ", ".join(_value_text(item) for item in value)
    else:
        text = _value_text(value)
    tagged = name.startswith(TAG)
    row = {
        "field": "tag" if tagged else name,
        "tag": name[len(TAG) :] if tagged else "",
        "op": op,
        "value": text,
        "zone": part.get("zone", ""),
    }
    # Spaces at an end, a comma in a list, another kind of value: what would come back as something else is no row.
    if _row_problems(row) or _as_texts(comparison_of(row)) != _as_texts(part):
        return None
    return row


def _value_text(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _as_texts(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a comparison with its integers as text: 5 and "5" are the same number."""
    value = part["value"]
    if kind_of(part["field"]) == NUMBER:
        value = [_value_text(one) for one in value] if isinstance(value, list) else _value_text(value)
    return {**part, "value": value}


def comparison_of(row: Mapping[str, str]) -> dict[str, Any]:
    """Return the comparison that a row's fields say; what was typed as a number stays the text that was typed."""
    name = row.get("field", "")
    named = TAG + row.get("tag", "").strip() if name == "tag" else name
    op = row.get("op", "")
    text = row.get("value", "").strip()
    value: Any
    if op in WITHOUT_VALUE:
        op, value = "exists", op == "exists"
    elif op in ("in", "not_in"):
        value = [item.strip() for item in text.split(",") if item.strip()]
    elif kind_of(named) == BOOLEAN:
        value = _BOOLEANS.get(text.lower(), text)
    else:
        value = text
    made = {"field": named, "op": op, "value": value}
    if named in ZONED:
        made["zone"] = row.get("zone", "").strip()
    return made


def _row_problems(row: Mapping[str, str]) -> list[tuple[str, str]]:
    problems = []
    name = row.get("field", "")
    if name not in FIELD_WORDS:
        problems.append(("field", "Choose what is looked at."))
    elif name == "tag" and not row.get("tag", "").strip():
        problems.append(("tag", "Name the tag."))
    elif name in ZONED and not row.get("zone", "").strip():
        problems.append(("zone", "Name the time zone, such as Europe/Berlin."))
    if row.get("op", "") not in OPERATOR_WORDS:
        problems.append(("op", "Choose how it is compared."))
    elif (
        row["op"] not in WITHOUT_VALUE and not comparison_of(row)["value"] and comparison_of(row)["value"] is not False
    ):
        problems.append(("value", "Say what it is compared with."))
    return problems


def _local_text(instant: str | None, zone: str) -> str:
    if not instant:
        return ""
    local = datetime.fromisoformat(instant).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    return local.isoformat(timespec="auto" if local.microsecond else "seconds" if local.second else "minutes")


class Unreadable(ValueError):
    """What was typed cannot be read; the message says what was expected."""


def local_instant(text: str, zone: str) -> datetime:
    """Read a day and time of a zone, as a browser's field for them sends it, or as people write it.

    Raises:
        Unreadable: no such form, no time that the zone's clocks ever show, or not of these centuries.
    """
    try:
        local = datetime.fromisoformat(text)
        info = ZoneInfo(zone)
        if local.tzinfo is None:
            if local.year < 2000 or local.year > 2999:
                raise Unreadable("This is a day from 2000 on.")
            instant = local.replace(tzinfo=info).astimezone(UTC)
            if instant.astimezone(info).replace(tzinfo=None) != local:
                raise Unreadable(f"The clocks in {zone} never show this time.")
            return instant
    except Unreadable:
        raise
    except (ValueError, OverflowError):
        pass
    raise Unreadable(f"Write a day and a time in {zone}, such as 2026-12-01 08:00.")


def instant_text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def json_object(text: str) -> dict[str, Any]:
    """Read an object as a document may hold it.

    Raises:
        Unreadable: no JSON, no object, or what no document can hold.
    """
    try:
        value = document.parse(text)
        document.dumps(value)
    except NotADocument as error:
        raise Unreadable(f"This cannot be read: {error}.") from error
    return value


# --- Forms


class _OfferingSelect(forms.Select):
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
    zone = forms.CharField(required=False, label="Time zone")


class OfferingRow(Told):
    offering = forms.CharField(required=False, label="Offering", widget=_OfferingSelect())


class TargetRow(OfferingRow):
    weight = forms.CharField(
        required=False, label="Per cent", widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"})
    )


# What can be wrong with a part as a whole.
PARTS = ("rule", "when", "targets", "over_budget", "fallbacks")
ROW_FORMS: dict[str, type[Told]] = {
    "condition": ConditionRow,
    "target": TargetRow,
    "fallback": OfferingRow,
    "over": TargetRow,
}


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
    over_choose = forms.ChoiceField(choices=CHOOSE, label="Targets over budget are chosen")
    timeout_ms = forms.CharField(
        required=False, label="Time-out, ms", widget=forms.TextInput(attrs={"inputmode": "numeric"})
    )
    max_usd = forms.CharField(
        required=False,
        label="Most USD per 1000 tokens",
        help_text="Checked when the draft is submitted",
        widget=forms.TextInput(attrs={"inputmode": "decimal"}),
    )
    active_from = forms.CharField(required=False, label="Active from")
    active_until = forms.CharField(required=False, label="Active until")
    params = forms.CharField(
        required=False,
        label="Settings by provider, as JSON",
        help_text='Passed on to the provider that is called, such as {"anthropic": {"thinking": "adaptive"}}',
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}),
    )
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


@dataclass
class Built:
    """A rule as the fields say, and what in them cannot be read."""

    rule: dict[str, Any]
    unreadable: bool


class RuleEditor:
    """The editor of a rule, or with `whole=False` of the default, which has neither conditions nor people.

    `typed` is what is in the fields; `stored` the rule as it was when they were shown, empty for a new one.
    """

    def __init__(
        self, *, stored: Mapping[str, Any], typed: Typed, choices: Choices, zone: str, whole: bool = True
    ) -> None:
        self.stored, self.typed, self.zone, self.whole = stored, typed, zone, whole
        self.choices = choices
        self.problems: dict[str, list[str]] = {
            "rule": [],
            "when": [],
            "targets": [],
            "over_budget": [],
            "fallbacks": [],
        }
        self._kept: dict[str, list[int]] = {}  # the row of each condition, target, ... of what was built
        self._weights_read = self._condition_read = True
        single = MultiValueDict({name: list(values) for name, values in typed.single.items()})
        self.fields = RuleFields(single)
        self.fields.fields["use_cases"].choices = self._use_case_choices()  # type: ignore[attr-defined]
        if (stored.get("choose") or "") == "score":
            self.fields.fields["choose"].choices = [*CHOOSE, ("score", "by score")]  # type: ignore[attr-defined]
        for name in ("active_from", "active_until"):
            self.fields.fields[name].widget.attrs["type"] = "datetime-local"
            self.fields.fields[name].help_text = f"In {zone}; empty: no bound"
        self.rows: dict[str, list[Told]] = {kind: self._row_forms(kind) for kind in MOST_ROWS}

    def _use_case_choices(self) -> list[tuple[str, str]]:
        known = [*self.choices.use_cases, *self.typed.single.get("use_cases", ())]
        return [(name, name) for name in dict.fromkeys(known)]

    def _row_forms(self, kind: str) -> list[Told]:
        made = []
        for number, row in enumerate(self.typed.rows[kind]):
            form = ROW_FORMS[kind](
                MultiValueDict({f"{kind}-{number}-{name}": [value] for name, value in row.items()}),
                prefix=f"{kind}-{number}",
            )
            if "offering" in form.fields:
                form.fields["offering"].widget.offer(self.choices.offerings, row.get("offering", ""))
            made.append(form)
        return made

    # For the template

    @property
    def conditions(self) -> list[Told]:
        return self.rows["condition"]

    @property
    def targets(self) -> list[Told]:
        return self.rows["target"]

    @property
    def fallbacks(self) -> list[Told]:
        return self.rows["fallback"]

    @property
    def over(self) -> list[Told]:
        return self.rows["over"]

    @property
    def sum(self) -> str:
        return self._sum("target")

    @property
    def over_sum(self) -> str:
        return self._sum("over")

    def _sum(self, kind: str) -> str:
        weights = [_basis_points(row.get("weight", "")) or 0 for row in self.typed.rows[kind]]
        return percent(sum(weights))

    @property
    def chosen(self) -> list[str]:
        return self.typed.single.get("use_cases", [])

    @property
    def stored_words(self) -> str:
        when = self.stored.get("when")
        return condition_text(when) if when else ""

    @property
    def further_open(self) -> bool:
        """Say whether one of the fields that few rules need has something in it, or something wrong."""
        names = ("timeout_ms", "max_usd", "active_from", "active_until", "params")
        return any(self.typed.one(name) or self.fields[name].errors for name in names)

    @property
    def in_json(self) -> bool:
        return self.typed.one("match") == "json"

    @property
    def has_errors(self) -> bool:
        forms_of_rows = [form for kind in self.rows.values() for form in kind]
        return bool(any(self.problems.values()) or self.fields.errors or any(form.errors for form in forms_of_rows))

    # Reading

    def read(self) -> Built:
        """Return the rule that the fields say; what cannot be read is shown at its field and left as it is stored."""
        shown = Typed.of(self.stored, self.zone)
        readable = self.fields.is_valid()
        readable &= all(form.is_valid() for kind in self.rows.values() for form in kind)
        rule = dict(self.stored)
        readers: list[tuple[tuple[str, ...], tuple[str, ...], Any]] = [
            (("choose",), ("target",), self._read_targets),
            (("sticky_by", "sticky_tag"), (), self._read_sticky),
            ((), ("fallback",), self._read_fallbacks),
            (("timeout_ms",), (), self._read_timeout),
            (("params",), (), self._read_params),
        ]
        if self.whole:
            readers += [
                (("id",), (), self._plain("id")),
                (("title",), (), self._plain("title")),
                (("use_cases", "more_use_cases"), (), self._read_use_cases),
                (("match", "condition"), ("condition",), self._read_condition),
                (("over_choose",), ("over",), self._read_over),
                (("max_usd",), (), self._plain("max_usd_per_1k_tokens", "max_usd")),
                (("active_from",), (), self._read_instant("active_from")),
                (("active_until",), (), self._read_instant("active_until")),
                (("use_default",), (), self._read_use_default),
                (("rationale",), (), self._plain("rationale")),
                (("owner",), (), self._plain("owner")),
                (("review_by",), (), self._plain("review_by")),
            ]
        for names, kinds, read in readers:
            for kind in kinds:
                self._kept[kind] = [index for index, row in enumerate(self.typed.rows[kind]) if not _blank(kind, row)]
            if self.stored and self._same(shown, names, kinds):
                continue
            try:
                read(rule)
            except Unreadable as error:
                readable = False
                self._condition_read &= "match" not in names
                if str(error):
                    self.fields.add_error(names[0], str(error))
        return Built(rule=rule, unreadable=not readable)

    def _same(self, shown: Typed, names: tuple[str, ...], kinds: tuple[str, ...]) -> bool:
        for name in names:
            mine = [text.strip() for text in self.typed.single.get(name, ()) if text.strip()]
            theirs = [text.strip() for text in shown.single.get(name, ()) if text.strip()]
            if (set(mine) != set(theirs)) if name == "use_cases" else (mine != theirs):
                return False
        for kind in kinds:
            mine_rows = [_plain_row(row) for row in self.typed.rows[kind] if not _blank(kind, row)]
            if mine_rows != [_plain_row(row) for row in shown.rows[kind]]:
                return False
        return True

    def _plain(self, member: str, name: str = "") -> Any:
        def read(rule: dict[str, Any]) -> None:
            _set(rule, member, self.typed.one(name or member), needed=member == "id")

        return read

    def _read_use_cases(self, rule: dict[str, Any]) -> None:
        chosen = [name for name in self.typed.single.get("use_cases", ()) if name]
        typed = [part.strip() for part in re.split(r"[,\n]", self.typed.one("more_use_cases"))]
        before = [name for name in self.stored.get("use_cases") or () if name in chosen]
        found = list(dict.fromkeys([*before, *chosen, *(part for part in typed if part)]))
        _set(rule, "use_cases", found)

    def _read_condition(self, rule: dict[str, Any]) -> None:
        match = self.typed.one("match")
        if match == "always":
            rule.pop("when", None)
            if self._kept["condition"]:
                self.fields.add_error(
                    "match", "There are conditions below: remove them, or let all or any of them hold."
                )
                raise Unreadable
            return
        if match == "json":
            try:
                rule["when"] = json_object(self.typed.one("condition"))
            except Unreadable as error:
                self.fields.add_error("condition", str(error))
                raise Unreadable from error
            return
        made = []
        wrong = match not in ("all", "any")
        for index in self._kept["condition"]:
            row = self.typed.rows["condition"][index]
            problems = _row_problems(row)
            self.conditions[index].show(problems)
            wrong |= bool(problems)
            made.append(comparison_of(row))
        if not made and not wrong:
            self.problems["when"].append("Add a condition, or let the rule be for every request.")
            wrong = True
        if wrong:
            raise Unreadable
        rule["when"] = {match: made}

    def _read_targets(self, rule: dict[str, Any]) -> None:
        choose = self.typed.one("choose")
        _set(rule, "choose", "" if choose == "weight" and "choose" not in rule else choose)
        if choose != "score":
            rule.pop("score", None)
        rule["targets"], readable = self._targets("target", choose)
        if not readable:
            raise Unreadable

    def _read_over(self, rule: dict[str, Any]) -> None:
        if not self._kept["over"]:
            rule.pop("over_budget", None)
            return
        choose = self.typed.one("over_choose")
        targets, readable = self._targets("over", choose)
        made: dict[str, Any] = {"targets": targets}
        rule["over_budget"] = made if choose == "weight" else {"choose": choose, **made}
        if not readable:
            raise Unreadable

    def _targets(self, kind: str, choose: str) -> tuple[list[dict[str, Any]], bool]:
        """Return the targets that could be read, for the other checks to look at, and whether that is all of them."""
        made: list[dict[str, Any]] = []
        kept, readable = [], True
        for index in self._kept[kind]:
            row, form = self.typed.rows[kind][index], self.rows[kind][index]
            target: dict[str, Any] = {"offering": row.get("offering", "")}
            if choose == "weight":
                weight = _basis_points(row.get("weight", ""))
                if weight is None:
                    form.show([("weight", "A per cent from 0 to 100, with two decimals at most, such as 12.5.")])
                    readable = self._weights_read = False
                target["weight"] = weight or 0
            if not target["offering"]:
                form.show([("offering", "Choose an offering.")])
                readable = self._weights_read = False
                continue
            made.append(target)
            kept.append(index)
        self._kept[kind] = kept
        return made, readable

    def _read_sticky(self, rule: dict[str, Any]) -> None:
        sticky = self.typed.one("sticky_by")
        if sticky == "tag":
            tag = (self.typed.single.get("sticky_tag") or [""])[-1].strip()
            if not tag:
                self.fields.add_error("sticky_tag", "Name the tag.")
                raise Unreadable
            sticky = TAG + tag
        _set(rule, "sticky_by", "" if sticky == "request_id" else sticky)

    def _read_fallbacks(self, rule: dict[str, Any]) -> None:
        _set(rule, "fallbacks", [self.typed.rows["fallback"][index]["offering"] for index in self._kept["fallback"]])

    def _read_timeout(self, rule: dict[str, Any]) -> None:
        text = self.typed.one("timeout_ms")
        if text and not _WHOLE.fullmatch(text):
            raise Unreadable(_SCHEMA_WORDS["timeout_ms"])
        _set(rule, "timeout_ms", int(text) if text else None)

    def _read_params(self, rule: dict[str, Any]) -> None:
        text = self.typed.one("params")
        _set(rule, "params", json_object(text) if text else None)

    def _read_instant(self, member: str) -> Any:
        def read(rule: dict[str, Any]) -> None:
            text = self.typed.one(member)
            _set(rule, member, instant_text(local_instant(text, self.zone)) if text else None)

        return read

    def _read_use_default(self, rule: dict[str, Any]) -> None:
        if self.typed.single.get("use_default"):
            rule.pop("use_default", None)
        else:
            rule["use_default"] = False

    # Telling

    def show(self, problems: Iterable[Problem], *, place: str) -> None:
        """Show problems of the rule at `place` (a JSON pointer such as /rules/3), each at its field."""
        told = set()
        for problem in problems:
            if problem.pointer != place and not problem.pointer.startswith(f"{place}/"):
                continue
            path = problem.pointer[len(place) + 1 :].split("/")
            # What follows from something that could not be read is no news, and may not even be so.
            if problem.code == "weights" and not self._weights_read:
                continue
            if problem.code in ("unreachable", "residency") and not self._condition_read:
                continue
            where = self._where(path, problem)
            if where not in told:
                told.add(where)
                self._tell(*where)

    def _where(self, path: list[str], problem: Problem) -> tuple[str, int, str, str]:
        """Return the part, the row in it (-1: none), the field and the sentence."""
        member, rest = path[0], path[1:]
        text = _sentence(problem)
        in_schema = problem.code == "schema"
        words = _SCHEMA_WORDS.get(member, text) if in_schema else text
        if member == "when":
            return self._where_in_condition(rest, in_schema, text)
        if member == "over_budget":
            member, kind, rest = "over_budget", "over", rest[1:]
        else:
            kind = {"targets": "target", "fallbacks": "fallback"}.get(member, "")
        if kind:
            index = self._row_at(kind, rest[:1])
            if index < 0:
                return member, -1, "", words
            name = rest[1] if len(rest) > 1 and rest[1] in self.rows[kind][index].fields else "offering"
            return kind, index, name, "Choose an offering of the catalogue." if in_schema else text
        if member in _AT_FIELD:
            return "fields", -1, _AT_FIELD[member], words
        return "rule", -1, "", text

    def _where_in_condition(self, rest: list[str], in_schema: bool, text: str) -> tuple[str, int, str, str]:
        if self.in_json:
            return "fields", -1, "condition", text
        place, name = rest[1:2], rest[2:3]
        if rest[:1] and rest[0] not in ("all", "any"):
            place, name = ["0"], rest[:1]  # a comparison that stands alone
        index = self._row_at("condition", place)
        if index < 0:
            return "when", -1, "", text
        at = name[0] if name and name[0] in ConditionRow.base_fields else "value"
        if in_schema:
            if at == "field":
                return "condition", index, "tag", "A tag's name has 1 to 64 characters."
            text = "This is too long, or nothing." if at == "value" else text
        return "condition", index, at, text

    def _row_at(self, kind: str, place: list[str]) -> int:
        kept = self._kept.get(kind)
        if kept is None:
            kept = list(range(len(self.rows[kind])))
        if place and _WHOLE.fullmatch(place[0]) and int(place[0]) < len(kept):
            return kept[int(place[0])]
        return -1

    def _tell(self, part: str, index: int, name: str, text: str) -> None:
        if part in self.problems:
            self.problems[part].append(text)
            return
        form = self.fields if part == "fields" else self.rows[part][index]
        form.is_valid()
        form.add_error(name, text)


def _sentence(problem: Problem) -> str:
    text = problem.text[:1].upper() + problem.text[1:]
    if problem.code == "weights":
        found = re.match(r"the weights sum to (\d+)", problem.text)
        if found:
            text = f"The weights sum to {percent(int(found[1]))}, not to 100 %"
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _basis_points(text: str) -> int | None:
    text = text.replace("%", "").strip()
    if not _WEIGHT.fullmatch(text):
        return None
    whole, _, rest = text.partition(".")
    points = int(whole) * 100 + int((rest + "00")[:2])
    return points if points <= 10_000 else None


def _blank(kind: str, row: Mapping[str, str]) -> bool:
    if kind == "condition":
        return not row.get("field") and not row.get("value", "").strip() and not row.get("tag", "").strip()
    return not row.get("offering") and not row.get("weight", "").strip()


def _plain_row(row: Mapping[str, str]) -> dict[str, str]:
    return {name: value.strip() for name, value in row.items() if value.strip()}


def _set(rule: dict[str, Any], member: str, value: Any, *, needed: bool = False) -> None:
    if value or needed:
        rule[member] = value
    else:
        rule.pop(member, None)


# --- The other forms of these pages


class DraftForm(Told):
    title = forms.CharField(
        required=False, label="Title", help_text="What the change is for, such as: half of code reviews to Gemini"
    )
    offering = forms.CharField(
        required=False,
        label="Where requests go that no rule matches",
        help_text="The default's target; more can be added in the draft",
        widget=_OfferingSelect(),
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

    def __init__(self, *args: Any, names: Mapping[str, Sequence[str]], **given: Any) -> None:
        super().__init__(*args, **given)
        choices: list[Any] = [("", "Choose")]
        choices += [
            (f"{kind.capitalize()}s", [(f"{kind}:{name}", name) for name in known]) for kind, known in names.items()
        ]
        self.fields["what"].widget.choices = choices

    @property
    def seconds(self) -> int:
        """Return the span in seconds; -1, which the service refuses, for what is no number of minutes."""
        text = self.cleaned_data["minutes"].strip()
        return int(text) * 60 if _WHOLE.fullmatch(text) else -1


class TryForm(Told):
    """A request to try, from the address; the service judges what it says."""

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
        return made


def show_pointers(form: Told, problems: Iterable[tuple[str, str]], *, words: Mapping[str, str]) -> None:
    """Show problems of a request, each a JSON pointer with a sentence, at the fields of a form."""
    told: set[str] = set()
    for pointer, sentence in problems:
        member = pointer.split("/")[1] if "/" in pointer else ""
        if member not in told:
            told.add(member)
            form.show([(member, words.get(member, sentence))])


def review(review_by: str | None, today: date) -> tuple[str, str]:
    """Return the tone and the words of a review date: overdue, within 14 days, or neither."""
    if not review_by:
        return "warning", "no review date"
    days = (date.fromisoformat(review_by) - today).days
    if days < 0:
        return "danger", f"review overdue by {-days} day{'s' if days != -1 else ''}"
    if days <= 14:
        return "warning", "review due today" if days == 0 else f"review due in {days} day{'s' if days != 1 else ''}"
    return "", ""
