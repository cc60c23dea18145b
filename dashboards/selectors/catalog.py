"""What the pages of the catalogue show: every offering at a glance, and one of them down to who approved its price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any

from django.db import connection
from django.db.models import Q, Sum
from django.db.models.functions import Lower

from catalog.models import Alias, ClaimState, Contract, Offering, OfferingTier, Price, PriceSeries, Provider, Tier
from catalog.rules import UNKNOWN
from catalog.selectors.price_rows import READ_WITH, PriceRow, price_row
from core import periods
from usage.models import RollupDay
from usage.selectors.drivers import INPUT, OUTPUT

PER_PAGE = 50
SPEND_DAYS = 30  # full days before today, and today
MOST_EARLIER = 200  # prices that were replaced, newest first; those that hold are never cut
MOST_USE_CASES = 6

# What waits for attention, and what a row that waits for nothing is ordered by.
ORDERS = {
    "attention": "attention DESC, unpriced AND requests > 0 DESC, unpriced DESC, unclassified DESC, cost_usd DESC",
    "name": "",
    "spend": "cost_usd DESC",
    "input": "input_usd DESC NULLS LAST",
    "cache_read": "cache_read_usd DESC NULLS LAST",
    "output": "output_usd DESC NULLS LAST",
    "context": "context_tokens DESC NULLS LAST",
}
NARROWED = {
    "attention": "attention",
    "unpriced": "unpriced",
    "unclassified": "unclassified",
    "waiting": "waiting",
    "used": "requests > 0",
}
WEIGHTS = {"open": "open_weights", "closed": "NOT open_weights AND lab <> ''"}

TIERS = {str(tier.label): int(tier) for tier in (*(one for one in Tier if one), Tier.UNCLASSIFIED)}

# A price stands in the list as an ordinary request pays it at list: of the offering's own region before any, at hours
# that no price names, of the ordinary service tier and below every context tier. `unpriced` asks for less: any price
# that rating would find, a contract's own included.
_KNOWN = """
WITH used AS (
    SELECT offering_id, sum(cost_usd) AS cost_usd, sum(requests) AS requests, sum(unpriced_tokens) AS unpriced_tokens
    FROM rollup_day WHERE day >= %(first)s AND day < %(until)s GROUP BY offering_id
), found AS (
    SELECT o.id AS offering_id, s.meter, p.usd_per_1m, s.region,
        s.contract_id IS NULL AND s.hour_window_id IS NULL AND s.context_over IS NULL AND s.service_tier IS NULL
            AS ordinary
    FROM catalog_price p JOIN catalog_priceseries s ON s.id = p.series_id
    JOIN catalog_offering o ON o.model_id = s.model_id AND o.provider_id = s.provider_id
    WHERE upper_inf(p.recorded) AND p.valid @> %(at)s AND (s.region IS NULL OR lower(s.region) = lower(o.region))
        AND (s.contract_id IS NULL OR EXISTS (
            SELECT FROM catalog_contract own JOIN catalog_contract c ON c.name = own.name
            WHERE own.id = s.contract_id AND upper_inf(c.recorded) AND c.valid @> %(at)s
        ))
), listed AS (
    SELECT offering_id,
        (array_agg(usd_per_1m ORDER BY region IS NULL) FILTER (WHERE meter = 'uncached_input' AND ordinary))[1]
            AS input_usd,
        (array_agg(usd_per_1m ORDER BY region IS NULL) FILTER (WHERE meter = 'cache_read' AND ordinary))[1]
            AS cache_read_usd,
        (array_agg(usd_per_1m ORDER BY region IS NULL) FILTER (WHERE meter = 'output' AND ordinary))[1] AS output_usd,
        bool_or(NOT ordinary) AS has_more
    FROM found GROUP BY offering_id
), facts AS (
    SELECT o.id, o.name, m.id AS model_id, m.name AS model, m.lab, m.context_tokens,
        m.open_weights, m.licence, o.data_class,
        v.name AS provider, v.title AS provider_title, o.region, o.state, o.first_seen_at,
        o.retired_at IS NOT NULL AND o.retired_at <= %(at)s AS retired,
        coalesce(t.tier, 0) AS tier, l.input_usd, l.cache_read_usd, l.output_usd,
        coalesce(l.has_more, false) AS has_more, coalesce(u.cost_usd, 0) AS cost_usd,
        coalesce(u.requests, 0) AS requests,
        coalesce(u.unpriced_tokens, 0) AS unpriced_tokens,
        o.state = 'waiting' AS waiting, o.state = 'merged' AS merged, t.tier IS NULL AS unclassified,
        l.offering_id IS NULL AS unpriced,
        coalesce(u.cost_usd, 0) / nullif((SELECT sum(cost_usd) FROM used), 0) AS share,
        m.name = %(unknown)s OR v.name = %(unknown)s AS unknown
    FROM catalog_offering o
    JOIN catalog_model m ON m.id = o.model_id
    JOIN catalog_provider v ON v.id = o.provider_id
    LEFT JOIN catalog_offeringtier t ON t.offering_id = o.id AND t.valid @> %(at)s
    LEFT JOIN listed l ON l.offering_id = o.id
    LEFT JOIN used u ON u.offering_id = o.id
), known AS (
    SELECT *, NOT merged AND (NOT retired AND (waiting OR unclassified OR unpriced) OR unpriced AND requests > 0)
        AS attention FROM facts
)
"""
_COLUMNS = (
    "id", "name", "model", "lab", "context_tokens", "provider", "provider_title", "region", "first_seen_at", "retired",
    "tier", "input_usd", "cache_read_usd", "output_usd", "has_more", "cost_usd", "requests", "unpriced_tokens",
    "waiting", "unclassified", "unpriced", "unknown", "attention", "merged", "open_weights", "licence", "data_class",
    "share",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class OfferingLine:
    """An offering in the list. Prices are USD per million, None where none is in force; spend is of the days asked."""

    id: int
    name: str
    model: str
    lab: str
    context_tokens: int | None
    provider: str
    provider_title: str
    region: str
    first_seen_at: datetime | None
    retired: bool
    tier: str
    input_usd: Decimal | None
    cache_read_usd: Decimal | None
    output_usd: Decimal | None
    has_more: bool  # it has prices on other terms too: context and service tiers, hours, contracts
    cost_usd: Decimal
    requests: int
    unpriced_tokens: int
    waiting: bool
    unclassified: bool
    unpriced: bool
    unknown: bool  # the events that name it left out the model or the provider
    attention: bool
    merged: bool  # its name means another one now
    open_weights: bool
    licence: str
    data_class: str
    share: Decimal | None  # of all spend of the days, None where there is none


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the list can be narrowed by."""

    providers: Sequence[tuple[str, str]]
    regions: Sequence[str]
    data_classes: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Found:
    """A page of the list, and how many there are in all."""

    lines: Sequence[OfferingLine]
    found: int


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How the whole catalogue stands, whatever is looked for."""

    offerings: int
    attention: int
    unpriced: int
    unclassified: int
    waiting: int


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is looked for: words that all occur in names, and what narrows it; empty says any."""

    words: Sequence[str] = ()
    provider: str = ""
    tier: str = ""
    only: str = ""
    weights: str = ""
    region: str = ""
    data_class: str = ""
    order: str = "attention"
    model_id: int | None = None


def spend_days(*, at: datetime, zone: str) -> tuple[date, date]:
    """Return the last days that spend is shown of, as [first, until)."""
    today = periods.local_day(at, zone)
    return today - timedelta(days=SPEND_DAYS - 1), today + timedelta(days=1)


def offerings(*, at: datetime, zone: str, wanted: Wanted, page: int = 1) -> Found:
    """Return a page of offerings as of an instant, with what they cost in the last days. One query.

    Unless another order is wanted, what waits for attention comes first, the unpriced that was used foremost, then what
    costs most. Those that are retired or assigned to another come last.
    """
    where, given = ["true"], _given(at, zone)
    for n, word in enumerate(wanted.words):
        given[f"word{n}"] = word.lower()
        where.append(
            f"(strpos(lower(known.name || ' ' || lab || ' ' || provider_title), %(word{n})s) > 0 OR EXISTS (SELECT "
            f"FROM catalog_alias a WHERE a.offering_id = known.id AND strpos(a.name, %(word{n})s) > 0))"
        )
    if wanted.provider:
        given["provider"] = wanted.provider
        where.append("provider = %(provider)s")
    if wanted.tier:
        given["tier"] = TIERS[wanted.tier]
        where.append("tier = %(tier)s")
    if wanted.only:
        where.append(NARROWED[wanted.only])
    if wanted.weights:
        where.append(WEIGHTS[wanted.weights])
    for column, value in (("region", wanted.region), ("data_class", wanted.data_class)):
        if value:
            given[column] = value
            where.append(f"{column} = %({column})s")
    if wanted.model_id is not None:
        given["model"] = wanted.model_id
        where.append("model_id = %(model)s")
    order = ", ".join(part for part in ("retired OR merged", ORDERS[wanted.order], "lower(name)", "id") if part)
    given |= {"most": PER_PAGE, "skip": (page - 1) * PER_PAGE}
    with connection.cursor() as cursor:
        cursor.execute(
            f"{_KNOWN} SELECT {', '.join(_COLUMNS)}, count(*) OVER () FROM known WHERE {' AND '.join(where)} "
            f"ORDER BY {order} LIMIT %(most)s OFFSET %(skip)s",
            given,
        )
        rows = cursor.fetchall()
    return Found(lines=[_line(row) for row in rows], found=int(rows[0][-1]) if rows else 0)


def counts(*, at: datetime, zone: str) -> Counts:
    """Return how many offerings there are and wait for what. One query."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"{_KNOWN} SELECT count(*), count(*) FILTER (WHERE attention), "
            "count(*) FILTER (WHERE attention AND unpriced), count(*) FILTER (WHERE attention AND unclassified), "
            "count(*) FILTER (WHERE waiting) FROM known",
            _given(at, zone),
        )
        whole, attention, unpriced, unclassified, waiting = cursor.fetchone()
    return Counts(offerings=whole, attention=attention, unpriced=unpriced, unclassified=unclassified, waiting=waiting)


def providers() -> list[tuple[str, str]]:
    """Return name and title of every provider that serves something. One query."""
    found = Provider.objects.filter(offerings__isnull=False).distinct().order_by(Lower("title"), "name")
    return [(name, title or name) for name, title in found.values_list("name", "title")]


def choices() -> Choices:
    """Return what the list can be narrowed by. Two queries."""
    facts = list(Offering.objects.values_list("region", "data_class").distinct())
    return Choices(
        providers=providers(),
        regions=sorted({region for region, _ in facts if region}),
        data_classes=sorted({data_class for _, data_class in facts if data_class}),
    )


def _given(at: datetime, zone: str) -> dict[str, Any]:
    first, until = spend_days(at=at, zone=zone)
    return {"at": at, "first": first, "until": until, "unknown": UNKNOWN}


def _line(row: Sequence[Any]) -> OfferingLine:
    given = dict(zip(_COLUMNS, row, strict=False))
    given |= {
        "tier": str(Tier(given["tier"]).label),
        "requests": int(given["requests"]),
        "unpriced_tokens": int(given["unpriced_tokens"]),
    }
    return OfferingLine(**given)


@dataclass(frozen=True, kw_only=True)
class Span:
    """Something that holds over [starts_at, ends_at); None is open."""

    text: str
    starts_at: datetime | None
    ends_at: datetime | None

    def holds(self, at: datetime) -> bool:
        return (self.starts_at is None or self.starts_at <= at) and (self.ends_at is None or at < self.ends_at)


@dataclass(frozen=True, kw_only=True)
class ContractLine:
    """Negotiated terms that touch an offering; a discount is per cent off list."""

    id: int
    name: str
    scope: str
    discount_percent: Decimal | None
    valid_from: datetime | None
    valid_until: datetime | None
    approved_by: str
    note: str


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What an offering cost over [first, until), by use case, dearest first."""

    first: date
    until: date
    cost_usd: Decimal
    requests: int
    tokens: int
    unpriced_tokens: int
    use_cases: Sequence[tuple[str, Decimal, int]]


@dataclass(frozen=True, kw_only=True)
class OfferingPage:
    """One offering in full. `offering` carries its model and provider; nothing more is read of it."""

    offering: Offering
    means: str  # what offering its name means now, where it was assigned to another
    is_default: bool
    tiers: Sequence[Span]  # newest first
    aliases: Sequence[Span]
    prices: Sequence[PriceRow]  # as the book holds them true now, by series and time
    replaced: Sequence[PriceRow]  # what was replaced last first; the newest of them
    contracts: Sequence[ContractLine]
    spent: Spent
    elsewhere: Sequence[OfferingLine]  # the same model at other providers

    def tier(self, at: datetime) -> str:
        return next((one.text for one in self.tiers if one.holds(at)), str(Tier.UNCLASSIFIED.label))


def named(name: str) -> Offering | None:
    """Return the offering of a name in any case, or the default one of a model named alone. Two queries at most."""
    known = Offering.objects.select_related("model", "provider")
    found = known.filter(name__iexact=name).order_by("id").first()
    if found is None and "@" not in name:
        found = known.filter(default_of__name__iexact=name).order_by("id").first()
    return found


def one(*, offering: Offering, at: datetime, zone: str) -> OfferingPage:
    """Return all that the catalogue knows of an offering, and what it cost lately. Eight queries at most."""
    tiers = OfferingTier.objects.filter(offering=offering).order_by("-valid")
    aliases = Alias.objects.filter(offering=offering).order_by("name", "-valid")
    of_it = Price.objects.filter(series__model=offering.model_id, series__provider=offering.provider_id)
    of_it = of_it.select_related(*READ_WITH)
    held = [price_row(row, offering=offering.name) for row in of_it.filter(recorded__upper_inf=True)]
    replaced = of_it.filter(recorded__upper_inf=False).order_by("-recorded__endswith", "-id")[:MOST_EARLIER]
    own = PriceSeries.objects.filter(model=offering.model_id, provider=offering.provider_id, contract__isnull=False)
    contracts = (
        Contract.objects.filter(
            Q(offering=offering)
            | Q(provider=offering.provider_id)
            | Q(gateway__isnull=False, discount_percent__isnull=False)
            | Q(name__in=own.values("contract__name")),
            recorded__upper_inf=True,
        )
        .select_related("gateway")
        .order_by("name", "-valid")
    )
    aka = Alias.objects.filter(name=f"{offering.provider.name}/{offering.model.name}".lower(), valid__contains=at)
    means = aka.exclude(offering=offering).select_related("offering").first() if _merged(offering) else None
    elsewhere = offerings(at=at, zone=zone, wanted=Wanted(model_id=offering.model_id, order="spend")).lines
    return OfferingPage(
        offering=offering,
        means=means.offering.name if means is not None else "",
        is_default=offering.model.default_offering_id == offering.pk,
        tiers=[_span(str(row.get_tier_display()), row.valid) for row in tiers],
        aliases=[_span(row.name, row.valid) for row in aliases],
        prices=sorted(held, key=_by_series),
        replaced=[price_row(row, offering=offering.name) for row in replaced],
        contracts=[
            ContractLine(
                id=row.pk,
                name=row.name,
                scope=_scope(row, offering),
                discount_percent=row.discount_percent,
                valid_from=row.valid.lower,
                valid_until=row.valid.upper,
                approved_by=row.approved_by,
                note=row.note,
            )
            for row in contracts
        ],
        spent=_spent(offering, *spend_days(at=at, zone=zone)),
        elsewhere=[line for line in elsewhere if line.id != offering.pk],
    )


def _merged(offering: Offering) -> bool:
    return offering.state == ClaimState.MERGED


def _scope(row: Contract, offering: Offering) -> str:
    if row.gateway is not None:
        return f"calls through {row.gateway.name}"
    return "this offering" if row.offering_id else f"all of {offering.provider.name}"


def _by_series(price: PriceRow) -> tuple[Any, ...]:
    return (*price.series, price.valid_from.timestamp() if price.valid_from else float("-inf"))


def _span(text: str, valid: Any) -> Span:
    return Span(text=text, starts_at=valid.lower, ends_at=valid.upper)


def _spent(offering: Offering, first: date, until: date) -> Spent:
    tokens = sum((Sum(name) for name in (*INPUT, *OUTPUT)[1:]), start=Sum((*INPUT, *OUTPUT)[0]))
    rows: Any = (
        RollupDay.objects.filter(offering=offering, day__gte=first, day__lt=until)
        .values("use_case__name")
        .annotate(
            sum_cost=Sum("cost_usd"), sum_requests=Sum("requests"), sum_tokens=tokens, unpriced=Sum("unpriced_tokens")
        )
        .order_by("-sum_cost", "use_case__name")
    )
    found = list(rows)
    with localcontext() as context:
        context.prec = 80  # sums hold more digits than the default keeps
        cost = sum((row["sum_cost"] for row in found), Decimal(0))
    return Spent(
        first=first,
        until=until,
        cost_usd=cost,
        requests=sum(int(row["sum_requests"]) for row in found),
        tokens=sum(int(row["sum_tokens"]) for row in found),
        unpriced_tokens=sum(int(row["unpriced"]) for row in found),
        use_cases=[
            (row["use_case__name"], row["sum_cost"], int(row["sum_requests"])) for row in found[:MOST_USE_CASES]
        ],
    )
