"""Use cases: what calls are for. People make them, or an event does that names one; those wait for an owner."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from catalog.models import UNASSIGNED_ID, AmendmentKind, ClaimState, Team, UseCase, UseCaseAlias, UseCaseTeam
from catalog.services import amendments, moving, turns
from catalog.services.labels import LabelIsTaken, checked_label, since
from core.errors import Conflict, Invalid, NotFound


class TeamIsKnown(Conflict):
    """A later team is recorded already: move the use case from the instant it begins, or later."""


def get(name: str, *, at: datetime | None = None) -> UseCase:
    """Return the use case of a label: its own name, or with `at` an alias in force then. Two queries at most.

    Raises:
        NotFound: no use case has it.
    """
    _, folded = checked_label(name, field="use_case")
    found = UseCase.objects.filter(folded=folded).first()
    if found is None and at is not None:
        found = UseCase.objects.filter(aliases__folded=folded, aliases__valid__contains=at).first()
    if found is None:
        raise NotFound(f"There is no use case {name!r}.")
    return found


@transaction.atomic
def create(
    *,
    name: str,
    by: str,
    at: datetime,
    title: str = "",
    owner: str = "",
    data_class: str = "",
    team: Team | None = None,
    team_since: datetime | None = None,
) -> UseCase:
    """Make a use case, and give it to a team from `team_since` (or `at`) on.

    Raises:
        Invalid: the name cannot be a label.
        LabelIsTaken: a use case is called so, or is known by that alias.
    """
    turns.acting(by=by)
    tidy, folded = checked_label(name)
    if UseCaseAlias.objects.filter(folded=folded, valid__contains=at).exists():
        raise LabelIsTaken(f"{tidy!r} is another label of a use case already.")
    facts = {"name": tidy, "title": title, "owner": owner, "data_class": data_class}
    use_case, made = UseCase.objects.get_or_create(folded=folded, defaults=facts)
    if not made:
        raise LabelIsTaken(f"There is a use case {use_case.name!r} already.")
    if team is not None:
        assign_team(use_case=use_case, team=team, since_at=team_since or at, by=by)
    return use_case


@transaction.atomic
def change(
    *,
    use_case: UseCase,
    by: str,
    title: str | None = None,
    owner: str | None = None,
    data_class: str | None = None,
    reason: str = "",
) -> UseCase:
    """Change what is said of a use case; None leaves a field as it is."""
    turns.acting(by=by, reason=reason)
    given = {"title": title, "owner": owner, "data_class": data_class}
    changes = {name: value for name, value in given.items() if value is not None}
    if changes:
        UseCase.objects.filter(pk=use_case.pk).update(**changes)
        use_case.refresh_from_db()
    return use_case


@transaction.atomic
def add_alias(*, use_case: UseCase, label: str, since_at: datetime, by: str, reason: str = "") -> UseCaseAlias:
    """Let another label mean this use case from an instant on. Repeating changes nothing.

    Raises:
        Invalid: it cannot be a label.
        LabelIsTaken: it is a use case's own name, or an alias of another one.
    """
    turns.acting(by=by, reason=reason)
    found: UseCaseAlias = moving.also(UseCaseAlias, of=use_case, label=label, field="use_case", since_at=since_at)
    return found


@transaction.atomic
def assign_team(
    *, use_case: UseCase, team: Team, since_at: datetime, by: str, reason: str = "", at: datetime | None = None
) -> UseCaseTeam:
    """Let a team answer for a use case from an instant on; what was booked before stays with whom it was booked for.

    With `at`, the present, an instant before it amends the past: what was booked since then for the team that answered
    so far moves to the team. That are the calls that named no team, and those that named that one: nothing tells them
    apart. A team that answers from the very instant on is put right. Repeating changes nothing.

    Raises:
        Invalid: it is the use case of events that name none.
        TeamIsKnown: another team is recorded from a later instant on.
    """
    turns.acting(by=by, reason=reason)
    if use_case.pk == UNASSIGNED_ID:
        raise Invalid("Events that name no use case belong to no team.", [("use_case", "unassigned")])
    UseCase.objects.select_for_update().get(pk=use_case.pk)

    held = UseCaseTeam.objects.filter(use_case=use_case, valid__contains=since_at).first()
    if held is not None and held.team_id == team.pk:
        return held
    later = UseCaseTeam.objects.filter(use_case=use_case, valid__startswith__gt=since_at)
    if later.exclude(team=team).exists():
        raise TeamIsKnown(f"{use_case.name} has a team recorded from after {since_at:%Y-%m-%d %H:%M} on.")
    later.delete()  # the same team, which answers from sooner on now
    if held is not None and held.valid.lower == since_at:
        held.delete()
    elif held is not None:
        held.valid = since(held.valid.lower, since_at)
        held.save(update_fields=["valid"])
    if at is not None:
        amendments.note(
            kind=AmendmentKind.USE_CASE_TEAM,
            summary=f"{team.name} answers for {use_case.name}",
            use_case_id=use_case.pk,
            team_id=UNASSIGNED_ID if held is None else held.team_id,
            into_id=team.pk,
            starts_at=since_at,
            by=by,
            at=at,
            reason=reason,
        )
    return UseCaseTeam.objects.create(use_case=use_case, team=team, valid=since(since_at))


@transaction.atomic
def claim(*, use_case: UseCase, owner: str, by: str, at: datetime, team: Team | None = None, reason: str = "") -> bool:
    """Take charge of a use case that was made on sight; the team answers for it from its first event on.

    Says whether this call did it: somebody else may have been first, and then nothing changes.

    Raises:
        Invalid: no owner is named.
    """
    turns.acting(by=by, reason=reason)
    if not owner.strip():
        raise Invalid("Say who owns the use case.", [("owner", "empty")])
    waiting = UseCase.objects.filter(pk=use_case.pk, state=ClaimState.WAITING)
    claimed = waiting.update(state=ClaimState.CLAIMED, owner=owner.strip())
    use_case.refresh_from_db()
    if claimed and team is not None:
        assign_team(use_case=use_case, team=team, since_at=use_case.first_seen_at or at, by=by, reason=reason, at=at)
    return claimed == 1


@transaction.atomic
def merge(*, use_case: UseCase, into: UseCase, since_at: datetime, by: str, at: datetime, reason: str = "") -> None:
    """Let a use case's name mean another use case from an instant on, and have what was booked since moved there.

    Its other labels move too. Months that are closed stay as they are. One that was merged into this one
    before may take it up: its own name means itself again. Repeating changes nothing.

    Raises:
        Invalid: it is the use case of events that name none, or the same one.
        LabelIsTaken: its name means a third use case by then, or `into` has itself been assigned to one.
    """
    turns.acting(by=by, reason=reason)
    changed = moving.labels(UseCaseAlias, of=use_case, into=into, field="use_case", since_at=since_at)
    if changed:
        amendments.note(
            kind=AmendmentKind.USE_CASE,
            summary=f"{use_case.name} is {into.name}",
            use_case_id=use_case.pk,
            into_id=into.pk,
            starts_at=since_at,
            by=by,
            at=at,
            reason=reason,
        )
