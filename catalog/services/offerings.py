"""Providers, models, and models at providers: what has a price and a tier."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime

from django.db import transaction

from catalog.models import Alias, AmendmentKind, ClaimState, Model, Offering, OfferingTier, PriceSeries, Provider, Tier
from catalog.rules import UNKNOWN, offering_name
from catalog.services import aliases, amendments, turns
from catalog.services.labels import checked_name, since
from catalog.services.moving import gaps, move_on
from core.errors import Conflict, Invalid, NotFound


class TierIsKnown(Conflict):
    """A later tier is recorded already: set a tier from the instant it begins, or later."""


def get(name: str) -> Offering:
    """Return the offering written `model@provider`, or the default one of a model named alone. Two queries at most.

    Raises:
        NotFound: the catalogue has no such offering.
    """
    wanted = name.strip()
    found = Offering.objects.filter(name__iexact=wanted).first()
    if found is None:
        found = Offering.objects.filter(default_of__name__iexact=wanted).first()
    if found is None:
        raise NotFound(f"The catalogue has no offering {name!r}. Offerings are written model@provider.")
    return found


@transaction.atomic
def ensure_provider(*, name: str, title: str = "", by: str) -> Provider:
    """Return the provider of a name, made if it is new. Repeating changes nothing."""
    turns.acting(by=by)
    name = checked_name(name, field="provider", length=64)
    found = Provider.objects.filter(name__iexact=name).first()
    return found or Provider.objects.get_or_create(name=name, defaults={"title": title or name})[0]


@transaction.atomic
def ensure_model(
    *,
    name: str,
    by: str,
    lab: str = "",
    open_weights: bool = False,
    licence: str = "",
    context_tokens: int | None = None,
    released_on: date | None = None,
    known_for: str = "",
) -> Model:
    """Return the model of a name, made with these facts if it is new. What a known one says of itself stays."""
    turns.acting(by=by)
    name = checked_name(name, field="model")
    found = Model.objects.filter(name__iexact=name).first()
    if found is not None:
        return found
    facts = {
        "lab": lab,
        "open_weights": open_weights,
        "licence": licence,
        "context_tokens": context_tokens,
        "released_on": released_on,
        "known_for": known_for,
    }
    return Model.objects.get_or_create(name=name, defaults=facts)[0]


@transaction.atomic
def ensure(
    *,
    model: str,
    provider: str,
    by: str,
    region: str = "",
    data_class: str = "",
    gateway_names: dict[str, str] | None = None,
    default: bool = False,
) -> Offering:
    """Return the offering of a model at a provider; whatever is missing of the three is made.

    One that was made on sight and waits is claimed. `default` makes it what the model named alone means, unless the
    model has such an offering already. Repeating changes nothing.
    """
    turns.acting(by=by)
    of, at = ensure_model(name=model, by=by), ensure_provider(name=provider, by=by)
    offering, _ = Offering.objects.get_or_create(
        model=of,
        provider=at,
        defaults={
            "name": offering_name(of.name, at.name),
            "region": region,
            "data_class": data_class,
            "gateway_names": gateway_names or {},
        },
    )
    # A statement moves the catalogue's revision though it finds no row, so it is sent only where there is one.
    if offering.state == ClaimState.WAITING:
        Offering.objects.filter(pk=offering.pk, state=ClaimState.WAITING).update(state=ClaimState.CLAIMED)
    if default and of.default_offering_id is None:
        Model.objects.filter(pk=of.pk, default_offering__isnull=True).update(default_offering=offering)
    offering.refresh_from_db()
    return offering


@transaction.atomic
def change(
    *,
    offering: Offering,
    by: str,
    at: datetime,
    region: str | None = None,
    data_class: str | None = None,
    gateway_names: Mapping[str, str] | None = None,
    reason: str = "",
) -> Offering:
    """Change what is said of an offering; None leaves a field as it is.

    A region is no dated fact: it says where the offering has always been. Where the book has prices by region for it,
    another region amends all of its past. What moves to another region on a day is an offering of its own.
    """
    turns.acting(by=by, reason=reason)
    given = {"region": region, "data_class": data_class, "gateway_names": gateway_names}
    offering = Offering.objects.select_for_update().get(pk=offering.pk)
    changed = [name for name, value in given.items() if value is not None and value != getattr(offering, name)]
    for name in changed:
        setattr(offering, name, given[name])
    if changed:
        offering.save(update_fields=changed)
    if "region" in changed:
        priced = PriceSeries.objects.filter(model=offering.model_id, provider=offering.provider_id)
        if priced.filter(region__isnull=False).exists():
            amendments.note(
                kind=AmendmentKind.PRICES,
                summary=f"{offering.name} is in {offering.region or 'no region'}",
                offerings=[offering.pk],
                starts_at=None,
                by=by,
                at=at,
                reason=reason,
            )
    return offering


@transaction.atomic
def set_tier(
    *, offering: Offering, tier: Tier | int, since_at: datetime, by: str, reason: str = "", at: datetime | None = None
) -> OfferingTier:
    """Give an offering a tier from an instant on. Entries from before keep theirs; repeating changes nothing.

    With `at`, the present, an instant before it amends the past: what was booked since then moves to the tier. A tier
    that begins at the very instant is put right.

    Raises:
        Invalid: there is no such tier.
        TierIsKnown: a tier is recorded that begins after the instant and is another one.
    """
    turns.acting(by=by, reason=reason)
    if tier not in (Tier.FRONTIER, Tier.MIDDLE, Tier.ECONOMY, Tier.SELF_HOSTED):
        raise Invalid("The tiers are frontier, middle, economy and self-hosted.", [("tier", "unknown")])
    Offering.objects.select_for_update().get(pk=offering.pk)

    held = OfferingTier.objects.filter(offering=offering, valid__contains=since_at).first()
    if held is not None and held.tier == tier:
        return held
    later = OfferingTier.objects.filter(offering=offering, valid__startswith__gt=since_at)
    if later.exclude(tier=tier).exists():
        raise TierIsKnown(f"{offering.name} has a tier recorded from after {since_at:%Y-%m-%d %H:%M} on.")
    later.delete()  # the same tier, which begins sooner now
    if held is not None and held.valid.lower == since_at:
        held.tier, held.valid = tier, since(since_at)
        held.save(update_fields=["tier", "valid"])
    else:
        if held is not None:
            held.valid = since(held.valid.lower, since_at)
            held.save(update_fields=["valid"])
        held = OfferingTier.objects.create(offering=offering, tier=tier, valid=since(since_at))
    if at is not None:
        amendments.note(
            kind=AmendmentKind.TIER,
            summary=f"{offering.name} is {Tier(tier).label}",
            offerings=[offering.pk],
            starts_at=since_at,
            by=by,
            at=at,
            reason=reason,
        )
    return held


@transaction.atomic
def merge(*, offering: Offering, into: Offering, since_at: datetime, by: str, at: datetime, reason: str = "") -> None:
    """Let every name of an offering mean another one from an instant on, and have what was booked since moved there.

    That is how a name that nobody knew gets its meaning. One that was merged into this one before may take it up: its
    own names mean itself again. Repeating changes nothing.

    Raises:
        Invalid: an offering cannot be merged into itself.
        NameIsTaken: its name means a third offering by then, or `into` has itself been assigned to one.
    """
    turns.acting(by=by, reason=reason)
    if offering.pk == into.pk:
        raise Invalid("An offering cannot be assigned to itself.", [("into", "the same")])
    list(Offering.objects.select_for_update().filter(pk__in=[offering.pk, into.pk]).order_by("pk"))
    since_then = Alias.objects.filter(valid__overlap=since(since_at))
    elsewhere = since_then.exclude(offering__in=[offering, into])
    if elsewhere.filter(name=_called(into)).exists():
        raise aliases.NameIsTaken(f"{into.name} has been assigned to another offering itself.")
    taken = elsewhere.filter(name=_called(offering)).first()
    if taken is not None:
        raise aliases.NameIsTaken(f"{taken.name!r} means {taken.offering} by then.")

    changed = move_on(Alias.objects.filter(offering=offering), field="offering", into=into, since_at=since_at)
    for name in sorted(_own_names(offering)):
        for gap in gaps(Alias.objects.filter(name=name), since_at=since_at):
            Alias.objects.create(name=name, offering=into, valid=gap)
            changed = True
    Offering.objects.filter(pk=offering.pk).exclude(state=ClaimState.MERGED).update(state=ClaimState.MERGED)
    Offering.objects.filter(pk=into.pk, state=ClaimState.MERGED).update(state=ClaimState.CLAIMED)
    offering.refresh_from_db(fields=["state"])
    into.refresh_from_db(fields=["state"])
    if changed:
        amendments.note(
            kind=AmendmentKind.OFFERING,
            summary=f"{offering.name} means {into.name}",
            offerings=[offering.pk],
            into_id=into.pk,
            starts_at=since_at,
            by=by,
            at=at,
            reason=reason,
        )


def _called(offering: Offering) -> str:
    """Return the name under which a gateway reports an offering's own model and provider."""
    return f"{offering.provider.name}/{offering.model.name}".lower()


def _own_names(offering: Offering) -> set[str]:
    """Return names that lead to an offering without an alias; they are how the book resolves what nobody assigned."""
    model = offering.model
    names = {_called(offering), offering.name.lower()}
    if offering.provider.name.lower() == UNKNOWN or model.default_offering_id == offering.pk:
        names.add(model.name.lower())
    return names


@transaction.atomic
def retire(*, offering: Offering, by: str, at: datetime, reason: str = "") -> None:
    """Say that an offering is no longer to be used. Its events are still booked; repeating changes nothing."""
    turns.acting(by=by, reason=reason)
    Offering.objects.filter(pk=offering.pk, retired_at__isnull=True).update(retired_at=at)
    offering.refresh_from_db(fields=["retired_at"])
