"""Heuristics in plain words: what leads to a label, and what changed between two of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

# What a signal counts.
CHARACTERS, LINES, CODE_FENCES, KEYWORDS = "characters", "lines", "code_fences", "keywords"

_WORDS_SHOWN = 12
_UNITS = {CHARACTERS: "character", LINES: "line", CODE_FENCES: "code fence line"}


def signal_text(signal: Mapping[str, Any]) -> str:
    """Return a signal in plain words, such as `at least 2000 characters`."""
    low, high = signal.get("at_least"), signal.get("at_most")
    if signal["count"] == KEYWORDS:
        words = _some(signal["words"])
        if high is None and low == 1:
            return f"any of the words {words}"
        return f"none of the words {words}" if not low and high == 0 else f"{_bounds(low, high)} of the words {words}"
    unit = _UNITS[signal["count"]] + ("" if (low if high is None else high) == 1 else "s")
    return f"no {unit}" if not low and high == 0 else f"{_bounds(low, high)} {unit}"


def _some(words: Sequence[str]) -> str:
    more = len(words) - _WORDS_SHOWN
    return ", ".join(words) if more <= 0 else f"{', '.join(words[:_WORDS_SHOWN])} and {more} more"


def _bounds(low: int | None, high: int | None) -> str:
    if low is not None and high is not None:
        return f"exactly {low}" if low == high else f"{low} to {high}"
    return f"at least {low}" if high is None else f"at most {high}"


def task_text(entry: Mapping[str, Any]) -> str:
    """Return what leads to a task in plain words."""
    return ", or ".join(signal_text(signal) for signal in entry["any"])


def points_text(entry: Mapping[str, Any]) -> str:
    """Return an entry of `complexity` in plain words, such as `+30 points for at least 2000 characters`."""
    points = int(entry["points"])
    return f"{points:+} {'point' if abs(points) == 1 else 'points'} for {signal_text(entry)}"


class Sentences(NamedTuple):
    """Heuristics in plain words: what leads to each task, in order, and what points are given for."""

    tasks: list[tuple[str, str]]
    points: list[str]

    @property
    def there(self) -> bool:
        return bool(self.tasks or self.points)


def sentences(heuristics: Mapping[str, Any] | None) -> Sentences:
    given = heuristics or {}
    return Sentences(
        [(entry["task"], task_text(entry)) for entry in given.get("tasks", ())],
        [points_text(entry) for entry in given.get("complexity", ())],
    )


def text(heuristics: Mapping[str, Any] | None) -> str:
    """Return heuristics in one line."""
    said = sentences(heuristics)
    parts = [f"{task}: {words}" for task, words in said.tasks] + [f"complexity: {words}" for words in said.points]
    return "; ".join(parts) or "none"


def differences(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> Iterator[str]:
    """Give what changed between two contents' heuristics in plain words."""
    old, new = before or {}, after or {}
    yield from _task_differences(old.get("tasks", ()), new.get("tasks", ()))
    yield from _points_differences(list(old.get("complexity", ())), list(new.get("complexity", ())))


def _task_differences(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    before, after = _numbered(old), _numbered(new)
    for (task, n), was in before.items():
        if (task, n) not in after:
            yield f"task {task} no longer labelled by {task_text(was)}"
    for (task, n), entry in after.items():
        earlier = before.get((task, n))
        if earlier is None:
            yield f"task {task} labelled by {task_text(entry)}"
        elif earlier != entry:
            words = [_word_differences(*pair) for pair in zip(earlier["any"], entry["any"], strict=False)]
            if len(earlier["any"]) == len(entry["any"]) and None not in words:
                yield from (f"task {task}: {line}" for lines in words for line in lines or ())
            else:
                yield f"task {task} from {task_text(earlier)} to {task_text(entry)}"
    if [key for key in before if key in after] != [key for key in after if key in before]:
        yield f"tasks asked in another order: {', '.join(task for task, _ in after)}"


def _numbered(entries: Sequence[Mapping[str, Any]]) -> dict[tuple[str, int], Mapping[str, Any]]:
    found: dict[tuple[str, int], Mapping[str, Any]] = {}
    for entry in entries:
        number = sum(task == entry["task"] for task, _ in found)
        found[entry["task"], number] = entry
    return found


def _points_differences(old: list[Mapping[str, Any]], new: list[Mapping[str, Any]]) -> Iterator[str]:
    if old == new:
        return
    gone = [entry for entry in old if entry not in new]
    come = [entry for entry in new if entry not in old]
    if not gone and not come and len(old) == len(new):
        yield "complexity: entries in another order, which changes nothing"
    for entry in come:
        was = next((one for one in gone if one["count"] == entry["count"]), None)
        if was is None:
            yield f"complexity: {points_text(entry)} added"
            continue
        gone.remove(was)
        words = _word_differences(was, entry)
        if words:
            yield from (f"complexity: {points_text(entry)}: {line}" for line in words)
        else:
            yield f"complexity: {points_text(entry)}, not {points_text(was)}"
    yield from (f"complexity: {points_text(entry)} removed" for entry in gone)
    if not come and len(old) != len(new) and not gone:
        yield f"complexity: {len(new)} entries, not {len(old)}: some are there more than once"


def _word_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str] | None:
    """Return which words came and went; None where something else differs."""
    if {**old, "words": None} != {**new, "words": None}:
        return None
    before, after = old.get("words", ()), new.get("words", ())
    lines = [f"word {word} added" for word in after if word not in before]
    lines += [f"word {word} removed" for word in before if word not in after]
    return lines or (["words in another order, which changes nothing"] if before != after else [])
