"""OTLP/HTTP traces: spans of GenAI conventions and of everything that speaks a dialect of them.

`wire` reads bodies, `words` lists what of a span is looked at, `reading` makes events of those that are calls, with
`figures` for what they used; `usage.rules.traces` says which of several spans of one call counts.

A use case, team, user, session or rule that is told by what a call lies in is found in its body or on the resource: an
application that sends its spans piecemeal does well to put them there, or on the call itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from usage.events import Event, Parsed, Rejected
from usage.formats.contract import MAX_AHEAD, NO_HEADERS, FormatSettings, Refused
from usage.formats.items import too_many
from usage.formats.otlp.reading import Place, event_of, is_call
from usage.formats.otlp.wire import Seen, spans
from usage.rules.traces import MOST_ABOVE, MOST_BELOW, Call, call_of, settle

TEST_CONNECTION = "x-test-connection"  # OpenRouter's, when somebody sets it up there


def parse(
    body: bytes,
    *,
    content_type: str,
    received_at: datetime,
    settings: FormatSettings,
    headers: Mapping[str, str] = NO_HEADERS,
) -> Parsed:
    """Read a trace request, protobuf or JSON, whatever its content type says. See `contract.Format`.

    Spans that are no calls of a model are passed over in silence, as are those of a call that another span of the body
    reports better. A body without any call gives neither events nor rejections, and is no error.
    """
    latest = received_at.astimezone(UTC) + MAX_AHEAD
    found = list(spans(body))
    if headers.get(TEST_CONNECTION, "").lower() == "true":
        return Parsed(events=[], rejected=[])
    calls = {number for number, span in enumerate(found) if span is not None and is_call(span)}
    if len(calls) > settings.max_events:
        too_many(settings.max_events)

    events: list[Event] = []
    rejected: list[Rejected] = []
    tree = _Tree(found, calls) if calls else None
    for number, span in enumerate(found):
        if span is None:
            rejected.append(Rejected(index=number, error="the span: not of the types that a span's fields have"))
        elif tree and number in calls:
            try:
                events.append(event_of(span, tree.place(span), latest, settings))
            except Refused as refusal:
                rejected.append(Rejected(index=number, error=str(refusal)))
    return Parsed(events=_settled(events), rejected=rejected)


class _Tree:
    """The spans of a body by what lies in what, as far as the body tells."""

    def __init__(self, found: list[Seen | None], calls: set[int]) -> None:
        self._spans = {(span.trace, span.span): span for span in found if span is not None and span.span}
        self._below: dict[tuple[str, str], list[str]] = {}
        outer = {(span.trace, span.span) for number in calls if (span := found[number]) is not None}
        for number, span in enumerate(found):
            if span is None or number in calls or not span.span:
                continue
            for above in self._line(span):
                key = (span.trace, above)
                if key in outer:
                    below = self._below.setdefault(key, [])
                    if len(below) < MOST_BELOW:
                        below.append(span.span)

    def place(self, span: Seen) -> Place:
        ids = list(self._line(span))
        above = [one for id_ in ids if (one := self._spans.get((span.trace, id_))) is not None]
        return Place(above, ids, self._below.get((span.trace, span.span), []))

    def _line(self, span: Seen) -> Iterator[str]:
        """Give the ids of what a span lies in, the parent first; the last may be of a span in another body."""
        seen = {span.span}
        one: Seen | None = span
        while one is not None and one.parent and one.parent not in seen and len(seen) <= MOST_ABOVE:
            seen.add(one.parent)
            yield one.parent
            one = self._spans.get((span.trace, one.parent))


def _settled(events: list[Event]) -> list[Event]:
    """Return the events without those that give way to others of their trace."""
    if len(events) < 2:
        return events
    traces: dict[str, list[Call]] = {}
    for event in events:
        if event.span is not None:
            traces.setdefault(event.span.trace, []).append(call_of(event, event.span))
    lost = {call.event_id for calls in traces.values() if len(calls) > 1 for call in settle([], calls).giving_way}
    return [event for event in events if event.event_id not in lost] if lost else events


__all__ = ["TEST_CONNECTION", "parse"]
