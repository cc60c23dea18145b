"""The columns of FOCUS 1.2 in its own order, what stands in them here, and our own behind them.

Types and nulls are the specification's. `None` as a source says that nothing here has such a thing: the column is there
and always null.
"""

from __future__ import annotations

from typing import NamedTuple

VERSION = "1.2"
STRING, DECIMAL, INSTANT, JSON = "String", "Decimal", "Date/Time", "JSON"


class Column(NamedTuple):
    """A column: the type of its values, whether one may be missing, and what it says here."""

    name: str
    type: str
    nulls: bool
    says: str


_NONE = "Null: there is no such thing with model calls."

FOCUS = (
    Column("AvailabilityZone", STRING, True, _NONE),
    Column("BilledCost", DECIMAL, False, "What it cost by the prices in force at the time of the calls, in USD."),
    Column("BillingAccountId", STRING, False, "The organisation, organisation/1."),
    Column("BillingAccountName", STRING, True, "The organisation's name."),
    Column("BillingAccountType", STRING, False, "Organisation."),
    Column("BillingCurrency", STRING, False, "USD: every price here is."),
    Column("BillingPeriodEnd", INSTANT, False, "End of the month it is booked in; not part of it."),
    Column("BillingPeriodStart", INSTANT, False, "Start of the month it is booked in, in the organisation's zone."),
    Column("CapacityReservationId", STRING, True, _NONE),
    Column("CapacityReservationStatus", STRING, True, _NONE),
    Column("ChargeCategory", STRING, False, "Usage; Adjustment where only money moved and nothing was used."),
    Column("ChargeClass", STRING, True, "Correction where it was booked for a month that was closed; else null."),
    Column("ChargeDescription", STRING, True, "The line in words."),
    Column("ChargeFrequency", STRING, False, "Usage-Based; One-Time for an Adjustment."),
    Column("ChargePeriodEnd", INSTANT, False, "End of the day of the calls; not part of it."),
    Column("ChargePeriodStart", INSTANT, False, "Start of the day of the calls, in the organisation's zone."),
    Column("CommitmentDiscountCategory", STRING, True, _NONE),
    Column("CommitmentDiscountId", STRING, True, _NONE),
    Column("CommitmentDiscountName", STRING, True, _NONE),
    Column("CommitmentDiscountQuantity", DECIMAL, True, _NONE),
    Column("CommitmentDiscountStatus", STRING, True, _NONE),
    Column("CommitmentDiscountType", STRING, True, _NONE),
    Column("CommitmentDiscountUnit", STRING, True, _NONE),
    Column("ConsumedQuantity", DECIMAL, True, "Tokens, requests or searches, whole; negative where taken back."),
    Column("ConsumedUnit", STRING, True, "Tokens, Requests or Searches."),
    Column("ContractedCost", DECIMAL, False, "ContractedUnitPrice times PricingQuantity."),
    Column("ContractedUnitPrice", DECIMAL, True, "USD per PricingUnit, after a contract. Null: unpriced."),
    Column("EffectiveCost", DECIMAL, False, "The same as BilledCost: nothing is paid in advance."),
    Column("InvoiceId", STRING, True, "Null: invoices are the providers' own."),
    Column("InvoiceIssuerName", STRING, False, "The provider that served the calls."),
    Column("ListCost", DECIMAL, False, "ListUnitPrice times PricingQuantity."),
    Column("ListUnitPrice", DECIMAL, True, "USD per PricingUnit, as listed. Null: unpriced."),
    Column("PricingCategory", STRING, True, "Standard; Other where it is unpriced."),
    Column("PricingCurrency", STRING, False, "USD."),
    Column("PricingCurrencyContractedUnitPrice", DECIMAL, True, "The same as ContractedUnitPrice."),
    Column("PricingCurrencyEffectiveCost", DECIMAL, False, "The same as EffectiveCost."),
    Column("PricingCurrencyListUnitPrice", DECIMAL, True, "The same as ListUnitPrice."),
    Column("PricingQuantity", DECIMAL, True, "Millions of ConsumedUnit; 0 where a gateway's cache answered."),
    Column("PricingUnit", STRING, True, "1000000 Tokens, Requests or Searches."),
    Column("ProviderName", STRING, False, "The provider that served the calls."),
    Column("PublisherName", STRING, False, "The lab that made the model; the provider where it is not known."),
    Column("RegionId", STRING, True, "The offering's region, where it has one."),
    Column("RegionName", STRING, True, "The same as RegionId."),
    Column("ResourceId", STRING, True, "The offering: model@provider."),
    Column("ResourceName", STRING, True, "The model's name."),
    Column("ResourceType", STRING, True, "Model offering."),
    Column("ServiceCategory", STRING, False, "AI and Machine Learning."),
    Column("ServiceName", STRING, False, "Model inference."),
    Column("ServiceSubcategory", STRING, False, "Generative AI."),
    Column("SkuId", STRING, True, "The offering and the meter: model@provider/output."),
    Column("SkuMeter", STRING, True, "The meter in words, such as Output tokens."),
    Column("SkuPriceDetails", JSON, True, "What the price is for: meter, context and service tier, region, hours."),
    Column("SkuPriceId", STRING, True, "The list price: the console's search finds price/17, with its source."),
    Column("SubAccountId", STRING, True, "The team, team/7. Null: none is known."),
    Column("SubAccountName", STRING, True, "The team's name."),
    Column("SubAccountType", STRING, True, "Team."),
    Column(
        "Tags", JSON, True, "The declared tags of the calls as they are, and ours behind the prefix tollkeeper/: "
        "use_case, environment, gateway, rule.",
    ),
)  # fmt: skip
OURS = (
    Column("x_AvoidedCost", DECIMAL, False, "What a gateway's own cache spared, in USD; not part of any cost."),
    Column("x_CacheHit", STRING, False, "true where a gateway's own cache answered, at no cost; else false."),
    Column("x_ContractName", STRING, True, "The contract that the prices come from."),
    Column("x_ContractPriceId", STRING, True, "The contract's own price, where it has one."),
    Column("x_CorrectionOf", STRING, True, "The closed month that a Correction belongs to, such as 2026-09."),
    Column("x_DiscountPercent", DECIMAL, True, "The contract's discount on the list price."),
    Column("x_EntryKind", STRING, False, "Of the ledger: usage, reversal or adjustment."),
    Column("x_Environment", STRING, True, "The environment of the gateway's key."),
    Column("x_Gateway", STRING, True, "The gateway that reported the calls."),
    Column("x_Model", STRING, False, "The model."),
    Column("x_RateId", STRING, True, "The set of prices that the calls were priced with."),
    Column("x_Rule", STRING, True, "The routing rule that chose the model."),
    Column("x_ServiceTier", STRING, True, "Such as batch or priority."),
    Column("x_Tier", STRING, False, "At the time of the calls: frontier, middle, economy, self-hosted, unclassified."),
    Column("x_UnpricedReason", STRING, True, "Why it is unpriced: such a line costs 0 and is not free."),
    Column("x_UnpricedTokens", DECIMAL, False, "Unpriced tokens of the line."),
    Column("x_UseCase", STRING, False, "The use case; unassigned where the calls named none."),
)
COLUMNS = (*FOCUS, *OURS)
NAMES = tuple(column.name for column in COLUMNS)
