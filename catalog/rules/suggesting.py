"""What an unknown name probably means: a suggestion for a person, never an answer. Plain Python, no I/O.

# Note [Plain names]
Gateways dress a model's name up: the provider before it, a region, the lab, the date of a snapshot, a version of the
API, `latest`; dots become hyphens or the letter p. Two names that are plain alike mean the same model nearly always, so
that is `certain`. Where they are not, the closest spelling is only `likely`, and numbers have to be the same ones:
gpt-5.4 is a neighbour of gpt-5.5 in spelling, and another model at another price.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from functools import lru_cache

from catalog.rules.names import UNKNOWN, fold

_CLOSE = 0.85  # of difflib's ratio: names below are not shown
_ALIKE_LABEL = 0.8  # labels have no numbers that guard them, and a wrong one is seen at a glance
_SHORTEST = 4  # letters: below, everything is close to everything

# In order: what stands before a name, then what stands after it.
_REGIONS = "us|eu|apac|global|au|jp|ca|uk|us-gov|sa|me|in"
_REGION = re.compile(rf"^(?:{_REGIONS})[./]|^(?:us|eu|ap|ca|sa|me|af|il)-[a-z]+(?:-[a-z]+)?-\d[./]")
_LABS = (
    "anthropic|openai|meta-llama|meta|mistralai|mistral|google|deepseek-ai|deepseek|qwen|moonshotai|x-ai|xai|z-ai|zai"
    "|cohere|amazon|ai21|nvidia"
)
_LAB = re.compile(rf"^(?:{_LABS})[./]")
_AFTER = re.compile(
    r"(?:"
    r"[-:]v\d+(?::\d+)?(?::\d+k)?"  # -v1:0, -v2:0:200k
    r"|@(?:\d{8}|\d{6}|latest|default|\d{3})"  # @20260416
    r"|[-@:](?:20\d{2})-?(?:0[1-9]|1[0-2])-?(?:0[1-9]|[12]\d|3[01])"  # -20260416, -2026-04-16
    r"|-(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])"  # -0925
    r"|-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"  # -04-02
    r"|[-:](?:latest|default|preview|exp|experimental|beta|free|nitro|floor|online|maas|global|datazone|eu|us)"
    r")$"
)
_DIGIT_P_DIGIT = re.compile(r"(?<=\d)p(?=\d)")  # fireworks' qwen3p6
_NOT_PLAIN = re.compile(r"[^a-z0-9]+")
_NUMBERS = re.compile(r"\d+")


class Sureness(StrEnum):
    """How sure a suggestion is."""

    CERTAIN = "certain"  # the same but for what gateways add to names
    LIKELY = "likely"  # close in spelling, same numbers


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What a name may mean, by the id that it was known with."""

    id: int
    name: str
    sureness: Sureness


@lru_cache(maxsize=8192)  # a list of unknown names asks for every known one again and again
def plain(name: str) -> str:
    """Return a model's name without what gateways add to it; see Note [Plain names]. Never empty for a real name."""
    name = name.strip().lower()
    if name.startswith("arn:"):  # arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-...
        name = name.rpartition("/")[2]
    name = name.rpartition("/")[2] or name
    for before in (_REGION, _LAB):
        name = before.sub("", name, count=1) or name
    while (shorter := _AFTER.sub("", name)) and shorter != name:
        name = shorter
    name = _DIGIT_P_DIGIT.sub("-", name)
    return _NOT_PLAIN.sub("-", name).strip("-")


def offering(name: str, known: Mapping[str, int]) -> Suggestion | None:
    """Suggest which of the known offerings a new one, both written `model@provider`, is.

    An offering of the same provider goes before one of another; of equals, one that is known first. Some hundred
    offerings take less than a millisecond, once their plain names are remembered.
    """
    model, _, provider = name.rpartition("@")
    model, provider = (model or name).lower(), provider.lower()
    if "/" in model and provider in ("", UNKNOWN):
        provider = model.partition("/")[0]
    wanted = plain(model)
    if not wanted or wanted == UNKNOWN:
        return None
    words, versions = sorted(wanted.split("-")), _versions(wanted)
    alike, close = [], []
    for other, id_ in known.items():
        if other.lower() == name.lower():
            continue
        its_model, _, its_provider = other.rpartition("@")
        theirs = plain(its_model)
        if theirs == wanted or (len(theirs) == len(wanted) and sorted(theirs.split("-")) == words):  # claude-4-5-opus
            near = _nearness(model, provider, its_provider.lower())
            alike.append((near, theirs == wanted, Suggestion(id_, other, Sureness.CERTAIN)))
        elif not alike and _versions(theirs) == versions:
            ratio = _ratio(wanted, theirs, _CLOSE)
            if ratio:
                near = _nearness(model, provider, its_provider.lower())
                close.append((near, ratio, Suggestion(id_, other, Sureness.LIKELY)))
    if alike:
        return max(alike, key=lambda one: one[:2])[2]
    return max(close, key=lambda one: one[:2])[2] if close else None


def label(name: str, known: Mapping[str, int]) -> Suggestion | None:
    """Suggest which known use case or team a new label is: `support_routing` is `Support Routing`, most likely."""
    wanted, folded = _plain_label(name), fold(name)
    if not wanted:
        return None
    close: list[tuple[float, Suggestion]] = []
    for other, id_ in known.items():
        theirs = _plain_label(other)
        if theirs == wanted:
            if fold(other) == folded:
                continue  # itself
            return Suggestion(id_, other, Sureness.CERTAIN)
        if _NUMBERS.findall(theirs) == _NUMBERS.findall(wanted):
            ratio = _ratio(wanted, theirs, _ALIKE_LABEL)
            if ratio:
                close.append((ratio, Suggestion(id_, other, Sureness.LIKELY)))
    return max(close, key=lambda one: one[0])[1] if close else None


@lru_cache(maxsize=8192)
def _plain_label(name: str) -> str:
    """Return letters and digits of a label alone, of any alphabet."""
    return "".join(one for one in fold(name) if one.isalnum())


def _ratio(one: str, other: str, least: float) -> float:
    """Return how close two spellings are, 0 to 1; 0 where that is not close enough or nothing can be said."""
    if min(len(one), len(other)) < _SHORTEST:
        return 0.0
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    if matcher.real_quick_ratio() < least or matcher.quick_ratio() < least:
        return 0.0
    ratio = matcher.ratio()
    return ratio if ratio >= least else 0.0


def _nearness(model: str, one: str, other: str) -> int:
    """Say how near two providers' names are, 0 to 4: azure_openai is azure, and by a part of it also openai.

    A model whose name says a region is at the provider of regional endpoints, where there is one: it costs more there.
    """
    mine, theirs = _words(one), _words(other)
    alike = bool(mine and theirs) and mine[0] == theirs[0]
    if alike and "regional" in theirs and _REGION.match(model) and not model.startswith("global."):
        return 4
    return 3 if one == other else 2 if alike else 1 if set(mine) & set(theirs) else 0


def _words(provider: str) -> list[str]:
    return [word for word in _NOT_PLAIN.split(provider) if word and word not in ("ai", "aws", "gcp", "amazon")]


@lru_cache(maxsize=8192)
def _versions(plain_name: str) -> tuple[str, ...]:
    """Return the words of a plain name that hold a digit: 4 is not 4o."""
    return tuple(word for word in plain_name.split("-") if _NUMBERS.search(word))
