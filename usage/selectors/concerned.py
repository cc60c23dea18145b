"""Which entries an amendment of the catalogue concerns, and what they should be by the catalogue as it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from catalog.models import UNASSIGNED_ID, Amendment, AmendmentKind
from catalog.rules import Book
from usage.rules.restating import Place

REPRICED = frozenset({AmendmentKind.PRICES, AmendmentKind.CONTRACT, AmendmentKind.OFFERING})


def reprices(amendment: Amendment, offering_id: int, place: Place) -> bool:
    """Say whether a call costs something else by an amendment; else it keeps what it costs, wherever it goes."""
    return amendment.kind in (AmendmentKind.PRICES, AmendmentKind.CONTRACT) or place.offering_id != offering_id


@dataclass(frozen=True, slots=True)
class Concerned:
    """The calls that an amendment is about, as conditions on the ledger's columns."""

    conditions: tuple[str, ...]
    parameters: dict[str, Any]
    starts_at: datetime | None
    ends_at: datetime | None

    def sql(self, alias: str = "e") -> str:
        """Return the conditions on the entries of a table alias, to be given `parameters`."""
        parts = [one.format(e=alias) for one in self.conditions]
        if self.starts_at is not None:
            parts.append(f"{alias}.occurred_at >= %(starts_at)s AND {alias}.booked_at >= %(starts_at)s")
        if self.ends_at is not None:
            parts.append(f"{alias}.occurred_at < %(ends_at)s")
        return " AND ".join(parts) or "true"


def by(amendment: Amendment) -> Concerned:
    """Return what an amendment concerns."""
    kind = amendment.kind
    conditions: list[str] = []
    parameters: dict[str, Any] = {"starts_at": amendment.starts_at, "ends_at": amendment.ends_at}

    def equal(column: str, value: int | None) -> None:
        if value is not None:
            conditions.append(f"{{e}}.{column} = %({column})s")
            parameters[column] = value

    if kind in (AmendmentKind.USE_CASE, AmendmentKind.TEAM, AmendmentKind.USE_CASE_TEAM):
        equal("use_case_id", amendment.use_case_id)
        equal("team_id", amendment.team_id)
    elif amendment.offerings or amendment.gateway_id is None:
        conditions.append("{e}.offering_id = ANY(%(offerings)s)")
        parameters["offerings"] = list(amendment.offerings)
    equal("gateway_id", amendment.gateway_id)
    return Concerned(tuple(conditions), parameters, amendment.starts_at, amendment.ends_at)


def use_cases(amendment: Amendment) -> list[int]:
    """Return use cases that have calls of what an amendment concerns. One query, over the rollup of days."""
    if amendment.kind in (AmendmentKind.USE_CASE, AmendmentKind.USE_CASE_TEAM) and amendment.use_case_id is not None:
        return [amendment.use_case_id]
    concerned = by(amendment)
    conditions = [one.format(e="r") for one in concerned.conditions]
    if concerned.starts_at is not None:
        conditions.append("r.day >= (%(starts_at)s - interval '1 day')::date")  # whatever zone the days are of
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT r.use_case_id FROM rollup_day r WHERE {' AND '.join(conditions) or 'true'} ORDER BY 1",
            concerned.parameters,
        )
        return [int(id_) for (id_,) in cursor.fetchall()]


def place(
    amendment: Amendment,
    book: Book,
    *,
    use_case_id: int,
    team_id: int,
    offering_id: int,
    tier: int,
    reported_model: str,
    occurred_at: datetime,
) -> Place:
    """Return what a concerned call belongs to by the catalogue as it is."""
    kind, into = amendment.kind, amendment.into_id
    if kind == AmendmentKind.USE_CASE and into is not None:
        # Who named no team belonged to the use case's; who named another is still that team's. Who named the use
        # case's own goes along, too: an entry does not say whether its team was named.
        theirs = book.team_of(use_case_id, occurred_at)
        ours = book.team_of(into, occurred_at)
        keeps = team_id not in (theirs, UNASSIGNED_ID) or ours is None
        return Place(into, team_id if keeps else int(ours or team_id), offering_id, tier)
    if kind == AmendmentKind.TEAM and into is not None:
        return Place(use_case_id, into, offering_id, tier)
    if kind == AmendmentKind.USE_CASE_TEAM:
        return Place(use_case_id, book.team_of(use_case_id, occurred_at) or team_id, offering_id, tier)
    if kind == AmendmentKind.OFFERING:
        means = _means(amendment, book, offering_id, reported_model, occurred_at)
        return Place(use_case_id, team_id, means, book.tier(means, occurred_at))
    if kind == AmendmentKind.TIER:
        return Place(use_case_id, team_id, offering_id, book.tier(offering_id, occurred_at))
    return Place(use_case_id, team_id, offering_id, tier)


def _means(amendment: Amendment, book: Book, offering_id: int, reported_model: str, occurred_at: datetime) -> int:
    """Resolve what a gateway reported anew; an entry that does not say it belongs where the amendment leads."""
    if not reported_model:
        return amendment.into_id if amendment.into_id is not None else offering_id
    provider, _, model = reported_model.partition("/")
    found = book.offering(provider, model, occurred_at)
    return found if isinstance(found, int) else offering_id
