"""A three-way merge of rules: what a draft started from, what is in force now, and the draft.

What one side changed holds. Where both sides changed the same thing in different ways there is a conflict, which
somebody settles by taking what is in force ("theirs") or what the draft says ("mine"): nothing is ever mixed silently.

Things are merged one by one, each as a whole:

- each member of a rule, of the default and of an offering. How targets are chosen and the targets are one thing, since
  weights sum only together; so are all that a rule does over budget, a condition, and a list of use cases.
- a whole rule, where one side removed it and the other changed it, or both made one of the same id.
- the place of a rule, where both sides moved it.
- any further member of the content.

Order: the rules in force keep their order. What the draft added or moved stands, as it does in the draft, right behind
the rule that it has before it there; behind also what went live at that very place. A side has moved the fewest rules
whose move explains its order.

Offerings follow the rules: one that a rule of the merged content names stays although a side that did not need it any
more took it out, and one that nobody names any more goes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from routing.rules.differences import keyed, moved, rule_changes, stands
from routing.rules.document import pointer_to
from routing.rules.words import UNSAID, said, title_of

THEIRS, MINE = "theirs", "mine"
_TOGETHER = {"choose": "targets"}  # members that are one thing with another
_EMPTY_IS_LEFT_OUT = ("fallbacks", "params")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """One thing that both sides changed differently; what it was, and is on either side, in plain words."""

    place: str  # names it, such as /rules/code-high/targets: a pointer with the rule's id in place of its number
    part: str  # such as: rule code-high
    member: str  # such as: condition; empty for the part as a whole
    base: str
    theirs: str
    mine: str
    taken: str  # theirs, mine, or empty: not settled

    @property
    def title(self) -> str:
        return f"{self.part}, {self.member}" if self.member else self.part


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """A content, with what is in force wherever a conflict is not settled."""

    content: dict[str, Any]
    conflicts: tuple[Conflict, ...]

    @property
    def unsettled(self) -> tuple[Conflict, ...]:
        return tuple(one for one in self.conflicts if not one.taken)


def merge(
    base: Mapping[str, Any],
    theirs: Mapping[str, Any],
    mine: Mapping[str, Any],
    choices: Mapping[str, str] | None = None,
) -> Merged:
    """Merge three contents that the schema accepts; `choices` takes `theirs` or `mine` for the places of conflicts.

    Where one side changed nothing the result is the other side's, and where both are equal it is theirs. It fits the
    schema, save that rules of both sides may be too many together.
    """
    work = _Work(choices=choices or {})
    sides = (base, theirs, mine)
    rules = work.rules(*(keyed(side["rules"]) for side in sides))
    default = work.members(("default",), "default", *(side["default"] for side in sides))
    content = {"rules": rules, "default": default}
    content["offerings"] = work.offerings(_named(content), base, theirs, mine)
    for name in sorted({*base, *theirs, *mine} - {"rules", "default", "offerings"}):
        further = [{name: side[name]} if name in side else {} for side in sides]
        content |= work.one((name,), name, "", *further, say=partial(_said, name))
    return Merged(content=content, conflicts=tuple(work.conflicts))


def _unopposed(alike: Callable[[Any], str], base: Any, theirs: Any, mine: Any) -> list[Any]:
    """Return the side that holds because the other changed nothing, or the same; none where both changed."""
    texts = alike(base), alike(theirs), alike(mine)
    if texts[1] == texts[2] or texts[0] == texts[1]:
        return [mine]
    return [theirs] if texts[0] == texts[2] else []


@dataclass
class _Work:
    choices: Mapping[str, str]
    conflicts: list[Conflict] = field(default_factory=list)

    def one(self, path: Sequence[str], part: str, member: str, /, *sides: Any, say: Callable[[Any], str]) -> Any:
        """Merge base, theirs and mine of one thing as a whole."""
        for alike in (_bytes, _meaning):
            for side in _unopposed(alike, *sides):
                return side
        words = [say(side) for side in sides]
        if words[1] == words[2]:
            words = [_bytes(side) for side in sides]
        return self.settle(path, part, member, words, *sides[1:])

    def settle(self, path: Sequence[str], part: str, member: str, words: Sequence[str], theirs: Any, mine: Any) -> Any:
        place = pointer_to(path)
        taken = self.choices.get(place, "")
        base, there, here = words
        self.conflicts.append(
            Conflict(place=place, part=part, member=member, base=base, theirs=there, mine=here, taken=taken)
        )
        return mine if taken == MINE else theirs

    def members(self, path: tuple[str, ...], part: str, /, *sides: Mapping[str, Any]) -> Mapping[str, Any]:
        """Merge what both sides have, member by member."""
        for side in _unopposed(_bytes, *sides):
            return dict(side)
        merged: dict[str, Any] = {}
        for name in dict.fromkeys(_TOGETHER.get(name, name) for side in sides[1:] for name in side):
            units = [{each: side[each] for each in side if _TOGETHER.get(each, each) == name} for side in sides]
            merged |= self.one((*path, name), part, title_of(name), *units, say=partial(_said, name))
        return merged

    def rules(self, *sides: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        kept: dict[str, Mapping[str, Any]] = {}
        for key in {**sides[1], **sides[2]}:
            rule = self._rule(key, *(side.get(key) for side in sides))
            if rule is not None:
                kept[key] = rule
        return [kept[key] for key in self._order(*(list(side) for side in sides), kept=set(kept))]

    def _rule(self, key: str, /, *sides: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        there = [side for side in sides if side is not None]
        if len(there) == len(sides):
            return self.members(("rules", key), f"rule {key}", *there)
        chosen: Mapping[str, Any] | None = self.one(
            ("rules", key), f"rule {key}", "", *sides, say=partial(_rule_text, sides[0])
        )
        return chosen

    def _order(self, base: list[str], theirs: list[str], mine: list[str], *, kept: set[str]) -> list[str]:
        old = set(base)
        of_theirs, of_mine = (
            moved([key for key in base if key in side], [key for key in side if key in old]) for side in (theirs, mine)
        )
        shared = set(theirs) & set(mine)
        for key in mine:
            if key in of_theirs and key in of_mine and key in kept:
                there, here = (stands([each for each in side if each in shared], key) for side in (theirs, mine))
                if there != here:
                    words = (stands(base, key), there, here)
                    if self.settle(("rules", key, "place"), f"rule {key}", "place", words, THEIRS, MINE) == THEIRS:
                        of_mine = of_mine - {key}
        loose = {key for key in mine if key in kept and (key not in shared or key in of_mine)}
        order = [key for key in theirs if key in kept and key not in loose]
        behind: str | None = None
        for key in mine:
            if key in loose:
                at = 0 if behind is None else order.index(behind) + 1
                while at < len(order) and order[at] not in mine:
                    at += 1
                order.insert(at, key)
            if key in kept:
                behind = key
        return order

    def offerings(
        self, named: set[str], base: Mapping[str, Any], theirs: Mapping[str, Any], mine: Mapping[str, Any]
    ) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        sides = [(side["offerings"], _named(side)) for side in (theirs, mine)]
        for name in dict.fromkeys(name for offerings, _ in sides for name in offerings):
            found = [(offerings[name], name in needed) for offerings, needed in sides if name in offerings]
            if name not in named and all(needed for _, needed in found):
                continue
            if len(found) == 2:
                old = base["offerings"].get(name, {})
                merged[name] = self.members(("offerings", name), f"offering {name}", old, *(one for one, _ in found))
                continue
            needed_without = any(name in needed for offerings, needed in sides if name not in offerings)
            if name not in base["offerings"] or (name in named and not needed_without):
                merged[name] = found[0][0]
        return merged


def _named(content: Mapping[str, Any]) -> set[str]:
    """Return the offerings that rules and default name."""
    parts = [*content["rules"], content["default"]]
    parts += [part["over_budget"] for part in parts if part.get("over_budget")]
    targets = {target["offering"] for part in parts for target in part["targets"]}
    return targets.union(*(part.get("fallbacks") or () for part in parts))


def _bytes(value: Any) -> str:
    # To Python, true and 1 are equal; to the canonical bytes of a version they are not.
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _meaning(value: Any) -> str:
    """Write a part without the members that say what leaving them out says."""
    if not isinstance(value, Mapping):
        return _bytes(value)
    return _bytes(
        {
            name: one
            for name, one in value.items()
            if one is not None and one != UNSAID.get(name) and not (name in _EMPTY_IS_LEFT_OUT and not one)
        }
    )


def _said(name: str, side: Mapping[str, Any]) -> str:
    return said(name, side) if side else "none"


def _rule_text(base: Mapping[str, Any] | None, rule: Mapping[str, Any] | None) -> str:
    if rule is None:
        return "not there" if base is None else "removed"
    if base is None or rule is base:
        return "; ".join(f"{one.title} {one.after}" for one in rule_changes(None, rule))
    return "; ".join(line for one in rule_changes(base, rule) for line in one.lines)
