"""OpenAI: `GET /v1/organization/costs`, daily, in USD, best with `group_by=line_item`.

A line item names the model and what of it was charged: `gpt-5.5-2026-04-23, cached input`. Others, such as tool calls,
name no model. `amount.value` comes as a number or as a string with more digits than a number has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from usage.statements.buckets import Buckets, read_buckets
from usage.statements.contract import Line, Statement, statement
from usage.statements.openai_usage import demand_kind
from usage.statements.values import demand_usd, text, usd, wrong

KIND = "organization.costs.result"
_ENDPOINT = "/v1/organization/costs"
_OF_A_MODEL = re.compile(
    r"(?P<model>[a-z0-9._:/@-]*[0-9][a-z0-9._:/@-]*)\s*[,|][^,|]*\b(?:input|output|cached|tokens?)\b.*",
    re.ASCII | re.IGNORECASE,
)


def read(content: bytes) -> Statement:
    """Return what an export of costs says. Raises Malformed and Invalid (`contract`)."""
    found = read_buckets(content, starts="start_time", ends="end_time", endpoint=_ENDPOINT)
    return statement(_lines(found), whole_days=found.whole_days, partial_days=found.partial_days, notes=found.notes)


def _lines(found: Buckets) -> Iterator[Line]:
    for bucket in found.buckets:
        for where, result in bucket.results:
            demand_kind(result.get("object"), KIND, where, _ENDPOINT)
            amount = result.get("amount")
            if not isinstance(amount, dict):
                wrong(where, "amount is missing")
            demand_usd(amount.get("currency"), where)
            item = text(result, "line_item", 200)
            named = _OF_A_MODEL.fullmatch(item)
            yield Line(
                day=bucket.day,
                provider="openai",
                model=named["model"] if named else "",
                key=text(result, "api_key_id", 128),
                project=text(result, "project_id", 128),
                item=item,
                cost_usd=usd(amount.get("value"), "amount.value", where),
            )
