"""What a draft's page says of its schedule, and the steps on it: schedule, move, cancel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest
from django.utils import timezone

from dashboards.forms import Told
from dashboards.forms_prices import written
from dashboards.forms_rules_schedule import RescheduleForm, ScheduleForm, UnscheduleForm
from dashboards.views.rules_shown import moment
from dashboards.views.rules_step import Step
from routing.selectors import schedules as rows
from routing.selectors.proposals import ProposalRow
from routing.services import schedules as service


def shown(request: HttpRequest, row: ProposalRow) -> dict[str, Any]:
    """Return what the page of a draft shows of its schedule. Two queries for what is approved, none for others."""
    if row.state != "approved":
        return {}
    past = rows.of_proposal(proposal_id=row.id)
    zone = timezone.get_current_timezone_name()
    present = {"publish_at": written(row.scheduled_at, zone), "seen": row.scheduled_at and row.scheduled_at.isoformat()}
    return {
        "scheduled": bool(row.scheduled_at),
        "suspended": past[0] if past and past[0].state == "suspended" else None,
        # The first of them that is published makes the others stale.
        "others": [one for one in rows.waiting(environment=row.environment) if one.proposal_id != row.id],
        "may_schedule": request.user.has_perm("rules.publish"),
        "schedule_form": ScheduleForm(),
        "reschedule_form": RescheduleForm(initial=present),
        "unschedule_form": UnscheduleForm(),
    }


def _schedule(one: Step) -> None:
    one.seen()
    made = service.schedule(
        proposal_id=one.id, publish_at=one.data["publish_at"], by=one.by, at=timezone.now()
    )  # fmt: skip
    messages.success(
        one.request,
        f"Scheduled for {moment(made.publish_at)}. It is published then in your name, if nothing stands against it.",
    )


def _reschedule(one: Step) -> None:
    one.seen()
    moved = service.move(
        proposal_id=one.id, publish_at=one.data["publish_at"], seen=one.data["seen"], by=one.by, at=timezone.now()
    )
    messages.success(one.request, f"Scheduled for {moment(moved.publish_at)} now, in the name of {moved.made_by}.")


def _unschedule(one: Step) -> None:
    service.cancel(proposal_id=one.id, why=one.data["why"], by=one.by, at=timezone.now())
    messages.success(one.request, "The schedule is cancelled. The draft stays approved.")


FORMS: dict[str, type[Told]] = {
    "schedule": ScheduleForm, "reschedule": RescheduleForm, "unschedule": UnscheduleForm,
}  # fmt: skip
STEPS: dict[str, tuple[str, Callable[[Step], None]]] = {
    "schedule": ("rules.publish", _schedule),
    "reschedule": ("rules.publish", _reschedule),
    "unschedule": ("rules.publish", _unschedule),
}
