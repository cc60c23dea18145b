"""What cannot work in submitted rules: every reason at once. What the catalogue knows comes in through `Catalogue`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from routing.rules import labelling
from routing.rules.conditions import OPERATORS, ZONED, comparable, folded, kind_of, reader
from routing.rules.document import NotADocument, Problem, canonical, pointer_to, schema_problems, walk
from routing.rules.evaluator import WHOLE, demand, instant

# The schema bounds the number of rules.
MAX_CONDITIONS = 50  # comparisons per rule
MAX_DEPTH = 8  # of all, any and not around a comparison
MAX_BYTES = 1_000_000  # canonical


@dataclass(frozen=True, slots=True)
class OfferingFacts:
    """What the catalogue knows of an offering at the moment of the check."""

    model: str
    provider: str
    tier: str | None
    region: str
    data_class: str  # the classes that it may be given, separated by commas
    priced: bool
    retired: bool


class Catalogue(Protocol):
    def offering(self, name: str, /) -> OfferingFacts | None: ...

    def data_classes(self) -> Mapping[str, str]:
        """Return the data class of each use case that has one, by its label."""
        ...


def validate(content: Mapping[str, Any], catalogue: Catalogue) -> list[Problem]:
    """Return every reason why a submitted content is refused, sorted by place; none is left for a second try.

    What breaks the schema comes alone: the other checks read the content as the schema has it.
    """
    problems = schema_problems("content", content)
    if not problems:
        problems = [
            Problem(pointer_to(path), "fraction", "a number with a fraction or an exponent: write a decimal string")
            for path, value in walk(content)
            if type(value) is float
        ]
    if problems:
        return sorted(problems, key=_place)
    check = _Check(content, catalogue)
    check.all()
    return sorted(set(check.problems), key=_place)


def _place(problem: Problem) -> tuple[list[tuple[int, int, str]], str, str]:
    parts = [
        (0, int(part), "") if part.isascii() and part.isdecimal() else (1, 0, part)
        for part in problem.pointer.split("/")
    ]
    return parts, problem.code, problem.text


class _Check:
    def __init__(self, content: Mapping[str, Any], catalogue: Catalogue) -> None:
        self.rules: list[dict[str, Any]] = content["rules"]
        self.default: dict[str, Any] = content["default"]
        self.offerings: dict[str, dict[str, Any]] = content["offerings"]
        self.content = content
        self.catalogue = catalogue
        self.problems: list[Problem] = []

    def add(self, pointer: str, code: str, text: str) -> None:
        self.problems.append(Problem(pointer, code, text))

    def all(self) -> None:
        try:
            size = len(canonical(self.content))
        except NotADocument as error:
            self.add("", "schema", str(error))
        else:
            if size > MAX_BYTES:
                self.add("", "too_large", f"{size} bytes, at most {MAX_BYTES} are allowed")
        counted = Counter(rule["id"] for rule in self.rules)
        for index, rule in enumerate(self.rules):
            place = f"/rules/{index}"
            if counted[rule["id"]] > 1:
                self.add(f"{place}/id", "duplicate_id", f"{counted[rule['id']]} rules have the id {rule['id']}")
            self.accountability(place, rule)
            self.window(place, rule)
            self.conditions(f"{place}/when", rule.get("when"))
            self.targets(place, rule)
            if rule.get("over_budget"):
                self.targets(f"{place}/over_budget", rule["over_budget"])
            self.fallbacks(place, rule)
        self.targets("/default", self.default)
        self.fallbacks("/default", self.default)
        for name, facts in self.offerings.items():
            self.offering(name, facts)
        self.problems += labelling.problems(self.content.get("heuristics"))
        self.reach()
        self.residency()

    def accountability(self, place: str, rule: Mapping[str, Any]) -> None:
        for member, text in (
            ("rationale", "say why this rule is as it is"),
            ("owner", "say who answers for this rule"),
            ("review_by", "say by when this rule is looked at again"),
        ):
            value = rule.get(member)
            if not value or not value.strip():
                self.add(f"{place}/{member}", f"missing_{member}", text)

    def window(self, place: str, rule: Mapping[str, Any]) -> None:
        since, until = instant(rule.get("active_from")), instant(rule.get("active_until"))
        if since is not None and until is not None and since >= until:
            self.add(f"{place}/active_until", "never_active", "the rule ends before it begins")

    def conditions(self, place: str, when: Mapping[str, Any] | None) -> None:
        if when is None:
            return
        count = 0
        for pointer, depth, comparison in _comparisons(when, place):
            count += 1
            if depth > MAX_DEPTH:
                self.add(pointer, "too_deep", f"nested {depth} deep, at most {MAX_DEPTH} is allowed")
            self.comparison(pointer, comparison)
        if count > MAX_CONDITIONS:
            self.add(place, "too_many_conditions", f"{count} comparisons, at most {MAX_CONDITIONS} are allowed")

    def comparison(self, place: str, comparison: Mapping[str, Any]) -> None:
        field, op, value = comparison["field"], comparison["op"], comparison["value"]
        kind = kind_of(field)
        if op not in OPERATORS[kind]:
            self.add(f"{place}/op", "operator", f"{op} does not go with {field}, which holds {_a(kind)}")
            return
        if op != "exists":
            for item in value if isinstance(value, list) else [value]:
                if comparable(field, item) is None:
                    shown = json.dumps(item, ensure_ascii=False)
                    self.add(f"{place}/value", "value", f"{shown} is not {_a(kind, one=True)}, which {field} holds")
        if field in ZONED and reader(field, comparison["zone"]) is None:
            self.add(f"{place}/zone", "zone", f"no time zone is called {comparison['zone']}")

    def targets(self, place: str, rule: Mapping[str, Any]) -> None:
        targets = rule["targets"]
        if rule.get("choose", "weight") == "weight":
            total = sum(target["weight"] for target in targets)
            if total != WHOLE:
                self.add(f"{place}/targets", "weights", f"the weights sum to {total}, not to {WHOLE}")
        seen: set[str] = set()
        for index, target in enumerate(targets):
            name = target["offering"]
            if name in seen:
                self.add(f"{place}/targets/{index}", "duplicate_target", f"{name} is a target twice")
            seen.add(name)
            self.named(f"{place}/targets/{index}/offering", name)

    def fallbacks(self, place: str, rule: Mapping[str, Any]) -> None:
        fallbacks = rule.get("fallbacks") or []
        targets = {target["offering"] for target in rule["targets"]}
        for index, name in enumerate(fallbacks):
            self.named(f"{place}/fallbacks/{index}", name)
            # Two sides of a split may be each other's fallback; one that has no other fallback than itself has none.
            if name in targets and (len(targets) == 1 or len(fallbacks) == 1):
                self.add(f"{place}/fallbacks/{index}", "fallback_is_target", f"{name} falls back to itself")

    def named(self, place: str, name: str) -> None:
        """Check an offering where a rule sends requests to it."""
        facts = self.catalogue.offering(name)
        if facts is None:
            self.add(place, "unknown_offering", f"the catalogue has no offering {name}")
            return
        if name not in self.offerings:
            self.add(place, "unknown_offering", f"{name} is not among the document's offerings")
        if facts.retired:
            self.add(place, "retired", f"{name} is retired")
        if not facts.priced:
            self.add(place, "no_price", f"{name} is unpriced")

    def offering(self, name: str, facts: Mapping[str, Any]) -> None:
        """Hold what the document says of an offering to the catalogue: a budget matches by it."""
        known = self.catalogue.offering(name)
        if known is None:
            self.add(f"/offerings/{_escaped(name)}", "unknown_offering", f"the catalogue has no offering {name}")
            return
        for member, ours in (
            ("model", known.model),
            ("provider", known.provider),
            ("tier", known.tier),
            ("region", known.region),
            ("data_class", known.data_class),
        ):
            theirs = facts.get(member)
            if (theirs or "unclassified") != (ours or "unclassified"):
                text = f"the catalogue says {ours or 'nothing'} for the {member} of {name}, not {theirs or 'nothing'}"
                self.add(f"/offerings/{_escaped(name)}/{member}", "differs_from_catalogue", text)

    def reach(self) -> None:
        """Find rules that no request comes to, because earlier ones take everything that they would match."""
        holds = [_Holds.of(rule) for rule in self.rules]
        for index, rule in enumerate(self.rules):
            before = zip(self.rules[:index], holds[:index], strict=True)
            shadows = [earlier for earlier, held in before if held.whenever(holds[index])]
            if not shadows:
                continue
            use_cases = rule.get("use_cases")
            if use_cases is None:
                over = [earlier for earlier in shadows if earlier.get("use_cases") is None][:1]
            else:
                over = []
                left = {folded(name) for name in use_cases}
                for earlier in shadows:
                    own = earlier.get("use_cases")
                    taken = left if own is None else left & {folded(name) for name in own}
                    if taken:
                        over.append(earlier)
                        left = left - taken
                if left:
                    continue
            if over:
                names = ", ".join(earlier["id"] for earlier in over)
                self.add(f"/rules/{index}", "unreachable", f"{rule['id']} is never reached: {names} comes first")

    def residency(self) -> None:
        """Find offerings that would be given data which they must not have."""
        classes = {folded(name): data_class for name, data_class in self.catalogue.data_classes().items() if data_class}
        open_to = dict(classes)  # use cases that a rule before has not taken entirely
        for index, rule in enumerate(self.rules):
            demanded = _demanded(rule)
            own = rule.get("use_cases")
            named = None if own is None else {folded(name) for name in own}
            # A rule that pins the request's class or region is about these; another also is about its use cases'.
            needs = [("data_class", value, "") for value in sorted(demanded["data_class"])]
            needs += [("region", value, "") for value in sorted(demanded["region"])]
            for use_case, data_class in sorted(open_to.items()):
                reached = use_case in named if named is not None else True
                if reached and (not demanded["use_case"] or use_case in demanded["use_case"]):
                    needs.append(("data_class", data_class, use_case))
            if not rule.get("when") and not rule.get("active_from") and not rule.get("active_until"):
                for use_case in list(open_to):
                    if named is None or use_case in named:
                        del open_to[use_case]
            place = f"/rules/{index}"
            parts = [(place, rule), (f"{place}/over_budget", rule.get("over_budget") or {})]
            for part_place, part in parts:
                self.cleared(part_place, part, needs)
            if rule.get("use_default", True) and needs:
                text = ": the rule leaves the rest to the default; set use_default to false, or change the default"
                self.cleared("/default", self.default, needs, report=place, extra=text)
        self.cleared("/default", self.default, [("data_class", value, name) for name, value in sorted(open_to.items())])

    def cleared(
        self,
        place: str,
        part: Mapping[str, Any],
        needs: Sequence[tuple[str, str, str]],
        *,
        report: str | None = None,
        extra: str = "",
    ) -> None:
        names = [
            (f"{place}/targets/{i}/offering", target["offering"]) for i, target in enumerate(part.get("targets", ()))
        ]
        names += [(f"{place}/fallbacks/{i}", name) for i, name in enumerate(part.get("fallbacks") or ())]
        for pointer, name in names:
            facts = self.catalogue.offering(name)
            if facts is None:
                continue  # said already
            for what, value, use_case in needs:
                if what == "region":
                    if facts.region == value or facts.region.startswith(f"{value}-"):
                        continue
                    text = (
                        f"{name} is in {facts.region or 'a region that nobody named'}, the data has to stay in {value}"
                    )
                else:
                    if value in {part.strip() for part in facts.data_class.split(",")}:
                        continue
                    whose = f" of {use_case}" if use_case else ""
                    text = f"{name} may not be given data of the class {value}{whose}"
                self.add(report or pointer, "residency", text + extra)


def _a(kind: str, *, one: bool = False) -> str:
    words = {"text": ("text", "text"), "number": ("a number", "an integer or a decimal string")}
    words |= {"boolean": ("true or false", "true or false"), "list": ("a list", "text")}
    return words[kind][one]


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _comparisons(condition: Mapping[str, Any], place: str) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    waiting = [(place, 0, condition)]
    while waiting:
        pointer, depth, item = waiting.pop()
        for name in ("all", "any"):
            waiting.extend((f"{pointer}/{name}/{i}", depth + 1, part) for i, part in enumerate(item.get(name, ())))
        if "not" in item:
            waiting.append((f"{pointer}/not", depth + 1, item["not"]))
        if "field" in item:
            yield pointer, depth, item


def _parts(condition: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """Return what has to hold together, nested `all` opened."""
    if condition is None:
        return []
    if "all" in condition:
        return [part for inner in condition["all"] for part in _parts(inner)]
    return [condition]


class _Holds(NamedTuple):
    """When a rule holds, use cases aside: worked out once for each, as every two of them are compared."""

    demands: frozenset[str]
    since: datetime | None
    until: datetime | None

    @classmethod
    def of(cls, rule: Mapping[str, Any]) -> _Holds:
        demands = frozenset(_key(part) for part in _parts(rule.get("when")))
        return cls(demands, instant(rule.get("active_from")), instant(rule.get("active_until")))

    def whenever(self, later: _Holds) -> bool:
        """Say whether it holds whenever a later one does: fewer demands, at no other times."""
        if not self.demands <= later.demands:
            return False
        begins = self.since is None or (later.since is not None and self.since <= later.since)
        return begins and (self.until is None or (later.until is not None and self.until >= later.until))


def _key(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _demanded(rule: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """Return the values that a rule's condition pins data class, region and use case to."""
    pinned: dict[str, frozenset[str]] = {"data_class": frozenset(), "region": frozenset(), "use_case": frozenset()}
    for part in _parts(rule.get("when")):
        field, values = demand(part)
        if field in pinned:
            pinned[field] = pinned[field] & values if pinned[field] else values
    return pinned
