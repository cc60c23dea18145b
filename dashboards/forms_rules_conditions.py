"""The conditions of a rule as rows: comparisons, and groups of them, each set in by its depth.

Rows stand in the order in which they are read; a group holds all rows after it that are set in further than it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

GROUPS = {
    "all": "all of these hold",
    "any": "any of these holds",
    "not_all": "not all of these hold",
    "not_any": "none of these holds",
}
# A group in a group in a group: with the whole around, and two for a `not`, what the specification allows.
DEEPEST_GROUP = 2
DEEPEST_SHOWN = 7

Row = dict[str, str]
AsRow = Callable[[Mapping[str, Any]], Row | None]


@dataclass
class _Node:
    index: int
    row: Mapping[str, str]
    inner: list[_Node] = field(default_factory=list)


def depth_of(row: Mapping[str, str]) -> int:
    text = row.get("depth", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) == 1 else 0


def rows_of(when: Mapping[str, Any] | None, as_row: AsRow) -> tuple[str, list[Row], dict[str, int]] | None:
    """Return how the outermost parts are joined, all parts as rows, and the row of each part by its JSON pointer.

    None where rows cannot say it: `as_row` gives none for a comparison, or it is nested too deeply.
    """
    if when is None:
        return "always", [], {}
    match = next((name for name in ("all", "any") if name in when), "")
    rows: list[Row] = []
    places: dict[str, int] = {}
    parts = [(f"/{match}/{index}", part) for index, part in enumerate(when[match])] if match else [("", when)]
    for pointer, part in parts:
        if not _add(part, pointer, 0, rows, places, as_row):
            return None
    return match or "all", rows, places


def _add(
    part: Mapping[str, Any], pointer: str, depth: int, rows: list[Row], places: dict[str, int], as_row: AsRow
) -> bool:
    places[pointer] = len(rows)
    if "field" in part:
        row = as_row(part)
        if row is None:
            return False
        rows.append({**row, "depth": str(depth)} if depth else row)
        return True
    if depth >= DEEPEST_SHOWN:
        return False
    name, inner, around = "", part, pointer
    if "not" in part:
        name, inner, around = "not_", part["not"], f"{pointer}/not"
        places[around] = len(rows)
    joined = next((one for one in ("all", "any") if one in inner), "")
    rows.append({"group": name + (joined or "any"), **({"depth": str(depth)} if depth else {})})
    parts = [(f"{around}/{joined}/{i}", one) for i, one in enumerate(inner[joined])] if joined else [(around, inner)]
    return all(_add(one, at, depth + 1, rows, places, as_row) for at, one in parts)


def condition_of(
    match: str, rows: Sequence[tuple[int, Mapping[str, str]]], comparison_of: Callable[[Mapping[str, str]], Any]
) -> tuple[dict[str, Any], dict[str, int], list[int]]:
    """Return the condition that rows say, the row of each part by its JSON pointer, and the groups that hold nothing.

    Each row comes with its number. One that is set in further than any group before it belongs to the last of these.
    """
    top: list[_Node] = []
    open_groups: list[tuple[int, list[_Node]]] = [(-1, top)]
    for index, row in rows:
        depth = depth_of(row)
        while depth <= open_groups[-1][0]:
            open_groups.pop()
        node = _Node(index, row)
        open_groups[-1][1].append(node)
        if row.get("group"):
            open_groups.append((depth, node.inner))
    places: dict[str, int] = {}
    empty = [node.index for node in _all(top) if node.row.get("group") and not node.inner]
    made = {match: [_written(node, f"/{match}/{i}", places, comparison_of) for i, node in enumerate(top)]}
    return made, places, empty


def _all(nodes: Sequence[_Node]) -> Iterator[_Node]:
    for node in nodes:
        yield node
        yield from _all(node.inner)


def _written(
    node: _Node, pointer: str, places: dict[str, int], comparison_of: Callable[[Mapping[str, str]], Any]
) -> dict[str, Any]:
    places[pointer] = node.index
    group = node.row.get("group", "")
    if not group:
        made: dict[str, Any] = comparison_of(node.row)
        return made
    negated, joined = group.startswith("not_"), group.removeprefix("not_")
    around = f"{pointer}/not" if negated else pointer
    places[around] = node.index
    if negated and len(node.inner) == 1:
        return {"not": _written(node.inner[0], around, places, comparison_of)}
    inner = [_written(one, f"{around}/{joined}/{i}", places, comparison_of) for i, one in enumerate(node.inner)]
    return {"not": {joined: inner}} if negated else {joined: inner}


def end_of(rows: Sequence[Mapping[str, str]], index: int) -> int:
    """Return the number after the last row that belongs to this one: its own next, or for a group after all in it."""
    end = index + 1
    if rows[index].get("group"):
        while end < len(rows) and depth_of(rows[end]) > depth_of(rows[index]):
            end += 1
    return end


def place_of(pointer: str, places: Mapping[str, int]) -> tuple[int, str]:
    """Return the row of the nearest part around a place in a condition, and what of it is meant; -1 for none."""
    rest = ""
    while pointer not in places:
        pointer, _, name = pointer.rpartition("/")
        rest = name
        if not pointer and "" not in places:
            return -1, rest
    return places[pointer], rest
