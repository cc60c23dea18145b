"""Which spans of a trace are calls that count: each call once, however many spans report it, in whatever order.

# Note [One call, many spans]
Instrumentations nest (an SDK's span inside that of a framework around it) and stand side by side (two of them patch one
client). So of two spans one gives way where

- one lies inside the other: the inner one counts, as wrappers carry the sum of what is in them; but an inner one
  without usage gives way to an outer one that has it, such as a proxy's attempts below its own record of the call;
- both tell the same answer of the provider (its id): the one with usage counts, then the one of the higher rank, then
  the one seen first;
- both failed, under one parent, with one model, at overlapping times, and two instrumentations tell it: an error has no
  answer that could be compared.

Spans that come later are held against those that count already, and may take their place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from usage.events import Event, Span


class Call(msgspec.Struct, array_like=True, kw_only=True, gc=False):
    """A span that reports a call. `used` says that it has token counts; times are instants."""

    event_id: str
    span: str
    above: list[str] = []
    below: list[str] = []
    response: str = ""
    scope: str = ""
    rank: int = 0
    model: str = ""
    failed: bool = False
    used: bool = True
    started_at: datetime
    ended_at: datetime


def call_of(event: Event, span: Span) -> Call:
    """Return what settling looks at of an event that was seen as a span."""
    return Call(
        event_id=event.event_id,
        span=span.span,
        above=span.above,
        below=span.below,
        response=span.response,
        scope=span.scope,
        rank=span.rank,
        model=event.model,
        failed=event.status in ("error", "blocked"),
        used=event.counted and bool(event.tokens()),
        started_at=span.started_at,
        ended_at=event.occurred_at,
    )


class Settled(NamedTuple):
    """What becomes of new spans: those that count, with the event ids that they take back, and those that do not."""

    counting: list[tuple[Call, list[str]]]
    giving_way: list[Call]
    known: list[Call]  # everything that counts from now on


def settle(counted: Sequence[Call], new: Iterable[Call]) -> Settled:
    """Hold new spans of one trace against those that count already; see Note [One call, many spans].

    A span that is known already counts as before, and takes nothing back: that it came again is for whoever keeps
    event ids to see.
    """
    known = {call.event_id: call for call in counted}
    taken_back: dict[str, list[str]] = {}  # by new span
    booked = set(known)
    again: list[Call] = []
    giving_way: list[Call] = []
    for call in new:
        if call.event_id in known:
            again.append(call)
            continue
        rivals = [other for other in known.values() if _one_call(call, other)]
        if any(_first_counts(other, call) for other in rivals):
            giving_way.append(call)
            continue
        replaced: list[str] = []
        for other in rivals:
            del known[other.event_id]
            # What a new span had taken back is taken back by whoever takes its place.
            replaced += taken_back.pop(other.event_id, [])
            if other.event_id in booked:
                replaced.append(other.event_id)
            else:
                giving_way.append(other)
        known[call.event_id] = call
        taken_back[call.event_id] = replaced
    lost = {call.event_id for call in giving_way}
    counting = [(known[event_id], replaced) for event_id, replaced in taken_back.items()]
    counting += [(call, []) for call in again if call.event_id in booked]
    giving_way += [call for call in again if call.event_id not in booked and call.event_id in lost]
    return Settled(counting, giving_way, list(known.values()))


def _inside(inner: Call, outer: Call) -> bool:
    if not inner.above:
        return False
    return outer.span in inner.above or not set(outer.below).isdisjoint(inner.above)


def _one_call(one: Call, other: Call) -> bool:
    if one.response and one.response == other.response:
        return True
    if _inside(one, other) or _inside(other, one):
        return True
    return (
        one.failed
        and other.failed
        and not (one.response or other.response)
        and one.scope != other.scope
        and one.model == other.model
        and bool(one.above and other.above)
        and one.above[0] == other.above[0]
        and one.started_at < other.ended_at
        and other.started_at < one.ended_at
    )


def _first_counts(seen: Call, new: Call) -> bool:
    """Say which of two that report one call counts: the one seen first, or the new one."""
    if _inside(new, seen):
        return seen.used and not new.used
    if _inside(seen, new):
        return seen.used or not new.used
    if seen.used != new.used:
        return seen.used
    return seen.rank >= new.rank
