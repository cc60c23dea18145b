"""The event as every wire format hands it over, and as a receipt keeps it.

Meters are disjoint: each token is in exactly one of them. `input_tokens` of the outside world, which counts cached
input too, is their sum. A format that counts otherwise is put right in its own module, never later.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import msgspec

STATUSES = ("ok", "error", "blocked", "cache_hit", "usage_missing")


class Span(msgspec.Struct, array_like=True, kw_only=True, gc=False):
    """Where in a trace an event was seen. Ids are lower-case hex, as OpenTelemetry writes them.

    One call may be reported by several spans: nested ones, siblings of two instrumentations, in any order and in
    different bodies. `usage.rules.traces` tells which of them counts.
    """

    trace: str  # 32 digits
    span: str  # 16 digits
    above: list[str] = []  # its ancestors as far as the body tells, the parent first
    below: list[str] = []  # its descendants in the body that are no events themselves
    response: str = ""  # the provider's id of the answer
    scope: str = ""  # the instrumentation
    rank: int = 0  # of two that report one answer the higher counts
    started_at: datetime


class Event(msgspec.Struct, array_like=True):
    """One attempt at one call. Fields are appended, never moved: receipts are kept as arrays of them.

    Text is trimmed and free of control characters. Empty text and a zero version say "not given". `counted` is false
    where the gateway gave no token counts at all; then every meter is 0 and the status is `usage_missing`, unless the
    call failed or was blocked.
    """

    event_id: str
    occurred_at: datetime  # aware, UTC
    use_case: str = ""  # a label as the gateway wrote it; the catalogue folds it
    team: str = ""
    provider: str = ""
    model: str = ""  # what served the call, as the gateway names it
    requested_model: str = ""  # what the client asked for: an alias or group
    status: str = "ok"
    counted: bool = True

    uncached_input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0  # text, reasoning included; audio and images have meters of their own
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    image_input_tokens: int = 0
    image_output_tokens: int = 0
    web_searches: int = 0
    reasoning_tokens: int | None = None  # beside output, not a meter; None says the gateway did not tell

    service_tier: str = ""  # standard is the empty text
    reported_cost_usd: Decimal | None = None
    latency_ms: int | None = None

    call_group: str = ""
    rules_version: int = 0
    state_revision: int = 0
    rule: str = ""
    route_reason: str = ""
    fallback_index: int = 0
    session: str = ""  # sticky key
    user: str = ""  # never an e-mail address: formats hash those
    context: dict[str, str] = {}
    tags: dict[str, str] = {}
    flags: list[str] = []  # doubts a format had, such as "meters-do-not-add-up"

    replaces: str = ""  # id of the event of the same source in whose place this one counts
    voids: str = ""  # id of the event that this one takes back; it counts for nothing itself
    span: Span | None = None

    def tokens(self) -> int:
        """Return all tokens, input and output."""
        return (
            self.uncached_input_tokens
            + self.cache_read_tokens
            + self.cache_write_5m_tokens
            + self.cache_write_1h_tokens
            + self.output_tokens
            + self.audio_input_tokens
            + self.audio_output_tokens
            + self.image_input_tokens
            + self.image_output_tokens
        )


class Rejected(msgspec.Struct, kw_only=True):
    """An item of a body that cannot become an event; the others are not held up by it."""

    index: int
    error: str


class Parsed(msgspec.Struct, kw_only=True):
    """What a format made of a body."""

    events: list[Event]
    rejected: list[Rejected]


class UnreadableBody(ValueError):
    """The body as a whole is not of its format: nothing of it is kept, and the message says why."""
