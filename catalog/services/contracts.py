"""Negotiated terms: a discount on list, or prices of its own, for a provider, an offering or a gateway.

A contract is known by its name. What it says over a time is replaced as a price is: the old row's `recorded` is closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import connection, transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from catalog.models import AmendmentKind, Contract, Gateway, Offering, Provider
from catalog.services import amendments, prices, turns
from catalog.services.labels import rests, since
from core.errors import Conflict, Invalid, NotFound

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

    Own prices carry their own time; they hold only while the contract does, whatever its terms are by then. What was
    recorded of the contract for that time is replaced. Two with the same scope may hold at once: see Note [Which price
    holds]. Repeating changes nothing.

    Raises:
        Invalid: it has no name or no one scope, says nothing, a figure cannot be, or a price is of another's offering.
        OtherScope: a contract of that name has another scope.
    """
    turns.acting(by=by, reason=note)
    name = " ".join(name.split())
    problems = _problems(name, (provider, offering, gateway), discount_percent, approved_by, valid_from, valid_until)
    problems += _foreign(own_prices, provider, offering)
    if problems:
        raise Invalid(" ".join(sentence for _, sentence in problems), problems)
    _lock(name)
    named = Contract.objects.filter(name=name).order_by("id")
    first = named.first()
    if not own_prices and discount_percent is None and first is None:
        sentence = "Give a discount, or a price of its own."
        raise Invalid(sentence, [("discount_percent", sentence)])
    scope = {"provider": provider, "offering": offering, "gateway": gateway}
    if first is not None and any(
        getattr(first, f"{kind}_id") != getattr(one, "pk", None) for kind, one in scope.items()
    ):
        raise OtherScope(f"The contract {name!r} is with another {_scope_of(first)}.")

    valid = since(valid_from, valid_until)
    held = list(named.filter(recorded__upper_inf=True, valid__overlap=valid).order_by("valid"))
    same = len(held) == 1 and held[0].discount_percent == discount_percent and not rests(valid, held[0].valid)
    if same:
        contract = held[0]
    else:
        recorded_at, anew = _closed(name, held, valid, at)
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
        ends = [valid_until, *(one.valid_until for one in own_prices if written)]
        amendments.note(
            kind=AmendmentKind.CONTRACT,
            summary=f"contract {name}",
            offerings=_concerned(provider, offering, own_prices if gateway is None else ()),
            gateway_id=None if gateway is None else gateway.pk,
            starts_at=min([valid_from, *(one.valid_from for one in own_prices)]),
            ends_at=None if None in ends else max(one for one in ends if one is not None),
            by=by,
            at=at,
            reason=note,
        )
    return contract


@transaction.atomic
def end(*, name: str, ends_at: datetime, by: str, approved_by: str, at: datetime, note: str = "") -> bool:
    """Say that a contract holds no longer from an instant on, its own prices neither; repeating changes nothing.

    Says whether it held after that. An instant before `at`, the present, amends the past.

    Raises:
        NotFound: there is no contract of that name.
        Invalid: nobody approved it.
    """
    turns.acting(by=by, reason=note)
    name = " ".join(name.split())
    if not approved_by.strip():
        raise Invalid("Say who approved the end.", [("approved_by", "Say who approved the end.")])
    _lock(name)
    first = Contract.objects.filter(name=name).order_by("id").first()
    if first is None:
        raise NotFound(f"There is no contract {name!r}.")
    over = since(ends_at)
    held = list(Contract.objects.filter(name=name, recorded__upper_inf=True, valid__overlap=over).order_by("valid"))
    if not held:
        return False
    _, anew = _closed(name, held, over, at)
    for rest in anew:
        rest.approved_by, rest.note = approved_by, note or rest.note
    Contract.objects.bulk_create(anew)
    amendments.note(
        kind=AmendmentKind.CONTRACT,
        summary=f"contract {name} ends",
        offerings=_concerned(first.provider, first.offering, ()),
        gateway_id=first.gateway_id,
        starts_at=ends_at,
        by=by,
        at=at,
        reason=note,
    )
    return True


def _lock(name: str) -> None:
    """Let whoever sets terms of a name wait for who was first; a new name has no row that could be locked."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"contract {name}"])


def _closed(
    name: str, held: Sequence[Contract], valid: DateTimeTZRange, at: datetime
) -> tuple[datetime, list[Contract]]:
    """Close the record of what terms say; return when, and the rows, still to be made, of what is left beside `valid`.

    Of two changes at one instant the second is recorded after the first, or the first would have held for no time.
    """
    before = Contract.objects.filter(name=name, valid__overlap=valid, recorded__endswith__gt=at)
    ended = before.values_list("recorded__endswith", flat=True)
    recorded_at = max([at, *(one.recorded.lower + _ONE_TICK for one in held), *ended])
    anew = []
    for one in held:
        Contract.objects.filter(pk=one.pk).update(recorded=since(one.recorded.lower, recorded_at))
        for rest in rests(one.valid, valid):
            kept = Contract.objects.get(pk=one.pk)
            kept.pk, kept.valid, kept.recorded = None, rest, since(recorded_at)
            anew.append(kept)
    return recorded_at, anew


def _foreign(
    own_prices: Sequence[prices.NewPrice], provider: Provider | None, offering: Offering | None
) -> list[tuple[str, str]]:
    """Say which prices can never hold, because the contract is with somebody else."""
    return [
        ("own_prices", f"The contract has no say on {one.offering.name}.")
        for one in own_prices
        if (offering is not None and one.offering.pk != offering.pk)
        or (provider is not None and one.offering.provider_id != provider.pk)
    ]


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
