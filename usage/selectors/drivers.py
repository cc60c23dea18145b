"""What budgets ask of usage, which they do not know: what a scope used so far, and what drove a crossing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection

from budgets.rules import COUNTED, FRONTIER_TOKENS, TAG, Definition
from budgets.services.building import BudgetScopeAsk, Summed
from budgets.services.facts import Explanation
from catalog.models import Tier
from core import periods
from core.periods import Period
from usage.rules.postings import STATUS_NUMBERS

_ZERO = Decimal(0)

INPUT = (
    "uncached_input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
    "audio_input_tokens", "image_input_tokens",
)  # fmt: skip
OUTPUT = ("output_tokens", "audio_output_tokens", "image_output_tokens")

_TIER_NUMBERS = {str(tier.label): tier.value for tier in Tier}

# What a budget's use is told apart by, in this order: columns of the statement below.
_APART = {"offering": "o.name", "rules_version": "r.rules_version", "rule": "r.rule", "team": "t.name"}
NONE_REPORTED = "none reported"


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """What used part of a budget's allowance, in the budget's unit."""

    name: str
    used: Decimal
    share: Decimal | None  # of 1; None of nothing


def shares(definition: Definition, period: Period) -> dict[str, list[Driver]]:
    """Return what used a budget's allowance in a period by offering, rules version, rule and team, largest first.

    From sums of days, or of quarter hours where the period is not made of the organisation's days; neither knows tags:
    nothing for a scope that names one. Two queries.
    """
    if definition.tags:
        return {}
    days = days_at(period.starts_at, period.ends_at)
    conditions, values = of_scope(definition)
    time = "bucket" if days is None else "day"
    columns = ", ".join(_APART.values())
    # By number first: a month has many rows, and few of these.
    sql = (
        f"SELECT grouping({columns}), coalesce({', '.join(f'({one})::text' for one in _APART.values())}), sum(r.used) "
        f"FROM (SELECT r.offering_id, r.rules_version, r.rule, r.team_id, sum({measure(definition.unit)}) AS used "
        f"FROM {'rollup_15min' if days is None else 'rollup_day'} r "
        f"WHERE r.{time} >= %s AND r.{time} < %s{conditions} GROUP BY 1, 2, 3, 4) r "
        "JOIN catalog_team t ON t.id = r.team_id JOIN catalog_offering o ON o.id = r.offering_id "
        f"GROUP BY GROUPING SETS ({', '.join(f'({one})' for one in _APART.values())})"
    )
    values = [*(days or (period.starts_at, period.ends_at)), *values]
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        rows = cursor.fetchall()
    found: dict[str, list[Driver]] = {}
    for position, kind in enumerate(_APART):
        # `grouping` has a bit for each column, the first one's highest, which is 0 where the row is grouped by it.
        mask = 2 ** len(_APART) - 1 - 2 ** (len(_APART) - 1 - position)
        sums = [(name, Decimal(used)) for which, name, used in rows if which == mask and used]
        whole = sum((used for _, used in sums), _ZERO)
        found[kind] = [
            Driver(
                name=NONE_REPORTED if name in ("", "0") and kind != "team" else name,
                used=used,
                share=used / whole if whole > 0 else None,
            )
            for name, used in sorted(sums, key=lambda pair: (-pair[1], pair[0]))
        ]
    return found


def days_at(*instants: datetime) -> list[date] | None:
    """Return the days of the organisation's that begin at these instants, None where one lies within a day. One query.

    Also None before the end of months that were closed while it had another zone: their days keep that zone's edges.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT o.zone, (SELECT max(m.ends_at) FROM usage_month m WHERE m.zone <> o.zone) "
            "FROM core_organisation o WHERE o.id = 1"
        )
        zone, held_since = cursor.fetchone()
    days = [periods.local_day(at, zone) for at in instants]
    if held_since is not None and min(instants) < held_since:
        return None
    return days if all(periods.day_start(day, zone) == at for day, at in zip(days, instants, strict=True)) else None


def of_scope(definition: Definition) -> tuple[str, list[Any]]:
    """Return what finds the rows `r` of sums that a budget without tags counts, as conditions that go on, and values.

    What was booked late for a closed month is left out.
    """
    conditions, values = ["r.correction_of = 0"], list[Any]()
    statuses = COUNTED[definition.unit]
    if statuses is not None:
        conditions.append("r.status = ANY(%s)")
        values.append([STATUS_NUMBERS[status] for status in statuses])
    for dimension, names in definition.scope.items():
        conditions.append(_NAMED[dimension])
        values.append(
            [_TIER_NUMBERS[name] for name in names if name in _TIER_NUMBERS] if dimension == "tier" else sorted(names)
        )
    if definition.unit == FRONTIER_TOKENS:
        conditions.append("r.tier = %s")
        values.append(Tier.FRONTIER.value)
    return "".join(f" AND {condition}" for condition in conditions), values


def explain(definition: Definition, period: Period) -> Explanation:
    """Say which model, rules version, rule and team used most of a budget's allowance. One query, for crossings only.

    A rule is named where gateways reported one, a team where there is more than one.
    """
    found = shares(definition, period)
    told: list[tuple[str, str]] = []
    for kind, label in (
        ("offering", "Most of it"), ("rules_version", "Under rules version"), ("rule", "By rule"), ("team", "By team"),
    ):  # fmt: skip
        most = found.get(kind, [])
        if not most or most[0].share is None:
            continue
        if (kind == "rule" and most[0].name == NONE_REPORTED) or (kind == "team" and len(most) == 1):
            continue
        told.append((label, f"{most[0].name}, {most[0].share * 100:.1f} %"))
    return Explanation(rows=told)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What a gateway's calls used of a budget, in its unit: in the last hour, and in the last day."""

    gateway: str
    hour: Decimal
    day: Decimal

    @property
    def per_hour(self) -> Decimal:
        """The present rate: the last hour's, or the mean of the day where that is greater."""
        return max(self.hour, self.day / 24, _ZERO)


def pace(definition: Definition, at: datetime) -> list[Pace]:
    """Return how fast each gateway uses a budget, the fastest first, by the quarter hours that are over. One query.

    From sums of quarter hours, or from the ledger's last day where the scope names tags.
    """
    now = at.astimezone(UTC)
    until = now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0)
    tagged = bool(definition.tags)
    conditions, values = _conditions(
        scope=definition.scope,
        statuses=COUNTED[definition.unit],
        period=Period(until - timedelta(days=1), until, until.date()),
        from_ledger=tagged,
    )
    if definition.unit == FRONTIER_TOKENS:
        conditions.append("r.tier = %s")
        values.append(Tier.FRONTIER.value)
    summed = measure(definition.unit)
    sql = (
        f"SELECT g.name, coalesce(sum({summed}) FILTER (WHERE r.{'occurred_at' if tagged else 'bucket'} >= %s), 0), "
        f"sum({summed}) FROM {'ledger' if tagged else 'rollup_15min'} r {_JOINS} "
        f"WHERE {' AND '.join(conditions)} GROUP BY g.name"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [until - timedelta(hours=1), *values])
        found = [Pace(gateway=name, hour=Decimal(hour), day=Decimal(day)) for name, hour, day in cursor.fetchall()]
    return sorted((one for one in found if one.per_hour > 0), key=lambda one: (-one.per_hour, one.gateway))


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
    from_ledger = from_ledger or any(name.startswith(TAG) for name in ask.scope)
    conditions, values = _conditions(scope=ask.scope, statuses=ask.statuses, period=ask.period, from_ledger=from_ledger)
    frontier = ask.unit == FRONTIER_TOKENS
    used_where = f" FILTER (WHERE r.tier = {Tier.FRONTIER.value})" if frontier else ""
    beside = f"sum({_TOKENS}) FILTER (WHERE r.tier = {Tier.UNCLASSIFIED.value})" if frontier else "0"
    sql = (
        f"SELECT coalesce(sum({measure(ask.unit)}){used_where}, 0) AS used, coalesce({beside}, 0) AS unclassified "
        f"FROM {'ledger' if from_ledger else 'rollup_15min'} r {_JOINS} WHERE {' AND '.join(conditions)}"
    )
    return sql, values


_TOKENS = " + ".join(f"r.{name}" for name in (*INPUT, *OUTPUT))
_JOINS = (
    "JOIN catalog_usecase u ON u.id = r.use_case_id JOIN catalog_team t ON t.id = r.team_id "
    "JOIN catalog_offering o ON o.id = r.offering_id JOIN catalog_model m ON m.id = o.model_id "
    "JOIN catalog_provider p ON p.id = o.provider_id JOIN catalog_gateway g ON g.id = r.gateway_id"
)
_COLUMNS = {
    "use_case": "u.name", "team": "t.name", "model": "m.name", "offering": "o.name", "provider": "p.name",
    "gateway": "g.name",
}  # fmt: skip

_NAMED = {
    "use_case": "r.use_case_id IN (SELECT id FROM catalog_usecase WHERE name = ANY(%s))",
    "team": "r.team_id IN (SELECT id FROM catalog_team WHERE name = ANY(%s))",
    "model": "r.offering_id IN (SELECT o.id FROM catalog_offering o JOIN catalog_model m ON m.id = o.model_id "
    "WHERE m.name = ANY(%s))",
    "offering": "r.offering_id IN (SELECT id FROM catalog_offering WHERE name = ANY(%s))",
    "provider": "r.offering_id IN (SELECT o.id FROM catalog_offering o JOIN catalog_provider p ON p.id = o.provider_id "
    "WHERE p.name = ANY(%s))",
    "gateway": "r.gateway_id IN (SELECT id FROM catalog_gateway WHERE name = ANY(%s))",
    "tier": "r.tier = ANY(%s)",
}


def measure(unit: str) -> str:
    return {"usd": "coalesce(r.cost_usd, 0)", "requests": "r.requests"}.get(unit, _TOKENS)


def _conditions(
    *, scope: Mapping[str, frozenset[str]], statuses: frozenset[str] | None, period: Period, from_ledger: bool
) -> tuple[list[str], list[Any]]:
    """Return what finds the rows of a scope in a period, without what was booked late for a closed month."""
    time = "occurred_at" if from_ledger else "bucket"
    conditions = [f"r.{time} >= %s", f"r.{time} < %s"]
    values: list[Any] = [period.starts_at, period.ends_at]
    if from_ledger:  # what corrects no closed month was booked when it happened, and partitions go by that
        conditions += ["r.correction_of IS NULL", "r.booked_at >= %s", "r.booked_at < %s"]
        values += [period.starts_at, period.ends_at]
    else:
        conditions.append("r.correction_of = 0")
    for dimension, names in scope.items():
        if dimension in _COLUMNS:
            conditions.append(f"{_COLUMNS[dimension]} = ANY(%s)")
            values.append(sorted(names))
        elif dimension == "tier":
            conditions.append("r.tier = ANY(%s)")
            values.append([_TIER_NUMBERS[name] for name in names if name in _TIER_NUMBERS])
        elif dimension.startswith(TAG):
            conditions.append("r.tags ->> %s = ANY(%s)")
            values += [dimension.removeprefix(TAG), sorted(names)]
    if statuses is not None:
        conditions.append("r.status = ANY(%s)")
        values.append([STATUS_NUMBERS[status] for status in statuses])
    return conditions, values
