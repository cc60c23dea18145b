"""Which spans of a trace are calls that count: each call once, however many spans report it, in whatever order.

# Note [One call, many spans]
Instrumentations nest (an SDK's span inside that of a framework around it) and stand side by side (two of them patch one
client). Two spans are one call where

- one lies inside the other;
- both tell the same answer of the provider (its id);
- both failed, under one parent, with one model, at overlapping times, and two instrumentations tell it: an error has no
  answer that could be compared.

Of those the one counts that has usage, then the inner one, as wrappers carry the sum of what is in them, then the one
of the higher rank, then the one that began last, as it is nearer to the provider. So a wrapper gives way to what is in
it, and a proxy's attempts without usage give way to its own record of the call. What gives way to nothing that counts
counts itself: an attempt that failed stays beside the one that was answered, whatever wraps them both.

# Note [What settling cannot see]
All spans at once, or one by one in any order, give the same calls, as long as

- what lies between two spans came in a body with one of them: a span names its parent and nothing above it. Where a
  step between a wrapper and its call comes in a body of its own, both count;
- no attempt without usage comes after a wrapper with usage and before what that wrapper gives way to: what has given
  way is forgotten, and does not come back;
- only spans of one call tell its answer's id. A wrapper of several calls that tells the last one's may stand for it,
  and is forgotten with that id when another of them comes.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from usage.events import Event, Span

MOST_ABOVE = 64  # ancestors that are looked at; nothing that calls a model nests deeper
MOST_BELOW = 256
_NEIGHBOURS = 64  # failures of one parent and model that one is compared with, the nearest in time


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
    known: list[Call]  # everything that counts from now on, with what was learnt about where it lies
    # Event ids that give way to others that counted before: a new span, which does not count, showed that the ones lie
    # inside the others. Nothing new takes their place.
    withdrawn: list[str]


def settle(counted: Sequence[Call], new: Iterable[Call]) -> Settled:
    """Hold new spans of one trace against those that count already; see Note [One call, many spans].

    A span that is known already counts as before, and takes nothing back: that it came again is for whoever keeps
    event ids to see. The time grows with the number of spans, not with its square.
    """
    booked = {call.event_id: call for call in counted}
    arrived: dict[str, Call] = {}
    for call in new:
        arrived.setdefault(call.event_id, booked.get(call.event_id, call))
    fresh = [call for id_, call in arrived.items() if id_ not in booked]
    trace = _Trace([*_concerned(counted, fresh), *fresh])
    counts = trace.choose()
    takes_back: dict[str, list[str]] = {}
    withdrawn: list[str] = []
    for loser, winner in trace.gave_way_to.items():
        if loser in booked:
            if winner in booked:
                winner = next((one for one in trace.also.get(loser, ()) if one not in booked), winner)
            if winner in booked:
                withdrawn.append(loser)
            else:
                takes_back.setdefault(winner, []).append(loser)
    lost = trace.gave_way_to.keys()
    return Settled(
        counting=[(call, takes_back.get(id_, [])) for id_, call in arrived.items() if id_ not in lost],
        giving_way=[call for id_, call in arrived.items() if id_ in lost],
        known=[
            trace.enriched(call) if call.event_id in counts else call
            for call in (*counted, *fresh)
            if call.event_id not in lost
        ],
        withdrawn=withdrawn,
    )


def _concerned(counted: Sequence[Call], fresh: Sequence[Call]) -> list[Call]:
    """Return those that count already and may be one call with new ones, or shown by new ones to be one call.

    The others are settled among themselves: an agent's trace has thousands of calls, and they come one by one.
    """
    own = {span for call in fresh for span in (call.span, *call.below)}
    outer = {span for call in fresh for span in call.above}
    answers = {call.response for call in fresh if call.response}
    failures = {(call.above[0], call.model) for call in fresh if call.failed and call.above}
    wrappers = {
        call.event_id
        for call in counted
        if call.span in outer or (call.below and not (own.isdisjoint(call.below) and outer.isdisjoint(call.below)))
    }
    wrapped = bool(wrappers) or not outer.isdisjoint(call.span for call in fresh)
    return [
        call
        for call in counted
        if call.event_id in wrappers
        or not own.isdisjoint(call.above)
        or call.span in own
        or call.response in answers
        or (call.failed and call.above and (call.above[0], call.model) in failures)
        # What is new lies in something that is a call, and may show what else lies in it.
        or (wrapped and not outer.isdisjoint(call.above))
    ]


class _Trace:
    """Calls of one trace by everything that can make two of them one."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = {call.event_id: call for call in calls}
        self.gave_way_to: dict[str, str] = {}
        self.also: dict[str, list[str]] = {}  # who else would have taken its place
        self._by_span = {call.span: call for call in calls}
        up: dict[str, list[str]] = {}
        for call in calls:
            inner = call.span
            for outer in call.above[:MOST_ABOVE]:
                up.setdefault(inner, []).append(outer)
                inner = outer
        for call in calls:  # now, so that a parent stays the nearest
            for inner in call.below[:MOST_BELOW]:
                up.setdefault(inner, []).append(call.span)
        self._above = {call.event_id: _closure(call.span, up) for call in calls}
        self._outer: dict[str, list[Call]] = {}
        self._inner: dict[str, list[Call]] = {}
        self._answers: dict[str, list[Call]] = {}
        self._failures: dict[tuple[str, str], list[Call]] = {}
        for call in calls:
            for span in self._above[call.event_id]:
                wrapper = self._by_span.get(span)
                if wrapper is not None:
                    self._outer.setdefault(call.event_id, []).append(wrapper)
                    self._inner.setdefault(wrapper.event_id, []).append(call)
            if call.response:
                self._answers.setdefault(call.response, []).append(call)
            elif call.failed and call.above:
                self._failures.setdefault((call.above[0], call.model), []).append(call)
        for failures in self._failures.values():
            failures.sort(key=lambda call: (call.started_at, call.span))

    def choose(self) -> set[str]:
        """Return the ids of what counts; `gave_way_to` then says to what each of the others gave way."""
        counts: set[str] = set()
        told: dict[str, str] = {}  # answers that are counted
        for call in self._in_turn():
            id_ = call.event_id
            if id_ in self.gave_way_to:
                continue
            if call.response in told:
                self.gave_way_to[id_] = told[call.response]
                continue
            counts.add(id_)
            if call.response:
                told[call.response] = id_
            for rival in self._rivals(call):
                if rival.event_id in counts:
                    continue
                if self.gave_way_to.setdefault(rival.event_id, id_) != id_:
                    self.also.setdefault(rival.event_id, []).append(id_)
        return counts

    def enriched(self, call: Call) -> Call:
        """Return a call that counts with all that is known of where it lies, for what comes later."""
        above = list(self._above[call.event_id])
        below = dict.fromkeys(call.below)
        for inner in self._inner.get(call.event_id, ()):
            below[inner.span] = None
            below.update(dict.fromkeys(inner.below))
        if above == call.above and len(below) == len(call.below):
            return call
        return msgspec.structs.replace(call, above=above[:MOST_ABOVE], below=list(below)[:MOST_BELOW])

    def _rivals(self, call: Call) -> Iterator[Call]:
        yield from self._outer.get(call.event_id, ())
        yield from self._inner.get(call.event_id, ())
        if call.failed and not call.response and call.above:
            failures = self._failures[call.above[0], call.model]
            at = _place(failures, call)
            for other in failures[max(at - _NEIGHBOURS, 0) : at + _NEIGHBOURS]:
                if other.scope != call.scope and other.started_at < call.ended_at and call.started_at < other.ended_at:
                    yield other

    def _in_turn(self) -> Iterator[Call]:
        """Give the calls in the order in which they win; none before what lies inside it and is used as it is."""
        waits = {
            id_: sum(inner.used == call.used for inner in self._inner.get(id_, ())) for id_, call in self.calls.items()
        }
        order = sorted(self.calls.values(), key=lambda call: call.span)
        # Times stand in this order and are compared by it: the heap holds the least, and the last to begin goes first.
        begun = {at: -number for number, at in enumerate(sorted({call.started_at for call in order}))}
        keys = {call.event_id: (not call.used, -call.rank, begun[call.started_at], n) for n, call in enumerate(order)}
        ready = [(keys[id_], id_) for id_, waiting in waits.items() if not waiting]
        heapq.heapify(ready)
        left = sorted(((keys[id_], id_) for id_ in waits), reverse=True)
        given: set[str] = set()
        while len(given) < len(self.calls):
            if ready:
                _, id_ = heapq.heappop(ready)
            else:
                _, id_ = left.pop()  # spans that lie inside each other: nonsense, but it has to end
            if id_ in given:
                continue
            given.add(id_)
            call = self.calls[id_]
            yield call
            for outer in self._outer.get(id_, ()):
                if outer.used == call.used:
                    waits[outer.event_id] -= 1
                    if not waits[outer.event_id]:
                        heapq.heappush(ready, (keys[outer.event_id], outer.event_id))


def _closure(span: str, up: dict[str, list[str]]) -> list[str]:
    """Return what a span lies inside of, the nearest first."""
    found = {span: None}
    queue = [span]
    for one in queue:
        for outer in up.get(one, ()):
            if outer not in found:
                found[outer] = None
                queue.append(outer)
                if len(queue) > MOST_ABOVE:
                    return queue[1:]
    return queue[1:]


def _place(failures: Sequence[Call], call: Call) -> int:
    return bisect_left(failures, (call.started_at, call.span), key=lambda one: (one.started_at, one.span))
