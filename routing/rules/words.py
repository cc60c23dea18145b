"""What the parts of a rules document say, in plain words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from routing.rules import labelling_words
from routing.rules.conditions import TAG

# How people call a member, in the order in which members are told.
TITLES = {
    "use_cases": "use cases",
    "when": "condition",
    "over_budget": "over budget",
    "params": "settings",
    "title": "title",
    "sticky_by": "split sticks to",
    "timeout_ms": "time-out in ms",
    "max_usd_per_1k_tokens": "most USD per 1,000 tokens",
    "active_from": "active from",
    "active_until": "active until",
    "rationale": "rationale",
    "owner": "owner",
    "review_by": "review by",
    "use_default": "leaves the rest to the default",
    "score": "score",
}
UNSAID = {"choose": "weight", "sticky_by": "request_id", "use_default": True}  # what a member that is left out means


def title_of(name: str) -> str:
    """Return how people call a member."""
    return TITLES.get(name) or name.replace("_", " ")


def said(name: str, rule: Mapping[str, Any]) -> str:
    """Return what a member of a rule says, in plain words; for `targets`, how they are chosen as well."""
    value = rule.get(name)
    if name == "heuristics":
        return labelling_words.text(value)
    if name == "use_cases":
        return _names(value)
    if name == "when":
        return condition_text(value or None)
    if name == "targets":
        return _how_targets_text(rule)
    if name == "over_budget":
        return _how_targets_text(value) if value else "none"
    if name == "fallbacks":
        return ", ".join(value or ()) or "none"
    if name == "params":
        return "; ".join(f"{provider} {value_text(one)}" for provider, one in sorted((value or {}).items())) or "none"
    return value_text(with_default(rule, name))


def with_default(rule: Mapping[str, Any], member: str) -> Any:
    """Return a member of a rule, or what leaving it out means."""
    value = rule.get(member)
    return UNSAID.get(member) if value is None else value


def percent(basis_points: int) -> str:
    """Return a weight for people: 1050 is 10.5 %."""
    whole, rest = divmod(basis_points, 100)
    return f"{whole}.{rest:02}".rstrip("0").rstrip(".") + " %"


def targets_text(rule: Mapping[str, Any]) -> str:
    """Return targets in plain words: with their weights, or one after another."""
    if rule.get("choose", "weight") == "weight":
        return ", ".join(f"{percent(target['weight'])} {target['offering']}" for target in rule["targets"])
    return ", then ".join(target["offering"] for target in rule["targets"])


def _how_targets_text(rule: Mapping[str, Any]) -> str:
    score = "by score: " if rule.get("choose") == "score" else ""
    return score + targets_text(rule) or "none"


def _names(names: Sequence[str] | None) -> str:
    return "all" if names is None else ", ".join(names)


def value_text(value: Any) -> str:
    """Return a value of JSON for people."""
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


_OPERATOR_WORDS = {
    "eq": "is", "ne": "is not", "in": "is one of", "not_in": "is none of", "gt": "is over", "gte": "is at least",
    "lt": "is under", "lte": "is at most", "contains": "contains",
}  # fmt: skip


def condition_text(condition: Mapping[str, Any] | None) -> str:
    """Return a condition in plain words."""
    if condition is None:
        return "always"
    for name, word in (("all", " and "), ("any", " or ")):
        if name in condition:
            parts = [condition_text(part) for part in condition[name]]
            return parts[0] if len(parts) == 1 else f"({word.join(parts)})"
    if "not" in condition:
        return f"not {condition_text(condition['not'])}"
    field = _field_text(condition["field"])
    if condition["op"] == "exists":
        return f"{field} is {'known' if condition['value'] else 'not known'}"
    value = condition["value"]
    if isinstance(value, list):
        shown = ", ".join(value_text(item) for item in value)
    else:
        shown = f"{value:,}" if type(value) is int else value_text(value)  # bool is an int, too
    zone = f" in {condition['zone']}" if "zone" in condition else ""
    return f"{field}{zone} {_OPERATOR_WORDS[condition['op']]} {shown}"


def _field_text(field: str) -> str:
    if field.startswith(TAG):
        return f"tag {field.removeprefix(TAG)}"  # its name is theirs, and stays as it is written
    return field.replace("_", " ")
