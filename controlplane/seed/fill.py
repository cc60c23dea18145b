"""Fills an empty house with the demo's company, through the ordinary services and the ordinary path of an event."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice

from django.db import transaction
from django.db.models import Sum

from budgets.services import building
from catalog.models import Gateway, GatewayKey, Meter, Offering, Price, TakesRules, Team, Tier, UseCase
from catalog.services import aliases, gateways, offerings, prices, standard, teams, use_cases
from controlplane.seed import book, company, rules, savings, statements, steering, story
from controlplane.seed.story import Plan
from core import periods
from core.errors import Conflict
from core.models import Organisation, User
from core.services import audit
from usage.events import Event
from usage.models import Month, Receipt, ReceiptState, Source, SourceKind
from usage.selectors import drivers
from usage.services import booking, imports, intake, months, outlooks

BATCH = 2000
Progress = Callable[[str, int, int], None]
_QUIET_NIGHTS = 240  # minutes: at night some of the company's gateways have a call in an hour
_UNNAMED = "My organisation"  # as migrations leave it
_INSTEAD = "The demo's company needs one of its own: start with --no-seed, or give another --data-dir."

# Note [Filling again]
# Whoever starts the demo for the first time may stop it half way. Nothing is taken back then: a second call finds what
# the first one made, takes its `now` from the imports that it opened, and goes on behind the last event that was kept.
# The story is the same each time, so an event that is told twice after all has the same id and counts once.


class OtherHouse(Conflict):
    """The database belongs to somebody else: the demo's company is not mixed into it."""


def is_filled() -> bool:
    """Say whether the company is here, all of it: its people are made last. One query."""
    return User.objects.filter(email=company.SIGN_IN.email).exists()


def fill(*, now: datetime, progress: Progress, events: int = 200_000) -> None:
    """Make the company and its three months up to `now`; about `events` events, the same for the same instant.

    `progress` is called with a step, how much of it is done and of how much. Safe to break off anywhere and to call
    again, with the same `events` (Note [Filling again]). Nobody else may book meanwhile.

    Raises:
        OtherHouse: there are gateways or an organisation that are not the demo's; nothing changed.
    """
    _refuse_other_house()
    opened = Source.objects.filter(kind=SourceKind.IMPORT, gateway__name=company.GATEWAYS[0][0]).first()
    if opened is not None and opened.covers is not None:
        now = opened.covers.upper
    plan = story.plan(now=now, zone=company.ZONE, events=events)
    progress("Making the company", 0, 1)
    _organisation()
    # Set up before the story begins, so that its budgets count from its first event.
    founded = plan.starts_at - timedelta(days=10)
    sources = {name: _gateway(name, kind, plan, founded) for name, kind in company.GATEWAYS}
    standard.load(by=company.BY, at=founded)
    _own_models(founded)
    _cut_a_price(plan)
    _teams(founded)
    savings.choose_baselines()
    steering.set_up(plan, founded=founded, scale=Decimal(events) / 200_000)
    rules.publish_history(plan)
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
    for counter_id in building.waiting_to_build():
        building.build(counter_id=counter_id, summed=drivers.sum_so_far, at=now, explain=drivers.explain)
    book.amend(plan)
    outlooks.look(at=now)  # after what was restated: a forecast is made of what days cost in the end
    statements.bring(plan)
    rules.propose(plan)
    _finish(now)


class _Teller:
    """Sends events the way an import does: receipts first, then booking, as the workers do it."""

    def __init__(self, plan: Plan, progress: Progress, *, total: int) -> None:
        self.count = 0
        self._plan, self._progress, self._total = plan, progress, total
        kept = Receipt.objects.values_list("source_id").annotate(events=Sum("event_count"))
        self._kept: dict[int, int] = dict(kept)  # of each source, from an earlier call

    def tell(self, source: Source, events: Iterable[Event]) -> None:
        if source.gateway.name == story.LITELLM:
            events = book.reported(events, self._plan)
        for batch in _batches(self._news(source, events), BATCH):
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
        booking.book_pending(at=self._plan.now, limit_events=BATCH)  # what an earlier call left waiting
        failed = Receipt.objects.filter(source=source, state=ReceiptState.FAILED).first()
        if failed is not None:
            raise RuntimeError(f"receipt {failed.pk} could not be booked: {failed.error}")

    def _news(self, source: Source, events: Iterable[Event]) -> Iterator[Event]:
        """Leave out what is kept already: each source is told its events in one order, always."""
        for event in events:
            if self._kept.get(source.pk, 0) > 0:
                self._kept[source.pk] -= 1
                self.count += 1
                continue
            yield event


def _batches(events: Iterable[Event], size: int) -> Iterator[list[Event]]:
    iterator = iter(events)
    while batch := list(islice(iterator, size)):
        yield batch


def _refuse_other_house() -> None:
    ours = {name for name, _ in company.GATEWAYS}
    others = Gateway.objects.exclude(name__in=ours).order_by("name").first()
    organisation = Organisation.objects.get(pk=1)
    if others is not None:
        raise OtherHouse(f"This database has a gateway {others.name}. {_INSTEAD}")
    if organisation.name not in (_UNNAMED, company.NAME):
        raise OtherHouse(f"This database is {organisation.name}'s. {_INSTEAD}")


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
            model=own.model, provider="self-hosted", by=company.BY, region="eu", data_class="internal",
            gateway_names={"litellm": f"hosted_vllm/{own.alias}", "bifrost": f"vllm/{own.alias}"},
        )  # fmt: skip
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
    for price in held.exclude(series__meter__in=(Meter.REQUESTS, Meter.WEB_SEARCHES)).order_by("series_id"):
        if price.valid.lower == since:
            continue  # an earlier call did it
        prices.set_price(
            offering=offering, meter=price.series.meter, context_over=price.series.context_over,
            context_inclusive=price.series.context_inclusive,
            usd_per_1m=(price.usd_per_1m * company.CUT_TO).quantize(Decimal("0.0001")), valid_from=since,
            source="provider's announcement", note="A third cheaper", by=f"finance@{company.DOMAIN}",
            approved_by=f"approver@{company.DOMAIN}", at=since - timedelta(days=2),
        )  # fmt: skip


def _teams(at: datetime) -> None:
    for team_name, owned in company.TEAMS.items():
        team = Team.objects.filter(name=team_name).first() or teams.create(name=team_name, by=company.BY, at=at)
        for name, title, owner in owned:
            if UseCase.objects.filter(name=name).exists():
                continue
            use_cases.create(
                name=name,
                title=title,
                owner=f"{owner}@{company.DOMAIN}",
                team=team,
                team_since=at,
                by=company.BY,
                at=at,
            )


def _gateway(name: str, kind: str, plan: Plan, at: datetime) -> Source:
    by = f"platform@{company.DOMAIN}"
    # The company's Bifrost has the rules from a process beside it that polls: they need not fit Bifrost's own form.
    gateway = Gateway.objects.filter(name=name).first() or gateways.create(
        name=name, kind=kind, by=by, at=at, takes_rules=TakesRules.POLL,
        settings={"silent_after_minutes": _QUIET_NIGHTS},
    )  # fmt: skip
    if not GatewayKey.objects.filter(gateway=gateway).exists():
        # Its secret is nobody's: the demo's gateways poll from inside (seed/fleet.py).
        gateways.create_key(
            name=name, gateway=name, environment="production", scopes=["usage:write", "rules:read"], by=by, at=at
        )
    opened = Source.objects.filter(gateway=gateway, kind=SourceKind.IMPORT).first()
    return opened or imports.open_import(
        gateway_id=gateway.pk, covers=(plan.starts_at, plan.now), by=by, at=plan.now, note="Three months of logs"
    )


def _close(plan: Plan) -> None:
    if not Month.objects.filter(label=plan.months[0]).exists():
        months.close_month(
            label=plan.months[0], by=f"finance@{company.DOMAIN}", at=plan.now, reason="Books of the month are done"
        )


@transaction.atomic
def _finish(now: datetime) -> None:
    """End the imports and let people in; `is_filled` looks for them, so all of this is one transaction."""
    audit.acting(by=company.BY)
    Source.objects.filter(kind=SourceKind.IMPORT, closed_at__isnull=True).update(closed_at=now)
    for person in company.PEOPLE:
        User.objects.create_user(
            email=person.email, password=company.PASSWORD, name=person.name, roles=list(person.roles), joined_at=now
        )
