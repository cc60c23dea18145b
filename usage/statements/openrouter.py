"""OpenRouter: `GET /api/v1/activity`, or the same columns as a CSV file. Usage and cost in one.

Rows are of whole UTC days by model and endpoint. `prompt_tokens` includes `cached_tokens`; `usage` is what OpenRouter
charged in USD, and `byok_usage_inference` what another provider charged for calls with a key of one's own, which gets a
line of its own so that nobody adds it to that provider's bill unseen.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

from core.errors import Malformed
from usage.statements.contract import Line, Statement, statement
from usage.statements.values import count, day, documents, needed, objects, text, usd, wrong

OWN_KEY = "with a key of one's own"
_COLUMNS = ("date", "model", "provider_name", "usage", "requests", "prompt_tokens", "completion_tokens")
_ENDPOINT = "/api/v1/activity"


def read(content: bytes) -> Statement:
    """Return what an export of activity says. Raises Malformed and Invalid (`contract`)."""
    begins = content[:64].lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    rows = list(_json_rows(content) if begins in (b"{", b"[") else _csv_rows(content))
    lines: list[Line] = []
    for where, row in rows:
        lines += _lines(where, row)
    # It lists days with activity alone, and completed ones only: a day in between without a row had none.
    days = {line.day for line in lines}
    first, last = min(days, default=None), max(days, default=None)
    whole = set() if first is None or last is None else {first.fromordinal(n) for n in range(
        first.toordinal(), min(last.toordinal(), first.toordinal() + 2000) + 1
    )}  # fmt: skip
    return statement(lines, whole_days=whole)


def _json_rows(content: bytes) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, document in enumerate(documents(content), start=1):
        rows = document.get("data") if isinstance(document, dict) else document
        if not isinstance(rows, list):
            wrong(f"Page {number}", f'is no answer of {_ENDPOINT}, which is an object with "data"')
        yield from objects(rows, "row", f"Page {number}")


def _csv_rows(content: bytes) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        given = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Malformed("The file is not text in UTF-8. Is it compressed?") from error
    reader = csv.DictReader(io.StringIO(given, newline=""), strict=True)
    try:
        names = [name.strip().lower() for name in reader.fieldnames or ()]
        missing = [name for name in _COLUMNS if name not in names]
        if missing:
            wrong("The first line", f"names no column {', '.join(missing)}: is this the CSV file of {_ENDPOINT}?")
        reader.fieldnames = names
        for row in reader:
            if None in row or None in row.values():
                wrong(f"Line {reader.line_num}", "has another number of columns than the first one")
            yield f"Line {reader.line_num}", row
    except csv.Error as error:
        raise Malformed(f"The file is not CSV: {error}.") from error


def _lines(where: str, row: Mapping[str, Any]) -> Iterator[Line]:
    on = day(row.get("date"), "date", where)
    model, served_by = text(row, "model", 193) or text(row, "model_permaslug", 193), text(row, "provider_name", 150)
    project = text(row, "workspace_id", 128)
    if not model:
        wrong(where, "model is missing")
    yield Line(
        day=on,
        provider="openrouter",
        model=model,
        project=project,
        item=served_by,
        requests=needed(row, "requests", where),
        input_tokens=needed(row, "prompt_tokens", where),
        cache_read_tokens=count(row, "cached_tokens", where, optional=True),
        output_tokens=needed(row, "completion_tokens", where),
        reasoning_tokens=count(row, "reasoning_tokens", where, optional=True),
        cost_usd=usd(row.get("usage"), "usage", where),
    )
    own = row.get("byok_usage_inference")
    if own not in (None, "") and (amount := usd(own, "byok_usage_inference", where)):
        yield Line(
            day=on,
            provider="openrouter",
            model=model,
            project=project,
            item=f"{served_by}, {OWN_KEY}" if served_by else OWN_KEY,
            cost_usd=amount,
        )
