"""The price book: USD per million units of a meter, over the time they hold and the time we held them true.

# Note [Valid and recorded]
`valid` says when a price holds, `recorded` when we believed so. Nothing that was recorded is changed: a price that is
replaced has its `recorded` closed, what is left of its time on either side is recorded anew, and so is the new price.
Whoever asks what we believed at an instant still gets the answer of then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from catalog.models import AmendmentKind, Contract, HourWindow, Meter, Offering, Price, PriceSeries
from catalog.rules import tidy_service_tier
from catalog.services import amendments, offerings, turns
from catalog.services.labels import rests, since
from core.errors import Conflict, Invalid

# Above these a figure was entered in the wrong unit: per token or per 1000 tokens instead of per million.
MOST_USD_PER_1M_TOKENS = Decimal(5_000)
MOST_USD_PER_1M_OTHERS = Decimal(10_000_000)  # 10 USD for one request or one search
_PLACES = 10
_COUNTED_APART = (Meter.REQUESTS, Meter.WEB_SEARCHES)
_ONE_TICK = timedelta(microseconds=1)  # PostgreSQL's smallest step


class LimitDisagrees(Conflict):
    """The context tier is recorded with its limit on the other side."""


@dataclass(frozen=True, kw_only=True)
class PriceSet:
    """What came of setting a price."""

    price: Price
    written: bool  # false where the book said so already
    replaced: tuple[int, ...] = ()  # ids of the prices whose record was closed


@dataclass(frozen=True, kw_only=True)
class NewPrice:
    """A price to be set: USD per million units of a meter over [valid_from, valid_until), and what series it is of."""

    offering: Offering
    meter: str
    usd_per_1m: Decimal
    valid_from: datetime
    valid_until: datetime | None = None
    context_over: int | None = None
    context_inclusive: bool = False
    service_tier: str | None = None
    region: str | None = None
    hour_window: HourWindow | None = None
    contract: Contract | None = None
    currency: str = "USD"
    source: str = ""
    source_version: str = ""
    source_url: str = ""
    note: str = ""


@transaction.atomic
def set_price(
    *,
    meter: str,
    usd_per_1m: Decimal,
    valid_from: datetime,
    source: str,
    by: str,
    approved_by: str,
    at: datetime,
    offering: Offering | None = None,
    provider: str = "",
    model: str = "",
    note: str = "",
    **series: Any,
) -> PriceSet:
    """Record that a meter of an offering costs so much over [valid_from, valid_until); see `set_prices` for one price.

    Where no offering is given, that of `provider` and `model` is made. What else a `NewPrice` says may be given.

    Raises:
        Invalid: the offering, meter, amount, currency or time cannot be; all reasons at once.
        LimitDisagrees: the context tier is known with the other kind of limit.
    """
    turns.acting(by=by, reason=note)
    if offering is None:
        if not (provider and model):
            raise Invalid("A price needs an offering, or a provider and a model.", [("offering", "none given")])
        offering = offerings.ensure(model=model, provider=provider, by=by)
    price = NewPrice(
        offering=offering,
        meter=meter,
        usd_per_1m=usd_per_1m,
        valid_from=valid_from,
        source=source,
        note=note,
        **series,
    )
    return set_prices([price], by=by, approved_by=approved_by, at=at, reason=note)[0]


@transaction.atomic
def set_prices(new: Sequence[NewPrice], *, by: str, approved_by: str, at: datetime, reason: str = "") -> list[PriceSet]:
    """Record prices, all or none. What the book says for their time is replaced.

    Prices that begin later are replaced too unless `valid_until` ends before them; see Note [Valid and recorded]. A
    price that the book has already for all of that time writes nothing. What is written for the past is one amendment.

    Entries booked before keep what they were priced with until they are restated. Bookings that run at this moment may
    still use the old price: a caller that must be sure calls `barrier.pass_through()` after its commit.

    Raises:
        Invalid: a meter, amount, currency or time cannot be; all reasons of all prices at once.
        LimitDisagrees: a context tier is known with the other kind of limit.
    """
    turns.acting(by=by, reason=reason)
    problems = [problem for price in new for problem in _problems(price, approved_by)]
    if problems:
        raise Invalid(" ".join(dict.fromkeys(sentence for _, sentence in problems)), problems)
    done = [_set(price, by=by, approved_by=approved_by, at=at) for price in new]

    past = [price for price, one in zip(new, done, strict=True) if one.written and price.valid_from < at]
    if past:
        ends = [price.valid_until for price in past]
        names = sorted({price.offering.name for price in past})
        amendments.note(
            kind=AmendmentKind.PRICES,
            summary=f"{len(past)} price{'s' if len(past) > 1 else ''} of {_listing(names)}",
            offerings=[price.offering.pk for price in past],
            starts_at=min(price.valid_from for price in past),
            ends_at=None if None in ends else max(one for one in ends if one is not None),
            by=by,
            at=at,
            reason=reason,
        )
    return done


def set_prices_of_contract(new: Sequence[NewPrice], *, by: str, approved_by: str, at: datetime) -> bool:
    """Record a contract's own prices in its transaction, which notes the amendment; says whether anything was written.

    Raises:
        Invalid: as `set_prices`.
    """
    problems = [problem for price in new for problem in _problems(price, approved_by)]
    if problems:
        raise Invalid(" ".join(dict.fromkeys(sentence for _, sentence in problems)), problems)
    done = [_set(price, by=by, approved_by=approved_by, at=at) for price in new]
    return any(one.written for one in done)


def _listing(names: Sequence[str]) -> str:
    """Name a few of many."""
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:3])} and {len(names) - 3} more"


def _set(new: NewPrice, *, by: str, approved_by: str, at: datetime) -> PriceSet:
    series = _series(new)
    valid = since(new.valid_from, new.valid_until)
    held = list(Price.objects.filter(series=series, recorded__upper_inf=True, valid__overlap=valid).order_by("valid"))
    if held and all(one.usd_per_1m == new.usd_per_1m for one in held) and _cover(held, valid):
        return PriceSet(price=held[0], written=False)

    # Two changes within one instant, or a clock that went back: what replaces is recorded after what it replaces, or
    # the replaced row would have been held true for no time, which the database refuses.
    recorded_at = max([at, *(one.recorded.lower + _ONE_TICK for one in held if one.recorded.lower)])
    rows = []
    for one in held:
        Price.objects.filter(pk=one.pk).update(recorded=since(one.recorded.lower, recorded_at))
        for rest in rests(one.valid, valid):
            rows.append(_recorded_anew(one, rest, recorded_at))
    price = Price(
        series=series,
        usd_per_1m=new.usd_per_1m,
        valid=valid,
        recorded=since(recorded_at),
        source=new.source,
        source_version=new.source_version,
        source_url=new.source_url,
        note=new.note,
        entered_by=by,
        approved_by=approved_by,
    )
    Price.objects.bulk_create([*rows, price])
    return PriceSet(price=price, written=True, replaced=tuple(one.pk for one in held))


def worked_example(*, prices: Mapping[str, Decimal], input_tokens: int = 1_000, output_tokens: int = 500) -> str:
    """Say in a sentence what prices per million mean for one request, so that a wrong unit is seen.

    Input and output that are both priced make one sum; any other meter gets a part of its own.
    """
    prices = dict(prices)
    parts = []
    if Meter.UNCACHED_INPUT in prices and Meter.OUTPUT in prices:
        cost = prices.pop(Meter.UNCACHED_INPUT) * input_tokens + prices.pop(Meter.OUTPUT) * output_tokens
        parts.append(f"{input_tokens:,} input + {output_tokens:,} output tokens cost ${_dollars(cost / 1_000_000)}")
    for name, usd_per_1m in prices.items():
        units = 1_000 if name not in _COUNTED_APART else 1
        thing = Meter(name).label + (" tokens" if name not in _COUNTED_APART else "")
        if units == 1:
            thing = thing.removesuffix("es") if name == Meter.WEB_SEARCHES else thing.removesuffix("s")
        verb = "costs" if units == 1 else "cost"
        parts.append(f"{units:,} {thing} {verb} ${_dollars(usd_per_1m * units / 1_000_000)}")
    return "; ".join(parts) + "." if parts else "No price is given."


def _dollars(amount: Decimal) -> str:
    """Four places, or as many as it takes to show two figures of a small amount."""
    if amount == 0 or amount >= Decimal("0.01"):
        return f"{amount:,.4f}"
    return f"{amount:.{1 - amount.adjusted()}f}"


def _problems(new: NewPrice, approved_by: str) -> list[tuple[str, str]]:
    """Say all that cannot be about a price."""
    problems = []
    usd = new.usd_per_1m
    if new.meter not in Meter.values:
        problems.append(("meter", f"There is no meter {new.meter!r}; the meters are {', '.join(Meter.values)}."))
    if new.currency != "USD":
        problems.append(("currency", "Prices are in USD only."))
    most = MOST_USD_PER_1M_OTHERS if new.meter in _COUNTED_APART else MOST_USD_PER_1M_TOKENS
    if not usd.is_finite() or usd < 0:
        problems.append(("usd_per_1m", "A price is a number of 0 or more."))
    elif usd > most:
        problems.append(("usd_per_1m", f"{usd:,f} USD per million is more than {most:,f}: is the unit right?"))
    elif usd != round(usd, _PLACES):
        problems.append(("usd_per_1m", f"A price has at most {_PLACES} decimal places."))
    if new.valid_until is not None and new.valid_until <= new.valid_from:
        problems.append(("valid_until", "The price would hold for no time at all."))
    if new.context_over is not None and new.context_over <= 0:
        problems.append(("context_over", "A context tier begins above a number of tokens greater than 0."))
    if not new.source.strip():
        problems.append(("source", "Say where the price comes from."))
    if not approved_by.strip():
        problems.append(("approved_by", "Say who approved the price."))
    return problems


def _series(new: NewPrice) -> PriceSeries:
    """Return the series, locked: whoever sets a price in it waits for who was first."""
    contract = new.contract
    if contract is not None:  # whatever row of it is at hand, its prices are one series
        contract = Contract.objects.filter(name=contract.name).order_by("id").first()
    what = {
        "provider_id": new.offering.provider_id,
        "model_id": new.offering.model_id,
        "meter": new.meter,
        "context_over": new.context_over,
        "service_tier": tidy_service_tier(new.service_tier) or None,  # as events have it, or it would never hold
        "region": (new.region or "").strip().lower() or None,
        "hour_window": new.hour_window,
        "contract": contract,
    }
    series, _ = PriceSeries.objects.get_or_create(**what, defaults={"context_inclusive": new.context_inclusive})
    series = PriceSeries.objects.select_for_update().get(pk=series.pk)
    if new.context_over is not None and series.context_inclusive != new.context_inclusive:
        side = "from" if series.context_inclusive else "above"
        raise LimitDisagrees(f"The tier of {new.offering.name} holds {side} {new.context_over:,} tokens of input on.")
    return series


def _cover(held: list[Price], valid: DateTimeTZRange) -> bool:
    """Say whether prices, in order, fill all of a time."""
    reached = valid.lower
    for one in held:
        if one.valid.lower is not None and one.valid.lower > reached:
            return False
        if one.valid.upper is None:
            return True
        reached = one.valid.upper
    return bool(valid.upper is not None and reached >= valid.upper)


def _recorded_anew(price: Price, valid: DateTimeTZRange, recorded_at: datetime) -> Price:
    return Price(
        series_id=price.series_id,
        usd_per_1m=price.usd_per_1m,
        valid=valid,
        recorded=since(recorded_at),
        source=price.source,
        source_version=price.source_version,
        source_url=price.source_url,
        note=price.note,
        entered_by=price.entered_by,
        approved_by=price.approved_by,
    )
