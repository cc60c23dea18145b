"""How forms are laid out as text: the same for everyone, so that a difference between two of them is one of meaning."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

# Half a character, which no text that can be encoded has: it marks digits that stand in quotes until the end.
_MARK = "\udc00"
_MARKED = re.compile(f'"{_MARK}([0-9.]+)"')


def written(value: Any) -> bytes:
    """Return JSON as people read it; members stay in the order in which they were put, decimals keep their digits."""
    text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False, default=_marked)
    return (_MARKED.sub(r"\1", text) + "\n").encode()


def _marked(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{_MARK}{value:f}"
    raise TypeError(f"{value!r} has no form in JSON")
