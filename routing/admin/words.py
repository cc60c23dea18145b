"""Rules in words, for pages that show a version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from routing.rules.words import condition_text, percent


@dataclass(frozen=True, kw_only=True)
class RuleInWords:
    name: str
    title: str
    use_cases: str
    when: str
    targets: str
    over_budget: str
    fallbacks: str
    rationale: str
    owner: str
    review_by: str


def rules(content: Mapping[str, Any]) -> list[RuleInWords]:
    """Return a content's rules in the order in which they are asked, the default last."""
    default = {**content["default"], "id": "default", "title": "Where requests go that no rule sends anywhere"}
    return [_rule(rule) for rule in (*content["rules"], default)]


def _rule(rule: Mapping[str, Any]) -> RuleInWords:
    when = condition_text(rule.get("when") or None)
    for member, words in (("active_from", "from"), ("active_until", "until")):
        if rule.get(member):
            when += f", {words} {rule[member]}"
    over_budget = rule.get("over_budget")
    use_cases = rule.get("use_cases")
    return RuleInWords(
        name=rule["id"],
        title=rule.get("title") or "",
        use_cases="all" if use_cases is None else ", ".join(use_cases),
        when=when,
        targets=_targets(rule),
        over_budget=_targets(over_budget) if over_budget else "",
        fallbacks=", then ".join(rule.get("fallbacks") or ()),
        rationale=rule.get("rationale") or "",
        owner=rule.get("owner") or "",
        review_by=rule.get("review_by") or "",
    )


def _targets(part: Mapping[str, Any]) -> str:
    if (part.get("choose") or "weight") == "weight":
        return ", ".join(f"{percent(target['weight'])} {target['offering']}" for target in part["targets"])
    how = "by score" if part["choose"] == "score" else "in order"
    return f"{', then '.join(target['offering'] for target in part['targets'])} ({how})"
