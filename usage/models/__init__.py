"""The tables of usage, by what they are about."""

from usage.models.checks import DroppedPartition, Rebuild, Reconciliation
from usage.models.imports import ImportPart, ImportState, UsageImport
from usage.models.ledger import (
    PRICE_ARRIVED,
    Correction,
    Entry,
    EntryKind,
    LedgerEntry,
    Metered,
    Month,
    Rate,
    RequestContext,
    Restatement,
    Status,
    Unpriced,
    UnsummedEntry,
)
from usage.models.receipts import EventKey, HeldEvent, HeldReason, Receipt, ReceiptState, Source, SourceKind
from usage.models.rollups import (
    LATENCY_BUCKETS,
    Dimensions,
    Rollup15Min,
    RollupDay,
    RollupDayTag,
    RollupDayUser,
    Summed,
    SummedSmall,
)
from usage.models.statements import ProviderStatement, StatementFile
from usage.models.traces import Trace

__all__ = [
    "LATENCY_BUCKETS",
    "PRICE_ARRIVED",
    "Correction",
    "Dimensions",
    "DroppedPartition",
    "Entry",
    "EntryKind",
    "EventKey",
    "HeldEvent",
    "HeldReason",
    "ImportPart",
    "ImportState",
    "LedgerEntry",
    "Metered",
    "Month",
    "ProviderStatement",
    "Rate",
    "Rebuild",
    "Receipt",
    "ReceiptState",
    "Reconciliation",
    "RequestContext",
    "Restatement",
    "Rollup15Min",
    "RollupDay",
    "RollupDayTag",
    "RollupDayUser",
    "Source",
    "SourceKind",
    "StatementFile",
    "Status",
    "Summed",
    "SummedSmall",
    "Trace",
    "Unpriced",
    "UnsummedEntry",
    "UsageImport",
]
