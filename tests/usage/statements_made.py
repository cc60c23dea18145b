"""Statements as tests need them: exports of a provider with the figures that a test names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from usage.services import statements
from usage.services.statements import Imported

ONE_DAY = timedelta(days=1)


def midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)


def openai_usage(days: Mapping[date, Sequence[Mapping[str, Any]]], *, has_more: bool = False) -> bytes:
    """Return an export of completions; a result is what differs from one of 1000 input and 100 output tokens."""
    usual = {
        "object": "organization.usage.completions.result", "model": "gpt-5.5", "input_tokens": 1000,
        "input_cached_tokens": 0, "input_cache_write_tokens": 0, "output_tokens": 100, "num_model_requests": 1,
        "project_id": "proj_1", "api_key_id": "key_1", "batch": False, "service_tier": "default",
    }  # fmt: skip
    return _openai({day: [{**usual, **result} for result in results] for day, results in days.items()}, has_more)


def openai_costs(days: Mapping[date, Mapping[str, str]]) -> bytes:
    """Return an export of costs: line items with what each costs, as a decimal string."""
    return _openai(
        {
            day: [
                {
                    "object": "organization.costs.result", "line_item": item, "project_id": "proj_1",
                    "amount": {"value": value, "currency": "usd"},
                }
                for item, value in items.items()
            ]
            for day, items in days.items()
        },
        has_more=False,
    )  # fmt: skip


def _openai(days: Mapping[date, Sequence[Mapping[str, Any]]], has_more: bool) -> bytes:
    data = [
        {
            "object": "bucket", "start_time": int(midnight(day).timestamp()),
            "end_time": int(midnight(day + ONE_DAY).timestamp()), "results": list(results),
        }
        for day, results in sorted(days.items())
    ]  # fmt: skip
    return json.dumps({"object": "page", "data": data, "has_more": has_more, "next_page": None}).encode()


def bring(content: bytes, *, at: datetime, format: str = "openai-usage", **overrides: Any) -> Imported:
    given: dict[str, Any] = {"file_name": "export.json", "by": "finance@example.com"}
    return statements.import_file(content=content, format=format, at=at, **{**given, **overrides})
