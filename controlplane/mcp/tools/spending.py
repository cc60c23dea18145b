"""`spend`: what was spent, by any dimensions over any time, as `GET spend` answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from pydantic import Field

from controlplane.mcp import names
from controlplane.mcp.asking import Gives, Takes, Tool
from core import periods
from core.access import Caller
from core.api import FIRST_YEAR, LAST_YEAR
from core.errors import Invalid
from core.models import Organisation
from usage.selectors import freshness
from usage.selectors import spend as spending

_NAMED = ("use_case", "team", "model", "offering", "provider", "gateway", "tier")
_WHEN = "A day of `zone` (2026-11-20) or an instant (2026-11-20T12:00:00Z)"


class AskSpend(Takes):
    from_: str | None = Field(
        default=None, alias="from", description=f"{_WHEN}, included. The beginning of the present month, if not given."
    )
    to: str | None = Field(default=None, description=f"{_WHEN}, not included. The end of that month, if not given.")
    group_by: list[str] = Field(
        default_factory=list,
        max_length=spending.MOST_GROUPS,
        description=f"One row per combination of these: {', '.join(spending.DIMENSIONS)}, tag:NAME.",
    )
    filters: dict[str, list[str]] = Field(
        default_factory=dict,
        description='Only what has one of the values of each name, such as {"use_case": ["support-routing"], "tier": '
        '["frontier"]}. Names as in group_by, without hour, day, week and month. An empty text stands for "none".',
    )
    zone: str | None = Field(
        default=None, description="IANA time zone whose days these are; the organisation's, if not given."
    )
    most_rows: int = Field(
        default=100, ge=1, le=1000, description="Rows given at most: in order of time, then dearest first."
    )


class SpendGiven(Gives):
    from_: str = Field(alias="from")
    to: str = Field(description="The range is half-open: this instant is not in it.")
    zone: str
    group_by: list[str]
    rows: list[dict[str, Any]] = Field(
        description="Each has the names of group_by (null: none), requests, input_tokens (all input, cached included), "
        "output_tokens, cost_usd (USD, a decimal string), and more sums as in `total`; null: not kept."
    )
    rows_left_out: int = Field(description="Rows beyond most_rows. `total` has them in.")
    total: dict[str, Any] = Field(description="Of the whole range: the sum of all rows.")
    priced_share: str | None = Field(
        description="Share of tokens that have a price, 0 to 1: cost_usd knows nothing of the rest. Null: no tokens."
    )
    complete_through: str | None = Field(description="All usage received before is counted in.")


def answer(asked: AskSpend, caller: Caller, at: datetime) -> SpendGiven:
    """Five queries, one or two more per filter."""
    ask = _ask(asked, at)
    spending.check(ask=ask)
    ask = replace(ask, filters=_found(asked.filters))
    try:
        found = spending.spend(ask=ask)
    except spending.NeedsLedger as error:
        raise Invalid(
            f"{error} Here only sums are read: ask for whole quarter hours and declared tags, or ask "
            "GET /api/v1/spend, which reads the ledger in the background."
        ) from error
    written = spending.as_json(found, complete_through=freshness.complete_through(at=at))
    rows = written.pop("rows")
    return SpendGiven(
        **written, rows=rows[: asked.most_rows], rows_left_out=max(0, len(rows) - asked.most_rows)
    )  # fmt: skip


def _ask(asked: AskSpend, at: datetime) -> spending.SpendAsk:
    zone = asked.zone or Organisation.objects.values_list("zone", flat=True).get(pk=1)
    if zone not in periods.zones():
        raise Invalid(f"{zone!r} is not a time zone of the IANA database, such as Europe/Berlin.")
    month = periods.containing(at, "month", zone)
    starts_at, ends_at = month.starts_at, month.ends_at
    if asked.from_ is not None:
        starts_at = _instant("from", asked.from_, zone)
        ends_at = periods.containing(starts_at, "month", zone).ends_at
    if asked.to is not None:
        ends_at = _instant("to", asked.to, zone)
    return spending.SpendAsk(
        starts_at=starts_at,
        ends_at=ends_at,
        zone=zone,
        group_by=tuple(asked.group_by),
        filters={name: tuple(values) for name, values in asked.filters.items()},
    )


def _found(filters: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
    """Return filters with names as the catalogue has them: a slip in one would answer with nothing spent."""
    found = {}
    for name, values in filters.items():
        if name in _NAMED:
            known = names.known(name, [value for value in values if value])
            values = [*known, *(value for value in values if not value)]
        found[name] = tuple(values)
    return found


def _instant(name: str, text: str, zone: str) -> datetime:
    try:
        if len(text) == len("2026-11-20"):
            day = date.fromisoformat(text)
            read = periods.day_start(day, zone) if FIRST_YEAR <= day.year <= LAST_YEAR else None
        else:
            moment = datetime.fromisoformat(text)
            whole = moment.tzinfo is not None and FIRST_YEAR <= moment.year <= LAST_YEAR
            read = moment.astimezone(UTC) if whole else None
    except ValueError:
        read = None
    if read is None:
        sentence = f"{text!r} is neither a day such as 2026-11-20 nor an instant such as 2026-11-20T12:00:00Z."
        raise Invalid(f"`{name}` cannot be read.", [(name, sentence)])
    return read


TOOL = Tool(
    name="spend",
    title="What was spent",
    description=(
        "Spend in USD, tokens and requests over a range of time, by any dimensions: use case, team, model, provider, "
        "price tier, gateway, rule, status, hour, day, month and more. Days are those of the organisation's time zone "
        "unless you name another. Money is exact, as decimal strings; say priced_share beside any total under 1."
    ),
    action="view",
    takes=AskSpend,
    gives=SpendGiven,
    answer=answer,
)
