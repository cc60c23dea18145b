"""How each kind of gateway is connected: recipes, a file each, whose lines are filled in with address and key.

A recipe is a TOML file in `recipes/`; its name is the recipe's id. Adding a kind is adding a file. `Recipe` says what
stands in one. In its lines, and only there, these are replaced:

    @url@  @key@  @environment@  @gateway@  @s3@

The last one is what a gateway is started with that reads its configuration from a bucket: lines of variables.

`first/` holds an event to try a key with, for each wire format.

# Note [The first format]
The first format that comes in is what a live stream is counted by from then on. So the event to try a key with is sent
in the format that the gateway itself will send: a native event to try LiteLLM's key would leave everything that LiteLLM
sends uncounted.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from catalog.models import TakesRules

YOUR_KEY = "YOUR-KEY"
GROUPS = {
    "gateway": "Gateways and routers",
    "code": "Code of your own",
    "protocol": "Whatever else sends usage",
}

_HERE = Path(__file__).parent
_PLACES = re.compile(r"@(url|key|environment|gateway|s3)@")


@dataclass(frozen=True, kw_only=True)
class Lines:
    """Lines to paste below a title. `language` says how they are written; `note` is what else there is to know."""

    id: str
    side: str  # "usage", "rules" or "both"
    title: str
    language: str  # yaml, json, sh, env, python, js, text
    text: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one kind of gateway is connected.

    `kind` is what the catalogue calls such gateways, `format` the wire format that they send, `scopes` what their key
    may do, `rules` how it takes them (`TakesRules`). `use_case` says how a call names its use case there, `prompts` how
    one keeps prompts from being sent. `name` is what a gateway of this kind may be called.
    """

    id: str
    title: str
    about: str
    group: str
    order: int
    name: str
    kind: str
    format: str
    rules: str
    scopes: tuple[str, ...]
    use_case: str
    prompts: str
    needs: str = ""
    lines: tuple[Lines, ...]

    @property
    def reads_a_bucket(self) -> bool:
        """Its lines hold what signs requests for a bucket."""
        return any("@s3@" in one.text for one in self.lines)

    def filled_in(self, values: Mapping[str, str]) -> Sequence[Lines]:
        """Return the lines with their places filled in."""
        return [replace(one, text=filled_in(one.text, values)) for one in self.lines]

    def first_event(self, values: Mapping[str, str]) -> str:
        """Return the lines that send one event as such a gateway does; see Note [The first format]."""
        return filled_in(_first(self.format), values)


def filled_in(text: str, values: Mapping[str, str]) -> str:
    """Fill in the places of a text, each once: what is filled in is not looked at again."""
    return _PLACES.sub(lambda place: values[place[1]], text)


@cache
def recipes() -> Mapping[str, Recipe]:
    """Return all recipes by id, in the order of the page."""
    found = [_read(path) for path in sorted((_HERE / "recipes").glob("*.toml"))]
    groups = list(GROUPS)
    return {one.id: one for one in sorted(found, key=lambda one: (groups.index(one.group), one.order))}


def of_kind(kind: str, *, takes_rules: str = TakesRules.POLL) -> Recipe:
    """Return the recipe of a kind of gateway, of several the one that fits how it takes rules; else our own."""
    fitting = [one for one in recipes().values() if one.kind == kind]
    first = fitting[0] if fitting else recipes()["native"]
    return next((one for one in fitting if (one.rules == TakesRules.POLL) is (takes_rules == TakesRules.POLL)), first)


def format_of(kind: str) -> str:
    """Return the format that gateways of a kind send; those of an unknown kind send our own."""
    return of_kind(kind).format


def _read(path: Path) -> Recipe:
    written = tomllib.loads(path.read_text())
    given = [{**one, "text": one["text"].strip("\n")} for one in written.pop("lines")]
    lines = tuple(Lines(id=f"{path.stem}-{number}", **one) for number, one in enumerate(given, 1))
    return Recipe(id=path.stem, lines=lines, **{**written, "scopes": tuple(written["scopes"])})


@cache
def _first(format: str) -> str:
    return (_HERE / "first" / f"{format}.sh").read_text().rstrip("\n")
