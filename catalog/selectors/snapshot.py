"""The catalogue as booking keeps it in memory."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from catalog.models import (
    Alias,
    Gateway,
    Model,
    Offering,
    OfferingTier,
    Price,
    Revision,
    Team,
    TeamAlias,
    UseCase,
    UseCaseAlias,
    UseCaseTeam,
)
from catalog.rules import METERS, Book, Dated, ListedPrice, OfferingFacts, PriceTable


def _dated(valid: DateTimeTZRange, value: int) -> Dated:
    starts_at: datetime | None = valid.lower
    ends_at: datetime | None = valid.upper
    return Dated(starts_at, ends_at, value)


def revision() -> int:
    """Return the number that moves with every change of the catalogue. One query."""
    return Revision.objects.values_list("number", flat=True).get()


def load() -> Book:
    """Read the whole catalogue, prices as recorded now. Twelve queries; some thousand rows at most.

    The revision is read first: a change between it and the rest only means one more load.
    """
    book = Book(revision=revision())
    for id_, name, folded in UseCase.objects.values_list("id", "name", "folded"):
        book.use_cases[folded] = id_
        book.use_case_names[id_] = name
    for id_, name, folded in Team.objects.values_list("id", "name", "folded"):
        book.teams[folded] = id_
        book.team_names[id_] = name

    grouped: dict[object, list[Dated]] = defaultdict(list)
    for folded, valid, id_ in UseCaseAlias.objects.values_list("folded", "valid", "use_case_id"):
        grouped[folded].append(_dated(valid, id_))
    book.use_case_aliases = {str(key): tuple(value) for key, value in grouped.items()}
    grouped.clear()
    for folded, valid, id_ in TeamAlias.objects.values_list("folded", "valid", "team_id"):
        grouped[folded].append(_dated(valid, id_))
    book.team_aliases = {str(key): tuple(value) for key, value in grouped.items()}
    grouped.clear()
    for use_case, valid, id_ in UseCaseTeam.objects.values_list("use_case_id", "valid", "team_id"):
        grouped[use_case].append(_dated(valid, id_))
    book.use_case_teams = {key: tuple(value) for key, value in grouped.items() if isinstance(key, int)}
    grouped.clear()
    for name, valid, id_ in Alias.objects.values_list("name", "valid", "offering_id"):
        grouped[name].append(_dated(valid, id_))
    book.offering_aliases = {str(key): tuple(value) for key, value in grouped.items()}

    tiers: dict[int, list[Dated]] = defaultdict(list)
    for offering, valid, tier in OfferingTier.objects.values_list("offering_id", "valid", "tier"):
        tiers[offering].append(_dated(valid, tier))
    served_as: dict[tuple[int, int], int] = {}
    rows = Offering.objects.values_list("id", "name", "model_id", "model__name", "provider_id", "provider__name")
    for id_, name, model_id, model, provider_id, provider in rows:
        served_as[provider_id, model_id] = id_
        book.offerings[id_] = OfferingFacts(id_, name, model, provider, tuple(tiers.get(id_, ())))
        book.offering_ids[name.lower()] = id_
    defaults = Model.objects.filter(default_offering__isnull=False)
    for name, offering in defaults.values_list("name", "default_offering_id"):
        book.default_offerings[name.lower()] = offering
    book.gateways = dict(Gateway.objects.values_list("id", "name"))

    prices: dict[tuple[int, str], list[ListedPrice]] = defaultdict(list)
    recorded_now = Price.objects.filter(
        recorded__upper_inf=True,
        series__contract__isnull=True,
        series__region__isnull=True,
        series__hour_window__isnull=True,
    )
    columns = (
        "id", "usd_per_1m", "valid", "series__provider_id", "series__model_id", "series__meter",
        "series__context_over", "series__context_inclusive", "series__service_tier",
    )  # fmt: skip
    for (
        id_,
        usd,
        valid,
        provider_id,
        model_id,
        meter,
        over,
        inclusive,
        service_tier,
    ) in recorded_now.values_list(*columns):
        offering_id = served_as.get((provider_id, model_id))
        if offering_id is None:
            continue
        price = ListedPrice(
            id=id_,
            meter=METERS.index(meter),
            usd_per_1m=usd,
            scaled=int(usd.scaleb(10)),
            starts_at=valid.lower,
            ends_at=valid.upper,
            context_over=over,
            context_inclusive=inclusive,
            service_tier=service_tier or "",
        )
        prices[offering_id, price.service_tier].append(price)
    book.prices = {key: PriceTable.of(value) for key, value in prices.items()}
    book.priced_offerings = frozenset(offering for offering, _ in book.prices)
    return book
