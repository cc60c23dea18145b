"""What every form of the rules shares: what is rendered, what a form can say, and the reasons why it cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from routing.rules.conditions import TAG, TEXT, ZONED, kind_of
from routing.rules.document import Problem
from routing.rules.evaluator import instant

Says = Literal["yes", "out", "no"]
# `out`: the form leaves it out, and a note says so. Only for what does not change where a request goes.
YES: Says = "yes"
OUT: Says = "out"
NO: Says = "no"

# What rules may need of a form; the lines of the matrix, and the codes of what a form cannot say.
FEATURES: Mapping[str, str] = {
    "use_cases": "Rules for use cases",
    "conditions": "Conditions on what a request says",
    "tags": "Conditions on tags",
    "text_order": "Text before or after another",
    "lists": "Conditions on modalities",
    "clock": "Conditions on hour and weekday",
    "window": "Rules that begin or end by themselves",
    "labels": "Task and complexity from the text",
    "split": "Shares of requests",
    "sticky": "Shares that stay with a session or user",
    "order": "Targets in an order, also by score",
    "fallbacks": "Fallbacks",
    "over_budget": "Other targets once over budget",
    "block": "Blocking once over budget",
    "switches": "Models and providers switched off",
    "timeout": "A rule's timeout",
    "params": "Settings by provider",
    "travels_back": "Rule and version come back with usage",
    "limits": "Limits of budgets, as a backstop",
}
# What else may stand in the way, whatever the form says in general.
LIMITS: Mapping[str, str] = {
    "no_name": "an offering has no name there",
    "split_size": "shares that the form cannot write",
    "fallbacks_differ": "fallbacks that are not the same for all sides of a split",
    "metadata": "more fields than a request may carry there",
    "field_name": "a tag that cannot be a field there",
    "precision": "a number with more digits than the form compares",
    "providers": "providers that the form would mix up",
    "label": "a use case that cannot be named there",
    "gateway": "a budget of one gateway, and it is not said which one this is for",
    "canary": "a second set of rules for a share of sessions",
    "too_many_budgets": "budgets that cut a rule into too many",
}
# Why a gateway that counts for itself cannot hold a budget's limit: told, and never in the way of the rules.
UNHELD: Mapping[str, str] = {
    "limit_unit": "a budget that is not counted in USD",
    "limit_action": "a budget that downgrades: a gateway's own limit refuses",
    "limit_period": "a period that the gateway does not count in",
    "limit_zone": "a period that does not begin at midnight UTC",
    "limit_scope": "a scope that the gateway cannot tell",
    "limit_shared": "one limit for several that the gateway counts one by one",
    "too_many_limits": "more limits than the gateway holds",
}
CODES: Mapping[str, str] = {**FEATURES, **LIMITS, **UNHELD}

# Shown in the matrix and never asked of a content: they depend on the state, or on the form alone.
ASKED_OF_NO_RULE = frozenset({"block", "switches", "travels_back", "limits"})


class Limit(NamedTuple):
    """What a budget that gateways are held to may use in each period, whether it is used up or not."""

    budget: int
    name: str
    scope: tuple[tuple[str, tuple[str, ...]], ...]  # dimension and values, each sorted; labels with their aliases
    unit: str
    amount: str  # a decimal without exponent, of the unit
    period: str  # day, week, month, quarter or year
    zone: str
    fiscal_start_month: int
    action: str  # downgrade or block


class Frozen(NamedTuple):
    """A version held to a state: all that a rendering may depend on. The same gives the same bytes."""

    environment: str
    content: Mapping[str, Any]  # rules, default, offerings, heuristics
    version: int | None  # None for a draft, or a file
    state: Mapping[str, Any]  # as a document has it; `revision` may be missing
    at: datetime  # from when on the state holds: what is bound to time is rendered as of then
    gateway: str | None = None  # whom it is for, for budgets of one gateway
    limits: tuple[Limit, ...] = ()  # in force, by budget; only forms that say limits read them

    @property
    def revision(self) -> int:
        return int(self.state.get("revision", 0))

    @property
    def stamp(self) -> str:
        """Return `<version>.<revision>`, for people who compare what a gateway has with what is in force."""
        return f"{'draft' if self.version is None else self.version}.{self.revision}"

    def mark(self, rule: str | None) -> str:
        """Return what names rule and version where usage comes back: `RULE@vN`, `@vN` for the default."""
        return f"{rule or ''}@v{self.version or 0}"


@dataclass(frozen=True, kw_only=True)
class Form:
    """One form of the rules: for which kind of gateway, what it can say, and how it is written."""

    name: str
    title: str
    kind: str  # of gateway: whose names of offerings it uses
    media_type: str
    suffix: str  # of a file
    says: Mapping[str, Says]  # every one of FEATURES
    remarks: Mapping[str, str]  # by feature: how the form says it, or why it does not
    bring_in: Sequence[str]  # how it comes into the gateway, step by step
    unfit: Callable[[Frozen], list[Problem]]
    render: Callable[[Frozen], bytes]  # only where `unfit` finds nothing
    fields: Callable[[Frozen], list[tuple[str, str]]] = lambda frozen: []  # what rules read, and where requests say it
    unheld: Callable[[Frozen], list[Problem]] = lambda frozen: []  # limits that it does not hold; each names its budget

    def __post_init__(self) -> None:
        assert set(self.says) == set(FEATURES), set(self.says) ^ set(FEATURES)
        assert set(self.remarks) <= set(FEATURES)

    @property
    def says_limits(self) -> bool:
        return self.says["limits"] == YES

    def left_out(self, frozen: Frozen) -> list[Problem]:
        """Return what the form leaves out of these rules: it changes nothing about where a request goes."""
        return [
            Problem(need.pointer, need.feature, f"{need.what}; {self._why(need.feature, 'it is left out')}")
            for need in needs(frozen)
            if self.says[need.feature] == OUT
        ]

    def refused(self, frozen: Frozen) -> list[Problem]:
        """Return what these rules need and the form cannot say at all, by place."""
        return [
            Problem(need.pointer, need.feature, f"{need.what}; {self._why(need.feature, 'it cannot say this')}")
            for need in needs(frozen)
            if self.says[need.feature] == NO
        ]

    def _why(self, feature: str, otherwise: str) -> str:
        remark = self.remarks.get(feature, "")
        return f"{self.title}: {remark}" if remark else f"{self.title}: {otherwise}"


class Need(NamedTuple):
    """Something that a content asks of whoever runs it."""

    feature: str
    pointer: str
    what: str


def needs(frozen: Frozen) -> list[Need]:
    """Return everything that a content asks of a form, in the order of its rules. Reads a content in the schema."""
    return list(dict.fromkeys(_needs(frozen)))


def _needs(frozen: Frozen) -> Iterator[Need]:
    content = frozen.content
    labelled = _labelled(content)
    for place, rule in parts_of(frozen):
        if rule.get("use_cases") is not None:
            yield Need("use_cases", f"{place}/use_cases", "the rule is for use cases")
        for pointer, comparison in comparisons(rule.get("when"), f"{place}/when"):
            yield from _of_comparison(pointer, comparison)
            if comparison["field"] in labelled:
                yield Need("labels", pointer, f"{comparison['field']} may come from the labels that the text is given")
        for member in ("active_from", "active_until"):
            bound = instant(rule.get(member))
            if bound is not None and bound > frozen.at:
                yield Need("window", f"{place}/{member}", f"{member} is {rule[member]}")
        yield from _of_targets(place, rule, rule.get("sticky_by"))
        over = rule.get("over_budget")
        if over is not None:
            yield Need("over_budget", f"{place}/over_budget", "the rule has other targets once over budget")
            yield from _of_targets(f"{place}/over_budget", over, rule.get("sticky_by"))
        if rule.get("fallbacks"):
            yield Need("fallbacks", f"{place}/fallbacks", "the rule has fallbacks")
        if rule.get("timeout_ms") is not None:
            yield Need("timeout", f"{place}/timeout_ms", f"the timeout is {rule['timeout_ms']} ms")
        for provider, settings in (rule.get("params") or {}).items():
            if settings:
                yield Need("params", f"{place}/params", f"calls to {provider} get settings")


def _of_comparison(pointer: str, comparison: Mapping[str, Any]) -> Iterator[Need]:
    field, op = comparison["field"], comparison["op"]
    if field in ZONED:
        yield Need("clock", pointer, f"the rule asks for the {field}")
    elif field == "modalities":
        yield Need("lists", pointer, "the rule asks for modalities")
    elif field.startswith(TAG):
        yield Need("tags", pointer, f"the rule asks for the tag {field[len(TAG) :]}")
    elif field == "use_case":
        yield Need("use_cases", pointer, "the rule asks for the use case")
    else:
        yield Need("conditions", pointer, f"the rule asks for {field}")
    if kind_of(field) is TEXT and op in ("gt", "gte", "lt", "lte"):
        yield Need("text_order", pointer, f"{field} is compared by the order of its letters")


def _of_targets(place: str, spec: Mapping[str, Any], sticky_by: str | None) -> Iterator[Need]:
    if spec.get("choose", "weight") != "weight":
        if len(spec["targets"]) > 1:
            yield Need("order", f"{place}/targets", "targets are tried in an order")
        return
    if sum(1 for target in spec["targets"] if target["weight"]) > 1:
        yield Need("split", f"{place}/targets", "requests are shared among targets")
        if sticky_by not in (None, "request_id"):
            yield Need("sticky", f"{place}/targets", f"shares stay with {sticky_by}")


def _labelled(content: Mapping[str, Any]) -> frozenset[str]:
    """Return the fields that heuristics may give to a request which does not say them."""
    heuristics = content.get("heuristics") or {}
    given = (("task", heuristics.get("tasks")), ("complexity", heuristics.get("complexity")))
    return frozenset(field for field, entries in given if entries)


def parts_of(frozen: Frozen) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give the rules that have not ended, and the default, each with its JSON pointer."""
    for index, rule in enumerate(frozen.content["rules"]):
        ends = instant(rule.get("active_until"))
        if ends is None or frozen.at < ends:
            yield f"/rules/{index}", rule
    yield "/default", frozen.content["default"]


def comparisons(condition: Mapping[str, Any] | None, place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give every comparison of a condition with its JSON pointer, in the order written."""
    if condition is None:
        return
    for name in ("all", "any"):
        for index, part in enumerate(condition.get(name, ())):
            yield from comparisons(part, f"{place}/{name}/{index}")
    if "not" in condition:
        yield from comparisons(condition["not"], f"{place}/not")
    if "field" in condition:
        yield place, condition


def candidates(frozen: Frozen) -> dict[str, str]:
    """Return every offering that rules or default may send to, with the first place that names it."""
    found: dict[str, str] = {}
    for place, rule in parts_of(frozen):
        for part_place, part in ((place, rule), (f"{place}/over_budget", rule.get("over_budget") or {})):
            for index, target in enumerate(part.get("targets", ())):
                found.setdefault(target["offering"], f"{part_place}/targets/{index}/offering")
        for index, name in enumerate(rule.get("fallbacks") or ()):
            found.setdefault(name, f"{place}/fallbacks/{index}")
    return found


def all_once(*found: Iterable[Problem]) -> list[Problem]:
    """Return reasons one after the other, each once."""
    return list(dict.fromkeys(problem for problems in found for problem in problems))


def too_precise(value: object) -> bool:
    """Say whether a number has more digits than a 64-bit float tells apart: 15."""
    digits = str(value).lstrip("-").replace(".", "").strip("0")
    return len(digits) > 15
