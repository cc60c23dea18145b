"""Hand-made tables of prices, and what came of importing them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

from genai_prices import data_snapshot

from catalog.models import PriceProposal
from catalog.rules.proposed import ProposedLine, read
from catalog.services import imports
from catalog.services.imports import ImportResult
from catalog.sources.quotes import Quote, Table
from tests.factories import NOON

GPT, OPUS = "gpt-5.5@openai", "claude-opus-4.7@anthropic"


def quote(usd: str = "5", of: str = GPT, **overrides: Any) -> Quote:
    """Make a quote for a million tokens of uncached input, without a date."""
    model, _, provider = of.rpartition("@")
    given = {"provider": provider, "model": model, "meter": "uncached_input", "usd_per_1m": Decimal(usd)}
    return Quote(**{**given, **overrides})


def table(*quotes: Quote, **overrides: Any) -> Table:
    models = len({(one.provider, one.model) for one in quotes})
    given: dict[str, Any] = {"source": "litellm", "version": "1.80", "digest": "0" * 64, "models": models}
    return Table(**{**given, "quotes": quotes, **overrides})


def propose(*quotes: Quote, at: datetime = NOON, accept_shrunk: bool = False, **overrides: Any) -> ImportResult:
    return imports.propose(
        table=table(*quotes, **overrides),
        file_name="prices.json",
        by="finance@example.com",
        at=at,
        accept_shrunk=accept_shrunk,
    )


def proposals(**filters: Any) -> list[tuple[str, str, str]]:
    """Return kind, offering and state of each proposal, in the order in which they were made."""
    found = PriceProposal.objects.filter(**filters).order_by("pk")
    return [(one.kind, one.offering_name, one.state) for one in found]


def open_one(**filters: Any) -> PriceProposal:
    return PriceProposal.objects.get(state="open", **filters)


def lines_of(proposal: PriceProposal) -> list[ProposedLine]:
    return [read(line) for line in proposal.lines]


def differing(proposal: PriceProposal) -> list[tuple[str, str | None]]:
    """Return what differs: what the price is for, and what the table says."""
    found = [line for line in lines_of(proposal) if line.differs]
    return [(line.what, None if line.usd_per_1m is None else f"{line.usd_per_1m:f}") for line in found]


def accept(*chosen: PriceProposal, at: datetime = NOON, **overrides: Any) -> imports.Settled:
    given: dict[str, Any] = {"by": "approver@example.com", "at": at, "reason": "looked at"}
    return imports.accept(proposal_ids=[one.pk for one in chosen], **{**given, **overrides})


def reject(*chosen: PriceProposal, at: datetime = NOON) -> imports.Settled:
    return imports.reject(proposal_ids=[one.pk for one in chosen], by="approver@example.com", at=at)


@contextmanager
def installed(*providers: str) -> Iterator[int]:
    """Have genai-prices list these of its providers alone, thousands of models less; gives how many models are left."""
    listed = [one for one in data_snapshot.get_snapshot().providers if one.id in providers]
    data_snapshot.set_custom_snapshot(data_snapshot.DataSnapshot(providers=listed, from_auto_update=False))
    try:
        yield sum(len(one.models) for one in listed)
    finally:
        data_snapshot.set_custom_snapshot(None)
