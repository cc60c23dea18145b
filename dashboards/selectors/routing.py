"""What the routing page shows: where traffic went, and what each version of the rules changed about it.

Ranges are whole days of the organisation's, [first, last] with both days in. Everything is of answered requests, those
with the status ok, unless it says "attempts".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

from catalog.models import Alias, Team, UseCase
from core import periods
from dashboards.selectors import routing_rules
from dashboards.selectors.numbers import numbers
from dashboards.selectors.routing_rules import Idle, Mark, Move, ReasonLine, RuleLine, Totals, VersionLine
from routing.models import Version
from routing.selectors import environments
from usage.models import RollupDay
from usage.selectors import freshness, routing_flows
from usage.selectors.overview import share
from usage.selectors.routing import Scope, Served
from usage.selectors.routing_flows import DayFlow, Flows, OfferingSums, Pair, UseCaseFallbacks, Way

MEASURES = ("requests", "tokens", "cost")
SOURCES = tuple(routing_flows.SOURCES)
MOST_DAYS = 124  # four months, a quarter with what went before: more would be slow
MOST_DAILY = 92  # a quarter: bars of more days are a smear, so they are drawn per week
MOST_MODELS = 6
MOST_USE_CASES = 12
MOST_OFFERED = 300  # names that a filter lists
ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Question:
    """What the page is asked. An empty environment, use case or team is all of them."""

    first: date
    last: date
    today: date
    zone: str
    measure: str = "requests"
    source: str = "use_case"  # what the flow begins with
    environment: str = ""
    use_case: str = ""
    use_case_id: int | None = None
    team: str = ""
    team_id: int | None = None

    @property
    def until(self) -> date:
        return self.last + ONE_DAY

    @property
    def known_days(self) -> int:
        """How many of the days there are already."""
        return max(0, (min(self.until, self.today + ONE_DAY) - self.first).days)

    @property
    def middle(self) -> date:
        """First day of the second half, of the days that there are already; of weeks a Monday, so that none is cut."""
        return self.bar(self.first + ONE_DAY * (self.known_days // 2))

    @property
    def weekly(self) -> bool:
        return (self.until - self.first).days > MOST_DAILY

    def bar(self, day: date) -> date:
        """Return the day that the bar of a day stands for: itself, or the Monday of its week."""
        return periods.monday(day) if self.weekly else day

    @property
    def days_before(self) -> int:
        """How many of the days before are stood beside these: as many, and no more than a quarter."""
        return min(max(1, self.known_days), MOST_DAILY)

    @property
    def since(self) -> date:
        """First of the days before."""
        return self.first - ONE_DAY * self.days_before

    @property
    def scope(self) -> Scope:
        return Scope(
            first=self.first, until=self.until, environment=self.environment, use_case_id=self.use_case_id,
            team_id=self.team_id,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Who served how much per day, or per week, and by which way, in the measure asked for."""

    question: Question
    days: Sequence[DayFlow]
    ways: Sequence[Way]
    models: Sequence[str]  # the largest few, largest first
    marks: Sequence[Mark]
    model_numbers: Mapping[str, int] = field(default_factory=dict)  # see `dashboards.selectors.numbers`
    use_case_numbers: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class OfferingLine:
    """How an offering did, and how it had done in the days before."""

    now: OfferingSums
    before: OfferingSums | None


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A name that callers asked for, and what answered it."""

    requested: str  # empty: none was given
    model: str  # that it names, by itself or as an alias; empty: it names none, and leaves the choice to the rules
    pairs: Sequence[Pair]  # most frequent first

    @property
    def got_it(self) -> Sequence[Pair]:
        return [pair for pair in self.pairs if pair.model == self.model]


@dataclass(frozen=True, kw_only=True)
class Page:
    """All of the page."""

    question: Question
    shares: Shares
    total: Totals
    halves: tuple[Totals, Totals]  # of the days so far, first and second
    versions: Sequence[VersionLine]  # newest first
    rules: Sequence[RuleLine]
    idle: Idle | None  # None: not asked, since a use case or a team alone says nothing about a rule
    reasons: Sequence[ReasonLine]
    moves: Sequence[Move]
    use_cases: Sequence[UseCaseFallbacks]
    use_cases_left: int
    asked: Sequence[Asked]  # most frequent first
    offerings: Sequence[OfferingLine]
    priced_share: Decimal | None
    complete_through: datetime | None
    anything: bool  # whether any usage was ever booked


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What can be filtered by."""

    environments: Sequence[str] = field(default_factory=list)
    use_cases: Sequence[str] = field(default_factory=list)
    teams: Sequence[str] = field(default_factory=list)


def measured(sums: Served, measure: str) -> Decimal:
    """Return the measure of answered requests: how many, their tokens or their USD."""
    if measure == "cost":
        return sums.cost_usd
    return Decimal(sums.tokens if measure == "tokens" else sums.answered)


def choices() -> Choices:
    """Return the names that the filters list. Four queries."""
    return Choices(
        environments=[one.name for one in environments.listed()],
        use_cases=list(UseCase.objects.order_by("folded").values_list("name", flat=True)[:MOST_OFFERED]),
        teams=list(Team.objects.order_by("folded").values_list("name", flat=True)[:MOST_OFFERED]),
    )


def shares(question: Question) -> Shares:
    """Return who served how much, the ways there, and the versions of the rules. Five queries at most."""
    return _shares(question, _flows(question), _published(question))


def page(*, question: Question, at: datetime) -> Page:
    """Return everything that the page shows. Eleven queries at most, one more where there is nothing."""
    found = _flows(question)
    known = _published(question)
    served = _shares(question, found, known)
    now, before = routing_flows.offerings(question.scope, since=question.since)
    earlier = {(one.offering, one.tier): one for one in before}
    falling = [one for one in found.use_cases if one.by_fallback]
    tokens, unpriced = sum(one.tokens for one in now), sum(one.unpriced_tokens for one in now)
    narrowed = question.use_case_id is not None or question.team_id is not None
    middle = question.middle
    early = [day for day in served.days if day.day < middle]
    late = [day for day in served.days if day.day >= middle]
    return Page(
        question=question,
        shares=served,
        total=routing_rules.sum_of(found.rules),
        halves=(_total(early), _total(late)),
        versions=routing_rules.versions(found.rules, known),
        rules=routing_rules.rules(found.rules),
        idle=None if narrowed or not found.rules else routing_rules.idle(
            found.rules, known, environment=question.environment, first=question.first,
            begins=periods.day_start(question.first, question.zone),
        ),
        reasons=routing_rules.reasons(found.rules),
        moves=routing_rules.moves(found.rules),
        use_cases=falling[:MOST_USE_CASES],
        use_cases_left=len(falling[MOST_USE_CASES:]),
        asked=_asked(found.pairs, served.model_numbers, at),
        offerings=[OfferingLine(now=one, before=earlier.get((one.offering, one.tier))) for one in now],
        priced_share=share(tokens - unpriced, tokens),
        complete_through=freshness.complete_through(at=at),
        anything=bool(found.rules) or RollupDay.objects.exists(),
    )  # fmt: skip


def _flows(question: Question) -> Flows:
    return routing_flows.flows(
        question.scope, source=question.source, middle=question.middle, weekly=question.weekly
    )  # fmt: skip


def _published(question: Question) -> list[Version]:
    return routing_rules.published(question.environment, periods.day_start(question.until, question.zone))


def _shares(question: Question, found: Flows, known: Sequence[Version]) -> Shares:
    days = found.weeks if question.weekly else routing_flows.days(question.scope)
    of_models: dict[str, Decimal] = defaultdict(Decimal)
    for one in days:
        of_models[one.model] += measured(one, question.measure)
    largest = sorted((name for name, value in of_models.items() if value > 0), key=lambda one: (-of_models[one], one))
    return Shares(
        question=question,
        days=days,
        ways=found.ways,
        models=largest[:MOST_MODELS],
        marks=routing_rules.marks(found.rules, known, first=question.first, zone=question.zone),
        model_numbers=numbers("model"),
        use_case_numbers=numbers("use_case"),
    )


def _total(days: Sequence[DayFlow]) -> Totals:
    return routing_rules.totals((day, day.tier, day.reason) for day in days)


def _asked(pairs: Sequence[Pair], models: Mapping[str, int], at: datetime) -> list[Asked]:
    """Return what answered each name that was asked for. One query: for the names that are aliases now."""
    by_name: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        by_name[pair.requested].append(pair)
    aliases = dict(
        Alias.objects.filter(name__in={name.lower() for name in by_name}, valid__contains=at).values_list(
            "name", "offering__model__name"
        )
    )
    folded = {name.lower(): name for name in models}

    def named(requested: str) -> str:
        lowered = requested.lower()
        return folded.get(lowered) or aliases.get(lowered) or folded.get(lowered.rpartition("@")[0], "")

    found = [Asked(requested=name, model=named(name), pairs=those) for name, those in by_name.items()]
    return sorted(found, key=lambda one: (-sum(pair.answered for pair in one.pairs), one.requested))
