"""What a switch cost or saved: where requests went because of it, beside the offering that it was in the way of.

# Note [In the way]
A gateway names the rule that decided and the reason, not the offering that it would have taken. That offering is the
first target of the rule, in that version of it, that a switch covered when the request happened; which of several
switches covers it goes as evaluators go (one on the offering before one on its model before one on its provider, the
last word on each name). So every request counts with one switch at most. Where the version or the rule is not known
here, it counts with the last switch turned off by then, and nothing is compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

from django.db.models import Q

from routing.models import SwitchKind, Version
from routing.rules import document
from routing.rules.evaluator import DEFAULT_ID, SWITCHED_OFF
from routing.selectors import switches
from routing.selectors.switches import SwitchRow
from usage.selectors import elsewhere, kept
from usage.selectors.elsewhere import Compared, Moved, Span, Way

_ASKED_FIRST = (SwitchKind.OFFERING, SwitchKind.MODEL, SwitchKind.PROVIDER)


@dataclass(frozen=True, kw_only=True)
class Move:
    """Requests that a rule sent elsewhere: from where, as far as that is known, and to where."""

    environment: str
    rules_version: int  # 0: not reported
    rule: str  # empty: no rule matched, or none was reported
    instead_of: str  # the offering that the switch was in the way of; empty: not known
    offering: str
    sums: Compared


@dataclass(frozen=True, kw_only=True)
class SwitchCost:
    """What became of the requests that a switch moved, up to the instant it was asked for."""

    total: Compared
    moves: Sequence[Move]  # the most requests first
    so_far: bool  # it holds still
    kept: bool  # False: the ledger of that time is not kept any more, so nothing is known


def of(words: Sequence[SwitchRow], *, at: datetime) -> dict[int, SwitchCost]:
    """Return, by id, what each word that turned something off cost by an instant; see Note [In the way].

    Seven queries at most, however many words there are.
    """
    asked = {word.id: word for word in words if word.off and word.since < min(word.ended_at, at)}
    if not asked:
        return {word.id: _cost(word, (), at, lost=False) for word in words if word.off}
    starts_at = min(word.since for word in asked.values())
    ends_at = min(at, max(word.ended_at for word in asked.values()))
    every = switches.held_within(starts_at=starts_at, ends_at=ends_at)
    spans, holding = _spans(every, asked, at)
    found = elsewhere.ways(spans, reason=SWITCHED_OFF)
    contents = _contents(found)
    blamed: dict[Way, tuple[int, str]] = {}
    for way in found:
        whose = _in_the_way(contents.get((way.environment, way.rules_version)), way.rule, holding[way.span])
        if whose is not None and whose[0] in asked:
            blamed[way] = whose
    moves: dict[int, list[tuple[str, Moved]]] = defaultdict(list)
    named = {way: offering for way, (_, offering) in blamed.items()}
    for one in elsewhere.moved(spans, reason=SWITCHED_OFF, instead=named):
        word, offering = blamed[one.way]
        moves[word].append((offering, one))
    lost = kept.dropped_within(starts_at, ends_at)
    return {
        word.id: _cost(
            word,
            moves[word.id],
            at,
            lost=any(_month(word.since) <= month <= _month(word.ended_at) for month in lost),
        )
        for word in words
        if word.off
    }


def _month(at: datetime) -> date:
    return at.astimezone(UTC).date().replace(day=1)


def _cost(word: SwitchRow, moved: Iterable[tuple[str, Moved]], at: datetime, *, lost: bool) -> SwitchCost:
    alike: dict[tuple[str, int, str, str, str], list[Moved]] = defaultdict(list)
    for instead_of, one in moved:
        alike[one.way.environment, one.way.rules_version, one.way.rule, instead_of, one.offering].append(one)
    moves = [
        Move(
            environment=environment, rules_version=number, rule=rule, instead_of=instead_of, offering=offering,
            sums=elsewhere.total(parts),
        )
        for (environment, number, rule, instead_of, offering), parts in alike.items()
    ]  # fmt: skip
    moves.sort(key=lambda one: (-one.sums.requests, one.environment, one.rules_version, one.rule, one.offering))
    return SwitchCost(
        total=elsewhere.total(one.sums for one in moves), moves=moves, so_far=word.holds(at), kept=not lost
    )


def _spans(
    every: Sequence[SwitchRow], asked: Mapping[int, SwitchRow], at: datetime
) -> tuple[list[Span], list[list[SwitchRow]]]:
    """Cut the time of the words that are asked for wherever any word begins or ends; return who holds in each piece."""
    instants = sorted({min(instant, at) for word in every for instant in (word.since, word.ended_at)})
    spans, holding = [], []
    held: list[SwitchRow] = []
    coming = sorted(every, key=lambda word: word.since, reverse=True)
    for starts_at, ends_at in pairwise(instants):
        begun = []
        while coming and coming[-1].since <= starts_at:
            begun.append(coming.pop())
        held = [word for word in (*held, *begun) if word.holds(starts_at)]
        if any(word.id in asked for word in held):
            spans.append(Span(starts_at, ends_at))
            holding.append(held)
    return spans, holding


def _contents(found: Iterable[Way]) -> dict[tuple[str, int], Mapping[str, Any]]:
    """Read the contents of the versions that ways name. One query, none where they name none."""
    named = {(way.environment, way.rules_version) for way in found if way.rules_version}
    if not named:
        return {}
    wanted = Q()
    for environment, number in named:
        wanted |= Q(environment__name=environment, number=number)
    rows = Version.objects.filter(wanted).values_list("environment__name", "number", "canonical")
    return {(name, number): document.parse(bytes(canonical)) for name, number, canonical in rows}


def _in_the_way(content: Mapping[str, Any] | None, rule: str, holding: Sequence[SwitchRow]) -> tuple[int, str] | None:
    """Return which switch was in the way of a rule's request, and of which offering; None: none that held."""
    targets = None if content is None else _targets(content, rule)
    if content is None or targets is None:
        last = max((word.id for word in holding if word.off), default=None)
        return None if last is None else (last, "")
    words = {(word.kind, word.name): word for word in holding}
    for name in targets:
        facts = content["offerings"].get(name)
        if facts is None:
            continue
        names = {SwitchKind.OFFERING: name, SwitchKind.MODEL: facts["model"], SwitchKind.PROVIDER: facts["provider"]}
        said = (words.get((kind, names[kind])) for kind in _ASKED_FIRST)
        word = next((word for word in said if word is not None), None)
        if word is not None and word.off:
            return word.id, name
    return None


def _targets(content: Mapping[str, Any], rule: str) -> list[str] | None:
    """Return the targets of a rule in their order, of the default where none matched; None: there is no such rule."""
    named = next((one for one in content["rules"] if one["id"] == rule), None)
    if named is None:
        named = content["default"] if rule in ("", DEFAULT_ID) else None
    return None if named is None else [target["offering"] for target in named["targets"]]
