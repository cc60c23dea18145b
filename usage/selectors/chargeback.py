"""What the books of a month charge to whom: sums by team, use case, model and tier, from `rollup_day` alone.

Days are the organisation's and sums go by `booked_at`, as in every total: what was booked late for closed months stands
in the month that it was booked in, in cells of its own (`correction_of`). So a month's own use and its adjustments of
earlier months add up to what was booked in it, to the last decimal.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import ROUND_DOWN, Decimal, localcontext
from typing import Any

from django.db import connection

from catalog.models import Tier
from usage.models import Status
from usage.selectors import overview, past

_ZERO = Decimal(0)
_DIGITS = 80  # sums have more digits than a Decimal context's usual 28
_SHARE_PLACES = Decimal("1e-6")
_TIERS: dict[int, str] = {number: str(label) for number, label in Tier.choices}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Measures of a cell or of several. The meters are disjoint; a request is an attempt as a gateway reported it."""

    cost_usd: Decimal = _ZERO
    requests: int = 0
    uncached_input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    image_input_tokens: int = 0
    image_output_tokens: int = 0
    web_searches: int = 0
    unpriced_tokens: int = 0
    unpriced_requests: int = 0
    uncounted_requests: int = 0  # the gateway gave no token counts
    answered: int = 0  # requests with status ok
    on_frontier: int = 0  # of those answered

    @property
    def input_tokens(self) -> int:
        """All input: cached, audio and image included, as `GET spend` counts it."""
        return (
            self.uncached_input_tokens
            + self.cache_read_tokens
            + self.cache_write_tokens
            + self.audio_input_tokens
            + self.image_input_tokens
        )

    @property
    def all_output_tokens(self) -> int:
        return self.output_tokens + self.audio_output_tokens + self.image_output_tokens

    @property
    def cache_write_tokens(self) -> int:
        return self.cache_write_5m_tokens + self.cache_write_1h_tokens

    @property
    def other_tokens(self) -> int:
        """Audio and image, in and out."""
        return (
            self.audio_input_tokens + self.audio_output_tokens + self.image_input_tokens + self.image_output_tokens
        )  # fmt: skip

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.all_output_tokens

    @property
    def frontier_share(self) -> Decimal | None:
        """Share on frontier: of requests with status ok; None of none."""
        return overview.share(self.on_frontier, self.answered)

    @property
    def priced_share(self) -> Decimal | None:
        """Tokens on priced entries over tokens, rounded down, so 1 says all of them; None where there are no tokens."""
        found = overview.share(self.tokens - self.unpriced_tokens, self.tokens)
        return None if found is None else found.quantize(_SHARE_PLACES, rounding=ROUND_DOWN)

    @property
    def known(self) -> bool:
        """Whether the cost says anything: where everything used has no price, it is not zero but unknown."""
        return self.cost_usd != 0 or self.tokens == 0 or self.unpriced_tokens < self.tokens

    @property
    def empty(self) -> bool:
        return not any(getattr(self, name) for name in MEASURES)


MEASURES = tuple(each.name for each in fields(Sums))


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanCell:
    """Own use of one team, use case, model and tier within one of several spans of days, by its place among them."""

    span: int
    team_id: int
    team: str
    use_case: str
    model: str
    tier: str
    sums: Sums


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Sums of one team, use case, offering and tier, of the month's own use or of what came late for one closed month.

    `comparable_usd` is the own use of the days that are compared, `before_usd` that of the days they are compared with.
    """

    team_id: int
    team: str
    use_case_id: int
    use_case: str
    offering: str
    model: str
    tier: str
    correction_of: date | None  # None: the month's own use
    sums: Sums
    comparable_usd: Decimal
    before_usd: Decimal


@dataclass(frozen=True, kw_only=True)
class Days:
    """The days [first, until) of a month, and what is compared: [first, comparable_until) with [before, before_until).

    The days before lie before the month.
    """

    first: date
    until: date
    comparable_until: date
    before: date
    before_until: date


@dataclass(frozen=True, kw_only=True)
class Reason:
    """A restatement that ended within the time asked for and touched a closed month: why, and on whose word."""

    month: date
    key: str  # of `usage.selectors.corrections`
    summary: str
    reason: str
    by: str
    at: datetime


def added(sums: Iterable[Sums]) -> Sums:
    """Return the exact sum."""
    found: dict[str, Any] = dict.fromkeys(MEASURES, 0)
    with localcontext() as context:
        context.prec = _DIGITS
        for each in sums:
            for name in MEASURES:
                found[name] += getattr(each, name)
    return Sums(**found | {"cost_usd": Decimal(found["cost_usd"])})


def plus(values: Iterable[Decimal]) -> Decimal:
    """Return the exact sum."""
    with localcontext() as context:
        context.prec = _DIGITS
        return sum(values, _ZERO)


_COUNTED = {
    "answered": f"coalesce(sum(r.requests) FILTER (WHERE r.status = {Status.OK.value}), 0)",
    "on_frontier": "coalesce(sum(r.requests) FILTER (WHERE "
    f"r.status = {Status.OK.value} AND r.tier = {Tier.FRONTIER.value}), 0)",
}
_SUMS = ", ".join(f"{_COUNTED.get(name, f'sum(r.{name})')} AS {name}" for name in MEASURES)
_COMPARED = (
    "coalesce(sum(r.cost_usd) FILTER (WHERE r.correction_of = 0 AND "
    "(r.day >= %(first)s AND r.day < %(comparable_until)s OR r.day < %(before_until)s)), 0)"
)


def cells(*, days: Days, team_id: int | None = None, use_case_id: int | None = None) -> list[Cell]:
    """Return what was booked in a month, of one team or use case where asked for, dearest first. One query."""
    scope = _scope(team_id, use_case_id)
    only = "".join(f" AND r.{column} = %({column})s" for column in scope)
    statement = f"""
        WITH s AS (
            SELECT r.day >= %(first)s AS here, r.team_id, r.use_case_id, r.offering_id, r.tier, r.correction_of,
                {_SUMS}, {_COMPARED} AS compared_usd
            FROM {past.sums_of_days(first="%(before)s")} r WHERE r.day >= %(before)s AND r.day < %(until)s{only}
            GROUP BY 1, 2, 3, 4, 5, 6
        )
        SELECT s.here, s.team_id, t.name, s.use_case_id, u.name, o.name, m.name, s.tier, s.correction_of,
            s.compared_usd, {", ".join(f"s.{name}" for name in MEASURES)}
        FROM s
        LEFT JOIN catalog_team t ON t.id = s.team_id
        LEFT JOIN catalog_usecase u ON u.id = s.use_case_id
        LEFT JOIN catalog_offering o ON o.id = s.offering_id
        LEFT JOIN catalog_model m ON m.id = o.model_id
    """
    given = {name: getattr(days, name) for name in ("first", "until", "comparable_until", "before", "before_until")}
    with connection.cursor() as cursor:
        cursor.execute(statement, given | scope)
        found = [_cell(row) for row in cursor.fetchall()]
    wanted = [cell for cell in found if not cell.sums.empty or cell.before_usd or cell.comparable_usd]
    return sorted(
        wanted,
        key=lambda one: (one.team, one.use_case, -one.sums.cost_usd, one.offering, one.correction_of or date.min),
    )


def by_span(spans: Sequence[tuple[date, date]]) -> list[SpanCell]:
    """Return the own use of each span [first, until) of days, without what came late for closed months. One query."""
    statement = f"""
        WITH span AS (
            SELECT * FROM unnest(%(firsts)s::date[], %(untils)s::date[]) WITH ORDINALITY AS span(first, until, place)
        ), s AS (
            SELECT span.place, r.team_id, r.use_case_id, r.offering_id, r.tier, {_SUMS}
            FROM span JOIN rollup_day r ON r.day >= span.first AND r.day < span.until AND r.correction_of = 0
            GROUP BY 1, 2, 3, 4, 5
        )
        SELECT s.place, s.team_id, t.name, u.name, m.name, s.tier, {", ".join(f"s.{name}" for name in MEASURES)}
        FROM s
        LEFT JOIN catalog_team t ON t.id = s.team_id
        LEFT JOIN catalog_usecase u ON u.id = s.use_case_id
        LEFT JOIN catalog_offering o ON o.id = s.offering_id
        LEFT JOIN catalog_model m ON m.id = o.model_id
    """
    given = {"firsts": [first for first, _ in spans], "untils": [until for _, until in spans]}
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        return [
            SpanCell(
                span=place - 1,
                team_id=team_id,
                team=team or f"#{team_id}",
                use_case=use_case or "none",
                model=model or "none",
                tier=_TIERS[tier],
                sums=_measured(measures),
            )
            for place, team_id, team, use_case, model, tier, *measures in cursor.fetchall()
        ]


def _scope(team_id: int | None, use_case_id: int | None) -> dict[str, int]:
    given = {"team_id": team_id, "use_case_id": use_case_id}
    return {name: number for name, number in given.items() if number is not None}


def _cell(row: tuple[Any, ...]) -> Cell:
    here, team_id, team, use_case_id, use_case, offering, model, tier, correction, compared, *measures = row
    return Cell(
        # A row of the catalogue is never deleted; should one be missing, its money must not be missing too.
        team_id=team_id,
        team=team or f"#{team_id}",
        use_case_id=use_case_id,
        use_case=use_case or f"#{use_case_id}",
        offering=offering or "none",
        model=model or offering or "none",
        tier=_TIERS[tier],
        correction_of=_month(correction) if correction else None,
        sums=_measured(measures) if here else Sums(),
        comparable_usd=compared if here else _ZERO,
        before_usd=_ZERO if here else compared,
    )


def _measured(values: Sequence[Any]) -> Sums:
    given: dict[str, Any] = {
        name: value if name == "cost_usd" else int(value) for name, value in zip(MEASURES, values, strict=True)
    }
    return Sums(**given)


def _month(number: int) -> date:
    return date(number // 100, number % 100, 1)


def booked_later(
    *, month: date, until: date, team_id: int | None = None, use_case_id: int | None = None
) -> dict[date, Sums]:
    """Return what was booked for a closed month in later ones, by the month it was booked in. One query.

    `until` is the first day after the closed month.
    """
    scope = _scope(team_id, use_case_id)
    only = "".join(f" AND r.{column} = %({column})s" for column in scope)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT date_trunc('month', r.day)::date, sum(r.cost_usd), sum(r.requests) FROM rollup_day r "
            "WHERE r.day >= %(until)s AND r.correction_of <> 0 AND r.correction_of = %(month)s"
            f"{only} GROUP BY 1 ORDER BY 1",
            {"until": until, "month": month.year * 100 + month.month, **scope},
        )
        return {
            booked_in: Sums(cost_usd=cost, requests=int(requests)) for booked_in, cost, requests in cursor.fetchall()
        }


def reasons(
    *, months: Collection[date], use_cases: Collection[int], starts_at: datetime, ends_at: datetime
) -> list[Reason]:
    """Return the restatements that ended in [starts_at, ends_at) and touched these months and any of the use cases.

    By month, oldest first. Prices that arrived keep no sums by month, and are left out. One query, none without months.
    """
    if not months:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT each.month, coalesce('a' || a.id, 'j' || r.job_id), coalesce(a.summary, r.kind), r.reason, r.by, r.at
            FROM usage_restatement r
            CROSS JOIN unnest(%(months)s::text[]) AS each(month)
            LEFT JOIN usage_correction c ON c.job_id = r.job_id
            LEFT JOIN catalog_amendment a ON a.id = c.amendment_id
            WHERE r.at >= %(starts_at)s AND r.at < %(ends_at)s AND jsonb_exists(r.before -> 'months', each.month)
                AND jsonb_exists_any(r.before -> 'use_cases', %(use_cases)s::text[])
            ORDER BY each.month, r.at, r.id
            LIMIT 200
            """,
            {
                "months": [f"{month:%Y-%m}" for month in sorted(months)],
                "use_cases": [str(use_case) for use_case in sorted(use_cases)],
                "starts_at": starts_at,
                "ends_at": ends_at,
            },
        )
        return [
            Reason(month=date.fromisoformat(f"{month}-01"), key=key or "", summary=summary, reason=reason, by=by, at=at)
            for month, key, summary, reason, by, at in cursor.fetchall()
        ]
