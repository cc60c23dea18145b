"""Files of rules on the command line: read, and every reason against them said with its line.

Plain Python: what needs no catalogue is checked without settings and without a database, as in a commit hook.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from routing.rules import offline, texts
from routing.rules.document import Problem
from routing.rules.texts import Wrong

STANDARD_INPUT = "-"
VALID, INVALID, UNUSABLE = 0, 1, 2


class Lines(Protocol):
    """What takes lines: a stream, or a command's wrapper of one."""

    def write(self, text: str, /) -> object: ...


class Unusable(Exception):
    """A file that cannot even be looked at; the message is a sentence."""


@dataclass(frozen=True, kw_only=True)
class RulesFile:
    """A text that was read: its content, or what is wrong with it."""

    name: str
    text: str
    form: str
    content: dict[str, Any] | None
    wrong: list[Wrong]

    def placed(self, problems: Iterable[tuple[str, str]]) -> list[Wrong]:
        """Give reasons, each a JSON pointer with a sentence, their lines in this file."""
        return texts.placed(problems, self.text, self.form)

    def found(self, problems: Iterable[Problem]) -> list[Wrong]:
        return self.placed([(one.pointer, one.text) for one in problems])

    def said(self, wrong: Iterable[Wrong]) -> Iterator[str]:
        """Give each reason as compilers do: file, line, what is wrong, where."""
        for one in wrong:
            at = f"{self.name}:{one.line}" if one.line else self.name
            where = f" ({one.place})" if one.place else ""
            yield f"{at}: {one.text}{where}"


def opened(name: str) -> RulesFile:
    """Read a file, or standard input for `-`.

    Raises:
        Unusable
    """
    shown = "<stdin>" if name == STANDARD_INPUT else name
    try:
        if name == STANDARD_INPUT:
            data = _limited(sys.stdin.buffer)
        else:
            with Path(name).open("rb") as file:
                data = _limited(file)
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        raise Unusable(f"{shown} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise Unusable(f"{shown} cannot be read: it is no text in UTF-8.") from error
    form = texts.guessed(text, name)
    content, wrong = texts.read(text, form)
    return RulesFile(name=shown, text=text, form=form, content=content, wrong=wrong)


def _limited(file: IO[bytes]) -> bytes:
    # One more than may be: `texts.read` says that it is too long.
    return file.read(4 * texts.MOST_CHARACTERS + 1)


def check_offline(names: Iterable[str], *, out: Lines, err: Lines) -> int:
    """Say what is wrong with files whatever the catalogue says; return the exit code."""
    code = VALID
    for name in names:
        try:
            file = opened(name)
        except Unusable as error:
            err.write(f"{error}\n")
            code = UNUSABLE
            continue
        wrong = file.wrong if file.content is None else file.found(offline.problems(file.content))
        for line in file.said(wrong):
            out.write(f"{line}\n")
        err.write(f"{verdict(file, wrong)}\n")
        code = max(code, INVALID if wrong else VALID)
    return code


def verdict(file: RulesFile, wrong: list[Wrong], *, catalogue: bool = False) -> str:
    if wrong:
        return f"{file.name}: {len(wrong)} thing{'s' if len(wrong) > 1 else ''} wrong."
    rules = len(file.content["rules"]) if file.content else 0
    checked = "can be submitted" if catalogue else "valid as far as can be said without the catalogue"
    return f"{file.name}: {rules} rule{'s' if rules != 1 else ''}, {checked}."


def main(arguments: list[str]) -> int:
    """`manage.py rules validate --schema-only FILE...` without Django."""
    parser = argparse.ArgumentParser(prog="manage.py rules validate")
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--schema-only", action="store_true", required=True)
    parser.add_argument("--environment", metavar="E", help="not looked at without a database")
    given = parser.parse_args(arguments)
    return check_offline(given.files, out=sys.stdout, err=sys.stderr)
