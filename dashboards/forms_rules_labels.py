"""The form of a draft's heuristics: rows in, heuristics out, and everything that is wrong at its row.

A row is one signal. Rows of one task that follow each other are one entry of the document, which comes to the same as
an entry for each. What nobody changed stays as it is stored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.datastructures import MultiValueDict

from dashboards.forms import Told
from dashboards.templatetags.console import sentence
from routing.rules.document import Problem
from routing.rules.labelling_words import KEYWORDS, signal_text

Row = dict[str, str]

MOST_ROWS = {"task": 200, "point": 50}
MOST_SIGNALS = 10  # of one entry
HEAD = {"task": "task", "point": "points"}  # what a row of each kind leads to
COUNTS = [
    (KEYWORDS, "words of a list"),
    ("characters", "characters"),
    ("lines", "lines"),
    ("code_fences", "lines with a code fence"),
]
_ROW = re.compile(r"(task|point)-([0-9]{1,3})-([a-z_]+)", re.ASCII)
_POINTER = re.compile(r"/heuristics/(?:tasks/(\d+)(?:/any/(\d+))?|complexity/(\d+))(?:/([a-z_]+))?.*", re.ASCII)
_WHOLE = re.compile(r"[0-9]{1,9}", re.ASCII)
_SIGNED = re.compile(r"[+-]?[0-9]{1,9}", re.ASCII)
_A_COUNT = "A whole number from 0 to 100,000."
_SCHEMA_WORDS = {
    "task": "A task has 1 to 64 characters.",
    "points": "A whole number from -100 to 100.",
    "at_least": _A_COUNT,
    "at_most": _A_COUNT,
    "words": "1 to 200 words, each of 64 characters at most.",
}


class SignalRow(Told):
    count = forms.ChoiceField(required=False, label="When the text has", choices=COUNTS)
    at_least = forms.CharField(required=False, label="At least", widget=forms.TextInput(attrs={"inputmode": "numeric"}))
    at_most = forms.CharField(required=False, label="At most", widget=forms.TextInput(attrs={"inputmode": "numeric"}))
    words = forms.CharField(
        required=False, label="Words, separated by commas", widget=forms.Textarea(attrs={"rows": 2})
    )  # fmt: skip


class TaskRow(SignalRow):
    field_order = ("task", "count", "at_least", "at_most", "words")

    task = forms.CharField(
        required=False, label="Task", widget=forms.TextInput(attrs={"list": "known-tasks", "autocomplete": "off"})
    )


class PointRow(SignalRow):
    field_order = ("points", "count", "at_least", "at_most", "words")

    points = forms.CharField(required=False, label="Points", widget=forms.TextInput(attrs={"inputmode": "text"}))


_FORMS: dict[str, type[Told]] = {"task": TaskRow, "point": PointRow}


@dataclass(frozen=True)
class Shown:
    """A row with what it says in plain words; empty where it cannot be read."""

    form: Told
    words: str


class LabelsForm:
    """The rows of a page. `stored` are the heuristics that the draft has."""

    def __init__(self, rows: dict[str, list[Row]], stored: Mapping[str, Any] | None) -> None:
        self._stored = stored or {}
        self._typed = rows
        self.problems: list[str] = []
        self._made: dict[str, dict[int, dict[str, Any]]] = {"task": {}, "point": {}}  # signals by row
        self._task_rows: list[list[int]] = []  # the rows of each entry
        self._build()

    @classmethod
    def of(cls, stored: Mapping[str, Any] | None) -> LabelsForm:
        return cls(_rows_of(stored or {}), stored)

    @classmethod
    def sent(cls, data: QueryDict, stored: Mapping[str, Any] | None) -> LabelsForm:
        """Read what was sent, and do to the rows what a button of them asks for."""
        found: dict[tuple[str, int], Row] = {}
        for name, values in data.lists():
            at = _ROW.fullmatch(name)
            if at is not None:
                found.setdefault((at[1], int(at[2])), {})[at[3]] = values[-1].replace("\r\n", "\n")
        rows: dict[str, list[Row]] = {kind: [] for kind in HEAD}
        for (kind, _), row in sorted(found.items()):
            if len(rows[kind]) < MOST_ROWS[kind]:
                rows[kind].append(row)
        _rearrange(rows, data)
        return cls(rows, stored)

    def _build(self) -> None:
        self.rows: dict[str, list[Told]] = {
            kind: [
                _FORMS[kind](
                    MultiValueDict({f"{kind}-{number}-{name}": [value] for name, value in row.items()}),
                    prefix=f"{kind}-{number}",
                )
                for number, row in enumerate(self._typed[kind])
            ]
            for kind in HEAD
        }

    # For the template

    @property
    def tasks(self) -> list[Shown]:
        return self._with_words("task")

    @property
    def points(self) -> list[Shown]:
        return self._with_words("point")

    def _with_words(self, kind: str) -> list[Shown]:
        return [Shown(form, self._words(kind, number)) for number, form in enumerate(self.rows[kind])]

    def _words(self, kind: str, number: int) -> str:
        signal = self._made[kind].get(number)
        if signal is None:
            return ""
        if kind == "task":
            return f"A text with {signal_text(signal)} is {signal['task']}."
        points = signal["points"]
        verb = "takes away" if points < 0 else "adds"
        return f"A text with {signal_text(signal)} {verb} {abs(points) / 100:.2f}."

    @property
    def has_errors(self) -> bool:
        return bool(self.problems or any(form.errors for forms_of in self.rows.values() for form in forms_of))

    # Reading

    def read(self) -> tuple[dict[str, Any] | None, bool]:
        """Return the heuristics that the rows say, None for none, and whether every row could be read."""
        readable = True
        stored = {kind: _signals_of(self._stored, kind) for kind in HEAD}
        for kind, forms_of in self.rows.items():
            known = {_plain(kind, row): signal for row, signal in stored[kind]}
            for number, (row, form) in enumerate(zip(self._typed[kind], forms_of, strict=True)):
                if _blank(kind, row):
                    continue
                readable &= form.is_valid()
                signal = known.get(_plain(kind, row)) or self._read_row(kind, row, form)
                if signal is None:
                    readable = False
                else:
                    self._made[kind][number] = signal
        made: dict[str, Any] = {}
        tasks, points = self._tasks(), list(self._made["point"].values())
        if tasks:
            made["tasks"] = tasks
        if points:
            made["complexity"] = points
        if made == {name: entries for name, entries in self._stored.items() if entries}:
            return (dict(self._stored) or None), readable
        return made or None, readable

    def look(self) -> None:
        """Read what can be read, for the plain words, and say nothing of the rest: it is not finished."""
        self.read()
        self._build()

    def _read_row(self, kind: str, row: Row, form: Told) -> dict[str, Any] | None:
        head, wrong = HEAD[kind], False
        signal: dict[str, Any] = {}
        text = row.get(head, "").strip()
        if kind == "task":
            signal["task"] = text
            if not text:
                form.add_error("task", "Name the task.")
                wrong = True
        elif _SIGNED.fullmatch(text):
            signal["points"] = int(text)
        else:
            form.add_error("points", _SCHEMA_WORDS["points"])
            wrong = True
        signal["count"] = row.get("count", "")
        if not signal["count"]:
            form.add_error("count", "Choose what is counted.")
            wrong = True
        for name in ("at_least", "at_most"):
            bound = row.get(name, "").strip()
            if _WHOLE.fullmatch(bound):
                signal[name] = int(bound)
            elif bound:
                form.add_error(name, _A_COUNT)
                wrong = True
        if not wrong and "at_least" not in signal and "at_most" not in signal:
            form.add_error("at_least", "Say at least or at most how many.")
            wrong = True
        words = _words_of(row)
        if signal["count"] == KEYWORDS:
            signal["words"] = words
            if not words:
                form.add_error("words", "Write at least one word.")
                wrong = True
        elif words:
            form.add_error("words", "Nothing looks for these: count words of a list, or take them out.")
            wrong = True
        return None if wrong or not form.is_valid() else signal

    def _tasks(self) -> list[dict[str, Any]]:
        """Return the entries, and note which rows each is made of."""
        stored = self._stored.get("tasks", ())
        flat = [{"task": entry["task"], **signal} for entry in stored for signal in entry["any"]]
        numbers = list(self._made["task"])
        if flat == list(self._made["task"].values()):
            rest = iter(numbers)
            self._task_rows = [[next(rest) for _ in entry["any"]] for entry in stored]
            return list(stored)
        entries: list[dict[str, Any]] = []
        self._task_rows = []
        for number, row in self._made["task"].items():
            signal = {name: value for name, value in row.items() if name != "task"}
            same = bool(entries) and entries[-1]["task"] == row["task"] and len(entries[-1]["any"]) < MOST_SIGNALS
            if same:
                entries[-1]["any"].append(signal)
                self._task_rows[-1].append(number)
            else:
                entries.append({"task": row["task"], "any": [signal]})
                self._task_rows.append([number])
        return entries

    # Telling

    def show(self, problems: Iterable[Problem]) -> None:
        """Show what is wrong with the heuristics, each at its field; after `read`."""
        for problem in problems:
            if not problem.pointer.startswith("/heuristics"):
                continue
            at = _POINTER.fullmatch(problem.pointer)
            text = f"{sentence(problem.text)}."
            form = None if at is None else self._form_at(at)
            if form is None or at is None:
                many = "At most 20 tasks and 50 entries with points."
                self.problems.append(many if problem.code == "schema" else text)
                continue
            name = at[4] or next(iter(form.fields))
            form.add_error(name if name in form.fields else None, _SCHEMA_WORDS.get(name, text)
                           if problem.code == "schema" else text)  # fmt: skip

    def _form_at(self, at: re.Match[str]) -> Told | None:
        if at[3] is not None:
            numbers = list(self._made["point"])
            return self.rows["point"][numbers[int(at[3])]] if int(at[3]) < len(numbers) else None
        entry, signal = int(at[1]), int(at[2] or 0)
        if entry >= len(self._task_rows) or signal >= len(self._task_rows[entry]):
            return None
        return self.rows["task"][self._task_rows[entry][signal]]


def _rows_of(stored: Mapping[str, Any]) -> dict[str, list[Row]]:
    return {kind: [row for row, _ in _signals_of(stored, kind)] for kind in HEAD}


def _signals_of(stored: Mapping[str, Any], kind: str) -> list[tuple[Row, dict[str, Any]]]:
    """Return every signal as a row shows it, with what is stored."""
    if kind == "task":
        flat = [{"task": entry["task"], **signal} for entry in stored.get("tasks", ()) for signal in entry["any"]]
    else:
        flat = [dict(entry) for entry in stored.get("complexity", ())]
    return [
        (
            {name: str(one[name]) for name in (HEAD[kind], "count", "at_least", "at_most") if name in one}
            | {"words": ", ".join(one.get("words", ()))},
            one,
        )
        for one in flat
    ]


def _plain(kind: str, row: Row) -> tuple[str, ...]:
    names = (HEAD[kind], "count", "at_least", "at_most")
    return (*(row.get(name, "").strip() for name in names), ", ".join(_words_of(row)))


def _blank(kind: str, row: Row) -> bool:
    """Say whether a row was added and left alone."""
    typed = [row.get(name, "").strip() for name in (HEAD[kind], "at_most", "words")]
    return not any(typed) and row.get("at_least", "").strip() in ("", "1") and row.get("count", "") in ("", KEYWORDS)


def _words_of(row: Row) -> list[str]:
    parts = (part.strip() for part in re.split(r"[,\n]", row.get("words", "")))
    return list(dict.fromkeys(part for part in parts if part))


def _rearrange(rows: dict[str, list[Row]], data: QueryDict) -> None:
    kind = data.get("add", "")
    if kind in rows and len(rows[kind]) < MOST_ROWS[kind]:
        rows[kind].append({"count": KEYWORDS, "at_least": "1"})
    for step in ("drop", "up"):
        kind, _, number = data.get(step, "").partition("-")
        if kind not in rows or not _WHOLE.fullmatch(number) or int(number) >= len(rows[kind]):
            continue
        index = int(number)
        if step == "drop":
            del rows[kind][index]
        elif index:
            rows[kind][index - 1 : index + 1] = reversed(rows[kind][index - 1 : index + 1])
