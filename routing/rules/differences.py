"""What changed between two contents of a rules document, in plain words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return what changed between two contents in plain words, rule by rule in the order of the later one."""
    old, new = ({rule["id"]: rule for rule in content["rules"]} for content in (before, after))
    lines = [f"rule {rule_id} removed" for rule_id in old if rule_id not in new]
    moved = _moved([rule_id for rule_id in old if rule_id in new], [rule_id for rule_id in new if rule_id in old])
    places = list(new)
    for position, (rule_id, rule) in enumerate(new.items()):
        at = "first" if position == 0 else f"after {places[position - 1]}"
        if rule_id not in old:
            lines.append(f"rule {rule_id} added, {at}: {_targets_text(rule)}")
            continue
        if rule_id in moved:
            lines.append(f"rule {rule_id} moved, now {at}")
        lines += [f"rule {rule_id}: {line}" for line in _rule_differences(old[rule_id], rule)]
    lines += [f"default: {line}" for line in _rule_differences(before["default"], after["default"])]
    lines += _offering_differences(before["offerings"], after["offerings"])
    return lines


def _moved(old: list[str], new: list[str]) -> set[str]:
    """Return the fewest rules whose move explains the new order: all outside a longest common subsequence."""
    rank = {rule_id: index for index, rule_id in enumerate(old)}
    best: list[tuple[int, list[str]]] = []  # (last rank, the run), longest runs found so far by length
    for rule_id in new:
        position = rank[rule_id]
        length = 0
        while length < len(best) and best[length][0] < position:
            length += 1
        run = [*(best[length - 1][1] if length else ()), rule_id]
        if length == len(best):
            best.append((position, run))
        else:
            best[length] = (position, run)
    kept = set(best[-1][1]) if best else set()
    return {rule_id for rule_id in new if rule_id not in kept}


_TITLES = {
    "title": "title",
    "sticky_by": "split sticks to",
    "timeout_ms": "time-out in ms",
    "max_usd_per_1k_tokens": "most USD per 1000 tokens",
    "active_from": "active from",
    "active_until": "active until",
    "rationale": "rationale",
    "owner": "owner",
    "review_by": "review by",
    "use_default": "leaves the rest to the default",
    "score": "score",
}
_UNSAID = {"choose": "weight", "sticky_by": "request_id", "use_default": True}


def _rule_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    before, after = old.get("use_cases"), new.get("use_cases")
    if before != after:
        if before is None or after is None:
            yield f"use cases from {_labels(before)} to {_labels(after)}"
        else:
            yield from (f"use case {name} added" for name in after if name not in before)
            yield from (f"use case {name} removed" for name in before if name not in after)
            if set(before) == set(after):
                yield "use cases in another order, which changes nothing"
    if (old.get("when") or None) != (new.get("when") or None):
        yield f"condition from {condition_text(old.get('when'))} to {condition_text(new.get('when'))}"
    yield from _target_differences(old, new)
    over_old, over_new = old.get("over_budget"), new.get("over_budget")
    if over_old and over_new:
        yield from (f"over budget: {line}" for line in _target_differences(over_old, over_new))
    elif over_new:
        yield f"over budget added: {_targets_text(over_new)}"
    elif over_old:
        yield f"over budget removed: {_targets_text(over_old)}"
    before, after = old.get("fallbacks") or [], new.get("fallbacks") or []
    if before != after:
        yield f"fallbacks from {', '.join(before) or 'none'} to {', '.join(after) or 'none'}"
    for provider in sorted({*(old.get("params") or {}), *(new.get("params") or {})}):
        before, after = ((rule.get("params") or {}).get(provider) for rule in (old, new))
        if before != after:
            yield f"settings of {provider} from {_said(before)} to {_said(after)}"
    for member, title in _TITLES.items():
        before, after = (_with_default(rule, member) for rule in (old, new))
        if before != after:
            yield f"{title} from {_said(before)} to {_said(after)}"


def _target_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    how_old, how_new = _with_default(old, "choose"), _with_default(new, "choose")
    if how_old != how_new:
        words = {"weight": "by weight", "order": "in order", "score": "by score"}
        yield f"targets chosen {words[how_new]}, not {words[how_old]}: {_targets_text(new)}"
        return
    names_old = [target["offering"] for target in old["targets"]]
    names_new = [target["offering"] for target in new["targets"]]
    if how_new != "weight":
        if names_old != names_new:
            yield f"targets from {', '.join(names_old)} to {', '.join(names_new)}"
        return
    weights_old = {target["offering"]: target["weight"] for target in old["targets"]}
    weights_new = {target["offering"]: target["weight"] for target in new["targets"]}
    for name, weight in weights_new.items():
        if name not in weights_old:
            yield f"{name} added with {percent(weight)}"
        elif weights_old[name] != weight:
            yield f"{name} from {percent(weights_old[name])} to {percent(weight)}"
    yield from (
        f"{name} removed, had {percent(weight)}" for name, weight in weights_old.items() if name not in weights_new
    )
    kept_old, kept_new = (
        [n for n in names if n in weights_old and n in weights_new] for names in (names_old, names_new)
    )
    if kept_old != kept_new:
        yield f"targets in another order, {', '.join(names_new)}: sessions change sides"


def _offering_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*old, *new}):
        if name not in old:
            yield f"offering {name} added"
        elif name not in new:
            yield f"offering {name} removed"
        else:
            for member in sorted({*old[name], *new[name]}):
                before, after = old[name].get(member), new[name].get(member)
                if before != after:
                    yield f"offering {name}: {member.replace('_', ' ')} from {_said(before)} to {_said(after)}"


def _with_default(rule: Mapping[str, Any], member: str) -> Any:
    value = rule.get(member)
    return _UNSAID.get(member) if value is None else value


def percent(basis_points: int) -> str:
    """Return a weight for people: 1050 is 10.5 %."""
    whole, rest = divmod(basis_points, 100)
    return f"{whole}.{rest:02}".rstrip("0").rstrip(".") + " %"


def _targets_text(rule: Mapping[str, Any]) -> str:
    if rule.get("choose", "weight") == "weight":
        return ", ".join(f"{percent(target['weight'])} {target['offering']}" for target in rule["targets"])
    return ", then ".join(target["offering"] for target in rule["targets"])


def _labels(names: Sequence[str] | None) -> str:
    return "all" if names is None else ", ".join(names)


def _said(value: Any) -> str:
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
    field = condition["field"].replace("_", " ")
    if condition["op"] == "exists":
        return f"{field} is {'known' if condition['value'] else 'not known'}"
    value = condition["value"]
    shown = ", ".join(_said(item) for item in value) if isinstance(value, list) else _said(value)
    zone = f" in {condition['zone']}" if "zone" in condition else ""
    return f"{field}{zone} {_OPERATOR_WORDS[condition['op']]} {shown}"
