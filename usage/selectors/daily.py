"""What the scopes of budgets used per day, of all budgets together: what forecasts are made from.

Few statements however many budgets there are. One asks which combinations of dimensions were used at all, of which
there are hundreds where there are millions of calls; which budgets count them is worked out here, as bookings do.
Another adds up the days of each budget.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection

from budgets import rules
from budgets.rules import REQUESTS, USD, Consumption, Definition
from budgets.rules.forecasting import DAYS_LOOKED_AT
from budgets.selectors import definitions
from catalog.models import Tier
from core import periods
from core.models import Organisation
from usage.rules.postings import STATUS_NAMES
from usage.selectors.drivers import INPUT, OUTPUT

_TIERS = {tier.value: str(tier.label) for tier in Tier}
_ONE = Decimal(1)

# A combination of dimensions: its columns, with their types. The last two are empty where the sums are not by tag.
_KEY = {
    "use_case_id": "bigint", "team_id": "bigint", "offering_id": "bigint", "gateway_id": "bigint",
    "tier": "smallint", "status": "smallint", "tag": "text", "value": "text",
}  # fmt: skip
_Key = tuple[Any, ...]
_Days = dict[int, dict[date, Decimal]]


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    day: str
    since: str  # a condition on the first day
    tokens: str
    by_tag: bool = False

    def key(self) -> str:
        return ", ".join(
            f"''::text AS {name}" if name in ("tag", "value") and not self.by_tag else f"r.{name}" for name in _KEY
        )

    def rows(self) -> str:
        return f"{self.name} r WHERE {self.since} AND {'r.tag = ANY(%s)' if self.by_tag else 'r.correction_of = 0'}"


_TOKENS = " + ".join((*INPUT, *OUTPUT))
_BY_DAY = _Table("rollup_day", "r.day", "r.day >= %s", _TOKENS)
_BY_TAG = _Table("rollup_day_tag", "r.day", "r.day >= %s", "input_tokens + output_tokens", by_tag=True)


def _by_quarter_hour(zone: str) -> _Table:
    # A name of the IANA database, checked when the budget was made: nothing else gets here.
    return _Table("rollup_15min", f"(r.bucket AT TIME ZONE '{zone}')::date", "r.bucket >= %s", _TOKENS)


def of_budgets(*, at: datetime) -> _Days:
    """Return what each budget's scope used per day of its zone, in its unit, today so far included.

    Days of the last eight weeks; in the organisation's zone those of the present period before them, too. The first day
    that was asked for is always there, others only if anything was used. Left out are budgets whose days nobody sums:
    with several tags, a tag that is not declared, or a tag in another zone than the organisation's. What was booked
    late for a closed month is left out, save by tag, whose sums do not tell it apart.

    Four queries, one more for each zone that is not the organisation's, two more where scopes have tags.
    """
    organisation = Organisation.objects.get(pk=1)
    known = definitions.current()
    by_zone: dict[str, list[Definition]] = defaultdict(list)
    tagged: list[Definition] = []
    for one in known.by_id.values():
        if not one.tags:
            by_zone[one.zone].append(one)
        elif len(one.tags) == 1 and one.tags[0] in organisation.declared_tags and one.zone == organisation.zone:
            tagged.append(one)

    found: _Days = {}
    ours = by_zone.pop(organisation.zone, [])
    if ours or by_zone:
        firsts = {one.id: _first(one, at) for one in ours}
        # A day more, for the zones that are behind.
        eight_weeks = periods.local_day(at, organisation.zone) - timedelta(days=DAYS_LOOKED_AT + 1)
        concerned = _concerned(_BY_DAY, min([eight_weeks, *firsts.values()]), known)
        _add(found, _BY_DAY, ours, firsts, concerned)
        for zone, budgets in sorted(by_zone.items()):
            # A hundred times as many rows: of eight weeks alone.
            first = periods.local_day(at, zone) - timedelta(days=DAYS_LOOKED_AT)
            _add(found, _by_quarter_hour(zone), budgets, {one.id: first for one in budgets}, concerned, zone=zone)
    if tagged:
        firsts = {one.id: _first(one, at) for one in tagged}
        _add(found, _BY_TAG, tagged, firsts, _concerned(_BY_TAG, min(firsts.values()), known))
    return found


def _first(definition: Definition, at: datetime) -> date:
    looked_at = periods.local_day(at, definition.zone) - timedelta(days=DAYS_LOOKED_AT)
    return min(looked_at, definition.period_of(at).first_day)


def _concerned(table: _Table, first: date, known: definitions.Definitions) -> dict[_Key, set[int]]:
    """Return which budgets count which combination of dimensions, as far as it was used. One query."""
    values: list[Any] = [first, *([sorted(known.tag_names)] if table.by_tag else [])]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join(f'k.{name}' for name in _KEY)}, u.name, t.name, m.name, o.name, p.name, g.name "
            f"FROM (SELECT DISTINCT {table.key()} FROM {table.rows()}) AS k "
            "JOIN catalog_usecase u ON u.id = k.use_case_id JOIN catalog_team t ON t.id = k.team_id "
            "JOIN catalog_offering o ON o.id = k.offering_id JOIN catalog_model m ON m.id = o.model_id "
            "JOIN catalog_provider p ON p.id = o.provider_id JOIN catalog_gateway g ON g.id = k.gateway_id",
            values,
        )
        rows = cursor.fetchall()
    found: dict[_Key, set[int]] = {}
    for row in rows:
        key, (use_case, team, model, offering, provider, gateway) = row[: len(_KEY)], row[len(_KEY) :]
        tier, status, tag, value = key[4:]
        one = Consumption(
            occurred_at=datetime.combine(first, time(), tzinfo=UTC),
            use_case=use_case, team=team, model=model, offering=offering, provider=provider, gateway=gateway,
            tier=_TIERS[tier], status=STATUS_NAMES[status], tags={tag: value} if tag else {},
            requests=1, input_tokens=1, output_tokens=0, cost_usd=_ONE,
        )  # fmt: skip
        # What would be used of the budget by one of each: nothing of one whose unit does not count such a status.
        found[key] = {each.id for each in known.concerned(one) if rules.amount(each.unit, one)[0]}
    return found


def _add(
    found: _Days,
    table: _Table,
    budgets: Sequence[Definition],
    firsts: dict[int, date],
    concerned: dict[_Key, set[int]],
    *,
    zone: str = "",
) -> None:
    """Add the days of these budgets. One query, none where nothing of theirs was used."""
    units = {one.id: one.unit for one in budgets}
    for one in budgets:
        found[one.id] = {firsts[one.id]: Decimal(0)}
    wanted = [(budget_id, *key) for key, ids in concerned.items() for budget_id in ids if budget_id in units]
    if not wanted:
        return
    first = min(firsts.values())
    tags = sorted({row[7] for row in wanted})
    columns: list[Any] = list(map(list, zip(*wanted, strict=True)))
    kinds = ["bigint", *_KEY.values(), "text", "date"]
    key = ", ".join(_KEY)
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH wanted AS (SELECT * FROM unnest({', '.join(f'%s::{kind}[]' for kind in kinds)}) "
            f"AS w (budget_id, {key}, unit, first)), "
            f"sums AS (SELECT {table.day} AS day, {table.key()}, "
            f"sum(cost_usd) AS cost, sum(requests) AS requests, sum({table.tokens}) AS tokens "
            f"FROM {table.rows()} GROUP BY {', '.join(map(str, range(1, len(_KEY) + 2)))}) "
            f"SELECT budget_id, day, "
            f"sum(CASE unit WHEN '{USD}' THEN cost WHEN '{REQUESTS}' THEN requests ELSE tokens END) "
            f"FROM sums JOIN wanted USING ({key}) WHERE day >= first GROUP BY 1, 2",
            [
                *columns,
                [units[row[0]] for row in wanted],
                [firsts[row[0]] for row in wanted],
                periods.day_start(first, zone) if zone else first,
                *([tags] if table.by_tag else []),
            ],
        )
        for budget_id, day, used in cursor.fetchall():
            found[budget_id][day] = Decimal(used)
