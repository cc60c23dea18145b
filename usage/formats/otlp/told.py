"""What spans tell, looked up by what it means."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from usage.formats.otlp.wire import Value

Told = dict[str, Value]  # by what it means: `words`

LONGEST_OBJECT = 20_000  # of text that holds an object


def text(told: Told, meaning: str) -> str:
    value = told.get(meaning)
    return value if isinstance(value, str) else "" if value is None else shown(value)


def found(levels: Sequence[Told], meaning: str) -> str:
    for told in levels:
        if meaning in told:
            return text(told, meaning)
    return ""


def shown(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def mapping(given: Value | None) -> dict[str, Any]:
    """Return the mapping that a text shows as Python's `repr` does; LiteLLM's first instrumentation writes such."""
    if not isinstance(given, str) or not given.startswith("{") or len(given) > LONGEST_OBJECT or given == "{}":
        return {}
    try:
        read = ast.literal_eval(given)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return {}
    return read if isinstance(read, dict) else {}
