"""What changed between two contents of a rules document, in plain words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from routing.rules import labelling_words
from routing.rules.words import (
    TITLES,
    UNSAID,
    condition_text,
    percent,
    said,
    targets_text,
    title_of,
    value_text,
    with_default,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberChange:
    """A member that differs: what it says before and after in plain words, and the change as sentences."""

    name: str  # as the document has it
    title: str  # for people
    before: str  # empty where the whole part is not there
    after: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartChange:
    """What became of one part of a content: a rule, the default, an offering, or a further member as a whole."""

    kind: str  # rule, default, offering or further
    name: str  # the rule's id, the offering's or the member's name
    before: Any  # None: it is not there
    after: Any
    place_before: int = 0  # of a rule, from 1 on; 0: nowhere
    place_after: int = 0
    stands: str = ""  # where a rule stands in the later content: first, or after another
    moved: bool = False
    members: tuple[MemberChange, ...] = ()  # those that differ; every one that says something of what is new or gone

    @property
    def state(self) -> str:
        """Return `added`, `removed`, `changed`, `moved` (and nothing else) or `same`."""
        if self.before is None or self.after is None:
            return "added" if self.before is None else "removed"
        return "changed" if self.members else "moved" if self.moved else "same"

    @property
    def title(self) -> str:
        if self.name == "heuristics" and self.kind == "further":
            return "labels"
        return self.name if self.kind in ("default", "further") else f"{self.kind} {self.name}"

    @property
    def lines(self) -> list[str]:
        """Return the change as sentences; none where there is none."""
        if self.state == "removed":
            return [f"{self.title} removed"]
        if self.state == "added" and self.kind == "rule":
            return [f"{self.title} added, {self.stands}: {targets_text(self.after)}"]
        if self.state == "added":
            return [f"{self.title} added"]
        moved = [f"{self.title} moved, now {self.stands}"] if self.moved else []
        return moved + [f"{self.title}: {line}" for member in self.members for line in member.lines]


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return what changed between two contents in plain words, rule by rule in the order of the later one."""
    return lines_of(compared(before, after))


def lines_of(parts: Sequence[PartChange]) -> list[str]:
    """Return all that changed as sentences, rules that are gone first."""
    ordered = sorted(parts, key=lambda part: part.kind != "rule" or part.state != "removed")
    return [line for part in ordered for line in part.lines]


def compared(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[PartChange]:
    """Return every part of two contents with what became of it, what stayed as it was included.

    Rules come first, in the order of the later content, one that is gone after the one that it stood behind; then the
    default, the offerings by name, and further members.
    """
    parts = _rules_compared(keyed(before["rules"]), keyed(after["rules"]))
    old, new = before["default"], after["default"]
    members = tuple(rule_changes(old, new))
    parts.append(PartChange(kind="default", name="default", before=old, after=new, members=members))
    for name in sorted({*before["offerings"], *after["offerings"]}):
        old, new = before["offerings"].get(name), after["offerings"].get(name)
        members = tuple(_offering_differences(old or {}, new or {}))
        parts.append(PartChange(kind="offering", name=name, before=old, after=new, members=members))
    for name in sorted({*before, *after} - {"rules", "default", "offerings"}):
        old, new = before.get(name), after.get(name)
        if name == "heuristics":  # what is absent, null or empty labels nothing alike
            parts.append(_labels_compared(old or {}, new or {}))
            continue
        one = _plain_difference(name, "", old, new)
        parts.append(PartChange(kind="further", name=name, before=old, after=new, members=(one,) if one else ()))
    return parts


def _labels_compared(old: Mapping[str, Any], new: Mapping[str, Any]) -> PartChange:
    lines = tuple(labelling_words.differences(old, new))
    before, after = labelling_words.text(old), labelling_words.text(new)
    one = MemberChange(name="heuristics", title="labels", before=before, after=after, lines=lines)
    return PartChange(kind="further", name="heuristics", before=old, after=new, members=(one,) if lines else ())


def keyed(rules: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return rules by id, in their order. A draft may hold an id twice; the second is called `ID#2`: no id has a #."""
    found: dict[str, Mapping[str, Any]] = {}
    for rule in rules:
        times = 1
        while (key := rule["id"] if times == 1 else f"{rule['id']}#{times}") in found:
            times += 1
        found[key] = rule
    return found


def _rules_compared(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[PartChange]:
    gone_behind: dict[str | None, list[str]] = {}
    behind = None
    for key in old:
        if key in new:
            behind = key
        else:
            gone_behind.setdefault(behind, []).append(key)
    order = list(gone_behind.get(None, ()))
    for key in new:
        order += [key, *gone_behind.get(key, ())]
    before = {key: place for place, key in enumerate(old, 1)}
    after = {key: place for place, key in enumerate(new, 1)}
    changed_place = moved([key for key in old if key in new], [key for key in new if key in old])
    return [
        PartChange(
            kind="rule",
            name=key,
            before=old.get(key),
            after=new.get(key),
            place_before=before.get(key, 0),
            place_after=after.get(key, 0),
            stands=stands(list(new), key) if key in new else "",
            moved=key in changed_place,
            members=tuple(rule_changes(old.get(key), new.get(key))),
        )
        for key in order
    ]


def stands(order: Sequence[str], key: str) -> str:
    """Say where a rule stands among others."""
    place = order.index(key)
    return "first" if place == 0 else f"after {order[place - 1]}"


def moved(old: Sequence[str], new: Sequence[str]) -> set[str]:
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


_NAMELESS = ("id", "choose")  # the one is the rule's name, the other is told with the targets


def rule_changes(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> Iterator[MemberChange]:
    """Give the members that differ; of a rule that is new or gone, those that say something, without sentences."""
    for name in _members(old or {}, new or {}):
        before, after = ("" if rule is None else said(name, rule) for rule in (old, new))
        lines: tuple[str, ...] = ()
        if old is not None and new is not None:
            lines = tuple(_LINES[name](old, new) if name in _LINES else _from_to(name, old, new))
        one_sided = old is None or new is None
        if lines or (one_sided and _says(name, old or new or {})):
            yield MemberChange(name=name, title=title_of(name), before=before, after=after, lines=lines)


def _members(*rules: Mapping[str, Any]) -> list[str]:
    known = list(dict.fromkeys((*_LINES, *TITLES)))
    return known + sorted({name for rule in rules for name in rule} - {*known, *_NAMELESS})


def _says(name: str, rule: Mapping[str, Any]) -> bool:
    return rule.get(name) not in (None, "", [], {}, UNSAID.get(name))


def _from_to(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    before, after = (with_default(rule, name) for rule in (old, new))
    if before != after:
        yield f"{title_of(name)} from {value_text(before)} to {value_text(after)}"


def _use_case_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    before, after = old.get("use_cases"), new.get("use_cases")
    if before == after:
        return
    if before is None or after is None:
        yield f"use cases from {said('use_cases', old)} to {said('use_cases', new)}"
        return
    yield from (f"use case {name} added" for name in after if name not in before)
    yield from (f"use case {name} removed" for name in before if name not in after)
    if set(before) == set(after):
        yield "use cases in another order, which changes nothing"


def _condition_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    if (old.get("when") or None) != (new.get("when") or None):
        yield f"condition from {condition_text(old.get('when'))} to {condition_text(new.get('when'))}"


def _over_budget_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    before, after = old.get("over_budget"), new.get("over_budget")
    if before and after:
        yield from (f"over budget: {line}" for line in _target_differences(before, after))
    elif after:
        yield f"over budget added: {targets_text(after)}"
    elif before:
        yield f"over budget removed: {targets_text(before)}"


def _fallback_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    before, after = said("fallbacks", old), said("fallbacks", new)
    if before != after:
        yield f"fallbacks from {before} to {after}"


def _setting_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for provider in sorted({*(old.get("params") or {}), *(new.get("params") or {})}):
        before, after = ((rule.get("params") or {}).get(provider) for rule in (old, new))
        if before != after:
            yield f"settings of {provider} from {value_text(before)} to {value_text(after)}"


def _target_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    how_old, how_new = with_default(old, "choose"), with_default(new, "choose")
    if how_old != how_new:
        words = {"weight": "by weight", "order": "in order", "score": "by score"}
        yield f"targets chosen {words[how_new]}, not {words[how_old]}: {targets_text(new)}"
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


_LINES: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Iterator[str]]] = {
    "use_cases": _use_case_differences,
    "when": _condition_differences,
    "targets": _target_differences,
    "over_budget": _over_budget_differences,
    "fallbacks": _fallback_differences,
    "params": _setting_differences,
}


def _offering_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[MemberChange]:
    for name in sorted({*old, *new}):
        one = _plain_difference(name, title_of(name), old.get(name), new.get(name))
        if one:
            yield one


def _plain_difference(name: str, title: str, old: Any, new: Any) -> MemberChange | None:
    if old == new:
        return None
    line = f"{title} from {value_text(old)} to {value_text(new)}".strip()
    return MemberChange(name=name, title=title, before=value_text(old), after=value_text(new), lines=(line,))
