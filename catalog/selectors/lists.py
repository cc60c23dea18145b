"""Rows of the catalogue as lists show them, a page at a time in the order of their ids."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from typing import Any

from django.db.models import Exists, OuterRef

from catalog.models import (
    Alias,
    ClaimState,
    Contract,
    HourWindow,
    Meter,
    Model,
    Offering,
    OfferingTier,
    Price,
    Team,
    TeamAlias,
    Tier,
    UseCase,
    UseCaseAlias,
    UseCaseTeam,
)
from catalog.selectors.price_rows import READ_WITH, PriceRow, price_row


@dataclass(frozen=True, kw_only=True)
class OfferingRow:
    """A model at a provider, with its tier and list prices at an instant."""

    id: int
    name: str
    model: str
    provider: str
    is_default: bool
    tier: str
    state: str
    region: str
    data_class: str
    gateway_names: dict[str, Any]
    aliases: tuple[str, ...]
    lab: str
    open_weights: bool
    licence: str
    context_tokens: int | None
    first_seen_at: datetime | None
    retired_at: datetime | None
    prices: tuple[PriceRow, ...]


@dataclass(frozen=True, kw_only=True)
class ContractRow:
    """What a contract says over a time, as recorded now. One of provider, offering and gateway is not None."""

    id: int
    name: str
    provider: str | None
    offering: str | None
    gateway: str | None
    discount_percent: Decimal | None
    valid_from: datetime | None
    valid_until: datetime | None
    recorded_at: datetime | None
    note: str
    approved_by: str
    prices: tuple[PriceRow, ...]  # its own, through all terms of its name


@dataclass(frozen=True, kw_only=True)
class HoursRow:
    """Hours of weekdays on a zone's clock; `weekdays` are those they begin on, Monday 0."""

    id: int
    name: str
    zone: str
    weekdays: tuple[int, ...]
    starts: time
    ends: time


@dataclass(frozen=True, kw_only=True)
class UseCaseRow:
    id: int
    name: str
    title: str
    owner: str
    data_class: str
    state: str
    baseline: str | None  # the offering that its savings are told against
    team: str | None  # at the instant asked for
    aliases: tuple[str, ...]
    first_seen_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class TeamRow:
    id: int
    name: str
    state: str
    aliases: tuple[str, ...]
    first_seen_at: datetime | None


def use_cases(
    *, at: datetime, after: int = 0, most: int | None = None, state: str = "", only: int | None = None
) -> list[UseCaseRow]:
    """Return use cases with id above `after`. Three queries."""
    found = UseCase.objects.filter(id__gt=after).select_related("baseline").order_by("id")
    if state:
        found = found.filter(state=state)
    if only is not None:
        found = found.filter(id=only)
    rows = list(found[:most])
    ids = [row.pk for row in rows]
    held = UseCaseTeam.objects.filter(use_case__in=ids, valid__contains=at)
    teams = dict(held.values_list("use_case_id", "team__name"))
    aliases = _grouped(
        UseCaseAlias.objects.filter(use_case__in=ids, valid__contains=at).values_list("use_case_id", "folded")
    )
    return [
        UseCaseRow(
            id=row.pk,
            name=row.name,
            title=row.title,
            owner=row.owner,
            data_class=row.data_class,
            state=row.state,
            baseline=None if row.baseline is None else row.baseline.name,
            team=teams.get(row.pk),
            aliases=aliases.get(row.pk, ()),
            first_seen_at=row.first_seen_at,
        )
        for row in rows
    ]


def teams(
    *, at: datetime, after: int = 0, most: int | None = None, state: str = "", only: int | None = None
) -> list[TeamRow]:
    """Return teams with id above `after`. Two queries."""
    found = Team.objects.filter(id__gt=after).order_by("id")
    if state:
        found = found.filter(state=state)
    if only is not None:
        found = found.filter(id=only)
    rows = list(found[:most])
    held = TeamAlias.objects.filter(team__in=[row.pk for row in rows], valid__contains=at)
    aliases = _grouped(held.values_list("team_id", "folded"))
    return [
        TeamRow(
            id=row.pk,
            name=row.name,
            state=row.state,
            aliases=aliases.get(row.pk, ()),
            first_seen_at=row.first_seen_at,
        )
        for row in rows
    ]


def offerings(
    *,
    at: datetime,
    after: int = 0,
    most: int | None = None,
    state: str = "",
    provider: str = "",
    model: str = "",
    only: int | None = None,
) -> list[OfferingRow]:
    """Return offerings with id above `after`, with tier, names and list prices at `at`. Four queries."""
    found = Offering.objects.filter(id__gt=after).select_related("model", "provider").order_by("id")
    if state:
        found = found.filter(state=state)
    if provider:
        found = found.filter(provider__name__iexact=provider)
    if model:
        found = found.filter(model__name__iexact=model)
    if only is not None:
        found = found.filter(id=only)
    rows = list(found[:most])
    ids = [row.pk for row in rows]
    tiers = dict(OfferingTier.objects.filter(offering__in=ids, valid__contains=at).values_list("offering_id", "tier"))
    aliases = _grouped(Alias.objects.filter(offering__in=ids, valid__contains=at).values_list("offering_id", "name"))
    prices: dict[tuple[int, int], list[PriceRow]] = {}
    of_these = Price.objects.filter(
        series__model__in={row.model_id for row in rows}, series__contract__isnull=True, valid__contains=at
    )
    for price in _prices(of_these):
        key = (price.series.model_id, price.series.provider_id)
        prices.setdefault(key, []).append(price_row(price))
    return [
        _offering_row(
            row,
            tier=Tier(tiers.get(row.pk, Tier.UNCLASSIFIED)),
            aliases=aliases.get(row.pk, ()),
            prices=prices.get((row.model_id, row.provider_id), []),
        )
        for row in rows
    ]


def prices(
    *,
    after: int = 0,
    most: int | None = None,
    at: datetime | None = None,
    offering: str = "",
    provider: str = "",
    model: str = "",
    meter: str = "",
) -> list[PriceRow]:
    """Return prices held true now, with id above `after`; of `at` only, where that is given. Two queries."""
    found = Price.objects.filter(id__gt=after)
    if at is not None:
        found = found.filter(valid__contains=at)
    if offering:
        named = Offering.objects.filter(name__iexact=offering)
        found = found.filter(series__model__in=named.values("model"), series__provider__in=named.values("provider"))
    if provider:
        found = found.filter(series__provider__name__iexact=provider)
    if model:
        found = found.filter(series__model__name__iexact=model)
    if meter:
        found = found.filter(series__meter=meter)
    rows = list(_prices(found)[:most])
    pairs = Offering.objects.filter(model__in={row.series.model_id for row in rows})
    names = {(m, p): name for m, p, name in pairs.values_list("model_id", "provider_id", "name")}
    return [price_row(row, offering=names.get((row.series.model_id, row.series.provider_id), "")) for row in rows]


def contracts(
    *, after: int = 0, most: int | None = None, at: datetime | None = None, name: str = "", only: int | None = None
) -> list[ContractRow]:
    """Return what contracts say as recorded now, with id above `after`; of `at` only, where given. Three queries."""
    found = Contract.objects.filter(id__gt=after, recorded__upper_inf=True)
    if at is not None:
        found = found.filter(valid__contains=at)
    if name:
        found = found.filter(name=name)
    if only is not None:
        found = found.filter(id=only)
    rows = list(found.select_related("provider", "offering", "gateway").order_by("id")[:most])
    own = list(_prices(Price.objects.filter(series__contract__name__in={row.name for row in rows})))
    pairs = Offering.objects.filter(model__in={one.series.model_id for one in own})
    names = {(m, p): name for m, p, name in pairs.values_list("model_id", "provider_id", "name")}
    by_name: dict[str, list[PriceRow]] = {}
    for one in own:
        by_name.setdefault(one.series.contract.name, []).append(
            price_row(one, offering=names.get((one.series.model_id, one.series.provider_id), ""))
        )
    return [
        ContractRow(
            id=row.pk,
            name=row.name,
            provider=None if row.provider is None else row.provider.name,
            offering=None if row.offering is None else row.offering.name,
            gateway=None if row.gateway is None else row.gateway.name,
            discount_percent=row.discount_percent,
            valid_from=row.valid.lower,
            valid_until=row.valid.upper,
            recorded_at=row.recorded.lower,
            note=row.note,
            approved_by=row.approved_by,
            prices=tuple(by_name.get(row.name, ())),
        )
        for row in rows
    ]


def hour_windows(*, after: int = 0, most: int | None = None, only: int | None = None) -> list[HoursRow]:
    """Return hours that prices may be set for, with id above `after`. One query."""
    found = HourWindow.objects.filter(id__gt=after).order_by("id")
    if only is not None:
        found = found.filter(id=only)
    return [
        HoursRow(
            id=row.pk,
            name=row.name,
            zone=row.zone,
            weekdays=tuple(sorted(row.weekdays)),
            starts=row.starts,
            ends=row.ends,
        )
        for row in found[:most]
    ]


def _prices(found: Any) -> Any:
    return found.filter(recorded__upper_inf=True).select_related(*READ_WITH).order_by("id")


def _offering_row(row: Offering, *, tier: Tier, aliases: tuple[str, ...], prices: list[PriceRow]) -> OfferingRow:
    model: Model = row.model
    order = {meter: number for number, meter in enumerate(Meter.values)}
    return OfferingRow(
        id=row.pk,
        name=row.name,
        model=model.name,
        provider=row.provider.name,
        is_default=model.default_offering_id == row.pk,
        tier=str(tier.label),
        state=row.state,
        region=row.region,
        data_class=row.data_class,
        gateway_names=row.gateway_names,
        aliases=aliases,
        lab=model.lab,
        open_weights=model.open_weights,
        licence=model.licence,
        context_tokens=model.context_tokens,
        first_seen_at=row.first_seen_at,
        retired_at=row.retired_at,
        prices=tuple(sorted(prices, key=lambda price: (order[price.meter], price.context_over or 0, price.id))),
    )


def _grouped(pairs: Any) -> dict[int, tuple[str, ...]]:
    found: dict[int, list[str]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return {key: tuple(sorted(values)) for key, values in found.items()}


def priced_offerings() -> list[str]:
    """Return the offerings that are claimed and have a price, by name: what can be a baseline. One query."""
    priced = Price.objects.filter(
        recorded__upper_inf=True, series__provider=OuterRef("provider"), series__model=OuterRef("model")
    )
    found = Offering.objects.filter(Exists(priced), state=ClaimState.CLAIMED).order_by("name")
    return list(found.values_list("name", flat=True))
