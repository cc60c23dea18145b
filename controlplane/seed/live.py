"""The company's gateways go on while the demo runs: calls as in the story, sent where the rules in force say.

So a rule that somebody publishes, and an offering that somebody switches off, change what the pages show soon after.
Calls are taken as the web process takes those of real gateways; the workers book them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, datetime, timedelta

import msgspec
from django.db.models import Max

from catalog.models import Gateway
from controlplane.seed import book, company, story
from controlplane.seed.fleet import ENVIRONMENT
from controlplane.seed.story import Plan, Route, Work
from core import periods
from routing.rules import evaluator
from routing.serving.documents import Served
from usage.events import Event
from usage.models import Receipt, Source, SourceKind
from usage.services import intake

# What is told of the time in which the demo did not run: enough for each gateway to be heard of at once.
CAUGHT_UP = timedelta(hours=2)
# By then a call has answered, from a fallback too where the first choice timed out.
REPORTED_AFTER = timedelta(seconds=90)


class Traffic:
    """What the gateways report, from an instant on."""

    def __init__(self, plan: Plan, *, since: datetime) -> None:
        self._plan, self._since = plan, since
        self._rules: tuple[tuple[int, int], evaluator.Compiled] | None = None

    def go_on(self, *, at: datetime, served: Served | None) -> int:
        """Take what was over since the time before, and return how many events; none without rules.

        An INSERT for each gateway that had a call, and two queries more for the one that reports costs.
        """
        since, until = self._since, at - REPORTED_AFTER
        if served is None or until <= since:
            return 0
        self._since = until
        if self._rules is None or self._rules[0] != served.given:
            self._rules = served.given, evaluator.compile(msgspec.json.decode(served.plain))
        count = 0
        open_now = Gateway.objects.filter(name__in=story.GATEWAYS, retired_at=None).values_list("name", "id")
        for name, gateway_id in open_now:
            found = list(events(self._plan, name, self._rules[1], first=since, until=until))
            if found:
                intake.take(
                    source_id=intake.live_source(gateway_id=gateway_id, at=at),
                    environment=ENVIRONMENT,
                    format="native",
                    events=list(book.reported(found, self._plan)) if name == story.LITELLM else found,
                    rejected=[],
                    received_at=at,
                )
            count += len(found)
        return count


def resumed(*, at: datetime) -> Traffic | None:
    """Return what goes on from where the story, or the demo when it ran last, left off; None without a company."""
    told = Source.objects.filter(kind=SourceKind.IMPORT, gateway__name=company.GATEWAYS[0][0]).first()
    if told is None or told.covers is None:
        return None
    ended = told.covers.upper
    live = Receipt.objects.filter(source__kind=SourceKind.LIVE, source__gateway__name__in=story.GATEWAYS)
    # Somebody who tries things with a key of theirs may date a call to tomorrow: that is none of these.
    last = live.filter(last_occurred_at__lte=at).aggregate(last=Max("last_occurred_at"))["last"]
    after = last + timedelta(milliseconds=1) if last else ended  # events are dated to the millisecond
    return Traffic(story.plan(now=ended, zone=company.ZONE), since=max(ended, after, at - CAUGHT_UP))


def events(of: Plan, gateway: str, rules: evaluator.Compiled, *, first: datetime, until: datetime) -> Iterator[Event]:
    """Tell what a gateway saw of the calls of [first, until), by the rules that it has. A refused call is none."""
    for work in story.WORKS:
        if work.gateway == gateway:
            for day in _days(of, first, until):
                for at in story.times(of, work, day, _chance(of, work, day)):
                    if first <= at < until:
                        yield from _call(of, work, at, rules)


def _days(of: Plan, first: datetime, until: datetime) -> list[date]:
    day, last = periods.local_day(first, of.zone), periods.local_day(until, of.zone)
    return [day + timedelta(days=number) for number in range((last - day).days + 1)]


def _chance(of: Plan, work: Work, when: date | datetime) -> random.Random:
    return random.Random(f"{of.seed}/live/{work.name}/{when.isoformat()}")  # noqa: S311 - a story, not a secret


def _call(of: Plan, work: Work, at: datetime, rules: evaluator.Compiled) -> list[Event]:
    rng = _chance(of, work, at)
    telling = story.Telling(of, work, periods.local_day(at, of.zone), rng)
    context, tags = story.context(work, rng), story.tags(work, rng)
    length = round(work.input_tokens)
    asked = context | {"use_case": work.name, "tags": tags, "batch": work.name == story.BATCH}
    decision = rules.decide(asked | {"input_tokens": length, "context_needed": length + round(work.output_tokens)}, at)
    if decision.offering is None:
        return []
    chain = tuple(map(_name_of, (decision.offering, *decision.fallbacks)))
    telling.call(at, Route(1.0, decision.rule or "", chain))
    for event in telling.told:
        event.context, event.tags, event.rules_version = context, tags, decision.version
        if not event.fallback_index:
            event.route_reason = decision.reason
    return telling.told


def _name_of(offering: str) -> str:
    """Return the story's name of an offering, and the offering itself where it has none."""
    model, _, provider = offering.rpartition("@")
    return model if model in story.SERVED and story.SERVED[model].provider == provider else offering
