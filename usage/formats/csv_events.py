"""Tables of calls: CSV whose columns are told which field of a native event they hold.

A row becomes a native event and is read as one, so what is wrong with it is said in the words of that format. Numbers
are written as programs write them: `1.5` and `1200`. `1,5` could be one and a half or fifteen and is refused, never
guessed. A row without an id is told from others by all that it says, so rows that say the same count once.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from usage.events import STATUSES, Event, Parsed, Rejected, UnreadableBody
from usage.formats import native
from usage.formats.contract import NO_HEADERS, Format, FormatSettings, Refused
from usage.formats.files import FileFormat, read_one
from usage.formats.items import too_many
from usage.formats.labels import MAX_ID, MAX_KEY, MAX_LABEL, MAX_VALUE, tidy, tidy_name
from usage.formats.moments import moment
from usage.formats.pieces import MAX_ITEM_BYTES, dialect_of

# What a column may hold, in the order in which people are asked for it: title, and what to write there.
FIELDS: dict[str, tuple[str, str]] = {
    "time": ("Time", "When the call ended: 2026-11-20T12:00:00Z, or on the clock of the zone, or since 1970"),
    "model": ("Model", "What served the call, as the gateway names it"),
    "provider": ("Provider", "Who served it, such as openai"),
    "id": ("Id", "What tells one call from another. Without it, rows that say the same count once"),
    "use_case": ("Use case", "What the call was for"),
    "input_tokens": ("Input tokens", "All input, cached input included"),
    "uncached_input_tokens": ("Input tokens without cached", "Input beside cached input, instead of all input"),
    "cache_read_input_tokens": ("Cached input tokens", "Input that was read from the provider's cache"),
    "cache_write_5m_input_tokens": ("Cache writes, 5 min", "Input written to the provider's cache for five minutes"),
    "cache_write_1h_input_tokens": ("Cache writes, 1 h", "Input written to the provider's cache for an hour"),
    "output_tokens": ("Output tokens", "All output, reasoning included"),
    "reasoning_tokens": ("Reasoning tokens", "The part of the output that was reasoning"),
    "reported_cost_usd": ("Cost, USD", "What the gateway says the call cost; kept beside our own figure"),
    "reported_cost_cents": ("Cost, cents", "The same in cents, instead of USD"),
    "latency_ms": ("Latency, ms", "How long the call took, in milliseconds"),
    "latency_s": ("Latency, s", "The same in seconds, instead of milliseconds"),
    "status": ("Status", "ok, error, blocked or cache_hit; success, failure and HTTP status codes are understood"),
    "team": ("Team", "Who pays; without it the use case's team"),
    "user": ("User", "Who called; e-mail addresses become pseudonyms"),
    "session": ("Session", "What the call belonged to"),
    "requested_model": ("Requested model", "What the client asked for: an alias or group"),
    "service_tier": ("Service tier", "Such as batch or priority; empty for standard"),
    "call_group": ("Call group", "What joins the attempts of one call"),
    "rule_id": ("Rule", "The rule that chose the model"),
    "rules_version": ("Rules version", "A whole number"),
    "fallback_index": ("Fallback", "0 for the first choice, 1 for the first fallback"),
    "audio_input_tokens": ("Audio input tokens", "The part of the input that was audio"),
    "audio_output_tokens": ("Audio output tokens", "The part of the output that was audio"),
    "image_input_tokens": ("Image input tokens", "The part of the input that were images"),
    "image_output_tokens": ("Image output tokens", "The part of the output that were images"),
    "web_searches": ("Web searches", "How many the provider made"),
}
NEEDED = ("time", "model")
TAG = "tag:"  # and a name: a column whose values are kept as a tag of that name
DEFAULT_ZONE = "UTC"

_INSTEAD = (
    ("input_tokens", "uncached_input_tokens"),
    ("reported_cost_usd", "reported_cost_cents"),
    ("latency_ms", "latency_s"),
)
# Under which names columns usually go, folded: what a guess goes by.
_USUAL: dict[str, tuple[str, ...]] = {
    "time": ("time", "timestamp", "createdat", "endtime", "occurredat", "date", "datetime", "created", "starttime"),
    "model": ("model", "modelname", "servedmodel", "responsemodel", "modelid"),
    "provider": ("provider", "providername", "vendor", "customllmprovider"),
    "id": ("id", "eventid", "requestid", "callid", "generationid", "logid"),
    "use_case": ("usecase", "application", "app", "feature", "project"),
    "input_tokens": ("inputtokens", "prompttokens", "tokensin", "tokensprompt", "nativetokensprompt"),
    "uncached_input_tokens": ("uncachedinputtokens",),
    "cache_read_input_tokens": ("cachereadinputtokens", "cachedtokens", "cachedinputtokens", "cachereadtokens"),
    "cache_write_5m_input_tokens": ("cachewrite5minputtokens", "cachecreationinputtokens", "cachewritetokens"),
    "cache_write_1h_input_tokens": ("cachewrite1hinputtokens",),
    "output_tokens": ("outputtokens", "completiontokens", "tokensout", "tokenscompletion", "nativetokenscompletion"),
    "reasoning_tokens": ("reasoningtokens", "nativetokensreasoning"),
    "reported_cost_usd": ("reportedcostusd", "costusd", "cost", "spend", "totalcost", "price", "usd"),
    "reported_cost_cents": ("costcents", "reportedcostcents"),
    "latency_ms": ("latencyms", "durationms", "latency", "responsetimems"),
    "latency_s": ("latencys", "durations", "latencyseconds", "durationseconds"),
    "status": ("status", "result", "outcome", "statuscode"),
    "team": ("team", "teamname", "teamid", "department"),
    "user": ("user", "userid", "enduser", "username"),
    "session": ("session", "sessionid", "conversationid"),
    "requested_model": ("requestedmodel", "modelgroup", "requestmodel"),
    "service_tier": ("servicetier",),
    "call_group": ("callgroup", "traceid", "litellmcallid"),
    "rule_id": ("ruleid", "rule"),
    "rules_version": ("rulesversion",),
    "fallback_index": ("fallbackindex",),
}
_STATUS_WORDS = {
    **dict.fromkeys(("ok", "success", "succeeded", "successful", "true", "completed", "done"), "ok"),
    **dict.fromkeys(("error", "failure", "failed", "false", "timeout", "cancelled"), "error"),
    **dict.fromkeys(("cache_hit", "cached", "hit"), "cache_hit"),
    **dict.fromkeys(("blocked", "denied", "filtered"), "blocked"),
    "usage_missing": "usage_missing",
}
_HTTP_STATUS = re.compile(r"[1-5][0-9]{2}", re.ASCII)
_NOTHING = frozenset(("", "null", "none", "nan", "n/a", "-", "\\n"))
_WHOLE = re.compile(r"\d{1,11}(?:\.0*)?", re.ASCII)  # programs that keep numbers as floats write 1200.0
_AMOUNT = re.compile(r"-?\d{1,12}(?:\.\d{1,30})?(?:[eE][+-]?\d{1,2})?", re.ASCII)
_TWICE = "local-time-twice"

_LABELS = {
    "use_case": MAX_LABEL, "team": MAX_LABEL, "rule_id": MAX_LABEL, "user": MAX_ID, "session": MAX_ID,
    "call_group": MAX_ID,
}  # fmt: skip
_NAMES = ("model", "provider", "requested_model", "service_tier")


def columns_of(head: str) -> list[str]:
    """Return the names of a table's columns, from its first line."""
    row = next(csv.reader([head], delimiter=dialect_of(head)), [])
    return [name.strip().removeprefix("\ufeff") for name in row]


def guess(head: str) -> dict[str, str]:
    """Return which column most likely holds which field, by their names; a column is taken once."""
    columns = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in reversed(columns_of(head)) if name}
    found: dict[str, str] = {}
    for field, names in _USUAL.items():
        column = next((columns[name] for name in names if name in columns), None)
        if column is not None and column not in found.values():
            found[field] = column
    for kept, left_out in _INSTEAD:
        if kept in found:
            found.pop(left_out, None)
    return found


def check(options: Mapping[str, Any], head: str) -> list[tuple[str, str]]:
    """Return what is wrong with a mapping for a table with this head, as (field, sentence)."""
    columns: Mapping[str, str] = options.get("columns") or {}
    known = columns_of(head)
    wrong = [
        (field, f"There is no column {column!r}. The file has: {', '.join(known)}.")
        for field, column in columns.items()
        if column not in known
    ]
    wrong += [(field, "Say which column holds it.") for field in NEEDED if field not in columns]
    wrong += [
        (field, "This is no field of an event.")
        for field in columns
        if field not in FIELDS and not (field.startswith(TAG) and 0 < len(field.removeprefix(TAG)) <= MAX_KEY)
    ]
    wrong += [
        (other, f"Give either this or {FIELDS[one][0].lower()}.")
        for one, other in _INSTEAD
        if one in columns and other in columns
    ]
    wrong += [
        (field, f"The file has more than one column {column!r}.")
        for field, column in columns.items()
        if known.count(column) > 1
    ]
    if _zone(options.get("zone")) is None:
        wrong.append(("zone", "This is no zone; write one such as Europe/Berlin or UTC."))
    return wrong


def reader(options: Mapping[str, Any]) -> Format:
    """Return what reads tables by `columns` (field to column) and `zone`, both checked; see `contract.Format`."""
    columns: Mapping[str, str] = options.get("columns") or {}
    zone = _zone(options.get("zone")) or ZoneInfo(DEFAULT_ZONE)

    def parse(
        body: bytes,
        *,
        content_type: str,
        received_at: datetime,
        settings: FormatSettings,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Parsed:
        """Read a table with a head, by the columns it was told. See `contract.Format`."""

        def convert(row: Mapping[str, str], whole: Sequence[str]) -> Event:
            return _event(row, whole, columns, zone, received_at, settings)

        return read_table(body, convert, settings.max_events)

    return parse


def read_table(body: bytes, convert: Callable[[Mapping[str, str], Sequence[str]], Event], max_events: int) -> Parsed:
    """Read a table, row by row: `convert` is given a row by its columns' names, and as it is.

    Raises:
        UnreadableBody: not text in UTF-8, not CSV, no rows, or more than `max_events`.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadableBody("the table is not text in UTF-8") from None
    text = text.lstrip("\r\n")
    head, _, _ = text.partition("\n")
    csv.field_size_limit(MAX_ITEM_BYTES)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=dialect_of(head))
    events: list[Event] = []
    rejected: list[Rejected] = []
    index = 0
    try:
        names = [name.strip() for name in next(rows, [])]
        for whole in rows:
            if not any(field.strip() for field in whole):
                continue
            if index == max_events:
                too_many(max_events)
            try:
                if len(whole) > len(names):
                    raise Refused("the row has more fields than the head has columns")
                events.append(convert(dict(zip(names, whole, strict=False)), whole))
            except Refused as refusal:
                rejected.append(Rejected(index=index, error=str(refusal)))
            index += 1
    except csv.Error:
        raise UnreadableBody("the table cannot be read as CSV") from None
    if not index:
        raise UnreadableBody("the body holds no events")
    return Parsed(events=events, rejected=rejected)


def _event(
    row: Mapping[str, str],
    whole: Sequence[str],
    columns: Mapping[str, str],
    zone: ZoneInfo,
    received_at: datetime,
    settings: FormatSettings,
) -> Event:
    key = settings.user_key
    said = {
        field: text
        for field, column in columns.items()
        if (text := (row.get(column) or "").strip()).lower() not in _NOTHING
    }
    for field in NEEDED:
        if field not in said:
            raise Refused(f"{field}: required and missing")
    when = moment("time", said.pop("time"), zone)
    fields: dict[str, Any] = {"id": _id(said.pop("id", ""), whole), "time": when.at}
    tags: dict[str, str] = {}
    for field, text in said.items():
        if field.startswith(TAG):
            tags[field.removeprefix(TAG)] = tidy(text, MAX_VALUE, key)
        elif field in _NAMES:
            fields[field] = tidy_name(text, key)
        elif field in _LABELS:
            fields[field] = tidy(text, _LABELS[field], key)
        elif field == "status":
            fields[field] = _status(text)
        elif field in ("reported_cost_usd", "reported_cost_cents"):
            usd = amount(field, text.removeprefix("$").strip())
            fields["reported_cost_usd"] = str(usd / 100 if field == "reported_cost_cents" else usd)
        elif field in ("latency_ms", "latency_s"):
            fields["latency_ms"] = float(amount(field, text) * (1000 if field == "latency_s" else 1))
        else:
            fields[field] = whole_number(field, text)
    if "uncached_input_tokens" in fields:
        # Input beside its parts, which all input holds.
        parts = ("cache_read_input_tokens", "cache_write_5m_input_tokens", "cache_write_1h_input_tokens")
        fields["input_tokens"] = fields.pop("uncached_input_tokens") + sum(fields.get(part, 0) for part in parts)
    if tags:
        fields["tags"] = tags
    event = read_one(native.parse, fields, received_at, settings)
    if when.twice:
        event.flags = [*event.flags, _TWICE]
    return event


def _id(text: str, whole: Sequence[str]) -> str:
    if not text:
        return "row:" + hashlib.sha256("\x1f".join(whole).encode(errors="replace")).hexdigest()[:40]
    return text if len(text) <= MAX_ID else hashlib.sha256(text.encode(errors="replace")).hexdigest()


def _status(text: str) -> str:
    if _HTTP_STATUS.fullmatch(text):
        return "ok" if text < "400" else "error"
    found = _STATUS_WORDS.get(text.lower())
    if found is None:
        raise Refused(f"status: none of {', '.join(STATUSES)}, success, failure, or an HTTP status code")
    return found


def whole_number(field: str, text: str) -> int:
    """Read a count.

    Raises:
        Refused
    """
    if not _WHOLE.fullmatch(text):
        raise Refused(f"{field}: not a whole number such as 1200, without separators")
    return int(text.partition(".")[0])


def amount(field: str, text: str) -> Decimal:
    """Read a number with decimals.

    Raises:
        Refused
    """
    if not _AMOUNT.fullmatch(text):
        comma = "; with a comma it could mean two things" if "," in text else ""
        raise Refused(f"{field}: not a number such as 0.0125{comma}")
    return Decimal(text)


def _zone(name: object) -> ZoneInfo | None:
    try:
        return ZoneInfo(name if isinstance(name, str) and name else DEFAULT_ZONE)
    except (KeyError, ValueError, OSError):  # unknown, no name at all, or that of a directory
        return None


FILE = FileFormat(
    title="Table (CSV)",
    about="Any table with a row for each call. Its columns are told what they hold.",
    configured=reader,
    check=check,
    table=True,
)
