"""Lines of the ledger and the sums that derive from them, before they reach the database.

A `Posting` is one line with a value for every column. Events become postings of usage; a reversal is a posting with the
opposite sign. Sums are made from postings alone, so rollups cannot say anything that the ledger does not.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import NamedTuple

import msgspec

USAGE, REVERSAL, ADJUSTMENT = 1, 2, 3
STATUS_NUMBERS = {"ok": 1, "error": 2, "blocked": 3, "cache_hit": 4, "usage_missing": 5}
STATUS_NAMES = {number: name for name, number in STATUS_NUMBERS.items()}

# Upper bounds (inclusive, ms) of the first 15 latency buckets; the 16th is what takes longer than a minute.
LATENCY_BOUNDS_MS = (25, 50, 100, 200, 350, 500, 750, 1000, 1500, 2000, 3000, 5000, 10_000, 20_000, 60_000)

QUARTER_HOUR_S = 900

COLUMNS = (
    "use_case_id", "booked_at", "id", "kind", "occurred_at", "source_id", "gateway_id", "environment", "team_id",
    "offering_id", "tier", "status", "requested_model",
    "uncached_input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens",
    "audio_input_tokens", "audio_output_tokens", "image_input_tokens", "image_output_tokens", "requests",
    "web_searches",
    "reasoning_tokens", "counted", "service_tier", "cost_usd", "list_cost_usd", "avoided_usd", "reported_cost_usd",
    "rate_id", "unpriced", "latency_ms", "task", "context_id", "sticky_key", "user_key", "rules_version",
    "state_revision", "rule", "reason", "fallback_index", "call_group", "tags", "flags", "event_id", "reported_model",
    "receipt_id",
    "corrects_use_case_id", "corrects_booked_at", "corrects_id", "correction_of", "restatement_id",
)  # fmt: skip


METER_COLUMNS = COLUMNS[COLUMNS.index("uncached_input_tokens") : COLUMNS.index("reasoning_tokens")]


class Posting(msgspec.Struct, gc=False):
    """One line of the ledger. Costs are whole attodollars; `meters` are in the order of `catalog.rules.METERS`."""

    use_case_id: int
    booked_at: datetime
    id: int
    kind: int
    occurred_at: datetime
    source_id: int
    gateway_id: int
    environment: str
    team_id: int
    offering_id: int
    tier: int
    status: int
    requested_model: str
    meters: tuple[int, ...]
    reasoning_tokens: int | None
    counted: bool
    service_tier: str
    cost: int | None
    list_cost: int | None
    avoided: int
    reported: int | None
    rate_id: int | None
    unpriced: int
    latency_ms: int | None
    task: str
    context_id: int | None
    sticky_key: str
    user_key: str
    rules_version: int
    state_revision: int
    rule: str
    reason: str
    fallback_index: int
    call_group: str
    tags: dict[str, str]
    flags: list[str]
    event_id: str
    reported_model: str  # provider/model as the gateway wrote them, what names are resolved from anew
    receipt_id: int | None
    corrects: tuple[int, datetime, int] | None = None
    correction_of: date | None = None
    restatement_id: int | None = None


# What COPY is told of `copy_lines`. Its CSV is what an encoder of JSON writes of a list, without the brackets: text in
# quotes, all else bare, and a backslash before a quote or another backslash. That takes a third of the time that
# formatting takes in Python.
COPY_AS = "FORMAT csv, NULL 'null', ESCAPE '\\'"
_encode_json = msgspec.json.Encoder().encode
# JSON writes control characters with a backslash, and CSV as they are. (Also found in a backslash of its own before one
# of these letters, which is nothing wrong.)
_CONTROL = re.compile(rb"\\[bfnrtu]")


def copy_lines(postings: Sequence[Posting]) -> bytes:
    """Return the postings as lines of COPY's CSV (`COPY_AS`), columns as in `COLUMNS`."""
    lines = b"\n".join([_encode_json(_fields(p))[1:-1] for p in postings])
    if _CONTROL.search(lines):
        lines = "\n".join([",".join(map(_written, _fields(p))) for p in postings]).encode()
    return lines + b"\n" if lines else b""


def _written(value: object) -> str:
    """Write a field as JSON does, control characters as they are."""
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return _encode_json(value).decode()


def _array(values: list[str]) -> str:
    return "{" + ",".join('"' + v.replace("\\", "\\\\").replace('"', '\\"') + '"' for v in values) + "}"


_NOWHERE = (None, None, None)


def _fields(p: Posting) -> tuple[object, ...]:
    cost, list_cost = p.cost, p.list_cost
    return (
        p.use_case_id,
        p.booked_at,
        p.id,
        p.kind,
        p.occurred_at,
        p.source_id,
        p.gateway_id,
        p.environment,
        p.team_id,
        p.offering_id,
        p.tier,
        p.status,
        p.requested_model,
        *p.meters,
        p.reasoning_tokens,
        p.counted,
        p.service_tier,
        None if cost is None else f"{cost}e-18",
        None if list_cost is None else f"{list_cost}e-18",
        f"{p.avoided}e-18" if p.avoided else 0,
        None if p.reported is None else f"{p.reported}e-18",
        p.rate_id,
        p.unpriced,
        p.latency_ms,
        p.task,
        p.context_id,
        p.sticky_key,
        p.user_key,
        p.rules_version,
        p.state_revision,
        p.rule,
        p.reason,
        p.fallback_index,
        p.call_group,
        _encode_json(p.tags).decode() if p.tags else None,
        _array(p.flags) if p.flags else None,
        p.event_id,
        p.reported_model,
        p.receipt_id,
        *(p.corrects or _NOWHERE),
        p.correction_of,
        p.restatement_id,
    )


def reversal(
    p: Posting, *, id_: int, booked_at: datetime, correction_of: date | None, restatement_id: int | None
) -> Posting:
    """Return the line that takes a posting back."""
    return msgspec.structs.replace(
        p,
        id=id_,
        kind=REVERSAL,
        booked_at=booked_at,
        meters=tuple([-n for n in p.meters]),
        reasoning_tokens=None if p.reasoning_tokens is None else -p.reasoning_tokens,
        cost=None if p.cost is None else -p.cost,
        list_cost=None if p.list_cost is None else -p.list_cost,
        avoided=-p.avoided,
        reported=None if p.reported is None else -p.reported,
        corrects=(p.use_case_id, p.booked_at, p.id),
        correction_of=correction_of,
        restatement_id=restatement_id,
    )


def adjustment(
    p: Posting,
    *,
    id_: int,
    booked_at: datetime,
    correction_of: date | None,
    restatement_id: int,
    cost: int,
    list_cost: int,
    avoided: int,
    rate_id: int | None,
) -> Posting:
    """Return the line that moves a posting's costs by so many attodollars and says what it is priced with from now on.

    It counts nothing: no tokens, no request. Of an entry whose gateway reported a cost it reports 0 more, so that what
    is compared with the report moves too.
    """
    return msgspec.structs.replace(
        p,
        id=id_,
        kind=ADJUSTMENT,
        booked_at=booked_at,
        meters=_NO_METERS,
        reasoning_tokens=None if p.reasoning_tokens is None else 0,
        cost=cost,
        list_cost=list_cost,
        avoided=avoided,
        reported=None if p.reported is None else 0,
        rate_id=rate_id,
        latency_ms=None,
        corrects=(p.use_case_id, p.booked_at, p.id),
        correction_of=correction_of,
        restatement_id=restatement_id,
    )


_NO_METERS = (0,) * 11


class GroupKey(NamedTuple):
    """What a rollup row is about; `bucket` is the quarter hour in POSIX seconds."""

    use_case_id: int
    bucket: int
    offering_id: int
    team_id: int
    gateway_id: int
    tier: int
    status: int
    rules_version: int
    correction_of: int
    environment: str
    rule: str
    reason: str
    task: str
    requested_model: str


# A group's sums: 11 meters, then these, then 16 buckets of latency.
REASONING, COST, LIST_COST, AVOIDED, REPORTED = 11, 12, 13, 14, 15
# Our cost, ours at list, and theirs, of entries that have both.
COMPARED, COMPARED_LIST, COMPARED_REPORTED = 16, 17, 18
UNPRICED_TOKENS, UNPRICED_REQUESTS, UNCOUNTED_REQUESTS, FALLBACK_REQUESTS, LATENCY = 19, 20, 21, 22, 23
HISTOGRAM = 24
WIDTH = HISTOGRAM + 16
_ZEROS = [0] * WIDTH
_REQUESTS = 9

Groups = dict[GroupKey, list[int]]


def month_number(correction_of: date | None) -> int:
    """Return a closed month as 202610, and 0 for what is no correction."""
    return 0 if correction_of is None else correction_of.year * 100 + correction_of.month


def add(groups: Groups, p: Posting) -> None:
    """Add a posting to the sums of its group."""
    bucket = int(p.booked_at.timestamp()) // QUARTER_HOUR_S * QUARTER_HOUR_S
    # A plain tuple finds the group as well, and is made in a fourth of the time.
    key = (
        p.use_case_id, bucket, p.offering_id, p.team_id, p.gateway_id, p.tier, p.status, p.rules_version,
        0 if p.correction_of is None else month_number(p.correction_of), p.environment, p.rule, p.reason, p.task,
        p.requested_model,
    )  # fmt: skip
    sums = groups.get(key)  # type: ignore[call-overload]
    if sums is None:
        sums = groups[GroupKey._make(key)] = _ZEROS.copy()
    meters = p.meters
    requests = meters[_REQUESTS]
    for index, count in enumerate(meters):
        if count:
            sums[index] += count
    if p.reasoning_tokens:
        sums[REASONING] += p.reasoning_tokens
    if p.cost is not None:
        sums[COST] += p.cost
        sums[LIST_COST] += p.list_cost or 0
    else:
        sums[UNPRICED_TOKENS] += sum(meters[:_REQUESTS])
        sums[UNPRICED_REQUESTS] += requests
    if p.avoided:
        sums[AVOIDED] += p.avoided
    if p.reported is not None:
        sums[REPORTED] += p.reported
        if p.cost is not None:
            sums[COMPARED] += p.cost
            sums[COMPARED_LIST] += p.list_cost or 0
            sums[COMPARED_REPORTED] += p.reported
    if not p.counted:
        sums[UNCOUNTED_REQUESTS] += requests
    if p.fallback_index:
        sums[FALLBACK_REQUESTS] += requests
    if p.latency_ms is not None and requests:
        sign = 1 if requests > 0 else -1
        sums[LATENCY] += sign * p.latency_ms
        sums[HISTOGRAM + bisect_left(LATENCY_BOUNDS_MS, p.latency_ms)] += sign


def sums_of(postings: Iterable[Posting]) -> Groups:
    groups: Groups = {}
    for posting in postings:
        add(groups, posting)
    return groups
