"""What gateways call an offering, over a time."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from catalog.models import Alias, Offering
from catalog.services.labels import folded_alias, since
from core.errors import Conflict, Invalid
from core.services import audit


class NameIsTaken(Conflict):
    """The name means something else during part of that time."""


@transaction.atomic
def assign(
    *, name: str, offering: Offering, by: str, since_at: datetime, until: datetime | None = None, reason: str = ""
) -> Alias:
    """Let a gateway's name mean an offering over [since_at, until).

    An alias of another offering that is open when this one begins ends there: that is how a name moves on. A name that
    means this offering during all of that time already stays as it is.

    Raises:
        Invalid: the name cannot be sent by a gateway, or the time is empty.
        NameIsTaken: another offering has the name during a part of that time, and not just until it begins.
    """
    audit.acting(by=by, reason=reason)
    folded = folded_alias(name)
    if until is not None and until <= since_at:
        raise Invalid("The name would hold for no time at all.", [("until", "not after its beginning")])

    valid = since(since_at, until)
    before = list(Alias.objects.select_for_update().filter(name=folded, valid__overlap=valid).order_by("valid"))
    for held in before:
        if held.offering_id == offering.pk and _covers(held.valid, valid):
            return held
        ends_here = held.valid.upper is None and held.valid.lower is not None and held.valid.lower < since_at
        if held.offering_id == offering.pk or not ends_here:
            raise NameIsTaken(f"{folded!r} means {held.offering} during a part of that time.")
        held.valid = since(held.valid.lower, since_at)
        held.save(update_fields=["valid"])
    return Alias.objects.create(name=folded, offering=offering, valid=valid)


@transaction.atomic
def end(*, alias: Alias, by: str, at: datetime, reason: str = "") -> None:
    """Let a name mean nothing from an instant on. One that has not begun by then is removed; repeating is harmless."""
    audit.acting(by=by, reason=reason)
    held = Alias.objects.select_for_update().filter(pk=alias.pk).first()
    if held is None or (held.valid.upper is not None and held.valid.upper <= at):
        return
    if held.valid.lower is not None and held.valid.lower >= at:
        held.delete()
        return
    held.valid = since(held.valid.lower, at)
    held.save(update_fields=["valid"])


def _covers(outer: DateTimeTZRange, inner: DateTimeTZRange) -> bool:
    begins = outer.lower is None or (inner.lower is not None and outer.lower <= inner.lower)
    ends = outer.upper is None or (inner.upper is not None and inner.upper <= outer.upper)
    return bool(begins and ends)
