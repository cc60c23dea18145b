"""What the pages of alerts need beside the alerts themselves: names of what they are about, and what people did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models.functions import Lower

from alerts.models import Alert
from alerts.selectors.alerts import AlertRow
from budgets.models import Budget
from catalog.models import Gateway, Team
from core.selectors import trail

LATELY = timedelta(days=3)  # what was not delivered stands out for so long
_MOST_STEPS = 200


@dataclass(frozen=True, kw_only=True)
class Names:
    """Names by id, in their order; budgets without the one of the daily check."""

    teams: Mapping[int, str]
    budgets: Mapping[int, str]
    gateways: Mapping[int, str]


@dataclass(frozen=True, kw_only=True)
class Step:
    """Something that was done to an alert: its state moved, or its sleep."""

    at: datetime
    by: str  # empty: its cause has passed
    state: str  # the new one; empty where it stayed
    asleep_until: datetime | None
    woken: bool


def names(*, rows: Iterable[AlertRow] = ()) -> Names:
    """Return every team and budget, and the gateways that these alerts are about. Two queries, or three."""
    gateways = {row.subject_id for row in rows if row.subject_kind == "gateway" and row.subject_id is not None}
    found = Gateway.objects.filter(pk__in=gateways).values_list("pk", "name") if gateways else ()
    return Names(
        teams=dict(Team.objects.order_by(Lower("name"), "pk").values_list("pk", "name")),
        budgets=dict(Budget.objects.filter(canary=False).order_by(Lower("name"), "pk").values_list("pk", "name")),
        gateways=dict(found),
    )


def steps(*, alert_id: int) -> list[Step]:
    """Return what was done to an alert, as the audit trail has it, the earliest first. One query."""
    lines = trail.of_row(table=Alert._meta.db_table, row=str(alert_id), limit=_MOST_STEPS)
    found = []
    for line in reversed(lines):
        if line.operation != "update":
            continue
        changed = {one.column: one for one in line.differences}
        state, asleep = changed.get("state"), changed.get("snoozed until")
        if state is None and asleep is None:
            continue
        found.append(
            Step(
                at=line.at,
                by=line.actor,
                state=state.after if state else "",
                asleep_until=datetime.fromisoformat(asleep.after) if asleep and asleep.after else None,
                woken=asleep is not None and not asleep.after and state is None,
            )
        )
    return found
