"""How names are compared and resolved, and which price holds: plain Python, no I/O, no clock.

Everything here works on a `Book`, a frozen copy of the catalogue that booking keeps in memory.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

METERS = (
    "uncached_input",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "output",
    "audio_input",
    "audio_output",
    "image_input",
    "image_output",
    "requests",
    "web_searches",
)
INPUT_METERS = (0, 1, 2, 3, 5, 7)  # indices of the meters that make up a request's input
OUTPUT_METERS = (4, 6, 8)
REQUESTS = METERS.index("requests")

UNKNOWN = "unknown"  # the model, or the provider, of an event that names none
UNASSIGNED = "unassigned"

# Costs are counted in whole attodollars (1e-18 USD, the last place of the ledger's columns), so that the hot path adds
# integers. A price of 10 places per million units is `price * 1e10` times 100 of them per unit.
ATTO_PER_UNIT = 100

LABEL_CHARACTERS = 128
MODEL_CHARACTERS = 128
PROVIDER_CHARACTERS = 64

_NOT_IN_NAMES = re.compile(r"[^a-z0-9._:/@-]+")


def fold(label: str) -> str:
    """Return the form that labels of use cases and teams are compared by: trimmed, case-folded, NFC.

    Folding may make a label longer, a sharp s twice as long; what goes beyond the column's end is cut off.
    """
    folded = unicodedata.normalize("NFC", " ".join(label.split()).casefold())
    return folded[:LABEL_CHARACTERS].rstrip()


def clean_name(name: str, characters: int = MODEL_CHARACTERS) -> str:
    """Return a name of `[A-Za-z0-9._:/@-]`, in lower case and not too long; what does not fit becomes a hyphen."""
    return _NOT_IN_NAMES.sub("-", name.strip().lower())[:characters].strip("-") or UNKNOWN


def _provider(name: str) -> str:
    return clean_name(name.replace("@", "-"), PROVIDER_CHARACTERS)


def offering_name(model: str, provider: str) -> str:
    return f"{model}@{provider}"


@dataclass(frozen=True, slots=True)
class Dated:
    """Something that holds over [starts_at, ends_at); None is open."""

    starts_at: datetime | None
    ends_at: datetime | None
    value: int

    def holds(self, at: datetime) -> bool:
        return (self.starts_at is None or self.starts_at <= at) and (self.ends_at is None or at < self.ends_at)


def held(dated: Iterable[Dated], at: datetime) -> int | None:
    """Return the value that holds at an instant."""
    for one in dated:
        if one.holds(at):
            return one.value
    return None


@dataclass(frozen=True, slots=True)
class ListedPrice:
    """A list price as recorded now. `scaled` is USD per 1M times 1e10, a whole number."""

    id: int
    meter: int
    usd_per_1m: Decimal
    scaled: int
    starts_at: datetime | None
    ends_at: datetime | None
    context_over: int | None
    context_inclusive: bool
    service_tier: str


@dataclass(frozen=True, slots=True)
class RateCard:
    """One price per meter: what a request is rated with once its time and its size are known."""

    prices: tuple[ListedPrice | None, ...]  # by meter index
    per_unit: tuple[int | None, ...]  # attodollars per unit, by meter index

    @classmethod
    def of(cls, prices: Sequence[ListedPrice | None]) -> RateCard:
        per_unit = [None if p is None else p.scaled * ATTO_PER_UNIT for p in prices]
        if per_unit[REQUESTS] is None:
            per_unit[REQUESTS] = 0  # every call is a request, and most price lists charge only for what it used
        return cls(tuple(prices), tuple(per_unit))


@dataclass(frozen=True, slots=True)
class Cliff:
    """From so many input tokens on, all of a request is priced with another card."""

    over: int
    inclusive: bool
    card: RateCard


@dataclass(frozen=True, slots=True)
class Span:
    """The cards of one offering and service tier while no price of it changes."""

    card: RateCard
    cliffs: tuple[Cliff, ...]  # the highest first

    def card_for(self, input_tokens: int) -> RateCard:
        for cliff in self.cliffs:
            if input_tokens > cliff.over or (cliff.inclusive and input_tokens == cliff.over):
                return cliff.card
        return self.card


@dataclass(frozen=True, slots=True)
class PriceTable:
    """All list prices of one offering and service tier over time."""

    starts: tuple[float, ...]  # POSIX seconds at which a span begins, rising; the first is minus infinity
    spans: tuple[Span | None, ...]  # None where nothing is priced

    def at(self, timestamp: float) -> Span | None:
        return self.spans[bisect_right(self.starts, timestamp) - 1]

    @classmethod
    def of(cls, prices: Sequence[ListedPrice]) -> PriceTable:
        """Cut time where any price begins or ends. Prices of one series never overlap: the database sees to it."""
        edges = {p.starts_at.timestamp() for p in prices if p.starts_at is not None}
        edges |= {p.ends_at.timestamp() for p in prices if p.ends_at is not None}
        starts = (float("-inf"), *sorted(edges))
        return cls(starts, tuple(cls._span(prices, start) for start in starts))

    @staticmethod
    def _span(prices: Sequence[ListedPrice], start: float) -> Span | None:
        live = [
            p
            for p in prices
            if (p.starts_at is None or p.starts_at.timestamp() <= start)
            and (p.ends_at is None or start < p.ends_at.timestamp())
        ]
        if not live:
            return None
        base: list[ListedPrice | None] = [None] * len(METERS)
        for p in live:
            if p.context_over is None:
                base[p.meter] = p
        cliffs: list[Cliff] = []
        for over, inclusive in sorted({(p.context_over or 0, p.context_inclusive) for p in live if p.context_over}):
            # A cliff says what changes; meters that it does not name keep the price below it.
            below: list[ListedPrice | None] = list(cliffs[-1].card.prices) if cliffs else list(base)
            for p in live:
                if p.context_over == over and p.context_inclusive == inclusive:
                    below[p.meter] = p
            cliffs.append(Cliff(over, inclusive, RateCard.of(below)))
        return Span(RateCard.of(base), tuple(reversed(cliffs)))


@dataclass(frozen=True, slots=True)
class OfferingFacts:
    """What entries and budgets need of an offering."""

    id: int
    name: str
    model: str
    provider: str
    tiers: tuple[Dated, ...] = ()


@dataclass(slots=True)
class Book:
    """The catalogue as of one revision. Rows that booking itself makes are added after their commit."""

    revision: int = -1
    use_cases: dict[str, int] = field(default_factory=dict)  # folded -> id
    use_case_names: dict[int, str] = field(default_factory=dict)
    use_case_aliases: dict[str, tuple[Dated, ...]] = field(default_factory=dict)
    use_case_teams: dict[int, tuple[Dated, ...]] = field(default_factory=dict)
    teams: dict[str, int] = field(default_factory=dict)
    team_names: dict[int, str] = field(default_factory=dict)
    team_aliases: dict[str, tuple[Dated, ...]] = field(default_factory=dict)
    offerings: dict[int, OfferingFacts] = field(default_factory=dict)
    offering_ids: dict[str, int] = field(default_factory=dict)  # name in lower case -> id
    offering_aliases: dict[str, tuple[Dated, ...]] = field(default_factory=dict)
    default_offerings: dict[str, int] = field(default_factory=dict)  # model in lower case -> id
    gateways: dict[int, str] = field(default_factory=dict)
    prices: dict[tuple[int, str], PriceTable] = field(default_factory=dict)  # (offering, service tier)
    priced_offerings: frozenset[int] = frozenset()

    def use_case(self, folded: str, at: datetime) -> int | None:
        """Return the use case of a folded label, its own name before an alias."""
        found = self.use_cases.get(folded)
        if found is None and folded in self.use_case_aliases:
            found = held(self.use_case_aliases[folded], at)
        return found

    def team(self, folded: str, at: datetime) -> int | None:
        found = self.teams.get(folded)
        if found is None and folded in self.team_aliases:
            found = held(self.team_aliases[folded], at)
        return found

    def team_of(self, use_case: int, at: datetime) -> int | None:
        """Return the team that answered for a use case at an instant."""
        dated = self.use_case_teams.get(use_case)
        return held(dated, at) if dated else None

    def tier(self, offering: int, at: datetime) -> int:
        """Return the tier an offering had at an instant; 0 is unclassified."""
        facts = self.offerings.get(offering)
        return (held(facts.tiers, at) or 0) if facts is not None else 0

    def offering(self, provider: str, model: str, at: datetime) -> int | str:
        """Resolve what a gateway reported to an offering.

        Gives the offering's id, or, where nobody knows it, the name under which it is to be made on sight. A name
        that is known for another provider means the same model at the provider that the event names.
        """
        provider, model = provider.strip().lower(), model.strip().lower()
        if provider:
            direct = self.offering_ids.get(f"{model}@{provider}")
            if direct is not None:
                return direct
            aliased = self._alias(f"{provider}/{model}", at)
            if aliased is not None:
                return aliased
        aliased = self._alias(model, at)
        if aliased is None and model in self.offering_ids:
            return self.offering_ids[model]
        if aliased is None:
            aliased = self.default_offerings.get(model)
        if aliased is not None:
            facts = self.offerings[aliased]
            if not provider or facts.provider.lower() == provider:
                return aliased
            elsewhere = offering_name(facts.model, _provider(provider))
            return self.offering_ids.get(elsewhere.lower(), elsewhere)
        return offering_name(clean_name(model.replace("@", "-")), _provider(provider))

    def _alias(self, name: str, at: datetime) -> int | None:
        dated = self.offering_aliases.get(name)
        return held(dated, at) if dated else None
