"""Rules as YAML, as far as it says what JSON can say.

No anchors and aliases, no tags, no member twice, one document. A word that readers of YAML take for different things,
such as no (false to some, a text to others), is refused and not guessed. What can only be meant as text is text: a day
such as 2026-02-01, a time such as 08:30. What is written here puts everything in quotes that any reader could take for
something else than text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from routing.rules.text_parts import MOST_PARTS, WIDTH, Wrong, below, fraction_words, ordered, plain, too_many_words

_MOST_WRONG = 100
_MOST_NESTING = 64
# The wheels of PyYAML carry libyaml; a megabyte is read in a fraction of a second with it and in many without.
_LOADER: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
_DUMPER: Any = yaml.CSafeDumper if yaml.__with_libyaml__ else yaml.SafeDumper

# --- Writing

_STR, _INT, _BOOL, _NULL, _SEQ, _MAP = (
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "bool", "null", "seq", "map")
)
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "infinity"})
_BARE = re.compile(r"[A-Za-z][ -~]*")
# Lines that a block keeps as they are: none begins or ends with a space, and none is empty at an end.
_BLOCK = re.compile(r"(?:[!-~](?:[ -~]*[!-~])?)(?:\n{1,2}[!-~](?:[ -~]*[!-~])?)+")


def written(content: Mapping[str, Any]) -> str:
    """Lay a content out for people, an empty line before each rule and each part."""
    text: str = yaml.serialize(_node(ordered(dict(content))), Dumper=_DUMPER, width=2**30, allow_unicode=True)
    made: list[str] = []
    for line in text.rstrip("\n").split("\n"):
        # Only the top and the rules begin without a space: whatever is inside of them is set in.
        if made and line[:1] != " " and line and not (made[-1] == "rules:" and line.startswith("-")):
            made.append("")
        made.append(line)
    return "\n".join(made) + "\n"


def _node(value: Any) -> yaml.Node:
    if isinstance(value, str):
        return _text_node(value)
    if value is None or isinstance(value, bool | int):
        tag = _NULL if value is None else _BOOL if isinstance(value, bool) else _INT
        return yaml.ScalarNode(tag, json.dumps(value))
    if isinstance(value, list):
        return yaml.SequenceNode(_SEQ, [_node(item) for item in value], flow_style=_fits(value))
    pairs = [(_text_node(name, bare=False), _node(item)) for name, item in value.items()]
    return yaml.MappingNode(_MAP, pairs, flow_style=_fits(list(value.values()), json.dumps(value)))


def _text_node(text: str, *, bare: bool = True) -> yaml.ScalarNode:
    if _BARE.fullmatch(text) and text.lower() not in _WORDS:
        return yaml.ScalarNode(_STR, text)
    return yaml.ScalarNode(_STR, text, style="|" if bare and _BLOCK.fullmatch(text) else '"')


def _fits(items: list[Any], flat: str = "") -> bool:
    """Say whether a list, or an object of these values, stands in a line: all is plain, and it is short."""
    if any(isinstance(item, dict | list) or (isinstance(item, str) and "\n" in item) for item in items):
        return not items
    return len(flat or json.dumps(items, ensure_ascii=False)) <= WIDTH


# --- Reading

_TRUE, _FALSE, _NOTHING = ("true", "True", "TRUE"), ("false", "False", "FALSE"), ("", "~", "null", "Null", "NULL")
_WHOLE = re.compile(r"-?(0|[1-9][0-9]*)", re.ASCII)
_FRACTION = re.compile(
    r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9_]+)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+|[-+]?\.(inf|nan)",
    re.ASCII | re.IGNORECASE,
)
_ODD_WHOLE = re.compile(r"[-+]?0[xob][0-9a-f_]+|[-+]?[0-9][0-9_]*", re.ASCII | re.IGNORECASE)
_ODD_WORDS = ("yes", "no", "on", "off")


class _Unreadable(Exception):
    def __init__(self, wrong: Wrong) -> None:
        super().__init__(wrong.text)
        self.wrong = wrong


class _Open:
    """A list or an object that is being read."""

    def __init__(self, value: list[Any] | dict[str, Any], pointer: str | None) -> None:
        self.value, self.pointer = value, pointer
        self.name: str | None = None  # the member whose value comes next

    @property
    def awaits_name(self) -> bool:
        return isinstance(self.value, dict) and self.name is None

    def take(self, item: Any) -> None:
        if isinstance(self.value, list):
            self.value.append(item)
        elif self.name is not None:
            self.value[self.name] = item
            self.name = None

    def next_pointer(self) -> str | None:
        return below(self.pointer, len(self.value) if isinstance(self.value, list) else self.name or "")


class _Read:
    def __init__(self, text: str) -> None:
        self.wrong: list[Wrong] = []
        self.lines: dict[str, int] = {}
        self.value: Any = None
        try:
            self._all(text)
        except _Unreadable as error:
            self.wrong.append(error.wrong)

    def _all(self, text: str) -> None:
        stack: list[_Open] = []
        documents = parts = 0
        for event in _events(text):
            parts += 1
            if parts > MOST_PARTS:
                raise _Unreadable(Wrong(line=0, place="", text=too_many_words()))
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._stop(event, "a second document begins here: a file has one")
            elif isinstance(event, yaml.CollectionEndEvent):
                stack.pop()
            elif isinstance(event, yaml.NodeEvent):
                self._refuse_what_json_has_not(event)
                if stack and stack[-1].awaits_name:
                    self._name(event, stack[-1])
                    continue
                value = self._value(event)
                pointer = stack[-1].next_pointer() if stack else ""
                self._note(pointer, event)
                if stack:
                    stack[-1].take(value)
                else:
                    self.value = value
                if isinstance(event, yaml.CollectionStartEvent):
                    if len(stack) >= _MOST_NESTING:
                        raise self._stop(event, "nested too deeply")
                    stack.append(_Open(value, pointer))
            if len(self.wrong) >= _MOST_WRONG:
                return

    def _refuse_what_json_has_not(self, event: Any) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._say(event, f"*{event.anchor}: aliases are not read; write out what it stands for")
            return
        if event.anchor is not None:
            self._say(event, f"&{event.anchor}: anchors are not read; write each part where it belongs")
        if getattr(event, "tag", None) is not None:
            self._say(event, f"{event.tag}: tags are not read; write the value as it is")

    def _name(self, event: Any, around: _Open) -> None:
        if not isinstance(event, yaml.ScalarEvent):
            raise self._stop(event, "the name of a member is a text")
        name = event.value
        if name == "<<" and not event.style:
            self._say(event, "<<: merging is not read; write each member where it belongs")
        if name in around.value:
            self._say(event, f"the member {name} is there twice")
        around.name = name
        self._note(below(around.pointer, name), event)

    def _value(self, event: Any) -> Any:
        if isinstance(event, yaml.MappingStartEvent):
            return {}
        if isinstance(event, yaml.SequenceStartEvent):
            return []
        if not isinstance(event, yaml.ScalarEvent):
            return None  # an alias, which was refused
        text: str = event.value
        if event.style:  # quoted, or a block
            return text
        if text in _NOTHING:
            return None
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        if _WHOLE.fullmatch(text) and len(text) < 400:
            return int(text)
        if _FRACTION.fullmatch(text):
            self._say(event, f'{fraction_words(text)}, "{text}"')
        elif _ODD_WHOLE.fullmatch(text):
            self._say(event, f'{text} is not how a whole number is written; if it is a text, write "{text}"')
        elif text.lower() in _ODD_WORDS:
            self._say(event, f'{text} is true or false to some and a text to others: write true, false or "{text}"')
        return text

    def _note(self, pointer: str | None, event: Any) -> None:
        if pointer is not None:
            self.lines.setdefault(pointer, _line(event))

    def _say(self, event: Any, text: str) -> None:
        self.wrong.append(_wrong(event.start_mark, text))

    def _stop(self, event: Any, text: str) -> _Unreadable:
        return _Unreadable(_wrong(event.start_mark, text))


def read(text: str) -> tuple[dict[str, Any] | None, list[Wrong]]:
    found = _Read(text)
    if not found.wrong and not isinstance(found.value, dict):
        return None, [Wrong(line=1, place="", text="not an object: rules begin with members such as rules and default")]
    return (None, found.wrong) if found.wrong else (found.value, [])


def lines(text: str) -> dict[str, int]:
    return _Read(text).lines


def _events(text: str) -> Iterator[Any]:
    try:
        yield from yaml.parse(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        said = ", ".join(part for part in (error.context, error.problem) if part)
        mark = error.problem_mark or error.context_mark
        raise _Unreadable(Wrong(line=0, place="", text=said) if mark is None else _wrong(mark, said)) from error
    except (yaml.YAMLError, ValueError) as error:  # a character that no text holds
        raise _Unreadable(Wrong(line=0, place="", text=plain(str(error).splitlines()[0]))) from error


def _wrong(mark: Any, text: str) -> Wrong:
    return Wrong(line=mark.line + 1, place=f"column {mark.column + 1}", text=plain(text))


def _line(event: Any) -> int:
    line: int = event.start_mark.line + 1
    return line
