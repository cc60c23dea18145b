"""Each function makes one valid thing and takes overrides; rows of the catalogue, straight or through its services."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from catalog.models import Offering, Price, PriceSeries
from catalog.services import offerings, prices
from catalog.services.prices import PriceSet
from tests.factories import NOON

JANUARY, MARCH, MAY, JULY = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 3, 5, 7))


def span(starts_at: datetime | None, ends_at: datetime | None = None) -> DateTimeTZRange:
    return DateTimeTZRange(starts_at, ends_at, "[)")


def make_offering(name: str = "gpt-5.5@openai", **overrides: Any) -> Offering:
    model, _, provider = name.rpartition("@")
    return offerings.ensure(model=model, provider=provider, **{"by": "tests", "default": True, **overrides})


def set_price(usd: str = "5", **overrides: Any) -> PriceSet:
    """Set the price of an offering's uncached input from January on, as of noon in June."""
    given: dict[str, Any] = {
        "meter": "uncached_input",
        "usd_per_1m": Decimal(usd),
        "valid_from": JANUARY,
        "source": "provider's page",
        "by": "finance@example.com",
        "approved_by": "approver@example.com",
        "at": NOON,
    }
    if not {"offering", "provider"} & overrides.keys():
        given["offering"] = make_offering()
    return prices.set_price(**{**given, **overrides})


def make_series(**overrides: Any) -> PriceSeries:
    offering = make_offering()
    given: dict[str, Any] = {"provider": offering.provider, "model": offering.model, "meter": "output"}
    return PriceSeries.objects.create(**{**given, **overrides})


def make_price(series: PriceSeries, **overrides: Any) -> Price:
    given: dict[str, Any] = {
        "usd_per_1m": Decimal(5),
        "valid": span(JANUARY),
        "recorded": span(NOON),
        "source": "tests",
        "entered_by": "tests",
        "approved_by": "tests",
    }
    return Price.objects.create(series=series, **{**given, **overrides})


def book(series: PriceSeries | None = None, *, as_of: datetime | None = None) -> list[tuple[Any, Any, str]]:
    """Return what the book says, as (from, until, USD): now, or as it was held true at an instant."""
    found = Price.objects.order_by("valid")
    found = found.filter(recorded__contains=as_of) if as_of else found.filter(recorded__upper_inf=True)
    if series is not None:
        found = found.filter(series=series)
    return [(one.valid.lower, one.valid.upper, f"{one.usd_per_1m.normalize():f}") for one in found]
