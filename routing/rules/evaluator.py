"""What the rules say for a request: compiled once per document, decided in microseconds, the same everywhere.

routing/spec/README.md is the specification; this is one implementation of it. Reads no clock, does no I/O and raises
nothing on a document that the schema accepts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

import mmh3

# Relative, here and in what is imported: clients/python holds these files as a package of its own.
from . import labelling
from .conditions import (
    LABELS,
    TAG,
    TEXT,
    Holds,
    all_of,
    comparable,
    compile_condition,
    decimal_text,
    folded,
    kind_of,
    sound,
    tells_halves,
    utf8,
)

# Reasons: a closed list.
RULE = "rule"
DEFAULT = "default"
OVER_BUDGET = "over_budget"
SWITCHED_OFF = "switched_off"
BUDGET_BLOCKS = "budget_blocks"
NOTHING_LEFT = "nothing_left"
REASONS = (RULE, DEFAULT, OVER_BUDGET, SWITCHED_OFF, BUDGET_BLOCKS, NOTHING_LEFT)

# Where the offering was taken from.
TARGETS, INSTEAD, FALLBACKS = "targets", "over_budget", "fallbacks"
DEFAULT_TARGETS, DEFAULT_FALLBACKS = "default.targets", "default.fallbacks"

WHOLE = 10_000  # basis points
DEFAULT_ID = "default"  # what the default's splits and order go by
CONTEXT_DIMENSIONS = frozenset({"use_case", "team", "gateway"})  # and tags; others are the candidate's

# Rules are looked up by the values that their conditions demand of these fields, so that 500 rules cost what a few do.
_MOST_LOOKUP_FIELDS = 4
_MOST_LOOKUPS = 4096

_NO_PARAMS: Mapping[str, Any] = MappingProxyType({})


class Step(NamedTuple):
    """One thing that the evaluator looked at, for people: what, and what came of it."""

    subject: str
    outcome: str


class Decision(NamedTuple):
    """Where a request goes, and why. `offering` is None where it is blocked."""

    offering: str | None
    model: str | None
    provider: str | None
    gateway_name: str | None  # what the request's kind of gateway calls the offering
    rule: str | None  # the first rule that matched, None where none did
    reason: str  # one of REASONS
    taken_from: str | None
    fallbacks: tuple[str, ...]
    params: Mapping[str, Any]  # by provider
    timeout_ms: int | None
    version: int
    revision: int
    canary: bool
    budget: str | None  # the budget that moved or blocked the request
    task: str | None  # as the request said it, or as it was labelled
    complexity: str | None
    steps: tuple[Step, ...] = ()

    @property
    def blocked(self) -> bool:
        return self.offering is None


def compile(document: Mapping[str, Any]) -> Compiled:
    """Compile a served document (document.schema.json); some milliseconds for 500 rules."""
    return Compiled(_Rules(document, version=document["version"]), document["state"])


def split(name: str, key: str) -> int:
    """Return a key's place among 10000 in the split called `name`."""
    return (mmh3.hash(utf8(f"{name}:{key}"), 0, False) * WHOLE) >> 32


def instant(text: str | None) -> datetime | None:
    """Read an instant of a document."""
    return None if text is None else datetime.fromisoformat(text)


class _Offering(NamedTuple):
    name: str
    model: str
    provider: str
    tier: str | None
    gateway_names: Mapping[str, str]


class _Guard(NamedTuple):
    """What the state holds against one offering, in the order in which it is asked."""

    switches: tuple[tuple[datetime | None, bool], ...]  # the most specific first, among these the last written
    budgets: tuple[_Budget, ...]  # those that block first


class _Budget:
    """An exceeded budget: what it demands of the request, with what it demands of candidates kept apart."""

    __slots__ = ("blocks", "id", "labels", "of_candidate", "spares_instead", "tags", "until")

    def __init__(self, budget: Mapping[str, Any]) -> None:
        self.id: str = budget["id"]
        self.blocks = budget["action"] == "block"
        self.until = instant(budget.get("until"))
        self.labels: list[tuple[str, frozenset[str]]] = []
        self.tags: list[tuple[str, frozenset[str]]] = []
        self.of_candidate: list[tuple[str, frozenset[str]]] = []
        for dimension, values in budget["match"].items():
            if dimension in CONTEXT_DIMENSIONS:
                fold = dimension in LABELS
                self.labels.append((dimension, frozenset(folded(value) if fold else value for value in values)))
            elif dimension.startswith(TAG):
                self.tags.append((dimension[len(TAG) :], frozenset(values)))
            else:
                self.of_candidate.append((dimension, frozenset(values)))
        # One that is the same for all candidates would turn every downgrade into a block.
        self.spares_instead = not self.blocks and not self.of_candidate

    def may_concern(self, offering: _Offering) -> bool:
        own = {
            "model": offering.model,
            "offering": offering.name,
            "provider": offering.provider,
            "tier": offering.tier,
        }
        return all(own.get(dimension) in values for dimension, values in self.of_candidate)

    def applies(self, context: Mapping[str, Any], now: datetime) -> bool:
        if self.until is not None and now >= self.until:
            return False
        for dimension, values in self.labels:
            value = context.get(dimension)
            if type(value) is not str or (folded(value) if dimension in LABELS else sound(value)) not in values:
                return False
        if self.tags:
            tags = context.get("tags")
            if type(tags) is not dict:
                return False
            for name, values in self.tags:
                value = tags.get(name)
                if type(value) is not str or sound(value) not in values:
                    return False
        return True


class _State:
    def __init__(self, state: Mapping[str, Any]) -> None:
        self.revision: int = int(state["revision"])
        self.orders: Mapping[str, list[str]] = state["orders"]
        exceeded = [_Budget(budget) for budget in state["budgets"] if budget["state"] == "exceeded"]
        self._budgets = sorted(exceeded, key=lambda budget: not budget.blocks)
        self._switches: Mapping[tuple[str, str], list[tuple[datetime | None, bool]]] = {}
        by_subject: dict[tuple[str, str], list[tuple[datetime | None, bool]]] = {}
        for switch in state["switches"]:
            for kind in ("offering", "model", "provider"):
                if kind in switch:
                    entry = (instant(switch.get("until")), bool(switch["off"]))
                    by_subject.setdefault((kind, switch[kind]), []).insert(0, entry)
        self._switches = by_subject

    def guard(self, offering: _Offering) -> _Guard | None:
        """Return what is held against an offering, None for nothing."""
        entries = [
            *self._switches.get(("offering", offering.name), ()),
            *self._switches.get(("model", offering.model), ()),
            *self._switches.get(("provider", offering.provider), ()),
        ]
        budgets = tuple(budget for budget in self._budgets if budget.may_concern(offering))
        return _Guard(tuple(entries), budgets) if entries or budgets else None


class _Choice:
    """Targets of a rule, of its over_budget or of the default, and how one is chosen."""

    __slots__ = ("bounds", "choose", "key_field", "key_tag", "names", "split_name")

    def __init__(self, spec: Mapping[str, Any], *, split_name: str, sticky_by: str | None) -> None:
        self.names: tuple[str, ...] = tuple(target["offering"] for target in spec["targets"])
        self.choose: str = spec.get("choose", "weight")
        self.split_name = split_name
        field = sticky_by or "request_id"
        self.key_tag = field[len(TAG) :] if field.startswith(TAG) else None
        self.key_field = field
        self.bounds: list[int] = []
        if self.choose == "weight":
            bound = 0
            for target in spec["targets"]:
                bound += int(target["weight"])
                self.bounds.append(bound)

    def ordered(self, context: Mapping[str, Any], orders: Mapping[str, list[str]]) -> tuple[str, ...]:
        """Return the targets, the chosen one first, the others in the order in which they are tried."""
        names = self.names
        if self.choose == "weight":
            if len(names) == 1:
                return names
            index = self.chosen(context)
            return names if index == 0 else (names[index], *names[:index], *names[index + 1 :])
        if self.choose == "score" and (order := orders.get(self.split_name)):
            known = [name for name in dict.fromkeys(order) if name in names]
            return (*known, *(name for name in names if name not in known))
        return names

    def chosen(self, context: Mapping[str, Any]) -> int:
        key = sticky_key(context, self.key_field, self.key_tag)
        if key is None:
            return 0
        place = split(self.split_name, key)
        for index, bound in enumerate(self.bounds):
            if place < bound:
                return index
        return 0  # only weights that do not sum to 10000 leave a place to nobody; validation refuses them


def sticky_key(context: Mapping[str, Any], field: str, tag: str | None) -> str | None:
    """Return the key of a split: None where it is missing or empty."""
    if tag is not None:
        tags = context.get("tags")
        value = tags.get(tag) if type(tags) is dict else None
    else:
        value = context.get(field)
    if type(value) is not str:
        return None
    return (folded(value) if field in LABELS else value) or None


class _Rule:
    __slots__ = (
        "choice",
        "demands",
        "fallbacks",
        "holds",
        "id",
        "instead",
        "params",
        "residual",
        "since",
        "timeout_ms",
        "until",
        "use_default",
    )

    def __init__(self, rule: Mapping[str, Any], *, rule_id: str) -> None:
        sticky_by = rule.get("sticky_by")
        self.id = rule_id
        self.since = instant(rule.get("active_from"))
        self.until = instant(rule.get("active_until"))
        self.choice = _Choice(rule, split_name=rule_id, sticky_by=sticky_by)
        over = rule.get("over_budget")
        self.instead = None if over is None else _Choice(over, split_name=rule_id, sticky_by=sticky_by)
        self.fallbacks = tuple(dict.fromkeys(rule.get("fallbacks") or ()))
        self.params: Mapping[str, Any] = rule.get("params") or _NO_PARAMS
        self.timeout_ms: int | None = rule.get("timeout_ms")
        self.use_default: bool = rule.get("use_default", True)
        # What the rule demands of single text fields goes into the look-up; `residual` is the rest of its condition.
        conjuncts = list(_conjuncts(rule.get("when")))
        self.demands: dict[str, frozenset[str]] = {}
        if rule.get("use_cases") is not None:
            self.demands["use_case"] = frozenset(folded(name) for name in rule["use_cases"])
        self.residual: list[tuple[str | None, Holds | None]] = []
        for conjunct in conjuncts:
            field, values = demand(conjunct)
            if field is not None:
                self.demands[field] = self.demands[field] & values if field in self.demands else values
            self.residual.append((field, compile_condition(conjunct)))
        self.holds = all_of([holds for _, holds in self.residual])


def _conjuncts(condition: Mapping[str, Any] | None) -> Iterable[Mapping[str, Any]]:
    if condition is None:
        return
    if "all" in condition:
        for part in condition["all"]:
            yield from _conjuncts(part)
    else:
        yield condition


def demand(condition: Mapping[str, Any]) -> tuple[str | None, frozenset[str]]:
    """Return the text field that a condition pins to some values, and these; None for any other condition."""
    field, op = condition.get("field"), condition.get("op")
    if field is None or op not in ("eq", "in") or kind_of(field) is not TEXT:
        return None, frozenset()
    value = condition["value"]
    if field not in LABELS and tells_halves(value):
        return None, frozenset()
    values = value if op == "in" and isinstance(value, list) else [value]
    return field, frozenset(known for item in values if (known := comparable(field, item)) is not None)


class _Rules:
    """A set of rules with its default and offerings: a version's, or a canary's."""

    def __init__(self, content: Mapping[str, Any], *, version: int) -> None:
        self.version = int(version)
        self.labels = labelling.labels(content.get("heuristics"))
        self.rules = tuple(_Rule(rule, rule_id=rule["id"]) for rule in content["rules"])
        self.default = _Rule(content["default"], rule_id=DEFAULT_ID)
        self.offerings = {
            name: _Offering(
                name, facts["model"], facts["provider"], facts.get("tier"), facts.get("gateway_names") or _NO_PARAMS
            )
            for name, facts in content["offerings"].items()
        }
        counted = Counter(field for rule in self.rules for field in rule.demands)
        self._fields: list[tuple[str, str | None, bool, frozenset[str]]] = [
            (
                field,
                field[len(TAG) :] if field.startswith(TAG) else None,
                field in LABELS,
                frozenset(value for rule in self.rules for value in rule.demands.get(field, ())),
            )
            for field, _ in counted.most_common(_MOST_LOOKUP_FIELDS)
        ]
        # Filled as requests come: values that no rule names count as one, so there are only so many keys.
        self._lookups: dict[tuple[str | None, ...], tuple[tuple[_Rule, Holds | None], ...]] = {}

    def first(self, context: Mapping[str, Any], now: datetime) -> _Rule | None:
        """Return the first rule that matches."""
        key = []
        for field, tag, is_label, known in self._fields:
            if tag is None:
                value = context.get(field)
            else:
                tags = context.get("tags")
                value = tags.get(tag) if type(tags) is dict else None
            if type(value) is str:
                if is_label:
                    value = folded(value)
                key.append(value if value in known else None)
            else:
                key.append(None)
        at = tuple(key)
        candidates = self._lookups.get(at)
        if candidates is None:
            candidates = self._look_up(at)
        for rule, holds in candidates:
            if (
                (holds is None or holds(context, now))
                and (rule.since is None or now >= rule.since)
                and (rule.until is None or now < rule.until)
            ):
                return rule
        return None

    def _look_up(self, key: tuple[str | None, ...]) -> tuple[tuple[_Rule, Holds | None], ...]:
        values = {field: value for (field, *_), value in zip(self._fields, key, strict=True)}
        found = []
        for rule in self.rules:
            if any(field in values and values[field] not in wanted for field, wanted in rule.demands.items()):
                continue
            found.append((rule, all_of([holds for field, holds in rule.residual if field not in values])))
        if len(self._lookups) >= _MOST_LOOKUPS:
            self._lookups.clear()
        self._lookups[key] = tuple(found)
        return self._lookups[key]

    def why_not(self, rule: _Rule, context: Mapping[str, Any], now: datetime) -> str | None:
        """Return why a rule does not match, None where it does."""
        wanted = rule.demands.get("use_case")
        if wanted is not None:
            value = context.get("use_case")
            if type(value) is not str or folded(value) not in wanted:
                return "other use cases"
        if rule.since is not None and now < rule.since:
            return "not active yet"
        if rule.until is not None and now >= rule.until:
            return "no longer active"
        if rule.holds is not None and not rule.holds(context, now):
            return "its condition does not hold"
        return None


class _Canary:
    def __init__(self, canary: Mapping[str, Any]) -> None:
        self.rules = _Rules(canary, version=canary["version"])
        self.share = int(canary["share"])
        self.salt: str = canary["salt"]
        self.field: str = canary.get("sticky_by", "session")
        self.tag = self.field[len(TAG) :] if self.field.startswith(TAG) else None

    def takes(self, context: Mapping[str, Any]) -> bool:
        key = sticky_key(context, self.field, self.tag)
        return key is not None and split(self.salt, key) < self.share


class Compiled:
    """A document ready to decide. Shared by threads: what it learns as it goes is only kept to be quick."""

    def __init__(self, rules: _Rules, state: Mapping[str, Any]) -> None:
        self._rules = rules
        self._state = _State(state)
        self._canary = None if state["canary"] is None else _Canary(state["canary"])
        self._guards = self._guards_of(rules)
        self._canary_guards = {} if self._canary is None else self._guards_of(self._canary.rules)

    def with_state(self, state: Mapping[str, Any]) -> Compiled:
        """Return the same rules held to another state, without compiling them again."""
        return Compiled(self._rules, state)

    def decide(self, context: Mapping[str, Any], now: datetime) -> Decision:
        """Decide for a request (context.schema.json) at an instant, which must be aware."""
        return self._decide(context, now, None)

    def explain(self, context: Mapping[str, Any], now: datetime) -> Decision:
        """Decide, and name every step on the way there."""
        steps: list[Step] = []
        decision = self._decide(context, now, steps)
        return decision._replace(steps=tuple(steps))

    def _guards_of(self, rules: _Rules) -> dict[str, _Guard]:
        guards = ((name, self._state.guard(offering)) for name, offering in rules.offerings.items())
        return {name: guard for name, guard in guards if guard is not None}

    def _decide(self, context: Mapping[str, Any], now: datetime, steps: list[Step] | None) -> Decision:
        canary = self._canary
        if canary is not None and canary.takes(context):
            rules, guards, in_canary = canary.rules, self._canary_guards, True
        else:
            rules, guards, in_canary = self._rules, self._guards, False
        if steps is not None and canary is not None:
            steps.append(Step("canary", f"version {rules.version}"))
        if rules.labels is not None:
            told: list[tuple[str, str]] | None = None if steps is None else []
            context = rules.labels.label(context, told)
            if steps is not None:
                steps.extend(Step(*one) for one in told or ())
        matched = rules.first(context, now)
        if steps is not None:
            self._explain_rules(rules, matched, context, now, steps)
        walk = _Walk(rules, guards, self._state, context, now, steps)
        if matched is None:
            walk.reason = DEFAULT
        else:
            walk.reason = RULE
            if walk.through(matched, TARGETS, FALLBACKS):
                return walk.decision(matched, matched, in_canary)
        to_default = not walk.blocked and (matched is None or matched.use_default)
        if to_default and walk.through(rules.default, DEFAULT_TARGETS, DEFAULT_FALLBACKS):
            return walk.decision(matched, rules.default, in_canary)
        return walk.refusal(matched, in_canary)

    @staticmethod
    def _explain_rules(
        rules: _Rules, matched: _Rule | None, context: Mapping[str, Any], now: datetime, steps: list[Step]
    ) -> None:
        for rule in rules.rules:
            if rule is matched:
                steps.append(Step(f"rule {rule.id}", "matches"))
                return
            steps.append(Step(f"rule {rule.id}", rules.why_not(rule, context, now) or "matches"))
        steps.append(Step("default", "no rule matches"))


class _Walk:
    """One request's way along targets and fallbacks to an offering that nothing stands against."""

    __slots__ = (
        "_context", "_guards", "_now", "_rules", "_state", "_steps",
        "blocked", "budget", "found", "reason", "rest", "taken_from",
    )  # fmt: skip

    def __init__(
        self,
        rules: _Rules,
        guards: Mapping[str, _Guard],
        state: _State,
        context: Mapping[str, Any],
        now: datetime,
        steps: list[Step] | None,
    ) -> None:
        self._rules = rules
        self._guards = guards
        self._state = state
        self._context = context
        self._now = now
        self._steps = steps
        self.reason = RULE
        self.budget: str | None = None
        self.found: str | None = None
        self.taken_from: str | None = None
        self.rest: tuple[str, ...] = ()  # what comes after what was found
        self.blocked = False

    def through(self, rule: _Rule, targets: str, fallbacks: str) -> bool:
        """Look along a rule's targets (or its over_budget's) and fallbacks; False if nothing is left, or blocked."""
        if self._targets(rule.choice, targets, rule.fallbacks, rule.instead):
            return True
        if self.blocked:
            return False
        for index, name in enumerate(rule.fallbacks):
            if self._objection(name) is None:
                return self._take(name, fallbacks, (), rule.fallbacks[index + 1 :])
        return False

    def _targets(self, choice: _Choice, source: str, fallbacks: tuple[str, ...], instead: _Choice | None) -> bool:
        names = choice.ordered(self._context, self._state.orders)
        for index, name in enumerate(names):
            objection = self._objection(name, instead=source is INSTEAD)
            if objection is None:
                # The other sides of a split are no fallbacks; the rest of an order is.
                return self._take(name, source, () if choice.choose == "weight" else names[index + 1 :], fallbacks)
            if isinstance(objection, str):
                continue
            if objection.blocks:
                self.blocked = True
                self.reason, self.budget = BUDGET_BLOCKS, objection.id
                return False
            if instead is not None:
                return self._targets(instead, INSTEAD, fallbacks, None)
        return False

    def _take(self, name: str, source: str, targets: tuple[str, ...], fallbacks: tuple[str, ...]) -> bool:
        self.found, self.taken_from = name, source
        if targets or fallbacks:
            instead = source is INSTEAD
            left = [other for other in targets if other != name and self._against(other, instead) is None]
            left += [other for other in fallbacks if other != name and self._against(other, False) is None]
            self.rest = tuple(dict.fromkeys(left)) if targets else tuple(left)
        if self._steps is not None:
            self._steps.append(Step(name, f"taken from {source}"))
        return True

    def _objection(self, name: str, *, instead: bool = False) -> _Budget | str | None:
        """Say what stands against a candidate, and remember the first such thing as the reason."""
        objection = self._against(name, instead)
        if objection is None:
            return None
        if isinstance(objection, str):
            if self.reason in (RULE, DEFAULT):
                self.reason = SWITCHED_OFF
            outcome = objection
        else:
            if self.reason in (RULE, DEFAULT):
                self.reason = OVER_BUDGET
            if self.budget is None:
                self.budget = objection.id
            outcome = f"budget {objection.id} is exceeded: {'block' if objection.blocks else 'downgrade'}"
        if self._steps is not None:
            self._steps.append(Step(name, outcome))
        return objection

    def _against(self, name: str, instead: bool) -> _Budget | str | None:
        guard = self._guards.get(name)
        if guard is None:
            return None if name in self._rules.offerings else "not among the offerings"
        for until, off in guard.switches:
            if until is None or self._now < until:
                if off:
                    return "switched off"
                break
        for budget in guard.budgets:
            if not (instead and budget.spares_instead) and budget.applies(self._context, self._now):
                return budget
        return None

    def decision(self, matched: _Rule | None, taken: _Rule, canary: bool) -> Decision:
        assert self.found is not None
        offering = self._rules.offerings[self.found]
        names = offering.gateway_names
        kind = self._context.get("gateway_kind") if names else None
        task, complexity = self._labels()
        return Decision(
            self.found,
            offering.model,
            offering.provider,
            names.get(sound(kind)) if type(kind) is str else None,
            None if matched is None else matched.id,
            self.reason,
            self.taken_from,
            self.rest,
            taken.params,
            taken.timeout_ms,
            self._rules.version,
            self._state.revision,
            canary,
            self.budget,
            task,
            complexity,
        )

    def _labels(self) -> tuple[str | None, str | None]:
        task, complexity = self._context.get("task"), self._context.get("complexity")
        return sound(task) if type(task) is str else None, None if complexity is None else decimal_text(complexity)

    def refusal(self, matched: _Rule | None, canary: bool) -> Decision:
        reason = self.reason if self.blocked else NOTHING_LEFT
        if self._steps is not None:
            self._steps.append(Step("blocked", reason))
        task, complexity = self._labels()
        return Decision(
            None,
            None,
            None,
            None,
            None if matched is None else matched.id,
            reason,
            None,
            (),
            _NO_PARAMS,
            None,
            self._rules.version,
            self._state.revision,
            canary,
            self.budget,
            task,
            complexity,
        )
