"""From a group of ledger entries to lines of FOCUS: one per meter, whose costs add up to the group's.

# Note [What adds up]
Costs of the ledger are whole attodollars, and a price per token is one, too: a meter's cost is its count times its
price, exactly, and the meters of an entry add up to what the entry cost. So do the lines of a group of entries that
were priced with one rate. What meters cannot explain stands in a line of its own, of the category Adjustment: an
adjustment of the ledger counts no tokens, it moves money from one set of prices to another.

# Note [What is a Correction]
By FOCUS, ChargeClass is "Correction" where a charge corrects a billing period that was invoiced before, and must be
null where it corrects the running one. A month that is closed here is what was invoiced: ChargeClass follows
`correction_of`. What takes back or moves an entry of an open month is a line, too (`x_EntryKind`), and belongs to that
month: who leaves Corrections out and sums the rest gets what the month itself cost.

# Note [Unknown is not free]
Usage without a price has lines with a cost of 0, no unit prices, and the reason in `x_UnpricedReason`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from catalog.rules import METERS, REQUESTS, discounted
from core.money import plain
from usage.focus.columns import NAMES
from usage.rules.rating import usd

Line = dict[str, Any]

USAGE, REVERSAL, ADJUSTMENT = 1, 2, 3  # the numbers of usage.models.EntryKind
_KINDS = {USAGE: "usage", REVERSAL: "reversal", ADJUSTMENT: "adjustment"}
TAG_PREFIX = "tollkeeper/"
_TITLES = {
    "uncached_input": "Uncached input tokens",
    "cache_read": "Cache read tokens",
    "cache_write_5m": "Cache write tokens, 5 minutes",
    "cache_write_1h": "Cache write tokens, 1 hour",
    "output": "Output tokens",
    "audio_input": "Audio input tokens",
    "audio_output": "Audio output tokens",
    "image_input": "Image input tokens",
    "image_output": "Image output tokens",
    "requests": "Requests",
    "web_searches": "Web searches",
}
_UNITS = {"requests": "Requests", "web_searches": "Searches"}  # all others are tokens
_PRICED_BY = Decimal(1_000_000)  # prices are per million
_ATTO_PER_UNIT = 10**12  # of one USD per million
_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class MeterPrice:
    """What a unit of a meter costs, in attodollars, and at list; and the prices that say so."""

    paid: int
    listed: int
    list_price: int | None
    own_price: int | None = None  # the contract's, where it has one


# Every call is a request, and most price lists charge only for what it used.
_INCLUDED = MeterPrice(0, 0, None)


@dataclass(frozen=True, slots=True)
class Rate:
    """What entries were priced with: a price per meter, and the contract behind it, if any."""

    id: int
    prices: Mapping[str, MeterPrice]
    contract: str = ""
    discount_percent: Decimal | None = None


def rate_of(id_: int, content: Mapping[str, Any]) -> Rate:
    """Read a rate as `usage_rate.prices` keeps it."""
    terms = content.get("contract") or {}
    discount = Decimal(terms["discount_percent"]) if terms.get("discount_percent") is not None else None
    prices = {}
    for meter in METERS:
        if meter not in content:
            continue
        said = content[meter]
        paid = int(Decimal(said["usd_per_1m"]) * _ATTO_PER_UNIT)
        listed = int(Decimal(said.get("list_usd_per_1m", said["usd_per_1m"])) * _ATTO_PER_UNIT)
        own = bool(said.get("contract"))
        if terms and not own:
            paid = discounted(paid, discount)
        prices[meter] = MeterPrice(
            paid, listed, said.get("list_price", None if own else said["price"]), said["price"] if own else None
        )
    return Rate(id_, prices, terms.get("name", ""), discount)


class Group(NamedTuple):
    """Entries of a day that share everything but what was used: sums of them. Costs in attodollars."""

    charged: tuple[datetime, datetime]  # the day of the calls
    kind: int
    correction_of: date | None
    use_case_id: int
    team_id: int
    offering_id: int
    gateway_id: int
    environment: str
    tier: str
    rule: str
    service_tier: str
    cache_hit: bool
    unpriced: str  # why there is no price; empty: there is one
    rate: Rate | None
    tags: Mapping[str, str]
    meters: tuple[int, ...]
    cost: int
    list_cost: int
    avoided: int


@dataclass(frozen=True, kw_only=True)
class Offered:
    """What lines say of an offering."""

    name: str
    model: str
    provider: str
    lab: str
    region: str


_UNKNOWN = Offered(name="unknown", model="unknown", provider="unknown", lab="", region="")


@dataclass(frozen=True, kw_only=True)
class Names:
    """What stands behind the ids of groups, as of now; `details` says what a price is for, by its id."""

    organisation: str
    billed: tuple[datetime, datetime]
    offerings: Mapping[int, Offered]
    use_cases: Mapping[int, str]
    teams: Mapping[int, str]  # without the one of calls that name none
    gateways: Mapping[int, str]
    details: dict[int, Mapping[str, Any]] = field(default_factory=dict)


def lines_of(group: Group, names: Names) -> Iterator[Line]:
    """Return the lines of a group: a value, or None, for each name of `columns`. See the notes of the module."""
    shared = _shared(group, names)
    cost, list_cost, avoided = group.cost, group.list_cost, group.avoided
    for index, meter in enumerate(METERS):
        count = group.meters[index]
        if not count:
            continue
        price = _price(group, meter)
        line = shared | _used(group, meter, count, price, shared)
        if price is not None and group.cache_hit:
            avoided -= count * price.paid
        elif price is not None:
            cost -= count * price.paid
            list_cost -= count * price.listed
        line["SkuPriceDetails"] = _details(price, meter, group, names)
        yield line
    if cost or list_cost or avoided:
        yield shared | _moved(cost, list_cost, avoided, group, shared)


def _price(group: Group, meter: str) -> MeterPrice | None:
    if group.unpriced:
        return None
    found = group.rate.prices.get(meter) if group.rate else None
    return _INCLUDED if found is None and meter == METERS[REQUESTS] else found


def _shared(group: Group, names: Names) -> Line:
    offering = names.offerings.get(group.offering_id, _UNKNOWN)
    team = names.teams.get(group.team_id)
    use_case = names.use_cases.get(group.use_case_id, "unknown")
    gateway = names.gateways.get(group.gateway_id)
    tags = {key: value for key, value in group.tags.items() if not key.startswith(TAG_PREFIX)}
    ours = {"use_case": use_case, "environment": group.environment, "gateway": gateway, "rule": group.rule}
    tags |= {f"{TAG_PREFIX}{name}": value for name, value in ours.items() if value}
    line: Line = dict.fromkeys(NAMES)
    line |= {
        "BillingAccountId": "organisation/1",
        "BillingAccountName": names.organisation,
        "BillingAccountType": "Organisation",
        "BillingCurrency": "USD",
        "BillingPeriodEnd": instant(names.billed[1]),
        "BillingPeriodStart": instant(names.billed[0]),
        "ChargeClass": "Correction" if group.correction_of else None,
        "ChargePeriodEnd": instant(group.charged[1]),
        "ChargePeriodStart": instant(group.charged[0]),
        "InvoiceIssuerName": offering.provider,
        "PricingCurrency": "USD",
        "ProviderName": offering.provider,
        "PublisherName": offering.lab or offering.provider,
        "RegionId": offering.region or None,
        "RegionName": offering.region or None,
        "ResourceId": offering.name,
        "ResourceName": offering.model,
        "ResourceType": "Model offering",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": "Model inference",
        "ServiceSubcategory": "Generative AI",
        "SubAccountId": f"team/{group.team_id}" if team else None,
        "SubAccountName": team,
        "SubAccountType": "Team" if team else None,
        "Tags": json_of(tags),
        "x_AvoidedCost": _NOTHING,
        "x_CacheHit": "true" if group.cache_hit else "false",
        "x_ContractName": (group.rate and group.rate.contract) or None,
        "x_CorrectionOf": f"{group.correction_of:%Y-%m}" if group.correction_of else None,
        "x_DiscountPercent": group.rate.discount_percent if group.rate else None,
        "x_EntryKind": _KINDS[group.kind],
        "x_Environment": group.environment or None,
        "x_Gateway": gateway,
        "x_Model": offering.model,
        "x_RateId": f"rate/{group.rate.id}" if group.rate else None,
        "x_Rule": group.rule or None,
        "x_ServiceTier": group.service_tier or None,
        "x_Tier": group.tier,
        "x_UnpricedReason": group.unpriced or None,
        "x_UnpricedTokens": _NOTHING,
        "x_UseCase": use_case,
    }
    return line


def _used(group: Group, meter: str, count: int, price: MeterPrice | None, shared: Line) -> Line:
    unit = _UNITS.get(meter, "Tokens")
    bought = 0 if group.cache_hit else count
    paid = usd(bought * price.paid) if price else _NOTHING
    listed = usd(bought * price.listed) if price else _NOTHING
    paid_each = usd(price.paid * 1_000_000) if price else None
    listed_each = usd(price.listed * 1_000_000) if price else None
    sku = f"{shared['ResourceId']}/{meter}"
    return {
        **_costs(paid, listed),
        "ChargeCategory": "Usage",
        "ChargeDescription": _words(_TITLES[meter], group, shared),
        "ChargeFrequency": "Usage-Based",
        "ConsumedQuantity": Decimal(count),
        "ConsumedUnit": unit,
        "ContractedUnitPrice": paid_each,
        "ListUnitPrice": listed_each,
        "PricingCategory": "Standard" if price else "Other",
        "PricingCurrencyContractedUnitPrice": paid_each,
        "PricingCurrencyListUnitPrice": listed_each,
        "PricingQuantity": Decimal(bought) / _PRICED_BY,
        "PricingUnit": f"1000000 {unit}",
        "SkuId": sku,
        "SkuMeter": _TITLES[meter],
        "SkuPriceId": _sku_price(price, sku),
        "x_AvoidedCost": usd(count * price.paid) if price and group.cache_hit else _NOTHING,
        "x_ContractPriceId": f"price/{price.own_price}" if price and price.own_price else None,
        "x_UnpricedTokens": Decimal(count) if group.unpriced and unit == "Tokens" else _NOTHING,
    }


def _sku_price(price: MeterPrice | None, sku: str) -> str | None:
    if price is None:
        return None
    known = price.list_price or price.own_price
    return f"price/{known}" if known else sku


def _moved(cost: int, list_cost: int, avoided: int, group: Group, shared: Line) -> Line:
    title = "Price adjustment" if group.kind == ADJUSTMENT else "Cost without a meter"
    return {
        **_costs(usd(cost), usd(list_cost)),
        "ChargeCategory": "Adjustment",
        "ChargeDescription": _words(title, group, shared),
        "ChargeFrequency": "One-Time",
        "x_AvoidedCost": usd(avoided),
    }


def _costs(paid: Decimal, listed: Decimal) -> Line:
    return {
        "BilledCost": paid,
        "ContractedCost": paid,
        "EffectiveCost": paid,
        "ListCost": listed,
        "PricingCurrencyEffectiveCost": paid,
    }


def _words(title: str, group: Group, shared: Line) -> str:
    said = f"{title} of {shared['ResourceId']}"
    if group.kind == REVERSAL:
        said = f"Taken back: {said}"
    if group.cache_hit:
        said += ", answered by the gateway's cache"
    if group.unpriced:
        said += f", unpriced: {group.unpriced}"
    if group.correction_of:
        said += f", booked late for {group.correction_of:%Y-%m}"
    return said


def _details(price: MeterPrice | None, meter: str, group: Group, names: Names) -> str | None:
    if price is None:
        return None
    known = names.details.get(price.list_price or price.own_price or 0, {})
    return json_of({"x_Meter": meter, **({"x_ServiceTier": group.service_tier} if group.service_tier else {}), **known})


def instant(at: datetime) -> str:
    """Write an instant as FOCUS does; `at` is UTC."""
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


_encode = msgspec.json.Encoder(order="sorted").encode


def json_of(content: Mapping[str, Any]) -> str:
    return _encode(content).decode()


def written(value: Any) -> str | None:
    """Write a value of a line as text, every digit of a number."""
    return plain(value) if isinstance(value, Decimal) else value
