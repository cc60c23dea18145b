"""Questions about spend that only the ledger can answer, asked in the background and answered later.

The question travels as the arguments of a job of this kind, the answer as its result; both are plain JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.errors import NotFound
from core.models import Job
from usage.selectors import spend
from usage.selectors.spend_sums import USUAL

KIND = "spend_query"


@dataclass(frozen=True, kw_only=True)
class Query:
    """A question and how far it is. `answer` is as `GET spend` writes it, once there is one."""

    id: int
    state: str
    answer: dict[str, Any] | None
    error: str


def arguments(*, ask: spend.SpendAsk, complete_through: datetime | None) -> dict[str, Any]:
    """Return the question as a job carries it.

    `complete_through` is as of asking: the ledger is read later, so the answer is complete at least that far.
    """
    return {
        "from": ask.starts_at.isoformat(),
        "to": ask.ends_at.isoformat(),
        "zone": ask.zone,
        "group_by": list(ask.group_by),
        "filters": {name: list(values) for name, values in ask.filters.items()},
        "measures": list(ask.measures),
        "complete_through": spend.written_instant(complete_through) if complete_through else None,
    }


def run(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Answer a question from the ledger; what a worker calls. Running it again gives the answer anew.

    Raises:
        Invalid: as `spend.ledger_spend`; no use in trying again.
    """
    ask = spend.SpendAsk(
        starts_at=datetime.fromisoformat(arguments["from"]),
        ends_at=datetime.fromisoformat(arguments["to"]),
        zone=arguments["zone"],
        group_by=tuple(arguments["group_by"]),
        filters={name: tuple(values) for name, values in arguments["filters"].items()},
        measures=tuple(arguments.get("measures", USUAL)),  # questions asked before there was a choice have none
    )
    through = arguments["complete_through"]
    complete_through = datetime.fromisoformat(through) if through else None
    return spend.as_json(spend.ledger_spend(ask=ask), complete_through=complete_through)


def get(*, query_id: int) -> Query:
    """Return a question that was asked. One query.

    Raises:
        NotFound: there is none of that number.
    """
    job = Job.objects.filter(pk=query_id, kind=KIND).first()
    if job is None:
        raise NotFound(f"There is no query {query_id}.")
    return Query(id=job.pk, state=job.state, answer=job.result, error=job.error)
