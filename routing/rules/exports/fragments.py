"""Forms that a client merges into its requests: one fragment per use case, and no conditions.

A fragment is the way of a request that says its use case and nothing else that rules read: the first line that holds
for it. Rules that ask for anything else, or share requests out, cannot be said by such a form.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from routing.rules.conditions import Holds, compile_condition, folded
from routing.rules.document import Problem
from routing.rules.exports import plan
from routing.rules.exports.names import Named, nameless
from routing.rules.exports.parts import Form, Frozen, all_once, comparisons, parts_of
from routing.rules.exports.plan import Line, Outcome

OTHERS = "others"  # the name of the fragment for all use cases that no rule names
# Conditions on the clock are refused before, so this instant decides nothing.
_NO_TIME = datetime(2000, 1, 1, tzinfo=UTC)


class Fragment(NamedTuple):
    """Where the requests of a use case go; `use_case` is None for those that no rule names."""

    use_case: str | None
    line: Line
    outcome: Outcome

    @property
    def offerings(self) -> tuple[str, ...]:
        """Return the offering and those to try next."""
        return () if self.outcome.offering is None else (self.outcome.offering, *self.outcome.fallbacks)

    def metadata(self, frozen: Frozen) -> dict[str, str]:
        """Return what brings use case, rule and version back with usage."""
        named = {} if self.use_case is None else {"use_case": self.use_case}
        return named | {"tollkeeper_rule": frozen.mark(self.line.rule)}


def use_cases(frozen: Frozen) -> list[str]:
    """Return the use cases that the rules name, folded, in the order in which they do."""
    found: dict[str, None] = {}
    for place, rule in parts_of(frozen):
        found.update(dict.fromkeys(folded(name) for name in rule.get("use_cases") or ()))
        for _, comparison in comparisons(rule.get("when"), place):
            if comparison["field"] == "use_case" and comparison["op"] != "exists":
                value = comparison["value"]
                named = value if isinstance(value, list) else [value]
                found.update(dict.fromkeys(folded(name) for name in named if isinstance(name, str)))
    for budget in frozen.state["budgets"]:
        found.update(dict.fromkeys(folded(name) for name in budget["match"].get("use_case", ())))
    return list(found)


def fragments(frozen: Frozen) -> tuple[list[Fragment], list[Problem]]:
    """Return a fragment for each use case and one for all others, and why some cannot be said.

    Call it for rules that ask for use cases only.
    """
    lines, problems = plan.lines(frozen)
    tried = [_Tried.of(line) for line in lines]
    named = use_cases(frozen)
    unnamed = next(label for label in (f"other-{number}" for number in range(len(named) + 1)) if label not in named)
    found = []
    for label in (*named, None):
        line, asked = _way(tried, {"use_case": unnamed if label is None else label})
        if label is None and line is not _way(tried, {})[0]:
            text = "a request without a use case goes another way than one of a use case that no rule names"
            problems.append(Problem(line.place, "conditions", text))
        for budget, field in asked:
            text = f"the exceeded budget {budget} is of requests of some {field}"
            problems.append(Problem(line.place, "conditions", text))
        if len(line.outcomes) > 1:
            problems.append(Problem(line.place, "split", "requests are shared among offerings"))
        outcome = line.outcomes[0]
        if outcome.offering is None:
            whose = "requests that no rule is for" if label is None else f"requests of {label}"
            problems.append(Problem(line.place, "block", f"{whose} are blocked, which a fragment cannot say"))
        found.append(Fragment(label, line, outcome))
    return found, problems


class _Tried(NamedTuple):
    """A line whose conditions were compiled, once for all use cases; rules and use cases may both be hundreds."""

    line: Line
    holds: list[Holds]  # what the rule asks, and which use cases its budgets are of
    besides: list[str]  # what else of the request its budgets ask

    @classmethod
    def of(cls, line: Line) -> _Tried:
        guards = [condition["field"] for place, condition in line.conditions if not place]
        own = [condition for place, condition in line.conditions if place or condition["field"] == "use_case"]
        compiled = [holds for holds in map(compile_condition, own) if holds is not None]
        return cls(line, compiled, [field for field in guards if field != "use_case"])


def _way(tried: list[_Tried], context: Mapping[str, Any]) -> tuple[Line, list[tuple[str, str]]]:
    """Return the first line that holds, and what lines before it ask besides: budgets with fields of the request."""
    asked: list[tuple[str, str]] = []
    for line, conditions, besides in tried:
        if not all(holds(context, _NO_TIME) for holds in conditions):
            continue
        if not besides:
            return line, asked
        asked += [(budget, field) for budget in line.budgets for field in besides]
    raise AssertionError("the default's last line asks for nothing")


def unfit_for_hosts(
    frozen: Frozen,
    form: Form,
    named: Mapping[str, Named | None],
    *,
    only_own: frozenset[str],
    also: Iterable[Problem] = (),
) -> list[Problem]:
    """Return why a form whose requests name models and the hosts of all of them cannot say the rules.

    `only_own` are the providers, by the gateway's names, that serve none but their own models; `also` is what else
    stands in the form's way.
    """
    problems = [*form.refused(frozen), *also]
    nowhere = list(nameless(frozen, form.title, form.kind, named))
    if problems:
        return all_once(problems, nowhere)
    found, told = fragments(frozen)
    return all_once(nowhere, told, (problem for one in found for problem in _mixed(one, named, only_own)))


def _mixed(fragment: Fragment, named: Mapping[str, Named | None], only_own: frozenset[str]) -> list[Problem]:
    """Return why the providers of a fragment cannot be one list: a host in it may serve another one's model too."""
    pins = [name.provider for offering in fragment.offerings if (name := named[offering]) is not None]
    if len(set(pins)) < 2 or (None not in pins and only_own.issuperset(pin for pin in pins if pin)):
        return []
    listed = ", ".join(sorted({pin or "any" for pin in pins}))
    text = f"the providers of a request are one list for all its models, and {listed} could take each other's"
    return [Problem(fragment.line.place, "providers", text)]


def pinned(fragment: Fragment, named: Mapping[str, Named | None]) -> list[str]:
    """Return the providers that a fragment's requests may go to, in order; none where the gateway may choose."""
    pins = [name.provider for offering in fragment.offerings if (name := named[offering]) is not None]
    return list(dict.fromkeys(pin for pin in pins if pin))
