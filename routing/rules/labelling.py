"""Labels for requests that come without them: task and complexity, by what is counted in their text.

routing/spec/README.md is the specification; this is one implementation of it. Nothing here raises on heuristics that
the schema accepts, whatever the text is, and no text costs more than its first 100,000 code points do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .conditions import decimal_text, sound, utf8
from .document import Problem
from .labelling_words import CHARACTERS, CODE_FENCES, KEYWORDS, LINES, signal_text

LOOKED_AT = 100_000  # code points of a text
MAX_WORDS = 1000  # in all heuristics of a content together

# Hundredths, the shortest way to write them: 35 is 0.35, 40 is 0.4.
_HUNDREDTHS = (*(f"0.{points:02}".rstrip("0").rstrip(".") for points in range(100)), "1")

# A word in a text is a run of these: digits, a to z, _ and U+00C0 to U+1FFF save signs, stops and the letters of
# languages that put no space between words. No Unicode tables: they differ between languages and their versions.
_NO_WORD = (
    (0xD7, 0xD7), (0xF7, 0xF7), (0x60C, 0x60C), (0x61B, 0x61B), (0x61F, 0x61F), (0x6D4, 0x6D4), (0x964, 0x965),
    (0xE00, 0xEFF), (0x1000, 0x109F), (0x1780, 0x17FF),
)  # fmt: skip
_LETTERS = tuple(
    zip((0xC0, *(last + 1 for _, last in _NO_WORD)), (*(first - 1 for first, _ in _NO_WORD), 0x1FFF), strict=True)
)
_WORD = frozenset("0123456789abcdefghijklmnopqrstuvwxyz_").union(
    *(map(chr, range(first, last + 1)) for first, last in _LETTERS)
)


def is_word_character(letter: str) -> bool:
    """Say whether a word of a text, folded, may go on with this code point."""
    return letter in _WORD


# By ranges: of eight thousand letters, each for itself, every process that starts would compile for 15 ms and more.
_RUN = re.compile(f"[0-9a-z_{''.join(f'{chr(first)}-{chr(last)}' for first, last in _LETTERS)}]+")
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)


class _Seen:
    """A text, with what was counted in it so far."""

    __slots__ = ("_fences", "_folded", "_runs", "text")

    def __init__(self, text: str) -> None:
        self.text = sound(text[:LOOKED_AT])
        self._folded: str | None = None
        self._runs: frozenset[str] | None = None
        self._fences: int | None = None

    def characters(self) -> int:
        return len(self.text)

    def lines(self) -> int:
        """Count lines: each ends with a line feed, the last one may end with the text."""
        return self.text.count("\n") + (self.text[-1:] not in ("", "\n"))

    def code_fences(self) -> int:
        if self._fences is None:
            there = "```" in self.text or "~~~" in self.text
            self._fences = len(_FENCE.findall(self.text)) if there else 0
        return self._fences

    def folded(self) -> str:
        if self._folded is None:
            # Bytes fold A to Z and nothing else.
            self._folded = self.text.lower() if self.text.isascii() else self.text.encode().lower().decode()
        return self._folded

    def runs(self) -> frozenset[str]:
        """Return all words of the text: what consists of word characters alone is looked up, not looked for."""
        if self._runs is None:
            self._runs = frozenset(_RUN.findall(self.folded()))
        return self._runs

    def has(self, words: frozenset[str], phrases: tuple[str, ...]) -> int:
        count = len(words & self.runs()) if words else 0
        for phrase in phrases:
            if self._occurs(phrase):
                count += 1
        return count

    def _occurs(self, phrase: str) -> bool:
        """Say whether a phrase is there and goes on as a word on neither side."""
        text = self.folded()
        at = text.find(phrase)
        while at >= 0:
            end = at + len(phrase)
            before = at > 0 and phrase[0] in _WORD and text[at - 1] in _WORD
            after = end < len(text) and phrase[-1] in _WORD and text[end] in _WORD
            if not before and not after:
                return True
            at = text.find(phrase, at + 1)
        return False


class _Signal:
    __slots__ = ("_count", "at_least", "at_most", "said")

    def __init__(self, signal: Mapping[str, Any]) -> None:
        self.at_least: int = signal.get("at_least", 0)
        self.at_most: int | None = signal.get("at_most")
        self.said = signal
        self._count = _counter(signal)

    def found(self, seen: _Seen) -> int | None:
        """Return how many were counted, None where that is outside the bounds."""
        count = self._count(seen)
        return count if self.at_least <= count and (self.at_most is None or count <= self.at_most) else None


def _counter(signal: Mapping[str, Any]) -> Callable[[_Seen], int]:
    if signal["count"] != KEYWORDS:
        return {CHARACTERS: _Seen.characters, LINES: _Seen.lines, CODE_FENCES: _Seen.code_fences}[signal["count"]]
    folded = {fold(word) for word in signal["words"]}
    words = frozenset(word for word in folded if _RUN.fullmatch(word))
    phrases = tuple(sorted(folded - words))
    return lambda seen: seen.has(words, phrases)


class Labels:
    """The heuristics of a content, ready to label. Shared by threads."""

    def __init__(self, heuristics: Mapping[str, Any]) -> None:
        self._tasks: list[tuple[str, list[_Signal]]] = [
            (entry["task"], [_Signal(signal) for signal in entry["any"]]) for entry in heuristics.get("tasks", ())
        ]
        self._points = [(int(entry["points"]), _Signal(entry)) for entry in heuristics.get("complexity", ())]

    def label(self, context: Mapping[str, Any], told: list[tuple[str, str]] | None = None) -> Mapping[str, Any]:
        """Return the request with its task and complexity, where it has a text and not said them itself.

        `told` is given what led to them: a member and a sentence each.
        """
        text = context.get("text")
        if type(text) is not str:
            return context
        wants_task = bool(self._tasks) and type(context.get("task")) is not str
        wants_complexity = bool(self._points) and decimal_text(context.get("complexity")) is None
        if not wants_task and not wants_complexity:
            return context
        seen = _Seen(text)
        labelled = dict(context)
        if wants_task:
            labelled["task"] = self._task(seen, told)
        if wants_complexity:
            labelled["complexity"] = self._complexity(seen, told)
        return labelled

    def _task(self, seen: _Seen, told: list[tuple[str, str]] | None) -> str | None:
        for task, signals in self._tasks:
            for signal in signals:
                found = signal.found(seen)
                if found is not None:
                    if told is not None:
                        told.append(("task", f"{task}: {signal_text(signal.said)} ({found} found)"))
                    return task
        if told is not None:
            told.append(("task", "not labelled: no signal holds"))
        return None

    def _complexity(self, seen: _Seen, told: list[tuple[str, str]] | None) -> str:
        total = 0
        for points, signal in self._points:
            found = signal.found(seen)
            if found is not None:
                total += points
                if told is not None:
                    told.append(("complexity", f"{points:+} points: {signal_text(signal.said)} ({found} found)"))
        label = _HUNDREDTHS[min(max(total, 0), 100)]
        if told is not None:
            told.append(("complexity", f"{label}: {total} points"))
        return label


def labels(heuristics: Mapping[str, Any] | None) -> Labels | None:
    """Compile heuristics; None where there is nothing to label by."""
    if not heuristics or not (heuristics.get("tasks") or heuristics.get("complexity")):
        return None
    return Labels(heuristics)


def fold(word: str) -> str:
    """Return a keyword as it is looked for: A to Z as a to z, other letters as they are."""
    return utf8(word).lower().decode()


# --- What cannot work


def problems(heuristics: Mapping[str, Any] | None) -> Iterator[Problem]:
    """Give every reason why heuristics that the schema accepts are refused at submission."""
    if not heuristics:
        return
    entries = [
        (f"/heuristics/tasks/{i}/any/{j}", signal)
        for i, entry in enumerate(heuristics.get("tasks", ()))
        for j, signal in enumerate(entry["any"])
    ]
    entries += [(f"/heuristics/complexity/{i}", entry) for i, entry in enumerate(heuristics.get("complexity", ()))]
    for place, signal in entries:
        yield from _signal_problems(place, signal)
    count = sum(len(signal.get("words", ())) for _, signal in entries)
    if count > MAX_WORDS:
        yield Problem("/heuristics", "too_many_words", f"{count} words, at most {MAX_WORDS} are allowed")
    taken: str | None = None
    for i, entry in enumerate(heuristics.get("tasks", ())):
        if taken is not None:
            text = f"no request comes to {entry['task']}: {taken} comes first and takes every text"
            yield Problem(f"/heuristics/tasks/{i}", "unreachable", text)
        elif any(_always(signal) for signal in entry["any"]):
            taken = entry["task"]


def _signal_problems(place: str, signal: Mapping[str, Any]) -> Iterator[Problem]:
    low, high = signal.get("at_least", 0), signal.get("at_most")
    if high is not None and low > high:
        yield Problem(f"{place}/at_least", "never_holds", f"at least {low} and at most {high} is never so")
    if signal["count"] != KEYWORDS:
        return
    seen: dict[str, str] = {}
    for k, word in enumerate(signal["words"]):
        twin = seen.setdefault(fold(word), word)
        if twin is not word:
            yield Problem(f"{place}/words/{k}", "duplicate_word", f"{word} is the same word as {twin}")
    if low > len(seen):
        yield Problem(f"{place}/at_least", "never_holds", f"at least {low} of {len(seen)} different words is never so")


def _always(signal: Mapping[str, Any]) -> bool:
    most = len(signal["words"]) if signal["count"] == KEYWORDS else LOOKED_AT
    return not signal.get("at_least") and signal.get("at_most", most) >= most
