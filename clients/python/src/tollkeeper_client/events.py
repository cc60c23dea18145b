"""Native events: what one call used, and what the rules had said of it.

Events hold counts, names and labels. They never hold a prompt or an answer: put none into tags.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from .rules.conditions import decimal_text
from .rules.evaluator import Decision

MOST_BYTES = 256 * 1024  # of one event; a hundred times what a full one has
LABELS = ("user_tier", "data_class", "region")  # of the request, beside task and complexity; numbers vary too much
_OF_THE_REQUEST = ("use_case", "team", "session", "user")


class NotAnEvent(ValueError):
    """This cannot be sent, whatever the server is like."""


def new_id(at: float | None = None) -> str:
    """Return an id that is never given twice, anywhere; ids sort by their millisecond (UUID version 7)."""
    milliseconds = int((time.time() if at is None else at) * 1000)
    random = int.from_bytes(os.urandom(10))
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80 | random
    value = value & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62
    return str(UUID(int=value))


def event_of(
    decision: Decision | None,
    context: Mapping[str, Any] | None = None,
    *,
    offering: str | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """Return the event of a call that a decision sent on its way, for `Tollkeeper.report`.

    `context` is what was decided for. `offering` is who answered, where that was one of the decision's fallbacks.
    `fields` are members of the event and win over what is filled in: `usage` (a provider's usage object as it is) or
    token counts, `latency_ms`, `status`, `call_group`, `model` as the provider names it, and so on. Without a decision,
    where there were no rules, `model` has to be among them.

    A decision that blocks makes an event with status `blocked` of the model that was asked for.

    Raises:
        ValueError: `offering` is neither the decision's nor one of its fallbacks.
    """
    request = {} if context is None else context
    event: dict[str, Any] = {name: request[name] for name in _OF_THE_REQUEST if type(request.get(name)) is str}
    labels = {name: request[name] for name in LABELS if type(request.get(name)) is str}
    if type(request.get("batch")) is bool:
        labels["batch"] = "true" if request["batch"] else "false"
    task, complexity = request.get("task"), request.get("complexity")
    if decision is not None:
        event |= _of_decision(decision, offering)
        task, complexity = decision.task, decision.complexity
    if type(task) is str:
        labels["task"] = task
    if complexity is not None and (text := decimal_text(complexity)) is not None:
        labels["complexity"] = text
    labels |= fields.pop("context", None) or {}
    tags = {name: value for name, value in _tags(request).items() if type(value) is str} | (
        fields.pop("tags", None) or {}
    )
    if labels:
        event["context"] = labels
    if tags:
        event["tags"] = tags
    event |= {name: value for name, value in fields.items() if value is not None}
    if "model" not in event and event.get("status") == "blocked":
        event["model"] = event.get("requested_model") or "auto"
    return event


def complete(event: Mapping[str, Any], *, at: float) -> tuple[str, bytes]:
    """Return an event's id, and the event as it is sent: with id and time where it has none, as one JSON object.

    Raises:
        NotAnEvent: it holds what JSON cannot say, names no model, or is far too large.
    """
    if not isinstance(event, Mapping):
        raise NotAnEvent(f"{type(event).__name__} is not an object")
    whole = dict(event)
    if not whole.get("id"):
        whole["id"] = new_id(at)
    if not whole.get("time"):
        whole["time"] = datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
    if not whole.get("model") and not whole.get("voids"):
        raise NotAnEvent("model: required and missing")
    return str(whole["id"]), encoded(whole)


def encoded(record: Mapping[str, Any]) -> bytes:
    """Return a record of a call as it is sent: one JSON object.

    Raises:
        NotAnEvent: it holds what JSON cannot say, or is far too large.
    """
    try:
        body = json.dumps(record, separators=(",", ":"), allow_nan=False, default=_plain).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise NotAnEvent(str(error)) from error
    if len(body) > MOST_BYTES:
        raise NotAnEvent(f"{len(body):,} bytes, and an event may have {MOST_BYTES:,}")
    return body


def _of_decision(decision: Decision, offering: str | None) -> dict[str, Any]:
    index = 0
    if offering is not None and offering != decision.offering:
        if offering not in decision.fallbacks:
            raise ValueError(f"{offering} is neither the decision's offering nor one of its fallbacks")
        index = 1 + decision.fallbacks.index(offering)
    event: dict[str, Any] = {
        "rules_version": decision.version,
        "state_revision": decision.revision,
        "route_reason": decision.reason,
        "fallback_index": index,
    }
    if decision.rule is not None:
        event["rule_id"] = decision.rule
    if decision.blocked:
        event["status"] = "blocked"
    elif index == 0:
        event |= {"model": decision.model, "provider": decision.provider}
    else:
        model, _, provider = (offering or "").rpartition("@")
        event |= {"model": model, "provider": provider}
    return event


def _tags(request: Mapping[str, Any]) -> Mapping[str, Any]:
    tags = request.get("tags")
    return tags if isinstance(tags, Mapping) else {}


def _plain(value: Any) -> Any:
    """Make plain what SDKs give: their usage objects, amounts, instants."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", exclude_none=True)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal | UUID):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if hasattr(value, "__dict__") and not isinstance(value, type) and not callable(value):
        return vars(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
