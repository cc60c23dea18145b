"""What gateways call an offering, over a time."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.db.models import Q

from catalog.models import Alias, AmendmentKind, Offering
from catalog.rules import clean_name, offering_name, tidy_provider
from catalog.services import amendments, turns
from catalog.services.labels import folded_alias, since
from core.errors import Conflict, Invalid


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

    An alias of another offering that is open when this one begins ends there: that is how a name moves on. One for the
    very same time is put right. A name that means this offering for a part of the time already does so for all of it;
    for all of the time, it stays as it is. With `at`, the present, a beginning before it amends the past: calls that
    were reported under the name since then move to the offering.

    Raises:
        Invalid: the name cannot be sent by a gateway, or the time is empty.
        NameIsTaken: another offering has the name during a part of that time, and not just until it begins.
    """
    turns.acting(by=by, reason=reason)
    folded = folded_alias(name)
    if until is not None and until <= since_at:
        raise Invalid("The name would hold for no time at all.", [("until", "not after its beginning")])

    valid = since(since_at, until)
    before = list(Alias.objects.select_for_update().filter(name=folded, valid__overlap=valid).order_by("valid"))
    for held in before:
        if held.offering_id == offering.pk and _covers(held.valid, valid):
            return held
    for held in before:
        begins_before = held.valid.lower is None or held.valid.lower < since_at
        if held.offering_id == offering.pk:
            valid = _both(valid, held.valid)
            held.delete()
        elif held.valid == since(since_at, until):
            held.delete()
        elif begins_before and held.valid.upper is None:
            held.valid = since(held.valid.lower, since_at)
            held.save(update_fields=["valid"])
        else:
            raise NameIsTaken(f"{folded!r} means {held.offering} during a part of that time.")
    made = Alias.objects.create(name=folded, offering=offering, valid=valid)
    if at is not None:
        meant = {held.offering_id for held in before}
        meant |= set(_called(folded, meant))
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


def _called(folded: str, meant: Collection[int]) -> list[int]:
    """Return offerings that calls under a name may have been booked on while it was no alias, or meant others.

    Those are the ones that are called so, and those of the model that the name alone means, at the named provider or,
    for a name alone, at any.
    """
    provider, _, model = folded.partition("/")
    called = Q(name__istartswith=f"{clean_name(folded.replace('@', '-'))}@") | Q(default_of__name__iexact=folded)
    called |= Q(model__in=Offering.objects.filter(pk__in=meant).values("model"))
    if model:
        called |= Q(name__iexact=offering_name(clean_name(model.replace("@", "-")), tidy_provider(provider)))
        alone = Offering.objects.filter(Q(aliases__name=model) | Q(default_of__name__iexact=model))
        called |= Q(provider__name__iexact=tidy_provider(provider), model__in=alone.values("model"))
    return list(Offering.objects.filter(called).values_list("id", flat=True).distinct())


@transaction.atomic
def end(*, alias: Alias, by: str, at: datetime, reason: str = "") -> None:
    """Let a name mean nothing from an instant on. One that has not begun by then is removed; repeating is harmless."""
    turns.acting(by=by, reason=reason)
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


def _both(one: DateTimeTZRange, other: DateTimeTZRange) -> DateTimeTZRange:
    """Return the time of two ranges that overlap."""
    lower = None if None in (one.lower, other.lower) else min(one.lower, other.lower)
    return since(lower, None if None in (one.upper, other.upper) else max(one.upper, other.upper))
