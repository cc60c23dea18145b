"""Anthropic: `GET /v1/organizations/cost_report`, daily, best with `group_by[]=description`.

`amount` is a decimal string in cents: "123.45" is 1.2345 USD. Without grouping by description no model is named.
"""

from __future__ import annotations

from collections.abc import Iterator

from catalog.rules.names import tidy_service_tier
from core.errors import Invalid
from usage.statements.buckets import Buckets, read_buckets
from usage.statements.contract import Line, Statement, statement
from usage.statements.values import demand_usd, text, usd, wrong

CENTS = 100
_ENDPOINT = "/v1/organizations/cost_report"


def read(content: bytes) -> Statement:
    """Return what a cost report says. Raises Malformed and Invalid (`contract`)."""
    found = read_buckets(content, starts="starting_at", ends="ending_at", endpoint=_ENDPOINT)
    return statement(_lines(found), whole_days=found.whole_days, partial_days=found.partial_days, notes=found.notes)


def _lines(found: Buckets) -> Iterator[Line]:
    for bucket in found.buckets:
        for where, result in bucket.results:
            if "uncached_input_tokens" in result:
                raise Invalid(f"{where} counts tokens: this is a usage report.", [("format", "a usage report")])
            amount = result.get("amount")
            if not isinstance(amount, str):  # a number would be in another unit than we know of
                wrong(where, "amount is no decimal string of cents")
            demand_usd(result.get("currency"), where)
            yield Line(
                day=bucket.day,
                provider="anthropic",
                model=text(result, "model", 193),
                project=text(result, "workspace_id", 128),
                service_tier=tidy_service_tier(text(result, "service_tier", 32)),
                item=text(result, "description", 200) or text(result, "cost_type", 200),
                cost_usd=usd(amount, "amount", where, per=CENTS),
            )
