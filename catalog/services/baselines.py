"""The baseline of a use case: the one offering that all of its calls would go to without routing."""

from __future__ import annotations

from collections.abc import Collection

from django.db import transaction
from django.db.models import Q

from catalog.models import ClaimState, Offering, Price, UseCase
from catalog.services import turns
from core.errors import Invalid

REASON_CHARACTERS = 300


class NoBaseline(Invalid):
    """The offering has no price, or is really another one: nothing can be told against it."""


@transaction.atomic
def choose(
    *, use_cases: Collection[UseCase], offering: Offering | None, by: str, reason: str, only_without: bool = False
) -> int:
    """Let what these use cases saved be told against an offering, or, with None, against nothing.

    With `only_without`, those that have a baseline keep it. Says how many changed; repeating changes nothing. Savings
    of the past are told against it, too, at the prices of their days. No figure of the ledger changes.

    Raises:
        Invalid: no reason, or one that is too long.
        NoBaseline: the offering has no price, or was merged into another.
    """
    reason = reason.replace("\x00", "").strip()
    if not reason:
        raise Invalid("This needs a reason.", [("reason", "Say why: it is kept in the audit trail.")])
    if len(reason) > REASON_CHARACTERS:
        raise Invalid("This reason is too long.", [("reason", f"At most {REASON_CHARACTERS} characters.")])
    turns.acting(by=by, reason=reason)
    if offering is not None:
        _check(offering)
    # A change that changes nothing leaves nothing in the trail.
    changing = UseCase.objects.filter(pk__in=[one.pk for one in use_cases])
    if only_without or offering is None:
        changing = changing.filter(baseline__isnull=only_without)
    else:
        changing = changing.exclude(baseline=offering)
    if only_without and offering is None:
        return 0
    return changing.update(baseline=offering)


def _check(offering: Offering) -> None:
    if offering.state == ClaimState.MERGED:
        said = f"{offering.name} is really another offering: choose that one."
        raise NoBaseline(said, [("baseline", said)])
    of_offering = Q(series__provider=offering.provider_id, series__model=offering.model_id)
    if not Price.objects.filter(of_offering, recorded__upper_inf=True).exists():
        said = f"{offering.name} has no price: nothing can be told against it before it has one."
        raise NoBaseline(said, [("baseline", said)])
