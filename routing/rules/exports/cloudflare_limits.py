"""The limits of budgets as spend limits of a Cloudflare gateway, and what a request's metadata can carry.

# Note [Windows]
A spend limit counts in windows of a number of seconds, so it holds days and weeks; thirty days are no month. When a
window begins, in the week or the day, is the gateway's to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from routing.rules.conditions import LABELS, TAG, folded
from routing.rules.document import Problem
from routing.rules.exports import limits
from routing.rules.exports.limits import Bounded
from routing.rules.exports.names import Named
from routing.rules.exports.parts import Frozen

MOST_FIELDS = 5  # that cf-aig-metadata carries
MOST_LIMITS = 20  # of one gateway
WINDOWS = {"day": 86_400, "week": 604_800}  # in seconds, see Note [Windows]
_FIELD_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_OWN_FIELDS = frozenset({"use_case", "team", "task", "complexity", "user_tier", "data_class", "region", "input_tokens",
                         "context_needed", "latency_budget_ms", "batch"})  # fmt: skip


def spend_limits(held: Sequence[Bounded]) -> dict[str, Any]:
    """Return the member of the form; nothing where no limit is held."""
    return {"spend_limits": {"enabled": True, "rules": [_spend(one) for one in held]}} if held else {}


def _spend(one: Bounded) -> dict[str, Any]:
    # Logs of a gateway have a model's name alone, its own endpoint has the provider before it: either is counted.
    models = sorted({name for provider, model in one.pairs for name in (model, f"{provider}/{model}")})
    asked = {metadata(field): _only(_said(field, values)) for field, values in one.asked}
    return {
        "id": f"tollkeeper-b-{one.limit.budget}",
        "enabled": True,
        "limit": Decimal(one.limit.amount),
        "limitType": "cost",
        "window": one.window,
        "technique": "fixed",
        **({"metadata": asked} if asked else {}),
        **({"model": _only(models)} if models else {}),
        **({"provider": _only(one.providers)} if one.providers else {}),
    }


def _only(values: Iterable[str]) -> dict[str, Any]:
    return {"mode": "filter", "values": list(values)}


def _said(field: str, values: Iterable[str]) -> list[str]:
    return sorted({folded(value) for value in values}) if field in LABELS else list(values)


def held(
    frozen: Frozen, title: str, named: Mapping[str, Named | None], read: set[str]
) -> tuple[list[Bounded], list[Problem]]:
    """Return the limits that are held, and why the others are not; `read` are the fields that the rules read."""
    found, problems = limits.bounded(frozen, title, named, WINDOWS)
    carried = read
    fit: list[Bounded] = []
    for one in found:
        needed = carried | {metadata(field) for field, _ in one.asked}
        unnamed = [field for field, _ in one.asked if not may_be_field(field)]
        if unnamed:
            text = f"the tag {metadata(unnamed[0])} cannot be a field of the metadata"
            problems.append(limits.unheld(one.limit, "field_name", text))
        elif len(needed) > MOST_FIELDS:
            text = f"with it requests would carry {len(needed)} fields, and {MOST_FIELDS} is what they carry there"
            problems.append(limits.unheld(one.limit, "metadata", text))
        elif len(fit) == MOST_LIMITS:
            text = f"{title} holds {MOST_LIMITS} for a gateway, and those of older budgets come first"
            problems.append(limits.unheld(one.limit, "too_many_limits", text))
        else:
            carried = needed
            fit.append(one)
    return fit, problems


def may_be_field(field: str) -> bool:
    """Say whether a field can be a key of the metadata: letters, digits, _ and -, and for a tag no field of ours."""
    if not field.startswith(TAG):
        return True
    return _FIELD_NAME.fullmatch(metadata(field)) is not None and metadata(field) not in _OWN_FIELDS


def metadata(field: str) -> str:
    """Return the key of `cf-aig-metadata` that says a field of the request."""
    return field[len(TAG) :] if field.startswith(TAG) else field
