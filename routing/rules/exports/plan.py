"""A version held to a state, as lines that a form without budgets and switches can write.

What is exceeded or switched off is taken out here as `routing.rules.evaluator` does it for each request: a rule becomes
one line, or several where an exceeded budget is of some of its requests only. The first line whose condition holds
decides, and its outcomes share its requests.

# Note [Lines of a rule]
A budget that asks something of the request (its use case, say) applies to some of a rule's requests. The rule then
becomes a line for each set of such budgets that can apply together, the largest sets first: the first line that holds
is that of all the budgets that apply.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

from routing.rules.conditions import LABELS, TAG, folded
from routing.rules.document import Problem
from routing.rules.evaluator import CONTEXT_DIMENSIONS, DEFAULT_ID, WHOLE, instant
from routing.rules.exports.parts import Frozen, parts_of

PARTS = WHOLE * WHOLE  # a line's weights sum to this: a rule's shares, each shared again by the default's
MOST_LINES = 64  # of one rule

Condition = Mapping[str, Any]


class Outcome(NamedTuple):
    """Where a share of a line's requests goes. `offering` is None where they are blocked."""

    weight: int
    offering: str | None
    fallbacks: tuple[str, ...]
    of_default: bool  # taken from the default: its params and timeout hold


class Line(NamedTuple):
    """One line: a condition and what comes of it."""

    rule: str | None  # None for the default
    place: str  # JSON pointer of the rule
    variant: int  # 0 for the last line of a rule, which asks for nothing but what the rule does
    conditions: tuple[tuple[str, Condition], ...]  # all have to hold; each with its pointer, "" for a budget's
    outcomes: tuple[Outcome, ...]
    budgets: tuple[str, ...]  # ids of those that apply
    spec: Mapping[str, Any]
    default: Mapping[str, Any]

    def timeout_ms(self, outcome: Outcome) -> int | None:
        found: int | None = (self.default if outcome.of_default else self.spec).get("timeout_ms")
        return found

    def params(self, outcome: Outcome) -> Mapping[str, Any]:
        found: Mapping[str, Any] = (self.default if outcome.of_default else self.spec).get("params") or {}
        return found


class _Budget(NamedTuple):
    id: str
    blocks: bool
    demand: tuple[tuple[str, frozenset[str]], ...]  # of the request, sorted
    of_candidate: Mapping[str, frozenset[str]]

    def concerns(self, name: str, facts: Mapping[str, Any]) -> bool:
        own = {"offering": name, **{key: facts.get(key) for key in ("model", "provider", "tier")}}
        return all(own.get(dimension) in values for dimension, values in self.of_candidate.items())


def lines(frozen: Frozen) -> tuple[list[Line], list[Problem]]:
    """Return the lines of a version, the default's last, and why some rules have none."""
    budgets, problems = _budgets(frozen)
    if frozen.state["canary"] is not None:
        text = "a second set of rules is being tried for some sessions, and only an evaluator can tell which"
        problems.append(Problem("", "canary", text))
    found: list[Line] = []
    taken: set[str] = set()  # use cases that no later rule sees
    default = frozen.content["default"]
    for place, spec in parts_of(frozen):
        rule = spec.get("id")
        walk = _Walk(frozen, spec, None if rule is None else default)
        relevant = [budget for budget in budgets if walk.concerned(budget)]
        variants = _variants(spec, relevant, taken)
        if spec.get("when") is None and not spec.get("active_from") and spec.get("use_cases") is not None:
            taken |= {folded(name) for name in spec["use_cases"]}
        if variants is None:
            text = f"{len(relevant)} exceeded budgets of other requests each cut {rule or 'the default'} in two"
            problems.append(Problem(place, "too_many_budgets", text))
            continue
        own: list[tuple[str, Condition]] = []
        if spec.get("use_cases") is not None:
            asked = [folded(name) for name in spec["use_cases"]]
            own.append((f"{place}/use_cases", {"field": "use_case", "op": "in", "value": list(dict.fromkeys(asked))}))
        if spec.get("when") is not None:
            own.append((f"{place}/when", spec["when"]))
        for variant, (demands, applied) in enumerate(variants):
            guards = [("", {"field": dim, "op": "in", "value": values}) for dim, values in _written(demands)]
            found.append(
                Line(
                    rule=rule,
                    place=place,
                    variant=len(variants) - 1 - variant,
                    conditions=(*own, *guards),
                    outcomes=walk.outcomes(applied),
                    budgets=tuple(budget.id for budget in applied),
                    spec=spec,
                    default=default,
                )
            )
    return found, problems


def _written(demands: frozenset[tuple[str, frozenset[str]]]) -> list[tuple[str, list[str]]]:
    return sorted((dimension, sorted(values)) for dimension, values in demands)


def _budgets(frozen: Frozen) -> tuple[list[_Budget], list[Problem]]:
    """Return the exceeded budgets of whoever this is for, those that block first."""
    found, problems = [], []
    for budget in frozen.state["budgets"]:
        until = instant(budget.get("until"))
        if budget["state"] != "exceeded" or (until is not None and frozen.at >= until):
            continue
        demand: dict[str, frozenset[str]] = {}
        of_candidate: dict[str, frozenset[str]] = {}
        elsewhere = False
        for dimension, values in budget["match"].items():
            if dimension == "gateway":
                if frozen.gateway is None:
                    text = f"budget {budget['id']} is exceeded for {', '.join(values)} alone: name the gateway"
                    problems.append(Problem("", "gateway", text))
                elsewhere = frozen.gateway not in values
            elif dimension in CONTEXT_DIMENSIONS or dimension.startswith(TAG):
                demand[dimension] = frozenset(folded(v) if dimension in LABELS else v for v in values)
            else:
                of_candidate[dimension] = frozenset(values)
        if not elsewhere:
            blocks = budget["action"] == "block"
            found.append(_Budget(budget["id"], blocks, tuple(sorted(demand.items())), of_candidate))
    return sorted(found, key=lambda budget: not budget.blocks), problems


def _variants(
    spec: Mapping[str, Any], relevant: list[_Budget], taken: set[str]
) -> list[tuple[frozenset[tuple[str, frozenset[str]]], list[_Budget]]] | None:
    """Return the sets of budgets that can apply together, and what they ask of it: Note [Lines of a rule].

    None where there are too many.
    """
    named = None if spec.get("use_cases") is None else frozenset(folded(name) for name in spec["use_cases"])
    demands: list[tuple[tuple[str, frozenset[str]], ...]] = []
    always: set[tuple[tuple[str, frozenset[str]], ...]] = set()
    for budget in relevant:
        asked = dict(budget.demand)
        if "use_case" in asked and asked["use_case"] <= taken:
            continue
        if named is not None and "use_case" in asked:
            if not named & asked["use_case"]:
                continue
            if named <= asked["use_case"] and len(asked) == 1:
                always.add(budget.demand)
        if not asked:
            always.add(budget.demand)
        if budget.demand not in always and budget.demand not in demands:
            demands.append(budget.demand)
    sets: list[tuple[tuple[tuple[str, frozenset[str]], ...], ...]] = [()]
    for demand in demands:
        sets += [(*chosen, demand) for chosen in sets if _together((*chosen, demand), named)]
        if len(sets) > MOST_LINES:
            return None
    sets.sort(key=len, reverse=True)
    return [
        (
            frozenset(part for demand in chosen for part in demand),
            [budget for budget in relevant if budget.demand in always or budget.demand in chosen],
        )
        for chosen in sets
    ]


def _together(demands: tuple[tuple[tuple[str, frozenset[str]], ...], ...], named: frozenset[str] | None) -> bool:
    left: dict[str, frozenset[str]] = {} if named is None else {"use_case": named}
    for demand in demands:
        for dimension, values in demand:
            left[dimension] = left[dimension] & values if dimension in left else values
    return all(left.values())


class _Walk:
    """The way along a rule's targets, fallbacks and default, for each range of places of its split."""

    def __init__(self, frozen: Frozen, spec: Mapping[str, Any], default: Mapping[str, Any] | None) -> None:
        self._offerings = frozen.content["offerings"]
        self._orders: Mapping[str, list[str]] = frozen.state["orders"]
        self._off = {name for name in self._offerings if _switched_off(name, self._offerings[name], frozen)}
        self._spec = spec
        self._default = default if default is not None and spec.get("use_default", True) else None

    def concerned(self, budget: _Budget) -> bool:
        specs = [self._spec, *([self._default] if self._default else [])]
        return any(budget.concerns(name, self._offerings.get(name, {})) for spec in specs for name in _names(spec))

    def outcomes(self, applied: list[_Budget]) -> tuple[Outcome, ...]:
        shares: dict[tuple[str | None, tuple[str, ...], bool], int] = {}
        for weight, found in self._ranges(self._spec, self._spec.get("id", DEFAULT_ID), applied):
            if found is not None:
                name, rest = found
                key = (name, rest, False)
                shares[key] = shares.get(key, 0) + weight * WHOLE
                continue
            through = [] if self._default is None else list(self._ranges(self._default, DEFAULT_ID, applied))
            for part, there in through or [(WHOLE, None)]:
                key = (None, (), False) if there is None else (*there, there[0] is not None)
                shares[key] = shares.get(key, 0) + weight * part
        return tuple(Outcome(weight, *key) for key, weight in shares.items())

    def _ranges(
        self, spec: Mapping[str, Any], split: str, applied: list[_Budget]
    ) -> Iterator[tuple[int, tuple[str | None, tuple[str, ...]] | None]]:
        """Give each range of places with what it finds: None where nothing is left, no name where it is blocked."""
        over = spec.get("over_budget")
        points = {0, WHOLE, *_bounds(spec), *(_bounds(over) if over else ())}
        for start, end in pairwise(sorted(point for point in points if point <= WHOLE)):
            yield end - start, self._at(spec, over, split, start, applied)

    def _at(
        self, spec: Mapping[str, Any], over: Mapping[str, Any] | None, split: str, place: int, applied: list[_Budget]
    ) -> tuple[str | None, tuple[str, ...]] | None:
        fallbacks = tuple(dict.fromkeys(spec.get("fallbacks") or ()))
        names, rest = _ordered(spec, place, self._orders.get(split))
        instead = False
        while True:
            for index, name in enumerate(names):
                against = self._against(name, applied, instead)
                if against is None:
                    return name, self._left(name, names[index + 1 :] if rest else (), fallbacks, applied, instead)
                if isinstance(against, _Budget) and against.blocks:
                    return None, ()
                if isinstance(against, _Budget) and over is not None and not instead:
                    break
            else:
                break
            assert over is not None
            names, rest = _ordered(over, place, self._orders.get(split))
            instead = True
        for index, name in enumerate(fallbacks):
            if self._against(name, applied, False) is None:
                return name, self._left(name, (), fallbacks[index + 1 :], applied, False)
        return None

    def _left(
        self, taken: str, targets: tuple[str, ...], fallbacks: tuple[str, ...], applied: list[_Budget], instead: bool
    ) -> tuple[str, ...]:
        left = [name for name in targets if name != taken and self._against(name, applied, instead) is None]
        left += [name for name in fallbacks if name != taken and self._against(name, applied, False) is None]
        return tuple(dict.fromkeys(left))

    def _against(self, name: str, applied: list[_Budget], instead: bool) -> _Budget | bool | None:
        facts = self._offerings.get(name)
        if facts is None or name in self._off:
            return True
        for budget in applied:
            # One that is the same for all candidates would turn every downgrade into a block.
            spared = instead and not budget.blocks and not budget.of_candidate
            if not spared and budget.concerns(name, facts):
                return budget
        return None


def _names(spec: Mapping[str, Any]) -> Iterator[str]:
    for part in (spec, spec.get("over_budget") or {}):
        yield from (target["offering"] for target in part.get("targets", ()))
    yield from spec.get("fallbacks") or ()


def _bounds(spec: Mapping[str, Any]) -> list[int]:
    if spec.get("choose", "weight") != "weight":
        return []
    bounds, bound = [], 0
    for target in spec["targets"]:
        bound += target["weight"]
        bounds.append(bound)
    return bounds


def _ordered(spec: Mapping[str, Any], place: int, order: list[str] | None) -> tuple[tuple[str, ...], bool]:
    """Return targets as they are tried at a place of the split, and whether the rest of them are fallbacks."""
    names = tuple(target["offering"] for target in spec["targets"])
    choose = spec.get("choose", "weight")
    if choose == "weight":
        index = next((index for index, bound in enumerate(_bounds(spec)) if place < bound), 0)
        return (names[index], *names[:index], *names[index + 1 :]), False
    if choose == "score" and order:
        known = [name for name in dict.fromkeys(order) if name in names]
        names = (*known, *(name for name in names if name not in known))
    return names, True


def _switched_off(name: str, facts: Mapping[str, Any], frozen: Frozen) -> bool:
    own = (("offering", name), ("model", facts["model"]), ("provider", facts["provider"]))
    for kind, subject in own:
        for switch in reversed(frozen.state["switches"]):
            if switch.get(kind) == subject and _counts(switch, frozen.at):
                return bool(switch["off"])
    return False


def _counts(switch: Mapping[str, Any], at: datetime) -> bool:
    until = instant(switch.get("until"))
    return until is None or at < until
