"""What events name and prices are for: providers, models, offerings, use cases, teams, gateways, the price book.

Whatever an event names exists here as a row from then on; what nobody has claimed yet waits (`state`).
"""

from catalog.models.common import NAME, NAME_PATTERN, ClaimState, Revision, changes_catalog, changes_catalog_by_update
from catalog.models.gateways import Gateway, GatewayKey, TakesRules
from catalog.models.imports import PriceImport, PriceProposal, ProposalKind, ProposalState, SourceTable
from catalog.models.names import (
    UNASSIGNED_ID,
    Alias,
    Model,
    Offering,
    OfferingTier,
    Provider,
    Team,
    TeamAlias,
    Tier,
    UseCase,
    UseCaseAlias,
    UseCaseTeam,
)
from catalog.models.prices import (
    METER_LABELS,
    Amendment,
    AmendmentKind,
    Contract,
    HourWindow,
    Meter,
    Price,
    PriceSeries,
)

__all__ = [
    "METER_LABELS",
    "NAME",
    "NAME_PATTERN",
    "UNASSIGNED_ID",
    "Alias",
    "Amendment",
    "AmendmentKind",
    "ClaimState",
    "Contract",
    "Gateway",
    "GatewayKey",
    "HourWindow",
    "Meter",
    "Model",
    "Offering",
    "OfferingTier",
    "Price",
    "PriceImport",
    "PriceProposal",
    "PriceSeries",
    "ProposalKind",
    "ProposalState",
    "Provider",
    "Revision",
    "SourceTable",
    "TakesRules",
    "Team",
    "TeamAlias",
    "Tier",
    "UseCase",
    "UseCaseAlias",
    "UseCaseTeam",
    "changes_catalog",
    "changes_catalog_by_update",
]
