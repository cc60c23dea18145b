"""What the pages of prices show: the whole book with where each price comes from, contracts, and hours of the day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from decimal import Decimal
from typing import Any

from django.db.models import Case, Count, F, IntegerField, Q, QuerySet, Value, When
from django.db.models.functions import Lower

from catalog.models import ClaimState, Contract, Gateway, HourWindow, Meter, Offering, Price, PriceSeries, Provider
from catalog.rules import METERS
from catalog.selectors.price_rows import READ_WITH, PriceRow, price_row

PER_PAGE = 50
MOST_NAMES = 2_000  # offerings that a field suggests
SERVICE_TIERS = ("batch", "flex", "priority")  # those that providers sell; others are found where the book has them
ORDINARY = "ordinary"

_METER_WORDS = {str(value): f"{value} {label}".lower() for value, label in Meter.choices}


@dataclass(frozen=True, kw_only=True)
class BookLine:
    """A price of the book, and what its provider calls itself."""

    provider: str
    price: PriceRow


@dataclass(frozen=True, kw_only=True)
class BookPage:
    """A page of the book, and how many prices there are in all."""

    lines: Sequence[BookLine]
    found: int


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is looked for: words that all occur in what a price is for or where it comes from; empty says any.

    `dated` is in-force, to-come, past, replaced or all: of prices as they are held true now, save the last two.
    """

    words: Sequence[str] = ()
    layer: str = ""  # list or contract
    service_tier: str = ""  # or ORDINARY
    meter: str = ""
    source: str = ""
    contract: str = ""
    dated: str = "in-force"


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the book can be narrowed by."""

    sources: Sequence[str]
    service_tiers: Sequence[str]
    contracts: Sequence[str]


def book(*, at: datetime, wanted: Wanted, page: int = 1) -> BookPage:
    """Return a page of the book by offering, terms and meter; replaced ones alone by when they were. Two queries."""
    found = Price.objects.select_related(*READ_WITH).filter(_dated(wanted.dated, at))
    for word in wanted.words:
        found = found.filter(_holds(word))
    if wanted.layer:
        found = found.filter(series__contract__isnull=wanted.layer == "list")
    if wanted.service_tier:
        tier = None if wanted.service_tier == ORDINARY else wanted.service_tier
        found = found.filter(series__service_tier__isnull=True) if tier is None else found.filter(_tier(tier))
    if wanted.meter:
        found = found.filter(series__meter=wanted.meter)
    if wanted.source:
        found = found.filter(source=wanted.source)
    if wanted.contract:
        found = found.filter(series__contract__name=wanted.contract)
    ordered = found.order_by(*(["-recorded__endswith", "-id"] if wanted.dated == "replaced" else _by_offering()))
    rows = ordered[(page - 1) * PER_PAGE : page * PER_PAGE]
    return BookPage(lines=[_line(row) for row in rows], found=found.count())


def _tier(name: str) -> Q:
    return Q(series__service_tier=name)


def _dated(dated: str, at: datetime) -> Q:
    held = Q(recorded__upper_inf=True)
    return {
        "in-force": held & Q(valid__contains=at),
        "to-come": held & Q(valid__startswith__gt=at),
        "past": held & Q(valid__endswith__lte=at),
        "replaced": ~held,
        "all": Q(),
    }[dated]


def _holds(word: str) -> Q:
    """Say that a word occurs in what a price is for or where it comes from; `model@provider` names both."""
    model, at_sign, provider = word.rpartition("@")
    if at_sign and model:
        return Q(series__model__name__icontains=model, series__provider__name__istartswith=provider)
    found = Q(series__meter__in=[name for name, words in _METER_WORDS.items() if word.lower() in words])
    for column in (
        "series__model__name", "series__provider__name", "series__provider__title", "series__contract__name",
        "series__service_tier", "series__region", "series__hour_window__name", "source", "source_version",
    ):  # fmt: skip
        found |= Q(**{f"{column}__icontains": word})
    return found


def _by_offering() -> list[Any]:
    meters = Case(
        *(When(series__meter=name, then=Value(place)) for place, name in enumerate(METERS)),
        output_field=IntegerField(),
    )
    terms = ("contract__name", "service_tier", "context_over", "region", "hour_window__name")
    return [
        Lower("series__model__name"),
        Lower("series__provider__name"),
        *(F(f"series__{name}").asc(nulls_first=True) for name in terms),
        meters,
        F("valid").desc(),
        "-id",
    ]


def choices() -> Choices:
    """Return what the book holds to narrow it by. Three queries."""
    return Choices(
        sources=list(Price.objects.values_list("source", flat=True).distinct().order_by("source")),
        service_tiers=service_tiers(),
        contracts=list(Contract.objects.values_list("name", flat=True).distinct().order_by("name")),
    )


def service_tiers() -> list[str]:
    """Return the service tiers that providers sell, and those that the book has beside them. One query."""
    tiers = PriceSeries.objects.exclude(service_tier=None).values_list("service_tier", flat=True).distinct()
    return sorted({*SERVICE_TIERS, *(tier for tier in tiers if tier)})


def is_empty() -> bool:
    """Say whether the book holds no price at all. One query."""
    return not Price.objects.exists()


def _line(row: Price) -> BookLine:
    return BookLine(provider=row.series.provider.title, price=price_row(row))


@dataclass(frozen=True, kw_only=True)
class Terms:
    """When a price applies, as the columns of a series; empty says the ordinary."""

    context_over: int | None = None
    service_tier: str = ""
    region: str = ""
    hours_id: int | None = None
    contract_id: int | None = None


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What the book holds true now of one offering on the same terms, and of its ordinary list prices, by meter."""

    same: Mapping[str, Sequence[PriceRow]] = field(default_factory=dict)
    ordinary: Mapping[str, Sequence[PriceRow]] = field(default_factory=dict)

    def price(self, meter: str, at: datetime) -> PriceRow | None:
        return next((one for one in self.same.get(meter, ()) if one.holds(at)), None)

    def ordinary_usd(self, at: datetime) -> dict[str, Decimal]:
        return {meter: one.usd_per_1m for meter, rows in self.ordinary.items() for one in rows if one.holds(at)}

    def later(self, meters: Sequence[str], *, starts: datetime, ends: datetime | None) -> list[PriceRow]:
        """Return prices that begin inside (starts, ends) and that a price over that time would replace."""
        return [
            one
            for meter in meters
            for one in self.same.get(meter, ())
            if one.valid_from is not None and starts < one.valid_from and (ends is None or one.valid_from < ends)
        ]


def beside(*, offering: Offering, terms: Terms) -> Beside:
    """Return what the book says of an offering on some terms, for what is typed to be compared with. One query."""
    of_it = Price.objects.filter(
        series__model=offering.model_id, series__provider=offering.provider_id, recorded__upper_inf=True
    ).select_related(*READ_WITH)
    ordinary = Q(
        series__context_over=None, series__service_tier=None, series__region=None,
        series__hour_window=None, series__contract=None,
    )  # fmt: skip
    same = Q(
        series__context_over=terms.context_over, series__service_tier=terms.service_tier or None,
        series__region=terms.region or None, series__hour_window=terms.hours_id, series__contract=terms.contract_id,
    )  # fmt: skip
    found: dict[bool, dict[str, list[PriceRow]]] = {True: defaultdict(list), False: defaultdict(list)}
    asked = (terms.context_over, terms.service_tier or None, terms.region or None, terms.hours_id, terms.contract_id)
    for row in of_it.filter(ordinary | same).order_by("valid"):
        one = row.series
        is_of = (one.context_over, one.service_tier, one.region, one.hour_window_id, one.contract_id)
        if is_of == asked:
            found[True][one.meter].append(price_row(row))
        if not any(part is not None for part in is_of):
            found[False][one.meter].append(price_row(row))
    return Beside(same=found[True], ordinary=found[False])


def offering_names() -> list[str]:
    """Return what a field that asks for an offering suggests. One query."""
    known = Offering.objects.exclude(state=ClaimState.MERGED).order_by("name")
    return list(known.values_list("name", flat=True)[:MOST_NAMES])


def provider_names() -> list[str]:
    return list(Provider.objects.order_by("name").values_list("name", flat=True))


def gateway_names() -> list[str]:
    return list(Gateway.objects.filter(retired_at=None).order_by("name").values_list("name", flat=True))


def regions() -> list[str]:
    """Return the regions that prices or offerings name. Two queries."""
    of_prices = PriceSeries.objects.exclude(region=None).values_list("region", flat=True).distinct()
    of_offerings = Offering.objects.exclude(region="").values_list("region", flat=True).distinct()
    return sorted({*(one for one in of_prices if one), *of_offerings})


@dataclass(frozen=True, kw_only=True)
class HoursRow:
    """Hours of the day in a zone, and how many series have a price for them. Monday is 0."""

    id: int
    name: str
    zone: str
    weekdays: Sequence[int]
    starts: time
    ends: time
    series: int


def hours() -> list[HoursRow]:
    """Return all hours of the day that prices can be for, by name. One query."""
    return [
        HoursRow(
            id=row.pk,
            name=row.name,
            zone=row.zone,
            weekdays=sorted(row.weekdays),
            starts=row.starts,
            ends=row.ends,
            series=row.used,
        )
        for row in HourWindow.objects.annotate(used=Count("priceseries")).order_by("name")
    ]


@dataclass(frozen=True, kw_only=True)
class TermsRow:
    """What a contract says over [valid_from, valid_until), as recorded over a time; None is open."""

    discount_percent: Decimal | None
    valid_from: datetime | None
    valid_until: datetime | None
    recorded_at: datetime | None
    recorded_until: datetime | None
    approved_by: str
    note: str

    def holds(self, at: datetime) -> bool:
        begun = self.valid_from is None or self.valid_from <= at
        return begun and (self.valid_until is None or at < self.valid_until)


@dataclass(frozen=True, kw_only=True)
class ContractRow:
    """A contract: whom it is with, what it says over time, and how many prices of its own are in force.

    `id` is that of its first row, on which its own prices hang.
    """

    id: int
    name: str
    kind: str  # provider, offering or gateway
    scope: str
    terms: Sequence[TermsRow]  # as recorded now, by time
    replaced: Sequence[TermsRow]  # the newest first
    own_prices: int

    def now(self, at: datetime) -> TermsRow | None:
        return next((one for one in self.terms if one.holds(at)), None)

    def next(self, at: datetime) -> TermsRow | None:
        return next((one for one in self.terms if one.valid_from is not None and one.valid_from > at), None)


def contracts(*, at: datetime, name: str | None = None) -> list[ContractRow]:
    """Return contracts by name, or the one of a name. Two queries."""
    rows: QuerySet[Contract] = Contract.objects.select_related("provider", "offering", "gateway").order_by("id")
    own = Price.objects.filter(recorded__upper_inf=True, valid__contains=at, series__contract__isnull=False)
    if name is not None:
        rows, own = rows.filter(name=name), own.filter(series__contract__name=name)
    counted = dict(own.order_by().values_list("series__contract__name").annotate(Count("id")))
    named: dict[str, list[Contract]] = defaultdict(list)
    for row in rows:
        named[row.name].append(row)
    return [_contract(of_it, counted.get(name, 0)) for name, of_it in sorted(named.items(), key=lambda one: one[0])]


def contract_named(pk: int) -> str | None:
    """Return the name of the contract that a row is of. One query."""
    return Contract.objects.filter(pk=pk).values_list("name", flat=True).first()


def contract_choices() -> list[tuple[int, str]]:
    """Return id and name of all contracts; the id is that of the first row. One query."""
    first: dict[str, int] = {}
    for pk, name in Contract.objects.order_by("id").values_list("id", "name"):
        first.setdefault(name, pk)
    return sorted(((pk, name) for name, pk in first.items()), key=lambda one: one[1])


def _contract(rows: Sequence[Contract], own_prices: int) -> ContractRow:
    first = rows[0]
    if first.provider is not None:
        kind, scope = "provider", first.provider.name
    elif first.offering is not None:
        kind, scope = "offering", first.offering.name
    else:
        kind, scope = "gateway", str(first.gateway)
    terms = [_terms(row) for row in rows]
    return ContractRow(
        id=first.pk,
        name=first.name,
        kind=kind,
        scope=scope,
        terms=sorted((one for one in terms if one.recorded_until is None), key=_start),
        replaced=sorted(
            (one for one in terms if one.recorded_until is not None),
            key=lambda one: one.recorded_until.timestamp() if one.recorded_until else 0,
            reverse=True,
        ),
        own_prices=own_prices,
    )


def _start(one: TermsRow) -> float:
    return one.valid_from.timestamp() if one.valid_from else float("-inf")


def _terms(row: Contract) -> TermsRow:
    valid: Any = row.valid
    recorded: Any = row.recorded
    return TermsRow(
        discount_percent=row.discount_percent,
        valid_from=valid.lower,
        valid_until=valid.upper,
        recorded_at=recorded.lower,
        recorded_until=recorded.upper,
        approved_by=row.approved_by,
        note=row.note,
    )
