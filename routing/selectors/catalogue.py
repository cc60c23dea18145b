"""What rules ask of the catalogue: what an offering is, and whether it may be sent to."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from catalog.models import Meter, Tier
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
    """Return a content with its offerings: its own, or what the catalogue has of those that it names. Two queries.

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


# Written out: this runs several times for each step of a draft, and to make its statements took longer than they do.
_OFFERINGS = """
    SELECT o.name, m.name, p.name, t.tier, o.region, o.data_class, o.retired_at <= %(at)s, o.gateway_names::text,
        (SELECT jsonb_object_agg(s.meter, price.usd_per_1m::text)::text
         FROM catalog_priceseries s JOIN catalog_price price ON price.series_id = s.id
         WHERE s.model_id = o.model_id AND s.provider_id = o.provider_id AND s.contract_id IS NULL
            AND s.context_over IS NULL AND s.service_tier IS NULL AND s.region IS NULL AND s.hour_window_id IS NULL
            AND price.valid @> %(at)s::timestamptz AND upper_inf(price.recorded))
    FROM catalog_offering o JOIN catalog_model m ON m.id = o.model_id JOIN catalog_provider p ON p.id = o.provider_id
    LEFT JOIN catalog_offeringtier t ON t.offering_id = o.id AND t.valid @> %(at)s::timestamptz
    WHERE o.name = ANY(%(names)s) ORDER BY o.id
"""
_CLASSES = """
    SELECT name, data_class, 1 AS place FROM catalog_usecase WHERE data_class <> ''
    UNION ALL
    SELECT a.folded, u.data_class, 2 FROM catalog_usecasealias a JOIN catalog_usecase u ON u.id = a.use_case_id
    WHERE u.data_class <> '' AND a.valid @> %(at)s::timestamptz ORDER BY place
"""


def known(names: Collection[str], *, at: datetime) -> Known:
    """Return what the catalogue knows of these offerings at an instant. Two queries.

    An offering has a price when its uncached input has one: every call sends some.
    """
    facts: dict[str, OfferingFacts] = {}
    gateway_names: dict[str, dict[str, str]] = {}
    usd_per_1m: dict[str, dict[str, Decimal]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_OFFERINGS, {"names": [name for name in names if "\x00" not in name], "at": at})
        for name, model, provider, tier, region, data_class, retired, named, listed in cursor.fetchall():
            prices = {meter: Decimal(usd) for meter, usd in json.loads(listed or "{}").items()}
            facts[name] = OfferingFacts(
                model=model,
                provider=provider,
                tier=None if tier in (None, Tier.UNCLASSIFIED) else str(Tier(tier).label),
                region=region,
                data_class=data_class,
                priced=Meter.UNCACHED_INPUT in prices,
                retired=bool(retired),
            )
            usd_per_1m[name] = prices
            if isinstance(by_kind := json.loads(named), dict):
                gateway_names[name] = {str(kind): str(one) for kind, one in by_kind.items()}
        cursor.execute(_CLASSES, {"at": at})
        classes = {name: data_class for name, data_class, _ in cursor.fetchall()}
    return Known(facts=facts, gateway_names=gateway_names, usd_per_1m=usd_per_1m, classes=classes)
