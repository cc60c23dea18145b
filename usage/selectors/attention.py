"""What waits for a person: usage without a price, names that nobody knows, models without a tier, use cases and teams.

Figures come from sums: of all that the ledger keeps for what is unpriced (by an index of it), else of the last days.
Why something is unpriced is told from the newest entries of the ledger's index of unpriced ones, a bounded number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection

from catalog.models import UNASSIGNED_ID
from catalog.rules import METERS, REQUESTS, Book
from core import periods
from usage.rules.postings import METER_COLUMNS
from usage.rules.rating import METER_WITHOUT_PRICE, NO_PRICE, NOT_COUNTED, PRICED, UNKNOWN_CONTEXT, rate
from usage.selectors import world as worlds

DAYS = 30  # full days before today, and today
NEWEST = 200  # entries of an offering that are looked at for the reason why they have no price

_TOKENS = " + ".join(f"r.{name}" for name in METER_COLUMNS[:REQUESTS])
_WAITS = "(r.unpriced_requests <> 0 OR r.unpriced_tokens <> 0)"


def _in_dropped_month(clock: str) -> str:
    """Say in SQL whether a day at a time, on the organisation's clock, is of a UTC month that was dropped."""
    zone = "(SELECT zone FROM core_organisation WHERE id = 1)"
    return (
        f"date_trunc('month', (r.day + time '{clock}') AT TIME ZONE {zone} AT TIME ZONE 'UTC')::date IN "
        "(SELECT month FROM usage_droppedpartition WHERE \"table\" = 'ledger')"
    )


# Entries that were dropped wait for no price any more, though the sums of their days stay.
_KEPT = f"NOT ({_in_dropped_month('00:00')} AND {_in_dropped_month('23:59:59.999999')})"
# What no gateway counted waits for no price: it is a list of its own.
_STILL = "(sum(r.unpriced_requests) > sum(r.uncounted_requests) OR sum(r.unpriced_tokens) > 0)"
_UNCOUNTED = f"(sum(r.uncounted_requests) > 0 AND NOT {_STILL})"
_NO_TIER = """
    o.state <> 'merged' AND (o.retired_at IS NULL OR o.retired_at > %(at)s)
    AND NOT EXISTS (SELECT FROM catalog_offeringtier t WHERE t.offering_id = o.id AND t.valid @> %(at)s)
"""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How much waits in each list. `uncounted` are offerings with nothing but requests that no gateway counted."""

    unpriced: int
    uncounted: int
    names: int
    unclassified: int
    use_cases: int
    teams: int

    @property
    def total(self) -> int:
        return self.unpriced + self.names + self.unclassified + self.use_cases + self.teams


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why entries have no price. `code` is one of `usage.models.Unpriced`; 0 says that there is a price by now."""

    code: int
    meters: tuple[str, ...] = ()  # those without a price, where that is why
    service_tier: str = ""  # where nothing is priced for it


@dataclass(frozen=True, kw_only=True)
class Reported:
    """What gateways called a model, and which gateways did, by the newest entries that have no price."""

    names: tuple[str, ...]
    gateways: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class UnpricedLine:
    """An offering with entries that have no cost; `uncounted` are requests whose tokens no gateway counted."""

    id: int
    name: str
    state: str
    tokens: int
    requests: int
    uncounted: int
    first_day: date
    last_day: date
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, kw_only=True)
class NameLine:
    """An offering made on sight that nobody has taken charge of. Sums are of the last days.

    `first_day` is the first that something is known of: without a price at any time, or booked in the last days.
    """

    id: int
    name: str
    first_seen_at: datetime | None
    first_day: date | None
    last_day: date | None
    tokens: int
    requests: int
    cost_usd: Decimal
    unpriced_tokens: int
    reported: Reported


@dataclass(frozen=True, kw_only=True)
class UnclassifiedLine:
    """An offering without a tier; sums are of the last days."""

    id: int
    name: str
    state: str
    first_seen_at: datetime | None
    tokens: int
    requests: int
    cost_usd: Decimal
    unpriced_tokens: int


@dataclass(frozen=True, kw_only=True)
class LabelLine:
    """A use case or a team that was made on sight and waits for an owner. Sums are of the last days.

    `beside` are the teams that called for the use case, or the use cases that the team called for. `first_day` is the
    first of a use case, and of the last days for a team.
    """

    id: int
    name: str
    first_seen_at: datetime | None
    first_day: date | None
    last_day: date | None
    tokens: int
    requests: int
    cost_usd: Decimal
    unpriced_tokens: int
    beside: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Unassigned:
    """What was booked in the last days for no use case, and for no team."""

    no_use_case_tokens: int
    no_use_case_requests: int
    no_team_tokens: int
    no_team_requests: int


def days(*, at: datetime, zone: str) -> tuple[date, date]:
    """Return the last days, today included, as [first, until)."""
    today = periods.local_day(at, zone)
    return today - timedelta(days=DAYS - 1), today + timedelta(days=1)


def counts(*, at: datetime) -> Counts:
    """Return how much waits in each list. One query."""
    row = _rows(
        f"""
        SELECT
            (SELECT count(*) FROM (
                SELECT FROM rollup_day r WHERE {_WAITS} AND {_KEPT} GROUP BY r.offering_id HAVING {_STILL}
            ) waiting),
            (SELECT count(*) FROM (
                SELECT FROM rollup_day r WHERE {_WAITS} AND {_KEPT} GROUP BY r.offering_id HAVING {_UNCOUNTED}
            ) waiting),
            (SELECT count(*) FROM catalog_offering WHERE state = 'waiting'),
            (SELECT count(*) FROM catalog_offering o WHERE {_NO_TIER}),
            (SELECT count(*) FROM catalog_usecase WHERE state = 'waiting'),
            (SELECT count(*) FROM catalog_team WHERE state = 'waiting')
        """,
        {"at": at},
    )[0]
    unpriced, uncounted, names, unclassified, use_cases, teams = map(int, row)
    return Counts(
        unpriced=unpriced, uncounted=uncounted, names=names, unclassified=unclassified, use_cases=use_cases,
        teams=teams,
    )  # fmt: skip


def unpriced(*, most: int, skip: int = 0, uncounted: bool = False) -> list[UnpricedLine]:
    """Return offerings with entries that have no cost, most tokens first, with the reasons.

    `uncounted` asks for those instead that have nothing but requests whose tokens no gateway counted: no price helps
    them. Three queries at most, and a reload of the catalogue where it changed since this process last looked.
    """
    rows = _rows(
        f"""
        SELECT r.offering_id, o.name, o.state, sum(r.unpriced_tokens), sum(r.unpriced_requests),
            sum(r.uncounted_requests), min(r.day) FILTER (WHERE r.unpriced_requests > 0),
            max(r.day) FILTER (WHERE r.unpriced_requests > 0)
        FROM rollup_day r JOIN catalog_offering o ON o.id = r.offering_id
        WHERE {_WAITS} AND {_KEPT}
        GROUP BY r.offering_id, o.name, o.state HAVING {_UNCOUNTED if uncounted else _STILL}
        ORDER BY 4 DESC, 5 DESC, o.name LIMIT %(most)s OFFSET %(skip)s
        """,
        {"most": most, "skip": skip},
    )
    if not rows:
        return []
    reasons = _reasons([row[0] for row in rows])
    return [
        UnpricedLine(
            id=id_, name=name, state=state, tokens=int(tokens), requests=int(requests), uncounted=int(uncounted),
            first_day=first, last_day=last, reasons=reasons.get(id_, ()),
        )
        for id_, name, state, tokens, requests, uncounted, first, last in rows
    ]  # fmt: skip


def _reasons(ids: Sequence[int]) -> dict[int, tuple[Reason, ...]]:
    """Return why the newest unpriced entries of offerings are so, by the prices as they are now. Two queries.

    What was reversed is left out: a reversal is newer than its entry, so it is looked at wherever its entry is. Where
    all that was looked at was priced since, the offering has no reason.
    """
    used = ", ".join(f"(e.{name} <> 0)::int AS used{n}" for n, name in enumerate(METER_COLUMNS))
    flags = ", ".join(f"used{n}" for n in range(len(METER_COLUMNS)))
    rows = _rows(
        f"""
        WITH newest AS MATERIALIZED (
            SELECT o.id AS of_id, lines.*
            FROM unnest(%(ids)s::bigint[]) AS o(id) CROSS JOIN LATERAL (
                SELECT e.id, e.kind, e.corrects_id, e.counted, e.service_tier, e.gateway_id, e.occurred_at, {used}
                FROM ledger e WHERE e.offering_id = o.id AND e.unpriced > 0 ORDER BY e.id DESC LIMIT {NEWEST}
            ) lines
        )
        SELECT n.of_id, counted, service_tier, gateway_id, max(occurred_at), {flags}
        FROM newest n
        WHERE kind = 1 AND NOT EXISTS (SELECT FROM newest c WHERE c.kind = 2 AND c.corrects_id = n.id)
        GROUP BY n.of_id, counted, service_tier, gateway_id, {flags}
        """,
        {"ids": list(ids)},
    )
    book = worlds.current().book
    found: dict[int, set[Reason]] = {}
    for id_, counted, service_tier, gateway, occurred_at, *flags_of in rows:
        reason = Reason(code=NOT_COUNTED)
        if counted:
            reason = _reason(book, id_, service_tier, gateway, occurred_at, tuple(flags_of))
        found.setdefault(id_, set()).add(reason)
    return {id_: _told(reasons) for id_, reasons in found.items()}


def _reason(
    book: Book, offering: int, service_tier: str, gateway: int, occurred_at: datetime, used: tuple[int, ...]
) -> Reason:
    given: dict[str, Any] = {
        "book": book, "offering": offering, "service_tier": service_tier, "timestamp": occurred_at.timestamp(),
        "gateway": gateway,
    }  # fmt: skip
    code = rate(**given, meters=used).unpriced
    if code == METER_WITHOUT_PRICE:
        alone = (tuple(int(n == meter) for n in range(len(METERS))) for meter, count in enumerate(used) if count)
        missing = tuple(METERS[one.index(1)] for one in alone if rate(**given, meters=one).unpriced)
        return Reason(code=code, meters=missing)
    return Reason(code=code, service_tier=service_tier if code == UNKNOWN_CONTEXT else "")


def _told(reasons: set[Reason]) -> tuple[Reason, ...]:
    """Put reasons in an order, and the meters that have no price into one."""
    meters = {meter for one in reasons for meter in one.meters}
    told = {one for one in reasons if not one.meters}
    if meters:
        told.add(Reason(code=METER_WITHOUT_PRICE, meters=tuple(meter for meter in METERS if meter in meters)))
    order = (NO_PRICE, METER_WITHOUT_PRICE, UNKNOWN_CONTEXT, NOT_COUNTED, PRICED)
    return tuple(sorted(told, key=lambda one: (order.index(one.code), one.service_tier)))


def names(*, at: datetime, zone: str, most: int, skip: int = 0) -> list[NameLine]:
    """Return offerings made on sight that wait, most tokens first. Two queries at most."""
    rows = _rows(
        f"""
        WITH waiting AS (SELECT id, name, first_seen_at FROM catalog_offering WHERE state = 'waiting'),
        used AS ({_used("offering_id", "g.name", "JOIN catalog_gateway g ON g.id = r.gateway_id")})
        SELECT w.id, w.name, w.first_seen_at,
            least(u.first_day, (SELECT min(r.day) FROM rollup_day r WHERE r.offering_id = w.id AND {_WAITS})),
            u.last_day, coalesce(u.tokens, 0), coalesce(u.requests, 0), coalesce(u.cost_usd, 0),
            coalesce(u.unpriced_tokens, 0), u.beside
        FROM waiting w LEFT JOIN used u ON u.id = w.id
        ORDER BY coalesce(u.tokens, 0) DESC, w.first_seen_at DESC NULLS LAST, w.name LIMIT %(most)s OFFSET %(skip)s
        """,
        _given(at, zone) | {"most": most, "skip": skip},
    )
    if not rows:
        return []
    called = _called([row[0] for row in rows])
    return [
        NameLine(
            id=id_, name=name, first_seen_at=seen, first_day=first, last_day=last, tokens=int(tokens),
            requests=int(requests), cost_usd=Decimal(cost), unpriced_tokens=int(waits),
            reported=Reported(names=called.get(id_, ()), gateways=tuple(gateways or ())),
        )
        for id_, name, seen, first, last, tokens, requests, cost, waits, gateways in rows
    ]  # fmt: skip


def _called(ids: Sequence[int]) -> dict[int, tuple[str, ...]]:
    """Return what gateways called offerings, by the newest of their entries that have no price. One query."""
    rows = _rows(
        f"""
        SELECT o.id, array_agg(DISTINCT newest.reported_model)
        FROM unnest(%(ids)s::bigint[]) AS o(id) CROSS JOIN LATERAL (
            SELECT e.reported_model
            FROM ledger e WHERE e.offering_id = o.id AND e.unpriced > 0 ORDER BY e.id DESC LIMIT {NEWEST}
        ) newest WHERE newest.reported_model <> '' GROUP BY o.id
        """,
        {"ids": list(ids)},
    )
    # Kept as provider/model: where nobody named a provider, there is nothing before the stroke.
    return {id_: tuple(name.removeprefix("/") for name in found) for id_, found in rows}


def unclassified(*, at: datetime, zone: str, most: int, skip: int = 0) -> list[UnclassifiedLine]:
    """Return offerings in use without a tier, most tokens first, those that are not used last. One query."""
    rows = _rows(
        f"""
        WITH waiting AS (SELECT o.id, o.name, o.state, o.first_seen_at FROM catalog_offering o WHERE {_NO_TIER}),
        used AS ({_used("offering_id")})
        SELECT w.id, w.name, w.state, w.first_seen_at, coalesce(u.tokens, 0), coalesce(u.requests, 0),
            coalesce(u.cost_usd, 0), coalesce(u.unpriced_tokens, 0)
        FROM waiting w LEFT JOIN used u ON u.id = w.id
        ORDER BY 5 DESC, 6 DESC, w.name LIMIT %(most)s OFFSET %(skip)s
        """,
        _given(at, zone) | {"most": most, "skip": skip},
    )
    return [
        UnclassifiedLine(
            id=id_, name=name, state=state, first_seen_at=seen, tokens=int(tokens), requests=int(requests),
            cost_usd=Decimal(cost), unpriced_tokens=int(waits),
        )
        for id_, name, state, seen, tokens, requests, cost, waits in rows
    ]  # fmt: skip


def use_cases(*, at: datetime, zone: str, most: int, skip: int = 0) -> list[LabelLine]:
    """Return use cases that wait for an owner, most tokens first, with the teams that called for them. One query."""
    return _labels("catalog_usecase", "use_case_id", "catalog_team", "team_id", at, zone, most, skip)


def teams(*, at: datetime, zone: str, most: int, skip: int = 0) -> list[LabelLine]:
    """Return teams that wait for an owner, most tokens first, with the use cases they called for. One query."""
    return _labels("catalog_team", "team_id", "catalog_usecase", "use_case_id", at, zone, most, skip)


def _labels(
    table: str, column: str, beside: str, beside_column: str, at: datetime, zone: str, most: int, skip: int
) -> list[LabelLine]:
    first = "u.first_day"
    if column == "use_case_id":  # the sums' own key: cheap for all time
        first = "(SELECT min(r.day) FROM rollup_day r WHERE r.use_case_id = w.id)"
    rows = _rows(
        f"""
        WITH waiting AS (SELECT id, name, first_seen_at FROM {table} WHERE state = 'waiting'),
        used AS ({_used(column, "b.name", f"JOIN {beside} b ON b.id = r.{beside_column}")})
        SELECT w.id, w.name, w.first_seen_at, {first}, u.last_day, coalesce(u.tokens, 0), coalesce(u.requests, 0),
            coalesce(u.cost_usd, 0), coalesce(u.unpriced_tokens, 0), u.beside
        FROM waiting w LEFT JOIN used u ON u.id = w.id
        ORDER BY coalesce(u.tokens, 0) DESC, w.first_seen_at DESC NULLS LAST, w.name LIMIT %(most)s OFFSET %(skip)s
        """,
        _given(at, zone) | {"most": most, "skip": skip},
    )
    return [
        LabelLine(
            id=id_, name=name, first_seen_at=seen, first_day=first_day, last_day=last, tokens=int(tokens),
            requests=int(requests), cost_usd=Decimal(cost), unpriced_tokens=int(waits), beside=tuple(others or ()),
        )
        for id_, name, seen, first_day, last, tokens, requests, cost, waits, others in rows
    ]  # fmt: skip


def unassigned(*, at: datetime, zone: str) -> Unassigned:
    """Return what was booked in the last days for no use case, and for no team. One query."""
    row = _rows(
        f"""
        SELECT coalesce(sum({_TOKENS}) FILTER (WHERE r.use_case_id = %(none)s), 0),
            coalesce(sum(r.requests) FILTER (WHERE r.use_case_id = %(none)s), 0),
            coalesce(sum({_TOKENS}) FILTER (WHERE r.team_id = %(none)s), 0),
            coalesce(sum(r.requests) FILTER (WHERE r.team_id = %(none)s), 0)
        FROM rollup_day r
        WHERE r.day >= %(first)s AND r.day < %(until)s AND (r.use_case_id = %(none)s OR r.team_id = %(none)s)
        """,
        _given(at, zone) | {"none": UNASSIGNED_ID},
    )[0]
    return Unassigned(
        no_use_case_tokens=int(row[0]), no_use_case_requests=int(row[1]),
        no_team_tokens=int(row[2]), no_team_requests=int(row[3]),
    )  # fmt: skip


def first_day(*, of: str, id: int) -> date | None:
    """Return the first day on which an `offering`, a `team` or a `use_case` was named at all. One query.

    Over all days save for a use case: for forms, not for lists.
    """
    column = {"offering": "offering_id", "team": "team_id", "use_case": "use_case_id"}[of]
    found: date | None = _rows(
        f"SELECT min(r.day) FROM rollup_day r WHERE r.{column} = %(id)s AND r.requests > 0", {"id": id}
    )[0][0]
    return found


def _used(column: str, beside: str = "NULL", join: str = "") -> str:
    """Return the sums of the last days per what waits; `beside` is named with them, each once."""
    named = "NULL" if beside == "NULL" else f"array_agg(DISTINCT {beside}) FILTER (WHERE r.requests > 0)"
    return f"""
        SELECT r.{column} AS id, sum({_TOKENS}) AS tokens, sum(r.requests) AS requests, sum(r.cost_usd) AS cost_usd,
            sum(r.unpriced_tokens) AS unpriced_tokens, min(r.day) FILTER (WHERE r.requests > 0) AS first_day,
            max(r.day) FILTER (WHERE r.requests > 0) AS last_day, {named} AS beside
        FROM rollup_day r {join}
        WHERE r.day >= %(first)s AND r.day < %(until)s AND r.{column} IN (SELECT id FROM waiting)
        GROUP BY r.{column}
    """


def _given(at: datetime, zone: str) -> dict[str, Any]:
    first, until = days(at=at, zone=zone)
    return {"at": at, "first": first, "until": until}


def _rows(sql: str, given: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, given)
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found
