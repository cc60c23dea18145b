"""The common offerings with their list prices, so that a fresh install prices most of what it is sent.

The figures are in `catalog/data/standard.json`, with their source. They are a beginning: where the catalogue says
something already, a person's word or an earlier load, it stands.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from django.db import transaction

from catalog.models import (
    Alias,
    ClaimState,
    HourWindow,
    Model,
    Offering,
    OfferingTier,
    Price,
    PriceSeries,
    Provider,
    Tier,
)
from catalog.rules import offering_name
from catalog.services import turns
from catalog.services.labels import folded_alias, since

_FILE = Path(__file__).resolve().parent.parent / "data" / "standard.json"
_TIERS = {"frontier": Tier.FRONTIER, "middle": Tier.MIDDLE, "economy": Tier.ECONOMY, "self-hosted": Tier.SELF_HOSTED}


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """How many rows a load added."""

    providers: int = 0
    models: int = 0
    offerings: int = 0
    tiers: int = 0
    aliases: int = 0
    prices: int = 0

    def __bool__(self) -> bool:
        return any(vars(self).values())


@transaction.atomic(durable=True)
def load(*, by: str, at: datetime) -> Loaded:
    """Add what is missing: offerings, a tier where there is none, names nobody took, prices for unpriced offerings.

    Changes nothing that is there, and a second load writes nothing. Two at once wait for each other. About twenty
    queries.
    """
    turns.acting(by=by, reason="standard catalogue")
    book = _book()
    known_since = _instant(book["valid_from"])

    providers, new_providers = _providers(book)
    models, new_models = _models(book)
    offerings, new_offerings = _offerings(book, providers, models)
    return Loaded(
        providers=new_providers,
        models=new_models,
        offerings=new_offerings,
        tiers=_tiers(book, offerings, known_since),
        aliases=_aliases(book, offerings, known_since),
        prices=_prices(book, offerings, known_since, by=by, at=at),
    )


@cache
def _book() -> Mapping[str, Any]:
    book: Mapping[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return book


def _providers(book: Mapping[str, Any]) -> tuple[dict[str, Provider], int]:
    known = {row.name.lower(): row for row in Provider.objects.all()}
    missing = [Provider(name=one["name"], title=one["title"]) for one in book["providers"] if one["name"] not in known]
    known |= {row.name: row for row in Provider.objects.bulk_create(missing)}
    return known, len(missing)


def _models(book: Mapping[str, Any]) -> tuple[dict[str, Model], int]:
    known = {row.name.lower(): row for row in Model.objects.all()}
    missing = [Model(**one) for one in book["models"] if one["name"] not in known]
    known |= {row.name: row for row in Model.objects.bulk_create(missing)}
    return known, len(missing)


def _offerings(
    book: Mapping[str, Any], providers: dict[str, Provider], models: dict[str, Model]
) -> tuple[dict[str, Offering], int]:
    """Return the book's offerings by `model@provider` as the book writes it."""
    known = {(row.model_id, row.provider_id): row for row in Offering.objects.all()}
    found, missing = {}, {}
    for one in book["offerings"]:
        key = offering_name(one["model"], one["provider"])
        model, provider = models[one["model"]], providers[one["provider"]]
        row = known.get((model.pk, provider.pk))
        if row is not None:
            found[key] = row
            continue
        missing[key] = Offering(
            model=model,
            provider=provider,
            name=offering_name(model.name, provider.name),
            region=one.get("region", ""),
            gateway_names=one.get("gateway_names", {}),
        )
    found |= dict(zip(missing, Offering.objects.bulk_create(missing.values()), strict=True))

    # One that an event named before the catalogue knew it waits no longer.
    waiting = [row.pk for row in found.values() if row.state == ClaimState.WAITING]
    if waiting:
        Offering.objects.filter(pk__in=waiting).update(state=ClaimState.CLAIMED)
    alone = []
    for one in book["offerings"]:
        model = models[one["model"]]
        if one.get("default") and model.default_offering_id is None:
            model.default_offering = found[offering_name(one["model"], one["provider"])]
            alone.append(model)
    if alone:
        Model.objects.bulk_update(alone, ["default_offering"])
    return found, len(missing)


def _tiers(book: Mapping[str, Any], offerings: dict[str, Offering], known_since: datetime) -> int:
    told = set(OfferingTier.objects.values_list("offering_id", flat=True))
    missing = []
    for one in book["offerings"]:
        offering = offerings[offering_name(one["model"], one["provider"])]
        if offering.pk not in told:
            missing.append(OfferingTier(offering=offering, tier=_TIERS[one["tier"]], valid=since(known_since)))
    OfferingTier.objects.bulk_create(missing)
    return len(missing)


def _names(book: Mapping[str, Any], one: Mapping[str, Any]) -> Iterator[str]:
    """Every name that gateways have for an offering: with each of its provider's prefixes, and alone where it may."""
    prefixes = next(row["prefixes"] for row in book["providers"] if row["name"] == one["provider"])
    for prefix in prefixes:
        for name in one["names"]:
            yield name if name.startswith(f"{prefix}/") else f"{prefix}/{name}"
    if one.get("default"):
        yield from one["names"]
    yield from one.get("bare_names", ())


def _aliases(book: Mapping[str, Any], offerings: dict[str, Offering], known_since: datetime) -> int:
    taken = set(Alias.objects.values_list("name", flat=True))
    missing = []
    for one in book["offerings"]:
        offering = offerings[offering_name(one["model"], one["provider"])]
        for name in map(folded_alias, _names(book, one)):
            if name not in taken:
                taken.add(name)
                missing.append(Alias(name=name, offering=offering, valid=since(known_since)))
    Alias.objects.bulk_create(missing, batch_size=1_000)
    return len(missing)


def _prices(
    book: Mapping[str, Any], offerings: dict[str, Offering], known_since: datetime, *, by: str, at: datetime
) -> int:
    windows = {
        one["name"]: HourWindow.objects.get_or_create(
            name=one["name"],
            defaults={
                "zone": one["zone"],
                "weekdays": one["weekdays"],
                "starts": time.fromisoformat(one["starts"]),
                "ends": time.fromisoformat(one["ends"]),
            },
        )[0]
        for one in book["hour_windows"]
    }
    # An offering that somebody priced, in part even, is left alone: a tier of ours above her price would surprise.
    priced = set(PriceSeries.objects.filter(contract=None).values_list("provider_id", "model_id"))
    series: dict[tuple[object, ...], PriceSeries] = {}
    prices = []
    for one in book["offerings"]:
        offering = offerings[offering_name(one["model"], one["provider"])]
        if (offering.provider_id, offering.model_id) in priced:
            continue
        for card in one["prices"]:
            for meter, usd_per_1m in card["usd_per_1m"].items():
                own = PriceSeries(
                    provider_id=offering.provider_id,
                    model_id=offering.model_id,
                    meter=meter,
                    context_over=card.get("context_over"),
                    context_inclusive=card.get("context_inclusive", False),
                    service_tier=card.get("service_tier"),
                    hour_window=windows[card["hours"]] if "hours" in card else None,
                )
                key = (offering.pk, meter, own.context_over, own.service_tier, card.get("hours"))
                begins = _instant(card["from"]) if "from" in card else known_since
                prices.append(
                    Price(
                        series=series.setdefault(key, own),
                        usd_per_1m=Decimal(usd_per_1m),
                        valid=since(begins, _instant(card["until"]) if "until" in card else None),
                        recorded=since(at),
                        source=book["source"],
                        source_version=book["source_version"],
                        source_url=book["source_url"],
                        note=one.get("note", ""),
                        entered_by=by,
                        approved_by=by,
                    )
                )
    PriceSeries.objects.bulk_create(series.values(), batch_size=1_000)
    Price.objects.bulk_create(prices, batch_size=1_000)
    return len(prices)


def _instant(text: str) -> datetime:
    """Read a day, which begins at midnight UTC, or an instant."""
    read = datetime.fromisoformat(text)
    return read if read.tzinfo is not None else read.replace(tzinfo=UTC)
