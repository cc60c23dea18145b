"""What rules ask of the catalogue: what an offering is, and whether it may be sent to."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from catalog.models import Meter, Offering, OfferingTier, Price, Tier, UseCase, UseCaseAlias
from routing.rules.validation import OfferingFacts


@dataclass(frozen=True, kw_only=True)
class Known:
    """The catalogue at an instant, as far as one content names it: a `routing.rules.validation.Catalogue`."""

    facts: Mapping[str, OfferingFacts]
    gateway_names: Mapping[str, Mapping[str, str]]
    usd_per_1m: Mapping[str, Mapping[str, Decimal]]  # list price by offering and meter, at the base of its tiers
    classes: Mapping[str, str]

    def offering(self, name: str, /) -> OfferingFacts | None:
        return self.facts.get(name)

    def data_classes(self) -> Mapping[str, str]:
        return self.classes

    def as_written(self, name: str) -> dict[str, Any]:
        """Return an offering as a rules document writes it."""
        known = self.facts[name]
        written: dict[str, Any] = {"model": known.model, "provider": known.provider}
        for member, value in (("region", known.region), ("tier", known.tier), ("data_class", known.data_class)):
            if value:
                written[member] = value
        if self.gateway_names.get(name):
            written["gateway_names"] = dict(self.gateway_names[name])
        return written


def named_in(content: Mapping[str, Any]) -> set[str]:
    """Return the offerings that a content's rules and default send to; reads any JSON, however wrong it is."""
    found: set[str] = set()
    rules = content.get("rules")
    parts = [*(rules if isinstance(rules, list) else ()), content.get("default")]
    for part in parts:
        if not isinstance(part, Mapping):
            continue
        over = part.get("over_budget")
        for side in (part, over if isinstance(over, Mapping) else {}):
            found.update(_texts(target.get("offering") for target in _mappings(side.get("targets"))))
        fallbacks = part.get("fallbacks")
        found.update(_texts(fallbacks if isinstance(fallbacks, list) else ()))
    return found


def filled(content: Mapping[str, Any], *, at: datetime) -> dict[str, Any]:
    """Return a content with its offerings: its own, or what the catalogue has of those that it names. Five queries.

    What nobody knows is left out, and named by the check: a budget could not be held to it.
    """
    kept = dict(content)
    if kept.get("offerings") is None:
        found = known(named_in(kept), at=at)
        kept["offerings"] = {name: found.as_written(name) for name in sorted(found.facts)}
    return kept


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    return (item for item in (value if isinstance(value, list) else ()) if isinstance(item, Mapping))


def _texts(values: Any) -> Iterator[str]:
    return (value for value in values if isinstance(value, str))


def known(names: Collection[str], *, at: datetime) -> Known:
    """Return what the catalogue knows of these offerings at an instant. Five queries.

    An offering has a price when its uncached input has one: every call sends some.
    """
    names = [name for name in names if "\x00" not in name]
    rows = list(Offering.objects.filter(name__in=names).select_related("model", "provider"))
    tiers = OfferingTier.objects.filter(offering__in=[row.pk for row in rows], valid__contains=at)
    tier_of = {offering: str(Tier(tier).label) for offering, tier in tiers.values_list("offering_id", "tier")}
    listed = Price.objects.filter(
        series__model__in={row.model_id for row in rows},
        series__contract__isnull=True,
        series__context_over__isnull=True,
        series__service_tier__isnull=True,
        series__region__isnull=True,
        series__hour_window__isnull=True,
        valid__contains=at,
        recorded__upper_inf=True,
    )
    prices: dict[tuple[int, int], dict[str, Decimal]] = {}
    columns = ("series__model_id", "series__provider_id", "series__meter", "usd_per_1m")
    for model_id, provider_id, meter, usd in listed.values_list(*columns):
        prices.setdefault((model_id, provider_id), {})[meter] = usd
    usd_per_1m = {row.name: prices.get((row.model_id, row.provider_id), {}) for row in rows}
    classes = dict(UseCase.objects.exclude(data_class="").values_list("name", "data_class"))
    aliases = UseCaseAlias.objects.exclude(use_case__data_class="").filter(valid__contains=at)
    classes |= dict(aliases.values_list("folded", "use_case__data_class"))
    return Known(
        facts={
            row.name: OfferingFacts(
                model=row.model.name,
                provider=row.provider.name,
                tier=None if tier_of.get(row.pk) == Tier.UNCLASSIFIED.label else tier_of.get(row.pk),
                region=row.region,
                data_class=row.data_class,
                priced=Meter.UNCACHED_INPUT in usd_per_1m[row.name],
                retired=row.retired_at is not None and row.retired_at <= at,
            )
            for row in rows
        },
        gateway_names={
            row.name: {str(kind): str(name) for kind, name in row.gateway_names.items()}
            for row in rows
            if isinstance(row.gateway_names, dict)
        },
        usd_per_1m=usd_per_1m,
        classes=classes,
    )
