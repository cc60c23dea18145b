"""The catalogue as bookings keep it in memory, and what it answers: plain Python, no I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from catalog.rules.dated import Dated, held
from catalog.rules.names import clean_name, offering_name, tidy_provider
from catalog.rules.pricing import ListedPrice, PriceTable, Terms


@dataclass(frozen=True, slots=True)
class OfferingFacts:
    """What entries and budgets need of an offering."""

    id: int
    name: str
    model: str
    provider: str
    tiers: tuple[Dated, ...] = ()


@dataclass(frozen=True, slots=True)
class ContractFacts:
    """A contract as recorded now: whom it is with, for how long, and its discount on list."""

    id: int
    name: str
    starts_at: datetime | None
    ends_at: datetime | None
    discount_percent: Decimal | None
    gateway: int | None = None
    offering: int | None = None
    provider: str = ""
    first_id: int = 0  # of the first row of its name: terms that are recorded anew keep the contract's place


@dataclass(slots=True)
class Book:
    """The catalogue as of one revision. Rows that booking itself makes are added after their commit."""

    revision: int = -1
    use_cases: dict[str, int] = field(default_factory=dict)  # folded -> id
    use_case_names: dict[int, str] = field(default_factory=dict)
    use_case_aliases: dict[str, tuple[Dated, ...]] = field(default_factory=dict)
    use_case_teams: dict[int, tuple[Dated, ...]] = field(default_factory=dict)
    baselines: dict[int, int] = field(default_factory=dict)  # use case -> offering that its savings are told against
    teams: dict[str, int] = field(default_factory=dict)
    team_names: dict[int, str] = field(default_factory=dict)
    team_aliases: dict[str, tuple[Dated, ...]] = field(default_factory=dict)
    offerings: dict[int, OfferingFacts] = field(default_factory=dict)
    offering_ids: dict[str, int] = field(default_factory=dict)  # name in lower case -> id
    offering_aliases: dict[str, tuple[Dated, ...]] = field(default_factory=dict)
    default_offerings: dict[str, int] = field(default_factory=dict)  # model in lower case -> id
    gateways: dict[int, str] = field(default_factory=dict)
    listed: dict[tuple[int, str], tuple[ListedPrice, ...]] = field(default_factory=dict)  # (offering, service tier)
    contracts: tuple[ContractFacts, ...] = ()
    contract_prices: dict[tuple[str, int, str], tuple[ListedPrice, ...]] = field(default_factory=dict)  # by its name
    contract_gateways: frozenset[int] = frozenset()  # those with terms of their own
    priced_offerings: frozenset[int] = frozenset()
    tables: dict[tuple[int, str, int], PriceTable] = field(default_factory=dict)  # made when first asked for

    def table(self, offering: int, service_tier: str, gateway: int = 0) -> PriceTable | None:
        """Return the prices of an offering and service tier over time, for calls through a gateway.

        `gateway` 0 is one without terms of its own. None: nothing is priced.
        """
        if gateway not in self.contract_gateways:
            gateway = 0
        key = (offering, service_tier, gateway)
        if key not in self.tables:
            listed = self.listed.get((offering, service_tier), ())
            terms = [
                Terms(
                    one.id, one.name, one.starts_at, one.ends_at, one.discount_percent,
                    self.contract_prices.get((one.name, offering, service_tier), ()),
                )
                for one in self._contracts_of(offering, gateway)
            ]  # fmt: skip
            if not listed and not any(one.prices for one in terms):
                return None  # not kept: events may name any service tier, and as many as they like
            self.tables[key] = PriceTable.of(listed, terms)
        return self.tables[key]

    def _contracts_of(self, offering: int, gateway: int) -> list[ContractFacts]:
        """Return contracts that may hold for calls of an offering, in the order in which they are asked.

        Of two with the same one, the contract that was made later is asked first.
        """
        provider = self.offerings[offering].provider.lower() if offering in self.offerings else ""
        ranked = []
        for one in self.contracts:
            if one.gateway is not None:
                if one.gateway == gateway:
                    ranked.append((0, -(one.first_id or one.id), one))
            elif one.offering is not None:
                if one.offering == offering:
                    ranked.append((1, -(one.first_id or one.id), one))
            elif one.provider.lower() == provider:
                ranked.append((2, -(one.first_id or one.id), one))
        return [one for _, _, one in sorted(ranked, key=lambda ranks: ranks[:2])]

    def use_case(self, folded: str, at: datetime) -> int | None:
        """Return the use case of a folded label; an alias goes before a name of its own, or none could be merged."""
        aliases = self.use_case_aliases.get(folded)
        found = held(aliases, at) if aliases else None
        return self.use_cases.get(folded) if found is None else found

    def team(self, folded: str, at: datetime) -> int | None:
        """Return the team of a folded label, as `use_case` does."""
        aliases = self.team_aliases.get(folded)
        found = held(aliases, at) if aliases else None
        return self.teams.get(folded) if found is None else found

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
        said_twice = bool(provider) and model.startswith(f"{provider}/")
        if provider:
            aliased = self._alias(f"{provider}/{model}", at)
            if aliased is not None:
                return aliased
            direct = self.offering_ids.get(f"{model}@{provider}")
            if direct is not None:
                return direct
        aliased = self._alias(model, at)
        if aliased is not None and said_twice:
            return aliased  # the name says the provider itself, and may mean one of ours that is called otherwise
        if aliased is None and model in self.offering_ids:
            return self.offering_ids[model]
        if aliased is None:
            aliased = self.default_offerings.get(model)
        if aliased is not None:
            facts = self.offerings[aliased]
            if not provider or facts.provider.lower() == provider:
                return aliased
            return self._named(facts.model, tidy_provider(provider), at)
        if said_twice:
            direct = self.offering_ids.get(f"{model.removeprefix(f'{provider}/')}@{provider}")
            if direct is not None:
                return direct
        return self._named(clean_name(model.replace("@", "-")), tidy_provider(provider), at)

    def _named(self, model: str, provider: str, at: datetime) -> int | str:
        """Return what a model at a provider is, written as they are on sight: it may have been assigned since."""
        aliased = self._alias(f"{provider}/{model}".lower(), at)
        if aliased is not None:
            return aliased
        name = offering_name(model, provider)
        return self.offering_ids.get(name.lower(), name)

    def _alias(self, name: str, at: datetime) -> int | None:
        dated = self.offering_aliases.get(name)
        return held(dated, at) if dated else None
