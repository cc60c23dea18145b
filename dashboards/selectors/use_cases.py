"""The lists of use cases and of teams: what each cost of late, on what, and which budgets are near their limit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models.functions import Lower

from budgets.selectors import definitions
from budgets.selectors import overview as budgets
from budgets.selectors.overview import BudgetRow
from catalog.models import ClaimState, Team, Tier, UseCase
from dashboards.selectors.budgets import at_risk, risk
from dashboards.selectors.catalog import spend_days
from usage.models import Status
from usage.selectors.overview import share

PER_PAGE = 50
MOST_OFFERED = 300
ORDERS = {
    "spend": "cost_usd DESC, requests DESC",
    "name": "",
    "change": "comparable_usd - before_usd DESC",
    "per_1000": "per_1000_usd DESC NULLS LAST",
    "frontier": "frontier_share DESC NULLS LAST",
    "seen": "first_seen_at DESC NULLS LAST",
}
STATES = (ClaimState.CLAIMED.value, ClaimState.WAITING.value)
NOBODY = "none"  # in place of a team: those that no team answers for

# A use case that was merged into another keeps its row: its name is an alias of the other one, with the past below it.
_FOUND = f"""
WITH used AS (
    SELECT {{key}} AS id,
        coalesce(sum(cost_usd) FILTER (WHERE day >= %(first)s), 0) AS cost_usd,
        coalesce(sum(cost_usd) FILTER (WHERE day >= %(first)s AND day < %(today)s), 0) AS comparable_usd,
        coalesce(sum(cost_usd) FILTER (WHERE day < %(first)s), 0) AS before_usd,
        coalesce(sum(requests) FILTER (WHERE day >= %(first)s), 0) AS requests,
        coalesce(sum(requests) FILTER (WHERE day >= %(first)s AND status = {int(Status.OK)}), 0) AS answered,
        coalesce(sum(requests) FILTER (WHERE day >= %(first)s AND status = {int(Status.OK)}
            AND tier = {int(Tier.FRONTIER)}), 0) AS on_frontier,
        coalesce(sum(unpriced_tokens) FILTER (WHERE day >= %(first)s), 0) AS unpriced_tokens
    FROM rollup_day WHERE day >= %(before)s AND day < %(until)s GROUP BY 1
), known AS (
    SELECT u.*, coalesce(cost_usd, 0) AS cost_usd, coalesce(comparable_usd, 0) AS comparable_usd,
        coalesce(before_usd, 0) AS before_usd, coalesce(requests, 0) AS requests, coalesce(answered, 0) AS answered,
        coalesce(on_frontier, 0) AS on_frontier, coalesce(unpriced_tokens, 0) AS unpriced_tokens,
        CASE WHEN cost_usd <> 0 OR unpriced_tokens = 0 THEN cost_usd * 1000 / nullif(requests, 0) END AS per_1000_usd,
        on_frontier::numeric / nullif(answered, 0) AS frontier_share
    FROM ({{rows}}) u LEFT JOIN used ON used.id = u.id
)
SELECT *, count(*) OVER () AS found FROM known WHERE {{where}}
ORDER BY {{order}} LIMIT %(most)s OFFSET %(skip)s
"""
_USE_CASES = """
    SELECT c.id, c.name, c.folded, c.title, c.owner, c.data_class, c.state, c.first_seen_at,
        t.id AS team_id, t.name AS team, o.name AS baseline
    FROM catalog_usecase c
    LEFT JOIN catalog_usecaseteam h ON h.use_case_id = c.id AND h.valid @> %(at)s
    LEFT JOIN catalog_team t ON t.id = h.team_id
    LEFT JOIN catalog_offering o ON o.id = c.baseline_id
"""
_TEAMS = """
    SELECT t.id, t.name, t.folded, t.state, t.first_seen_at,
        (SELECT count(*) FROM catalog_usecaseteam h WHERE h.team_id = t.id AND h.valid @> %(at)s) AS use_cases
    FROM catalog_team t
"""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A use case or team, and what was booked for it in the last `SPEND_DAYS` days, today included.

    `comparable_usd` is of those that are over, `before_usd` of as many right before.
    """

    id: int
    name: str
    state: str
    first_seen_at: datetime | None
    cost_usd: Decimal
    comparable_usd: Decimal
    before_usd: Decimal
    requests: int
    answered: int
    on_frontier: int
    unpriced_tokens: int
    per_1000_usd: Decimal | None
    title: str = ""
    owner: str = ""
    data_class: str = ""
    team_id: int | None = None
    team: str | None = None
    baseline: str | None = None
    use_cases: int = 0  # that a team answers for
    budgets: Sequence[BudgetRow] = ()  # that name it and are at risk, most at risk first

    @property
    def frontier_share(self) -> Decimal | None:
        return share(self.on_frontier, self.answered)

    @property
    def known(self) -> bool:
        return bool(self.cost_usd) or not self.unpriced_tokens


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is looked for: words that all occur in names, titles, owners or aliases; empty says any."""

    words: Sequence[str] = ()
    state: str = ""
    team: str = ""  # a team's id, or NOBODY
    owner: str = ""
    data_class: str = ""
    order: str = "spend"


@dataclass(frozen=True, kw_only=True)
class Found:
    """A page of the list, and how many there are in all."""

    lines: Sequence[Line]
    found: int


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the list can be narrowed by."""

    teams: Sequence[tuple[int, str]]
    owners: Sequence[str]
    data_classes: Sequence[str]


def use_cases(*, at: datetime, zone: str, wanted: Wanted, page: int = 1) -> Found:
    """Return a page of use cases. Seven queries at most, one of them over `rollup_day`; more after a change of budgets.

    Those that were merged into another are found only by the name, and come last.
    """
    where, given = _looked_for(wanted, "folded || ' ' || lower(title) || ' ' || lower(owner)", "usecase", "use_case")
    for column in ("owner", "data_class"):
        if value := getattr(wanted, column):
            given[column] = value
            where.append(f"{column} = %({column})s")
    if wanted.team == NOBODY:
        where.append("team_id IS NULL")
    elif wanted.team:
        given["team"] = int(wanted.team)
        where.append("team_id = %(team)s")
    if not wanted.words:
        where.append("state <> 'merged'")
    return _found("use_case", _USE_CASES, where, given, at=at, zone=zone, order=wanted.order, page=page)


def teams(*, at: datetime, zone: str, wanted: Wanted, page: int = 1) -> Found:
    """Return a page of teams. Queries as `use_cases`."""
    where, given = _looked_for(wanted, "folded", "team", "team")
    if not wanted.words:
        where.append("state <> 'merged'")
    return _found("team", _TEAMS, where, given, at=at, zone=zone, order=wanted.order, page=page)


def waiting() -> tuple[int, int]:
    """Return how many use cases and teams wait for an owner. Two queries."""
    found = [table.objects.filter(state=ClaimState.WAITING).count() for table in (UseCase, Team)]
    return found[0], found[1]


def choices() -> Choices:
    """Return what the list can be narrowed by. Three queries."""
    use_cases = UseCase.objects.order_by()
    return Choices(
        teams=list(Team.objects.order_by(Lower("name"), "pk").values_list("pk", "name")[:MOST_OFFERED]),
        owners=sorted(use_cases.exclude(owner="").values_list("owner", flat=True).distinct()[:MOST_OFFERED]),
        data_classes=sorted(
            use_cases.exclude(data_class="").values_list("data_class", flat=True).distinct()[:MOST_OFFERED]
        ),
    )


def _looked_for(wanted: Wanted, text: str, table: str, column: str) -> tuple[list[str], dict[str, Any]]:
    where, given = ["true"], {}
    for n, word in enumerate(wanted.words):
        given[f"word{n}"] = word.casefold()
        where.append(
            f"(strpos({text}, %(word{n})s) > 0 OR EXISTS (SELECT FROM catalog_{table}alias a "
            f"WHERE a.{column}_id = known.id AND strpos(a.folded, %(word{n})s) > 0))"
        )
    if wanted.state:
        given["state"] = wanted.state
        where.append("state = %(state)s")
    return where, given


def _found(
    dimension: str,
    rows: str,
    where: list[str],
    given: dict[str, Any],
    *,
    at: datetime,
    zone: str,
    order: str,
    page: int,
) -> Found:
    first, until = spend_days(at=at, zone=zone)
    given |= {
        "at": at, "first": first, "until": until, "today": until - timedelta(days=1),
        "before": _before(first, until), "most": PER_PAGE, "skip": (page - 1) * PER_PAGE,
    }  # fmt: skip
    by = ", ".join(part for part in ("state = 'merged'", ORDERS[order], "folded", "id") if part)
    sql = _FOUND.format(key=f"{dimension}_id", rows=rows, where=" AND ".join(where), order=by)
    with connection.cursor() as cursor:
        cursor.execute(sql, given)
        names = [column.name for column in cursor.description]
        found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    of_these = _at_risk(at=at, dimension=dimension, names={row["name"] for row in found})
    return Found(lines=[_line(row, of_these.get(row["name"], ())) for row in found], found=_count(found))


def _before(first: date, until: date) -> date:
    """Return the first of as many days before the range as it has days that are over."""
    return first - (until - timedelta(days=1) - first)


def _count(rows: Sequence[Mapping[str, Any]]) -> int:
    return int(rows[0]["found"]) if rows else 0


def _line(row: Mapping[str, Any], near: Sequence[BudgetRow]) -> Line:
    given = {name: value for name, value in row.items() if name not in ("found", "folded", "frontier_share")}
    for name in ("requests", "answered", "on_frontier", "unpriced_tokens"):
        given[name] = int(given[name])
    return Line(**given, budgets=near)


def _at_risk(*, at: datetime, dimension: str, names: Collection[str]) -> dict[str, list[BudgetRow]]:
    """Return the budgets at risk that name one of these, by the name."""
    scopes = {
        one.id: one.scope[dimension] & set(names)
        for one in definitions.current().by_id.values()
        if dimension in one.scope and one.scope[dimension] & set(names)
    }
    found: dict[str, list[BudgetRow]] = defaultdict(list)
    for row in sorted(budgets.rows(at=at, only=scopes.keys()), key=risk):
        if at_risk(row):
            for name in scopes[row.id]:
                found[name].append(row)
    return found
