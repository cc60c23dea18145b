"""Dated rows that move on to another owner: names, labels, and the teams that answer for use cases."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.db.models import QuerySet

from catalog.models import UNASSIGNED_ID, ClaimState, Team, TeamAlias, UseCase, UseCaseAlias
from catalog.services.labels import LabelIsTaken, checked_label, since
from core.errors import Invalid


def move_on(rows: QuerySet[Any], *, field: str, into: Any, since_at: datetime) -> bool:
    """Let what the rows say from an instant on be said of `into`; before it, all stays. Says whether there was any.

    Takes part in the caller's transaction; `field` names the column of the owner.
    """
    held = list(rows.select_for_update().filter(valid__overlap=since(since_at)).order_by("pk"))
    for one in held:
        if one.valid.lower is not None and one.valid.lower >= since_at:
            setattr(one, field, into)
            one.save(update_fields=[field])
            continue
        later = since(since_at, one.valid.upper)
        one.valid = since(one.valid.lower, since_at)
        one.save(update_fields=["valid"])
        one.pk, one._state.adding, one.valid = None, True, later
        setattr(one, field, into)
        one.save()
    return bool(held)


def gaps(rows: QuerySet[Any], *, since_at: datetime | None) -> list[DateTimeTZRange]:
    """Return the parts of [since_at, forever) that none of the rows, which do not overlap, is about; None is open."""
    found = []
    reached = since_at
    for one in rows.filter(valid__overlap=since(since_at)).order_by("valid"):
        lower, upper = one.valid.lower, one.valid.upper
        if lower is not None and (reached is None or lower > reached):
            found.append(since(reached, lower))
        if upper is None:
            return found
        reached = upper
    return [*found, since(reached)]


def labels(
    aliases: type[UseCaseAlias] | type[TeamAlias],
    *,
    of: UseCase | Team,
    into: UseCase | Team,
    field: str,
    since_at: datetime,
) -> bool:
    """Let every label of a use case or team mean another one from an instant on; says whether any meant another thing.

    `aliases` is the table of its other labels and `field` their column of whom they mean. Both rows are locked; `of` is
    merged then, and `into` is not. Takes part in the caller's transaction.

    Raises:
        Invalid: `of` is the one of events that name none, or `into` itself.
        LabelIsTaken: its name means a third one by then, or `into` has itself been assigned to one.
    """
    word = field.replace("_", " ")
    kind = type(of)
    if of.pk in (UNASSIGNED_ID, into.pk):
        raise Invalid(f"Events that name no {word} cannot be assigned, and none to itself.", [("into", "cannot be")])
    list(kind.objects.select_for_update().filter(pk__in=[of.pk, into.pk]).order_by("pk"))
    since_then = aliases.objects.filter(valid__overlap=since(since_at)).exclude(**{f"{field}__in": [of, into]})
    if since_then.filter(folded=into.folded).exists():
        raise LabelIsTaken(f"{into.name!r} has been assigned to another {word} itself.")
    third = since_then.filter(folded=of.folded).first()
    if third is not None:
        raise LabelIsTaken(f"{of.name!r} means {getattr(third, field).name!r} by then.")

    changed = move_on(aliases.objects.filter(**{field: of}), field=field, into=into, since_at=since_at)
    for gap in gaps(aliases.objects.filter(folded=of.folded), since_at=since_at):
        aliases.objects.create(folded=of.folded, valid=gap, **{field: into})
        changed = True
    kind.objects.filter(pk=of.pk).exclude(state=ClaimState.MERGED).update(state=ClaimState.MERGED)
    kind.objects.filter(pk=into.pk, state=ClaimState.MERGED).update(state=ClaimState.CLAIMED)
    of.refresh_from_db(fields=["state"])
    into.refresh_from_db(fields=["state"])
    return changed


def also(
    aliases: type[UseCaseAlias] | type[TeamAlias], *, of: UseCase | Team, label: str, field: str, since_at: datetime
) -> Any:
    """Let another label mean a use case or team from an instant on; returns its row. Repeating changes nothing.

    Raises:
        Invalid: it cannot be a label.
        LabelIsTaken: it is somebody's own name, or an alias of another one.
    """
    word = field.replace("_", " ")
    tidy, folded = checked_label(label, field="alias")
    if type(of).objects.filter(folded=folded).exists():
        raise LabelIsTaken(f"{tidy!r} is a {word}'s own name.")
    held: Any = aliases.objects.filter(folded=folded, valid__overlap=since(since_at)).first()
    if held is None:
        return aliases.objects.create(folded=folded, valid=since(since_at), **{field: of})
    if getattr(held, f"{field}_id") == of.pk and held.valid.upper is None:
        return held
    raise LabelIsTaken(f"{tidy!r} means another {word}, or this one for a time.")
