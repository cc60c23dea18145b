"""What the routing page shows, in few reads of `rollup_day`. See `routing` for what is counted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.db import connection

from catalog.models import Tier
from usage.models import LATENCY_BUCKETS, Status
from usage.selectors import past
from usage.selectors.drivers import INPUT, OUTPUT
from usage.selectors.routing import FALLBACK, TIERS, RuleSums, Scope, Served

DEFAULT = "default"  # the way of requests that no rule matched, where the gateway names none
SOURCES = {"use_case": "use_case_id", "task": "task"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFlow(RuleSums):
    """The same for one offering."""

    offering: str
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Way(Served):
    """From a use case or a task over a rule, of any version, to a model. Empty texts: not reported."""

    source: str
    rule: str
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCaseFallbacks:
    """Answered requests of a use case, and those from the middle of the range on."""

    use_case: str
    answered: int
    by_fallback: int
    on_frontier: int
    fallback_on_frontier: int
    late_answered: int
    late_by_fallback: int

    @property
    def early_answered(self) -> int:
        return self.answered - self.late_answered

    @property
    def early_by_fallback(self) -> int:
        return self.by_fallback - self.late_by_fallback


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair(Served):
    """What was asked for, and what answered."""

    requested: str
    offering: str
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DayFlow(Served):
    """What a model of a tier answered on a day, or in a week, for one of the reasons that gateways give."""

    day: date  # of a week, or of as much of it as is in the range, the first
    tier: str
    model: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Flows:
    """The same answered requests, told apart in four ways, or five."""

    rules: Sequence[RuleFlow]
    ways: Sequence[Way]
    use_cases: Sequence[UseCaseFallbacks]
    pairs: Sequence[Pair]
    weeks: Sequence[DayFlow]  # from Monday, in order; empty where they are not asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferingSums:
    """Attempts at an offering in a tier; one that changed tiers is there once for each."""

    offering: str
    model: str
    tier: str
    attempts: int
    answered: int
    failed: int
    blocked: int
    tokens: int  # of every attempt, as are those without a price
    unpriced_tokens: int
    latency_ms: int  # of answered requests whose latency is known, summed
    latencies: tuple[int, ...]  # how many of them in each bucket of the histogram

    @property
    def mean_latency_ms(self) -> int | None:
        known = sum(self.latencies)
        return round(Decimal(self.latency_ms) / known) if known > 0 else None


_TOKENS = " + ".join((*INPUT, *OUTPUT))
_IN_DAYS = "day >= %(first)s AND day < %(until)s"
_IS_OK = f"status = {Status.OK:d}"
_WAY = f"CASE WHEN rule = '' AND reason = '{DEFAULT}' THEN '{DEFAULT}' ELSE rule END"
_SUMMED = f"""
    sum(requests)::bigint AS requests, sum({_TOKENS})::bigint AS tokens, sum(cost_usd) AS cost_usd,
    sum(fallback_requests)::bigint AS fallbacks"""
_FELL = f"CASE reason WHEN '{FALLBACK}' THEN requests ELSE fallbacks END"

_NOTHING = (0,) * (4 + LATENCY_BUCKETS)


def _served_if(condition: str) -> str:
    return f"""
    coalesce(sum(requests) FILTER (WHERE {condition}), 0)::bigint,
    coalesce(sum(tokens) FILTER (WHERE {condition}), 0)::bigint,
    coalesce(sum(cost_usd) FILTER (WHERE {condition}), 0),
    coalesce(sum({_FELL}) FILTER (WHERE {condition}), 0)::bigint"""


def _narrowed(scope: Scope) -> tuple[str, dict[str, Any]]:
    """Return what narrows a scope beside its days, as conditions that go on."""
    conditions = []
    given: dict[str, Any] = {"first": scope.first, "until": scope.until}
    if scope.environment:
        conditions.append(" AND environment = %(environment)s")
        given["environment"] = scope.environment
    if scope.use_case_id is not None:
        conditions.append(" AND use_case_id = %(use_case)s")
        given["use_case"] = scope.use_case_id
    if scope.team_id is not None:
        conditions.append(" AND team_id = %(team)s")
        given["team"] = scope.team_id
    return "".join(conditions), given


def _coarse(scope: Scope) -> str:
    """Return the table to read what is asked for by no more dimensions than those of `past`."""
    return "rollup_day" if scope.environment else past.sums_of_days()


def _asked(statement: str, given: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _served(row: Sequence[Any]) -> dict[str, Any]:
    answered, tokens, cost_usd, by_fallback = row
    return {"answered": answered, "tokens": tokens, "cost_usd": cost_usd, "by_fallback": by_fallback}


def flows(scope: Scope, *, source: str, middle: date, weekly: bool = False) -> Flows:
    """Return what went which way; `source` is what ways begin with, `middle` the first day of the second half.

    Rules by environment, version, rule, reason and tier, use cases by what fallbacks answered, pairs by what was
    answered; with `weekly`, what each model of each tier answered per week and reason, too. One query.
    """
    also, given = _narrowed(scope)
    task = "task, " if source == "task" else ""
    key = f"environment, rules_version, rule, reason, use_case_id, {task}offering_id, tier, requested_model"
    # Rows of weeks and days are added up once, for all of it: to add them up without their days first takes longer.
    rows = _asked(
        f"""
        WITH rows AS (
            SELECT {key}, {_WAY} AS way, ok, week >= %(middle)s AS late, requests, tokens, cost_usd,
                fallback_requests AS fallbacks, first_day, last_day, week AS bar
            FROM rollup_past_week WHERE {past.WHOLE_WEEKS}{also}
            UNION ALL
            SELECT {key}, {_WAY}, {_IS_OK}, day >= %(middle)s, requests, {_TOKENS}, cost_usd, fallback_requests,
                day, day, greatest(day - (extract(isodow FROM day)::int - 1), %(first)s)
            FROM rollup_day WHERE {past.other_days()}{also}
        ), found AS (
            SELECT
                CASE WHEN grouping(rules_version) = 0 THEN 1 WHEN grouping(way) = 0 THEN 2
                     WHEN grouping(late) = 0 THEN 3 WHEN grouping(requested_model) = 0 THEN 4 ELSE 5 END AS kind,
                environment, rules_version, rule, reason, tier, way, use_case_id, {task or "'', "}
                offering_id, requested_model, late, {"bar" if weekly else "NULL::date"}, {_served_if("ok")},
                sum(requests - {_FELL})::bigint, min(first_day), max(last_day)
            FROM rows
            GROUP BY GROUPING SETS (
                (environment, rules_version, rule, reason, offering_id, tier), ({SOURCES[source]}, way, offering_id),
                (use_case_id, tier, late), (requested_model, offering_id)
                {", (bar, tier, reason, offering_id)" if weekly else ""}
            )
        )
        SELECT found.*, offering.name, model.name, use_case.name
        FROM found
        LEFT JOIN catalog_offering offering ON offering.id = found.offering_id
        LEFT JOIN catalog_model model ON model.id = offering.model_id
        LEFT JOIN catalog_usecase use_case ON use_case.id = found.use_case_id
        """,
        {**given, "middle": middle},
    )
    rules: list[RuleFlow] = []
    ways: list[Way] = []
    of_use_cases: dict[str, list[tuple[int, bool, int, int]]] = defaultdict(list)
    pairs: list[Pair] = []
    of_weeks: dict[tuple[date, int, str, str], list[Sequence[Any]]] = defaultdict(list)
    for kind, environment, version, rule, reason, tier, way, _, task, _, requested, late, bar, *rest in rows:
        *served, first_choices, first_day, last_day, offering, model, use_case = rest
        sums = _served(served)
        if kind == 1:
            rules.append(
                RuleFlow(
                    environment=environment, rules_version=version, rule=rule, reason=reason, tier=TIERS[tier],
                    first_choices=first_choices, first_day=first_day, last_day=last_day, offering=offering,
                    model=model, **sums,
                )
            )  # fmt: skip
        elif kind == 2 and sums["answered"]:
            ways.append(Way(source=task if source == "task" else use_case, rule=way, model=model, **sums))
        elif kind == 3:
            of_use_cases[use_case].append((tier, late, sums["answered"], sums["by_fallback"]))
        elif kind == 4 and sums["answered"]:
            pairs.append(Pair(requested=requested, offering=offering, model=model, **sums))
        elif kind == 5 and any(served):
            of_weeks[bar, tier, reason, model].append(served)
    rules.sort(
        key=lambda one: (one.environment, one.rules_version, one.rule, one.reason, one.tier, one.offering)
    )  # fmt: skip
    ways.sort(key=lambda one: (one.source, one.rule, one.model))
    use_cases = [found for use_case, parts in of_use_cases.items() if (found := _fallbacks(use_case, parts)).answered]
    use_cases.sort(key=lambda one: (-one.by_fallback, -one.answered, one.use_case))
    pairs.sort(key=lambda one: (-one.answered, one.requested, one.offering))
    weeks = [
        DayFlow(
            day=day, tier=TIERS[tier], reason=reason, model=model, **_served(list(map(sum, zip(*parts, strict=True))))
        )
        for (day, tier, reason, model), parts in sorted(of_weeks.items())
    ]
    return Flows(rules=rules, ways=ways, use_cases=use_cases, pairs=pairs, weeks=weeks)


def _fallbacks(use_case: str, parts: Sequence[tuple[int, bool, int, int]]) -> UseCaseFallbacks:
    """Add up what a use case was answered by tier and half of the range; each part ends with that and by fallbacks."""

    def summed(wanted: Callable[[int, bool], bool]) -> tuple[int, int]:
        those = [(answered, fell) for tier, late, answered, fell in parts if wanted(tier, late)]
        return sum(answered for answered, _ in those), sum(fell for _, fell in those)

    answered, by_fallback = summed(lambda tier, late: True)
    on_frontier, fallback_on_frontier = summed(lambda tier, late: tier == Tier.FRONTIER)
    late_answered, late_by_fallback = summed(lambda tier, late: late)
    return UseCaseFallbacks(
        use_case=use_case, answered=answered, by_fallback=by_fallback, on_frontier=on_frontier,
        fallback_on_frontier=fallback_on_frontier, late_answered=late_answered, late_by_fallback=late_by_fallback,
    )  # fmt: skip


def days(scope: Scope) -> list[DayFlow]:
    """Return what each model of each tier answered per day and reason, in order of days. One query."""
    also, given = _narrowed(scope)
    rows = _asked(
        f"""
        SELECT found.day, found.tier, found.reason, model.name, {_served_if("TRUE")}
        FROM (
            SELECT day, tier, reason, offering_id, {_SUMMED} FROM {_coarse(scope)} r
            WHERE {_IN_DAYS}{also} AND {_IS_OK} GROUP BY day, tier, reason, offering_id
        ) found
        LEFT JOIN catalog_offering offering ON offering.id = found.offering_id
        LEFT JOIN catalog_model model ON model.id = offering.model_id
        GROUP BY found.day, found.tier, found.reason, model.name
        ORDER BY found.day, found.tier, found.reason, model.name
        """,
        given,
    )
    return [
        DayFlow(day=day, tier=TIERS[tier], reason=reason, model=model, **_served(served))
        for day, tier, reason, model, *served in rows
    ]


def offerings(scope: Scope, *, since: date) -> tuple[list[OfferingSums], list[OfferingSums]]:
    """Return what each offering was sent and answered in the range, the busiest first, and in [since, first).

    One query.
    """
    also, given = _narrowed(scope)
    measures = ("requests", _TOKENS, "unpriced_tokens", "latency_ms")
    if scope.environment:  # which is told apart by `rollup_day` alone
        sources = [("rollup_day", "day", _IN_DAYS, (*measures, *past.BUCKETS.values()))]
    else:
        gathered, rest = past.parts_of_days()
        sources = [
            ("rollup_past_attempts", "week", past.WHOLE_WEEKS, tuple(past.ATTEMPTS)),
            (gathered, "day", past.other_days(), (*measures, *past.BUCKETS)),
            (rest, "day", past.other_days(), (*measures, *past.BUCKETS)),
        ]
    parts = " UNION ALL ".join(
        f"SELECT {time} >= %(middle)s AS now, offering_id, tier, status, "
        f"{', '.join(f'sum({sql})::bigint AS {name}' for sql, name in zip(summed, past.ATTEMPTS, strict=True))} "
        f"FROM {table} r WHERE {where}{also} GROUP BY 1, 2, 3, 4"
        for table, time, where, summed in sources
    )
    rows = _asked(
        f"""
        SELECT found.now, found.offering_id, found.tier, found.status,
            {", ".join(f"sum({name})::bigint" for name in past.ATTEMPTS)}, offering.name, model.name
        FROM ({parts}) found
        LEFT JOIN catalog_offering offering ON offering.id = found.offering_id
        LEFT JOIN catalog_model model ON model.id = offering.model_id
        GROUP BY 1, 2, 3, 4, offering.name, model.name
        """,
        {**given, "first": since, "middle": scope.first},
    )
    by_status: dict[tuple[bool, str, str, int], dict[int, tuple[int, ...]]] = defaultdict(dict)
    for now, _, tier, status, *sums, offering, model in rows:
        by_status[now, offering, model, tier][status] = tuple(sums)
    found: dict[bool, list[OfferingSums]] = {True: [], False: []}
    for (now, offering, model, tier), those in by_status.items():
        answered, _, _, latency, *latencies = those.get(Status.OK, _NOTHING)
        attempts, tokens, unpriced, *_ = map(sum, zip(*those.values(), strict=True))
        found[now].append(
            OfferingSums(
                offering=offering, model=model, tier=TIERS[tier], attempts=attempts, answered=answered,
                failed=those.get(Status.ERROR, _NOTHING)[0], blocked=those.get(Status.BLOCKED, _NOTHING)[0],
                tokens=tokens, unpriced_tokens=unpriced, latency_ms=latency, latencies=tuple(latencies),
            )
        )  # fmt: skip
    for rows_of in found.values():
        rows_of.sort(key=lambda one: (-one.attempts, one.offering, one.tier))
    return found[True], found[False]
