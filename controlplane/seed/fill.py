"""Fills an empty house with the demo's company, through the ordinary services and the ordinary path of an event."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

from django.db import transaction

from alerts.services import channels
from budgets.services import budgets, building
from catalog.models import Gateway, Offering, Price, Tier
from catalog.services import aliases, gateways, offerings, prices, standard, teams, use_cases
from controlplane.seed import company, story
from controlplane.seed.story import Plan
from core import periods
from core.models import Organisation, User
from core.services import audit
from usage.events import Event
from usage.models import Receipt, ReceiptState, Source
from usage.selectors import drivers
from usage.services import booking, imports, intake, months

BATCH = 2000
Progress = Callable[[str, int, int], None]


def is_filled() -> bool:
    """Say whether the company is here: its people are made last."""
    return User.objects.filter(email=company.SIGN_IN.email).exists()


def fill(*, now: datetime, progress: Progress, events: int = 200_000) -> None:
    """Make the company and its three months up to `now`; about `events` events, the same for the same day.

    `progress` is called with a step, how much of it is done and of how much. Not to be repeated where it broke off:
    whoever interrupts it begins with an empty place.
    """
    plan = story.plan(now=now, zone=company.ZONE, events=events)
    progress("Making the company", 0, 1)
    _organisation()
    # Set up before the story begins, so that its budgets count from its first event.
    founded = plan.starts_at - timedelta(days=10)
    standard.load(by=company.BY, at=founded)
    _own_models(founded)
    _cut_a_price(plan)
    _teams(plan, founded)
    _channels(founded)
    _budgets(plan, founded, Decimal(events) / 200_000)
    sources = {name: _gateway(name, kind, plan, founded) for name, kind in company.GATEWAYS}
    progress("Making the company", 1, 1)

    told = _Teller(plan, progress, total=events)
    oldest_ends = plan.months[1]
    for name, source in sources.items():
        told.tell(source, story.events(plan, gateway=name, first=plan.days[0], until=oldest_ends))
    _close(plan)
    late = story.late_event(plan)
    told.tell(sources[story.ROUTER], [late])
    for name, source in sources.items():
        told.tell(source, story.events(plan, gateway=name, first=oldest_ends, until=plan.days[-1] + timedelta(days=1)))
    progress("Telling three months", told.count, told.count)
    for source in sources.values():
        Source.objects.filter(pk=source.pk).update(closed_at=now)
    for counter_id in building.waiting_to_build():
        building.build(counter_id=counter_id, summed=drivers.sum_so_far, at=now, explain=drivers.explain)
    _people(now)


class _Teller:
    """Sends events the way an import does: receipts first, then booking, as the workers do it."""

    def __init__(self, plan: Plan, progress: Progress, *, total: int) -> None:
        self.count = 0
        self._plan, self._progress, self._total = plan, progress, total

    def tell(self, source: Source, events: Iterable[Event]) -> None:
        for batch in _batches(events, BATCH):
            # An import may say when its events were received; crossings are judged by the clock of the story, so that
            # those of periods already over are recorded and not sent.
            intake.take(
                source_id=source.pk,
                environment="production",
                format="native",
                events=batch,
                rejected=[],
                received_at=self._plan.now,
            )
            booking.book_pending(at=self._plan.now, limit_events=BATCH)
            self.count += len(batch)
            self._progress("Telling three months", min(self.count, self._total), self._total)
        failed = Receipt.objects.filter(source=source, state=ReceiptState.FAILED).first()
        if failed is not None:
            raise RuntimeError(f"receipt {failed.pk} could not be booked: {failed.error}")


def _batches(events: Iterable[Event], size: int) -> Iterator[list[Event]]:
    iterator = iter(events)
    while batch := list(islice(iterator, size)):
        yield batch


@transaction.atomic
def _organisation() -> None:
    audit.acting(by=company.BY)
    Organisation.objects.filter(pk=1).update(name=company.NAME, zone=company.ZONE, declared_tags=["env", "feature"])


def _own_models(at: datetime) -> None:
    since = at - timedelta(days=365)
    for own in company.OWN_MODELS:
        offerings.ensure_model(
            name=own.model, by=company.BY, lab=own.lab, open_weights=True, context_tokens=own.context_tokens
        )
        offering = offerings.ensure(
            model=own.model, provider="self-hosted", by=company.BY, region="eu", data_class="internal"
        )
        offerings.set_tier(offering=offering, tier=Tier.SELF_HOSTED, since_at=since, by=company.BY)
        aliases.assign(name=f"self-hosted/{own.alias}", offering=offering, since_at=since, by=company.BY)
        for meter, usd in (("uncached_input", own.input_usd_per_1m), ("output", own.output_usd_per_1m)):
            prices.set_price(
                offering=offering, meter=meter, usd_per_1m=usd, valid_from=since, source="own hardware rate",
                note="Leasing and power of the GPU hosts over their expected load", by=f"finance@{company.DOMAIN}",
                approved_by=f"approver@{company.DOMAIN}", at=at,
            )  # fmt: skip


def _cut_a_price(plan: Plan) -> None:
    """Lower an offering's list prices from a day in the middle of the story on."""
    offering = Offering.objects.get(name=company.CUT_OFFERING)
    since = periods.day_start(plan.price_cut, plan.zone)
    held = Price.objects.filter(
        series__model=offering.model, series__provider=offering.provider, series__service_tier__isnull=True,
        series__contract__isnull=True, recorded__upper_inf=True, valid__contains=since,
    ).select_related("series")  # fmt: skip
    for price in held.order_by("series__meter", "series__context_over"):
        prices.set_price(
            offering=offering, meter=price.series.meter, context_over=price.series.context_over,
            context_inclusive=price.series.context_inclusive,
            usd_per_1m=(price.usd_per_1m * company.CUT_TO).quantize(Decimal("0.0001")), valid_from=since,
            source="provider's announcement", note="A third cheaper", by=f"finance@{company.DOMAIN}",
            approved_by=f"approver@{company.DOMAIN}", at=since - timedelta(days=2),
        )  # fmt: skip


def _teams(plan: Plan, at: datetime) -> None:
    for team_name, owned in company.TEAMS.items():
        team = teams.create(name=team_name, by=company.BY, at=at)
        for name, title, owner in owned:
            use_cases.create(
                name=name,
                title=title,
                owner=f"{owner}@{company.DOMAIN}",
                team=team,
                team_since=at,
                by=company.BY,
                at=at,
            )


def _channels(at: datetime) -> None:
    channels.create(
        name="Finance by e-mail", kind="email", config={"recipients": [f"finance@{company.DOMAIN}"]}, secret="",
        by=f"platform@{company.DOMAIN}", at=at,
    )  # fmt: skip


def _budgets(plan: Plan, at: datetime, scale: Decimal) -> None:
    """Set limits from what the story will use, so that it reads the same on any day of the month."""
    last, this = plan.months[1], plan.months[2]
    end = plan.days[-1] + timedelta(days=1)
    support_now = _frontier_tokens(plan, story.SUPPORT, this, end)
    review_last = _frontier_tokens(plan, story.REVIEW, last, this)
    agent_last = _frontier_tokens(plan, "coding-agent", last, this)
    contracts_last = _frontier_tokens(plan, "contract-analysis", last, this)
    common: dict[str, Any] = {"period": "month", "zone": company.ZONE, "by": f"finance@{company.DOMAIN}", "at": at}
    # 70 per cent passed this month, 90 not yet.
    budgets.create(
        name="Support on frontier models", scope={"use_case": [story.SUPPORT]}, unit="frontier_tokens",
        action="downgrade", amount=_round(Decimal(support_now) / Decimal("0.77")),
        owner=f"lena.hofmann@{company.DOMAIN}",
        reason="Planned with Customer Care for the year", **common,
    )  # fmt: skip
    budgets.create(
        name="Code review on Opus", scope={"use_case": [story.REVIEW], "model": ["claude-opus-4.7"]},
        unit="frontier_tokens", action="downgrade", amount=_round(Decimal(review_last) / Decimal("0.93")),
        owner=f"mei.tanaka@{company.DOMAIN}", reason="Planned with Engineering for the year", **common,
    )  # fmt: skip
    budgets.create(
        name="Coding agent on frontier models", scope={"use_case": ["coding-agent"]}, unit="frontier_tokens",
        action="alert", amount=_round(Decimal(agent_last) * Decimal("1.6")), owner=f"mei.tanaka@{company.DOMAIN}",
        reason="First guess, to be reviewed in spring", **common,
    )  # fmt: skip
    budgets.create(
        name="Contracts on frontier models", scope={"use_case": ["contract-analysis"]}, unit="frontier_tokens",
        action="block", amount=_round(Decimal(contracts_last) * Decimal("1.4")), owner=f"klara.vogt@{company.DOMAIN}",
        reason="Supplier contracts of one quarter", **common,
    )  # fmt: skip
    budgets.create(
        name="Growth, all models", scope={"team": ["Growth"]}, unit="usd", action="alert",
        amount=_round(company.GROWTH_USD_PER_MONTH * scale), reason="Marketing's share of the yearly plan", **common,
    )  # fmt: skip
    budgets.create(
        name="Everything", scope={}, unit="usd", action="alert", amount=_round(company.WHOLE_USD_PER_MONTH * scale),
        reason="Yearly plan", **common,
    )  # fmt: skip


def _frontier_tokens(plan: Plan, use_case: str, first: date, until: date) -> int:
    days = (day for day in plan.days if first <= day < until)
    return sum(story.frontier_tokens(story.of_use_case(plan, use_case, day)) for day in days)


def _round(amount: Decimal) -> Decimal:
    """Round to three digits that count: people write round limits, and the story keeps its per cents."""
    if amount <= 0:
        return Decimal(1000)
    return max(Decimal(1), amount.quantize(Decimal(1).scaleb(amount.adjusted() - 2)))


def _gateway(name: str, kind: str, plan: Plan, at: datetime) -> Source:
    gateway: Gateway = gateways.create(name=name, kind=kind, by=f"platform@{company.DOMAIN}", at=at)
    return imports.open_import(
        gateway_id=gateway.pk, covers=(plan.starts_at, plan.now), by=f"platform@{company.DOMAIN}", at=plan.now,
        note="Three months of logs",
    )  # fmt: skip


def _close(plan: Plan) -> None:
    months.close_month(
        label=plan.months[0], by=f"finance@{company.DOMAIN}", at=plan.now, reason="Books of the month are done"
    )


def _people(now: datetime) -> None:
    for person in company.PEOPLE:
        User.objects.create_user(
            email=person.email, password=company.PASSWORD, name=person.name, roles=list(person.roles), joined_at=now
        )
