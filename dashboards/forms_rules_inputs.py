"""The control of a condition's value that goes with what is looked at: a choice, a number, or a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms

from dashboards.forms_rules_typed import KIND_OF_FIELD, OPERATOR_WORDS
from routing.rules.conditions import BOOLEAN, NUMBER, OPERATORS

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_LISTS = ("in", "not_in")
_SUGGESTED = {"use_case": "known-use-cases"}


def fitted(form: Any, row: Mapping[str, str], *, may_hold_groups: bool) -> None:
    """Fit a row's controls to what it looks at and how; `may_hold_groups` says whether a group may be put into it."""
    form.group_row = bool(row.get("group"))
    form.depth_shown = row.get("depth") or "0"
    form.may_hold_groups = may_hold_groups
    name, op, value = row.get("field", ""), row.get("op", ""), row.get("value", "").strip()
    kind = KIND_OF_FIELD.get(name)
    if kind is not None:
        known = OPERATORS[kind]
        form.fields["op"].choices = [
            (one, words)
            for one, words in OPERATOR_WORDS.items()
            if one == op or one in known or (one == "missing" and "exists" in known)
        ]
    field = form.fields["value"]
    choices: list[tuple[str, str]] = []
    if kind == BOOLEAN:
        choices = [("yes", "yes"), ("no", "no")]
        value = {"true": "yes", "false": "no"}.get(value.lower(), value)
    elif name == "weekday" and op not in _LISTS:
        choices = [(str(number), day) for number, day in enumerate(WEEKDAYS, 1)]
    if choices and value in {"", *(one for one, _ in choices)}:
        field.widget = forms.Select(choices=[("", "Choose"), *choices])
        field.help_text = ""
    elif kind == NUMBER:
        field.widget.attrs |= {"inputmode": "text" if op in _LISTS else "decimal", "autocomplete": "off"}
    elif name in _SUGGESTED and op not in _LISTS:
        field.widget.attrs |= {"list": _SUGGESTED[name], "autocomplete": "off"}
    if op not in _LISTS:
        field.help_text = ""
