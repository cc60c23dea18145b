"""The catalogue as booking keeps it in memory."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from catalog.models import (
    Alias,
    Contract,
    Gateway,
    HourWindow,
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
from catalog.rules import METERS, Book, ContractFacts, Dated, Hours, ListedPrice, OfferingFacts


def _dated(valid: DateTimeTZRange, value: int) -> Dated:
    starts_at: datetime | None = valid.lower
    ends_at: datetime | None = valid.upper
    return Dated(starts_at, ends_at, value)


def hours_of(row: HourWindow) -> Hours:
    return Hours(row.pk, row.name, row.zone, frozenset(row.weekdays), row.starts, row.ends)


def revision() -> int:
    """Return the number that moves with every change of the catalogue. One query."""
    return Revision.objects.values_list("number", flat=True).get()


def load() -> Book:
    """Read the whole catalogue, prices as recorded now. Fourteen queries; some thousand rows at most.

    The revision is read first: a change between it and the rest only means one more load.
    """
    book = Book(revision=revision())
    for id_, name, folded, baseline in UseCase.objects.values_list("id", "name", "folded", "baseline_id"):
        book.use_cases[folded] = id_
        book.use_case_names[id_] = name
        if baseline is not None:
            book.baselines[id_] = baseline
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
    regions: dict[int, str] = {}
    rows = Offering.objects.values_list(
        "id", "name", "model_id", "model__name", "provider_id", "provider__name", "region"
    )
    for id_, name, model_id, model, provider_id, provider, region in rows:
        regions[id_] = region
        served_as[provider_id, model_id] = id_
        book.offerings[id_] = OfferingFacts(id_, name, model, provider, tuple(tiers.get(id_, ())))
        book.offering_ids[name.lower()] = id_
    defaults = Model.objects.filter(default_offering__isnull=False)
    for name, offering in defaults.values_list("name", "default_offering_id"):
        book.default_offerings[name.lower()] = offering
    book.gateways = dict(Gateway.objects.values_list("id", "name"))

    _load_prices(book, served_as, regions)
    return book


def _load_prices(book: Book, served_as: dict[tuple[int, int], int], regions: dict[int, str]) -> None:
    """Read prices and contracts as recorded now. Three queries."""
    hours = {row.pk: hours_of(row) for row in HourWindow.objects.all()}
    contracts = list(Contract.objects.select_related("provider").order_by("id"))
    first_ids: dict[str, int] = {}
    for row in contracts:
        first_ids.setdefault(row.name, row.pk)
    book.contracts = tuple(
        ContractFacts(
            id=row.pk,
            name=row.name,
            starts_at=row.valid.lower,
            ends_at=row.valid.upper,
            discount_percent=row.discount_percent,
            gateway=row.gateway_id,
            offering=row.offering_id,
            provider=row.provider.name if row.provider is not None else "",
            first_id=first_ids[row.name],
        )
        for row in contracts
        if row.recorded.upper is None
    )
    book.contract_gateways = frozenset(one.gateway for one in book.contracts if one.gateway is not None)

    listed: dict[tuple[int, str], list[ListedPrice]] = defaultdict(list)
    negotiated: dict[tuple[str, int, str], list[ListedPrice]] = defaultdict(list)
    columns = (
        "id", "usd_per_1m", "valid", "series__provider_id", "series__model_id", "series__meter",
        "series__context_over", "series__context_inclusive", "series__service_tier", "series__region",
        "series__hour_window_id", "series__contract__name",
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
        region,
        window,
        contract,
    ) in Price.objects.filter(recorded__upper_inf=True).values_list(*columns):
        offering_id = served_as.get((provider_id, model_id))
        if offering_id is None or (region and region.lower() != regions[offering_id].lower()):
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
            hours=hours[window] if window is not None else None,
            region=region or "",
        )
        if contract is None:
            listed[offering_id, price.service_tier].append(price)
        else:
            negotiated[contract, offering_id, price.service_tier].append(price)
    book.listed = {key: tuple(prices) for key, prices in listed.items()}
    book.contract_prices = {key: tuple(prices) for key, prices in negotiated.items()}
    book.priced_offerings = frozenset(
        (*(offering for offering, _ in book.listed), *(offering for _, offering, _ in book.contract_prices))
    )
