"""What gateways call an offering, over a time."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.db.models import Q

from catalog.models import Alias, AmendmentKind, Offering
from catalog.rules import clean_name, offering_name, tidy_provider
from catalog.services import amendments
from catalog.services.labels import folded_alias, since
from core.errors import Conflict, Invalid
from core.services import audit


class NameIsTaken(Conflict):
    """The name means something else during part of that time."""


@transaction.atomic
def assign(
    *,
    name: str,
    offering: Offering,
    by: str,
    since_at: datetime,
    until: datetime | None = None,
    reason: str = "",
    at: datetime | None = None,
) -> Alias:
    """Let a gateway's name mean an offering over [since_at, until).

    An alias of another offering that is open when this one begins ends there: that is how a name moves on. A name that
    means this offering during all of that time already stays as it is. With `at`, the present, a beginning before it
    amends the past: calls that were reported under the name since then move to the offering.

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
    made = Alias.objects.create(name=folded, offering=offering, valid=valid)
    if at is not None:
        meant = {held.offering_id for held in before} | set(_called(folded))
        amendments.note(
            kind=AmendmentKind.OFFERING,
            summary=f"{folded} means {offering.name}",
            offerings=meant - {offering.pk},
            into_id=offering.pk,
            starts_at=since_at,
            ends_at=until,
            by=by,
            at=at,
            reason=reason,
        )
    return made


def _called(folded: str) -> list[int]:
    """Return offerings that calls under a name were booked on while it was no alias: those that are called so."""
    provider, _, model = folded.partition("/")
    called = Q(name__istartswith=f"{clean_name(folded.replace('@', '-'))}@") | Q(default_of__name__iexact=folded)
    if model:
        called |= Q(name__iexact=offering_name(clean_name(model.replace("@", "-")), tidy_provider(provider)))
    return list(Offering.objects.filter(called).values_list("id", flat=True))


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
