"""Teams: who pays. Made by people, or on sight by an event that names one; then they wait for an owner."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from catalog.models import UNASSIGNED_ID, AmendmentKind, ClaimState, Team, TeamAlias, UseCaseTeam
from catalog.services import amendments, moving, turns
from catalog.services.labels import LabelIsTaken, checked_label
from core.errors import Invalid, NotFound


def get(name: str, *, at: datetime | None = None) -> Team:
    """Return the team of a label: its own name, or with `at` an alias in force then. Two queries at most.

    Raises:
        NotFound: no team has it.
    """
    _, folded = checked_label(name, field="team")
    found = Team.objects.filter(folded=folded).first()
    if found is None and at is not None:
        found = Team.objects.filter(aliases__folded=folded, aliases__valid__contains=at).first()
    if found is None:
        raise NotFound(f"There is no team {name!r}.")
    return found


@transaction.atomic
def create(*, name: str, by: str, at: datetime) -> Team:
    """Make a team.

    Raises:
        Invalid: the name cannot be a label.
        LabelIsTaken: a team is called so, or is known by that alias.
    """
    turns.acting(by=by)
    tidy, folded = checked_label(name)
    if TeamAlias.objects.filter(folded=folded, valid__contains=at).exists():
        raise LabelIsTaken(f"{tidy!r} is another label of a team already.")
    team, made = Team.objects.get_or_create(folded=folded, defaults={"name": tidy})
    if not made:
        raise LabelIsTaken(f"There is a team {team.name!r} already.")
    return team


@transaction.atomic
def change(*, team: Team, name: str, by: str, at: datetime, reason: str = "") -> Team:
    """Give a team another name. The old one stays known as an alias, so that events that carry it still belong here.

    Where the old name means another team for a time, it goes on to do so.

    Raises:
        Invalid: the name cannot be a label, or the team is the one of events that name none.
        LabelIsTaken: another team has the name, or has had it as another label.
    """
    turns.acting(by=by, reason=reason)
    tidy, folded = checked_label(name)
    if team.pk == UNASSIGNED_ID:
        raise Invalid("The team of events that name none keeps its name.", [("name", "cannot change")])
    team = Team.objects.select_for_update().get(pk=team.pk)
    if Team.objects.filter(folded=folded).exclude(pk=team.pk).exists():
        raise LabelIsTaken(f"There is a team {tidy!r} already.")
    if TeamAlias.objects.filter(folded=folded).exclude(team=team).exists():
        raise LabelIsTaken(f"{tidy!r} is, or was, another label of another team.")
    before = team.folded
    team.name, team.folded = tidy, folded
    team.save(update_fields=["name", "folded"])
    if before != folded:
        for gap in moving.gaps(TeamAlias.objects.filter(folded=before), since_at=None):
            TeamAlias.objects.create(folded=before, team=team, valid=gap)
    return team


@transaction.atomic
def add_alias(*, team: Team, label: str, since_at: datetime, by: str, reason: str = "") -> TeamAlias:
    """Let another label mean this team from an instant on. Repeating changes nothing.

    Raises:
        Invalid: it cannot be a label.
        LabelIsTaken: it is a team's own name, or an alias of another one.
    """
    turns.acting(by=by, reason=reason)
    found: TeamAlias = moving.also(TeamAlias, of=team, label=label, field="team", since_at=since_at)
    return found


@transaction.atomic
def claim(*, team: Team, by: str, reason: str = "") -> bool:
    """Say that a team made on sight is a real one. Says whether this call did it."""
    turns.acting(by=by, reason=reason)
    claimed = Team.objects.filter(pk=team.pk, state=ClaimState.WAITING).update(state=ClaimState.CLAIMED)
    team.refresh_from_db(fields=["state"])
    return claimed == 1


@transaction.atomic
def merge(*, team: Team, into: Team, since_at: datetime, by: str, at: datetime, reason: str = "") -> None:
    """Let a team's name mean another team from an instant on, and have what was booked since moved there.

    Its other labels move too, and the use cases it answers for. Months that are closed stay as they are. One that was
    merged into this one before may take it up: its own name means itself again. Repeating changes nothing.

    Raises:
        Invalid: it is the team of events that name none, or the same one.
        LabelIsTaken: its name means a third team by then, or `into` has itself been assigned to one.
    """
    turns.acting(by=by, reason=reason)
    changed = moving.labels(TeamAlias, of=team, into=into, field="team", since_at=since_at)
    answered = UseCaseTeam.objects.filter(team=team)
    changed |= moving.move_on(answered, field="team", into=into, since_at=since_at)
    if changed:
        amendments.note(
            kind=AmendmentKind.TEAM,
            summary=f"{team.name} is {into.name}",
            team_id=team.pk,
            into_id=into.pk,
            starts_at=since_at,
            by=by,
            at=at,
            reason=reason,
        )
