"""Negotiated terms: a discount on list, or prices of its own, for a provider, an offering or a gateway.

A contract is known by its name. What it says over a time is replaced as a price is: the old row's `recorded` is closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction

from catalog.models import AmendmentKind, Contract, Gateway, Offering, Provider
from catalog.services import amendments, prices
from catalog.services.labels import rests, since
from core.errors import Conflict, Invalid
from core.services import audit

_ONE_TICK = timedelta(microseconds=1)
_PLACES = 4


class OtherScope(Conflict):
    """The contract of that name is with somebody else."""


@transaction.atomic
def set_terms(
    *,
    name: str,
    by: str,
    approved_by: str,
    at: datetime,
    valid_from: datetime,
    valid_until: datetime | None = None,
    provider: Provider | None = None,
    offering: Offering | None = None,
    gateway: Gateway | None = None,
    discount_percent: Decimal | None = None,
    own_prices: Sequence[prices.NewPrice] = (),
    note: str = "",
) -> Contract:
    """Record what a contract says over [valid_from, valid_until): a discount on list in per cent, own prices, or both.

    Own prices carry their own time; they hold only while the contract does. What was recorded of the contract for that
    time is replaced. Repeating changes nothing.

    Raises:
        Invalid: it has no name or no one scope, says nothing, or a figure cannot be.
        OtherScope: a contract of that name has another scope.
    """
    audit.acting(by=by, reason=note)
    name = " ".join(name.split())
    problems = _problems(name, (provider, offering, gateway), discount_percent, approved_by, valid_from, valid_until)
    named = Contract.objects.filter(name=name).order_by("id")
    first = named.first()
    if not own_prices and discount_percent is None and first is None:
        problems.append(("discount_percent", "Give a discount, or a price of its own."))
    if problems:
        raise Invalid(" ".join(sentence for _, sentence in problems), problems)
    scope = {"provider": provider, "offering": offering, "gateway": gateway}
    if first is not None and any(
        getattr(first, f"{kind}_id") != getattr(one, "pk", None) for kind, one in scope.items()
    ):
        raise OtherScope(f"The contract {name!r} is with another {_scope_of(first)}.")

    valid = since(valid_from, valid_until)
    list(named.select_for_update())
    held = list(named.filter(recorded__upper_inf=True, valid__overlap=valid).order_by("valid"))
    same = len(held) == 1 and held[0].discount_percent == discount_percent and not rests(valid, held[0].valid)
    if same:
        contract = held[0]
    else:
        recorded_at = max([at, *(one.recorded.lower + _ONE_TICK for one in held)])
        anew = []
        for one in held:
            Contract.objects.filter(pk=one.pk).update(recorded=since(one.recorded.lower, recorded_at))
            for rest in rests(one.valid, valid):
                kept = Contract.objects.get(pk=one.pk)
                kept.pk, kept.valid, kept.recorded = None, rest, since(recorded_at)
                anew.append(kept)
        contract = Contract(
            name=name,
            **scope,
            discount_percent=discount_percent,
            valid=valid,
            recorded=since(recorded_at),
            note=note,
            approved_by=approved_by,
        )
        Contract.objects.bulk_create([*anew, contract])
    written = prices.set_prices_of_contract(
        [replace(one, contract=first or contract) for one in own_prices], by=by, approved_by=approved_by, at=at
    )
    if not same or written:
        amendments.note(
            kind=AmendmentKind.CONTRACT,
            summary=f"contract {name}",
            offerings=_concerned(provider, offering, own_prices if gateway is None else ()),
            gateway_id=None if gateway is None else gateway.pk,
            starts_at=min([valid_from, *(one.valid_from for one in own_prices)]),
            ends_at=valid_until,
            by=by,
            at=at,
            reason=note,
        )
    return contract


def _problems(
    name: str,
    scopes: Sequence[Provider | Offering | Gateway | None],
    discount_percent: Decimal | None,
    approved_by: str,
    valid_from: datetime,
    valid_until: datetime | None,
) -> list[tuple[str, str]]:
    problems = []
    if not 0 < len(name) <= 128 or not name.isprintable():
        problems.append(("name", "Give the contract a name of 1 to 128 characters."))
    if sum(one is not None for one in scopes) != 1:
        problems.append(("provider", "A contract is for one provider, one offering or one gateway."))
    if discount_percent is not None:
        if not discount_percent.is_finite() or not 0 <= discount_percent <= 100:
            problems.append(("discount_percent", "A discount is 0 to 100 per cent."))
        elif discount_percent != round(discount_percent, _PLACES):
            problems.append(("discount_percent", f"A discount has at most {_PLACES} decimal places."))
    if valid_until is not None and valid_until <= valid_from:
        problems.append(("valid_until", "The contract would hold for no time at all."))
    if not approved_by.strip():
        problems.append(("approved_by", "Say who approved the contract."))
    return problems


def _scope_of(contract: Contract) -> str:
    return next(kind for kind in ("provider", "offering", "gateway") if getattr(contract, f"{kind}_id") is not None)


def _concerned(
    provider: Provider | None, offering: Offering | None, own_prices: Sequence[prices.NewPrice]
) -> list[int]:
    """Return the offerings whose calls may cost something else; none says all that the gateway served."""
    if offering is not None:
        return [offering.pk]
    if provider is not None:
        return list(Offering.objects.filter(provider=provider).values_list("id", flat=True))
    return [one.offering.pk for one in own_prices]
