"""What the demo's company did with its price book: a contract, a corrected price, and a gateway whose prices are old.

Each is made once, for a past that is booked by then, so that the demo shows what restating looks like.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction

from catalog.models import Contract, Meter, Offering, Price, PriceImport, Provider
from catalog.selectors import snapshot
from catalog.services import contracts, imports, prices
from controlplane.seed import company
from controlplane.seed.story import Plan
from core import periods
from usage.events import Event
from usage.rules.rating import price_of, usd
from usage.services import jobs
from usage.services.pricing import meters_of
from usage.services.restating import running

Progress = Callable[[str, int, int], None]
_FINANCE, _APPROVER = f"finance@{company.DOMAIN}", f"approver@{company.DOMAIN}"


def reported(events: Iterable[Event], plan: Plan) -> Iterator[Event]:
    """Add the costs that a gateway reports that knows list prices, and has missed the cut of one.

    It sends floats, as LiteLLM does, so that the last places differ.
    """
    book = snapshot.load()
    cut = Offering.objects.get(name=company.CUT_OFFERING).pk
    since = periods.day_start(plan.price_cut, plan.zone)
    for event in events:
        offering = book.offering(event.provider, event.model, event.occurred_at)
        if isinstance(offering, int) and event.status == "ok":
            rated = price_of(
                book=book, offering=offering, service_tier=event.service_tier, occurred_at=event.occurred_at,
                meters=meters_of(event), counted=event.counted, gateway=0,
            )  # fmt: skip
            if rated.cost is not None:
                cost = usd(rated.cost) / (company.CUT_TO if offering == cut and event.occurred_at >= since else 1)
                event.reported_cost_usd = Decimal(repr(float(cost))).quantize(Decimal("1e-18"))
        yield event


def amend(plan: Plan) -> None:
    """Sign a contract for the past two months and correct a price from an invoice, and restate what they concern.

    Safe to repeat: what is there already is not made again.
    """
    signed = plan.now - timedelta(days=3)
    running.take_up(at=plan.now)  # what setting up the house left: nothing was booked by then
    _work(plan)
    if not Contract.objects.filter(name=company.CONTRACT).exists():
        with transaction.atomic(durable=True):
            contracts.set_terms(
                name=company.CONTRACT,
                provider=Provider.objects.get(name=company.CONTRACT_PROVIDER),
                discount_percent=company.CONTRACT_DISCOUNT,
                valid_from=periods.month(plan.months[1], plan.zone).starts_at,
                note="Framework agreement, signed late and in force from the first of the month",
                by=_FINANCE, approved_by=_APPROVER, at=signed,
            )  # fmt: skip
    offering = Offering.objects.get(name=company.INVOICED_OFFERING)
    held = Price.objects.get(
        series__model=offering.model, series__provider=offering.provider, series__meter=Meter.OUTPUT,
        series__service_tier=None, series__context_over=None, series__hour_window=None, series__contract=None,
        recorded__upper_inf=True, valid__contains=plan.now,
    )  # fmt: skip
    if held.source != company.INVOICE:
        prices.set_price(
            offering=offering, meter=Meter.OUTPUT, usd_per_1m=held.usd_per_1m * company.INVOICED_AT,
            valid_from=periods.day_start(plan.days[-1] - timedelta(days=20), plan.zone), source=company.INVOICE,
            note="The host raised its price three weeks ago; the invoice says so",
            by=_FINANCE, approved_by=_APPROVER, at=plan.now - timedelta(days=1),
        )  # fmt: skip
    running.take_up(at=plan.now)
    _work(plan)


def read_prices(*, now: datetime, progress: Progress) -> None:
    """Read the installed price data once, so that there are proposals to look at; a second call does nothing."""
    if PriceImport.objects.exists():
        return
    progress("Reading price lists", 0, 1)
    imports.propose(table=imports.read(source="genai-prices"), by=_FINANCE, at=now)
    progress("Reading price lists", 1, 1)


def _work(plan: Plan) -> None:
    """Do what the background worker does."""
    while jobs.run_next(clock=lambda: plan.now):
        pass
