"""What budgets ask of usage, which they do not know: what a scope used so far, and what drove a crossing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection
from django.db.models import F, Q, QuerySet, Sum
from django.db.models.functions import TruncDate

from budgets.rules import COUNTED, FRONTIER_TOKENS, Definition
from budgets.services.building import BudgetScopeAsk, Summed
from budgets.services.crossings import Explanation
from catalog.models import Tier
from core.periods import Period
from usage.models import Rollup15Min
from usage.rules.postings import STATUS_NUMBERS

INPUT = (
    "uncached_input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
    "audio_input_tokens", "image_input_tokens",
)  # fmt: skip
OUTPUT = ("output_tokens", "audio_output_tokens", "image_output_tokens")

_COLUMNS = {
    "use_case": "use_case__name",
    "team": "team__name",
    "model": "offering__model__name",
    "offering": "offering__name",
    "provider": "offering__provider__name",
    "gateway": "gateway__name",
}
_TIER_NUMBERS = {str(tier.label): tier.value for tier in Tier}


def _tokens() -> Any:
    total: Any = F(INPUT[0])
    for name in (*INPUT[1:], *OUTPUT):
        total = total + F(name)
    return total


def in_scope(
    scope: Mapping[str, frozenset[str]], statuses: frozenset[str] | None, period: Period
) -> QuerySet[Rollup15Min]:
    """Return the rollup rows of a budget's scope in a period, without what was booked late for a closed month.

    Tags are not in these rollups: a scope that names one is answered without that part.
    """
    condition = Q(bucket__gte=period.starts_at, bucket__lt=period.ends_at, correction_of=0)
    for dimension, values in scope.items():
        if dimension == "tier":
            condition &= Q(tier__in=[_TIER_NUMBERS[value] for value in values if value in _TIER_NUMBERS])
        elif dimension in _COLUMNS:
            condition &= Q(**{f"{_COLUMNS[dimension]}__in": list(values)})
    if statuses is not None:
        condition &= Q(status__in=[STATUS_NUMBERS[status] for status in statuses])
    return Rollup15Min.objects.filter(condition)


def _measure(unit: str) -> Any:
    return {"usd": Sum("cost_usd"), "requests": Sum("requests")}.get(unit) or Sum(_tokens())


def daily(definition: Definition, period: Period) -> dict[date, Decimal]:
    """Return what a budget's scope used per day of its zone. One query."""
    rows = in_scope(definition.scope, COUNTED[definition.unit], period)
    if definition.unit == FRONTIER_TOKENS:
        rows = rows.filter(tier=Tier.FRONTIER)
    days = rows.annotate(day=TruncDate("bucket", tzinfo=ZoneInfo(definition.zone))).values("day")
    sums = days.annotate(used=_measure(definition.unit)).order_by("day")
    return {row["day"]: Decimal(row["used"] or 0) for row in sums}


def explain(definition: Definition, period: Period) -> Explanation:
    """Say which model and which rules version used most of a budget's allowance. Three queries, for crossings only."""
    rows = in_scope(definition.scope, COUNTED[definition.unit], period)
    if definition.unit == FRONTIER_TOKENS:
        rows = rows.filter(tier=Tier.FRONTIER)
    told: list[tuple[str, str]] = []
    for label, column in (("Most of it", "offering__name"), ("Under rules version", "rules_version")):
        sums = list(rows.values(column).annotate(used=_measure(definition.unit)).order_by("-used", column))
        total = sum((Decimal(row["used"] or 0) for row in sums), Decimal(0))
        if total <= 0:
            continue
        name = sums[0][column] or "none reported"
        told.append((label, f"{name}, {Decimal(sums[0]['used']) / total * 100:.1f} %"))
    return Explanation(rows=told, daily=daily(definition, period))


def sum_so_far(ask: BudgetScopeAsk) -> Summed:
    """Sum what was booked for a scope, and name the snapshot it was read in: one statement, so that both agree."""
    sql, values = sum_statement(ask)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT s.used, s.unclassified, pg_current_snapshot()::text FROM ({sql}) AS s", values)
        row = cursor.fetchone()
    if row is None:
        raise RuntimeError("an aggregate gave no row")
    return Summed(used=Decimal(row[0]), unclassified=Decimal(row[1]), snapshot=str(row[2]))


def sum_statement(ask: BudgetScopeAsk, *, from_ledger: bool = False) -> tuple[str, list[Any]]:
    """Return SQL, with its values, that gives `used` and `unclassified` of a scope in one row.

    From the quarter-hour rollups, which periods of every zone are made of; from the ledger where the scope names tags,
    or where that is asked for.
    """
    tags = {name[4:]: sorted(values) for name, values in ask.scope.items() if name.startswith("tag:")}
    from_ledger = from_ledger or bool(tags)
    table, time = ("ledger", "occurred_at") if from_ledger else ("rollup_15min", "bucket")
    conditions = [f"r.{time} >= %s", f"r.{time} < %s"]
    values: list[Any] = [ask.period.starts_at, ask.period.ends_at]
    if from_ledger:  # what corrects no closed month was booked when it happened, and partitions go by that
        conditions += ["r.correction_of IS NULL", "r.booked_at >= %s", "r.booked_at < %s"]
        values += [ask.period.starts_at, ask.period.ends_at]
    else:
        conditions.append("r.correction_of = 0")
    columns = {
        "use_case": "u.name", "team": "t.name", "model": "m.name", "offering": "o.name", "provider": "p.name",
        "gateway": "g.name",
    }  # fmt: skip
    for dimension, names in ask.scope.items():
        if dimension in columns:
            conditions.append(f"{columns[dimension]} = ANY(%s)")
            values.append(sorted(names))
        elif dimension == "tier":
            conditions.append("r.tier = ANY(%s)")
            values.append([_TIER_NUMBERS[name] for name in names if name in _TIER_NUMBERS])
    for name, wanted in tags.items():
        conditions.append("r.tags ->> %s = ANY(%s)")
        values += [name, wanted]
    if ask.statuses is not None:
        conditions.append("r.status = ANY(%s)")
        values.append([STATUS_NUMBERS[status] for status in ask.statuses])
    tokens = " + ".join(f"r.{name}" for name in (*INPUT, *OUTPUT))
    measure = {"usd": "coalesce(r.cost_usd, 0)", "requests": "r.requests"}.get(ask.unit, tokens)
    frontier = ask.unit == FRONTIER_TOKENS
    used_where = f" FILTER (WHERE r.tier = {Tier.FRONTIER.value})" if frontier else ""
    beside = f"sum({tokens}) FILTER (WHERE r.tier = {Tier.UNCLASSIFIED.value})" if frontier else "0"
    sql = (
        f"SELECT coalesce(sum({measure}){used_where}, 0) AS used, coalesce({beside}, 0) AS unclassified "
        f"FROM {table} r JOIN catalog_usecase u ON u.id = r.use_case_id JOIN catalog_team t ON t.id = r.team_id "
        "JOIN catalog_offering o ON o.id = r.offering_id JOIN catalog_model m ON m.id = o.model_id "
        "JOIN catalog_provider p ON p.id = o.provider_id JOIN catalog_gateway g ON g.id = r.gateway_id "
        f"WHERE {' AND '.join(conditions)}"
    )
    return sql, values
