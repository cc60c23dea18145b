"""What the routing page shows: where traffic went, and what each version of the rules changed about it.

Ranges are whole days of the organisation's, [first, last] with both days in. Everything is of answered requests, those
with the status ok, unless it says "attempts".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any

from catalog.models import Tier, UseCase
from catalog.rules import fold
from core import periods
from routing.models import Version
from routing.selectors import environments
from usage.models import RollupDay
from usage.selectors import freshness
from usage.selectors import routing as usage
from usage.selectors.overview import share
from usage.selectors.routing import ModelDay, OfferingSums, Pair, RuleSums, Scope, Served, TierDay, UseCaseFallbacks

MEASURES = ("requests", "tokens", "cost")
MOST_DAYS = 400  # more bars than this are a smear
MOST_MODELS = 6
MOST_PAIRS = 14
MOST_RULES = 60
MOST_USE_CASES = 12
MOST_OFFERED = 300  # names that a filter lists
FRONTIER = str(Tier.FRONTIER.label)
SEVERAL = "several tiers"
NOT_SEEN = "not known"
ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Question:
    """What the page is asked. An empty environment or use case is all of them."""

    first: date
    last: date
    today: date
    zone: str
    measure: str = "requests"
    environment: str = ""
    use_case: str = ""
    use_case_id: int | None = None

    @property
    def until(self) -> date:
        return self.last + ONE_DAY

    @property
    def days(self) -> int:
        return (self.until - self.first).days

    @property
    def middle(self) -> date:
        """First day of the second half, of the days that there are already."""
        known = (min(self.until, self.today + ONE_DAY) - self.first).days
        return self.first + ONE_DAY * max(0, known // 2)

    @property
    def scope(self) -> Scope:
        return Scope(
            first=self.first, until=self.until, environment=self.environment, use_case_id=self.use_case_id
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A version of the rules that came in the range: published here, or first seen on a gateway's requests."""

    environment: str
    number: int
    day: date
    at: datetime | None  # of its publication; None: not published here
    title: str


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Answered requests, and how many of them ran on frontier models or were answered by a fallback."""

    answered: int = 0
    tokens: int = 0
    cost_usd: Decimal = Decimal(0)
    on_frontier: int = 0
    by_fallback: int = 0
    fallback_on_frontier: int = 0

    @property
    def frontier_share(self) -> Decimal | None:
        return share(self.on_frontier, self.answered)

    @property
    def fallback_share(self) -> Decimal | None:
        return share(self.by_fallback, self.answered)

    @property
    def per_1000_usd(self) -> Decimal | None:
        return self.cost_usd * 1000 / self.answered if self.answered else None


@dataclass(frozen=True, kw_only=True)
class VersionLine:
    """What was answered under one version; the version before it stands beside it, if any was seen."""

    environment: str
    number: int  # 0: no version was reported
    first_day: date
    last_day: date
    sums: Totals
    before: Totals | None
    published_at: datetime | None
    published_by: str
    title: str
    rolls_back_to: int | None


@dataclass(frozen=True, kw_only=True)
class RuleLine:
    environment: str
    number: int
    rule: str
    sums: Totals
    rest: int = 0  # of how many rules, where it stands for those that are not listed


@dataclass(frozen=True, kw_only=True)
class ReasonLine:
    reason: str
    sums: Totals


@dataclass(frozen=True, kw_only=True)
class Move:
    """Requests that a fallback answered: the tier that was tried first, and the one that answered."""

    tried: str  # a tier, SEVERAL where the rule's first choices are of more than one, or NOT_SEEN
    answered_in: str
    requests: int


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Who served how much per day, in the measure asked for."""

    question: Question
    tier_days: Sequence[TierDay]
    model_days: Sequence[ModelDay]
    models: Sequence[str]  # the largest few, largest first
    offerings: Sequence[OfferingSums]
    marks: Sequence[Mark]

    @property
    def anything(self) -> bool:
        return any(day.answered for day in self.tier_days)


@dataclass(frozen=True, kw_only=True)
class Page:
    """All of the page."""

    question: Question
    shares: Shares
    total: Totals
    halves: tuple[Totals, Totals]  # of the days so far, first and second
    versions: Sequence[VersionLine]  # newest first
    rules: Sequence[RuleLine]
    reasons: Sequence[ReasonLine]
    moves: Sequence[Move]
    use_cases: Sequence[UseCaseFallbacks]
    use_cases_left: int
    pairs: Sequence[Pair]
    priced_share: Decimal | None
    complete_through: datetime | None
    anything: bool  # whether any usage was ever booked


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What can be filtered by."""

    environments: Sequence[str] = field(default_factory=list)
    use_cases: Sequence[str] = field(default_factory=list)


def measured(sums: Served, measure: str) -> Decimal:
    """Return the measure of answered requests: how many, their tokens or their USD."""
    if measure == "cost":
        return sums.cost_usd
    return Decimal(sums.tokens if measure == "tokens" else sums.answered)


def use_case_id(name: str) -> int | None:
    """Return the use case of a name, None where there is none. One query."""
    return UseCase.objects.filter(folded=fold(name)).values_list("pk", flat=True).first()


def choices() -> Choices:
    """Return the names that the filters list. Three queries."""
    return Choices(
        environments=[one.name for one in environments.listed()],
        use_cases=list(UseCase.objects.order_by("folded").values_list("name", flat=True)[:MOST_OFFERED]),
    )


def shares(question: Question) -> Shares:
    """Return who served how much, and the versions of the rules. Five queries at most."""
    return _shares(question, usage.rules(question.scope), _published(question))


def page(*, question: Question, at: datetime) -> Page:
    """Return everything that the page shows. Eight queries at most, one more where there is nothing."""
    scope = question.scope
    by_rule = usage.rules(scope)
    published = _published(question)
    served = _shares(question, by_rule, published)
    use_cases = usage.use_cases(scope, middle=question.middle)
    falling = [one for one in use_cases if one.by_fallback]
    tokens = sum(one.all_tokens for one in served.offerings)
    unpriced = sum(one.unpriced_tokens for one in served.offerings)
    return Page(
        question=question,
        shares=served,
        total=_total((one, one.tier) for one in by_rule),
        halves=(
            _total((one, one.tier) for one in served.tier_days if one.day < question.middle),
            _total((one, one.tier) for one in served.tier_days if one.day >= question.middle),
        ),
        versions=_versions(by_rule, published),
        rules=_rules(by_rule),
        reasons=_reasons(by_rule),
        moves=_moves(by_rule),
        use_cases=falling[:MOST_USE_CASES],
        use_cases_left=len(falling[MOST_USE_CASES:]),
        pairs=usage.requested(scope, most=MOST_PAIRS),
        priced_share=share(tokens - unpriced, tokens),
        complete_through=freshness.complete_through(at=at),
        anything=bool(by_rule) or RollupDay.objects.exists(),
    )


def _shares(question: Question, by_rule: Sequence[RuleSums], published: Sequence[Version]) -> Shares:
    offerings = usage.offerings(question.scope)
    of_models: dict[str, Decimal] = defaultdict(Decimal)
    for one in offerings:
        of_models[one.model] += measured(one, question.measure)
    largest = sorted(
        (name for name, value in of_models.items() if value > 0), key=lambda name: (-of_models[name], name)
    )
    models = largest[:MOST_MODELS]
    return Shares(
        question=question,
        tier_days=usage.tier_days(question.scope),
        model_days=usage.model_days(question.scope, models),
        models=models,
        offerings=offerings,
        marks=_marks(question, by_rule, published),
    )


def _published(question: Question) -> list[Version]:
    """Return the versions published up to the end of the range, without their contents. One query."""
    rows = Version.objects.filter(published_at__lt=periods.day_start(question.until, question.zone))
    if question.environment:
        rows = rows.filter(environment__name=question.environment)
    return list(rows.select_related("environment").defer("canonical").order_by("-published_at", "-id")[:500])


def _marks(question: Question, by_rule: Sequence[RuleSums], published: Sequence[Version]) -> list[Mark]:
    """Return what came in the range, oldest first: what was published, and what gateways alone knew of."""
    found = [
        Mark(
            environment=one.environment.name, number=one.number, title=one.title, at=one.published_at,
            day=periods.local_day(one.published_at, question.zone),
        )
        for one in published
    ]  # fmt: skip
    known = {(one.environment, one.number) for one in found}
    seen: dict[tuple[str, int], date] = {}
    begins: dict[str, date] = {}  # of each environment, the first day that has anything
    for row in by_rule:
        begins[row.environment] = min(begins.get(row.environment, row.first_day), row.first_day)
        key = row.environment, row.rules_version
        if row.rules_version and key not in known:
            seen[key] = min(seen.get(key, row.first_day), row.first_day)
    # What was there from the first day on may have been there long before.
    found += [
        Mark(environment=environment, number=number, day=day, at=None, title="")
        for (environment, number), day in seen.items()
        if day > begins[environment]
    ]
    return sorted(
        (mark for mark in found if mark.day >= question.first),
        key=lambda mark: (mark.day, mark.environment, mark.number),
    )


def _total(rows: Iterable[tuple[Served, str]]) -> Totals:
    """Return the exact sums of what was answered, each with the tier that answered."""
    sums = {"answered": 0, "tokens": 0, "on_frontier": 0, "by_fallback": 0, "fallback_on_frontier": 0}
    cost = Decimal(0)
    with localcontext() as context:
        context.prec = 80
        for row, tier in rows:
            sums["answered"] += row.answered
            sums["tokens"] += row.tokens
            sums["by_fallback"] += row.by_fallback
            if tier == FRONTIER:
                sums["on_frontier"] += row.answered
                sums["fallback_on_frontier"] += row.by_fallback
            cost += row.cost_usd
    return Totals(cost_usd=cost, **sums)


def _grouped(by_rule: Sequence[RuleSums], *names: str) -> dict[tuple[Any, ...], list[RuleSums]]:
    groups: dict[tuple[Any, ...], list[RuleSums]] = defaultdict(list)
    for row in by_rule:
        groups[tuple(getattr(row, name) for name in names)].append(row)
    return groups


def _sum(rows: Iterable[RuleSums]) -> Totals:
    return _total((row, row.tier) for row in rows)


def _versions(by_rule: Sequence[RuleSums], published: Sequence[Version]) -> list[VersionLine]:
    known = {(one.environment.name, one.number): one for one in published}
    lines: list[VersionLine] = []
    before: dict[str, Totals] = {}
    for (environment, number), rows in sorted(_grouped(by_rule, "environment", "rules_version").items()):
        version, sums = known.get((environment, number)), _sum(rows)
        lines.append(
            VersionLine(
                environment=environment,
                number=number,
                first_day=min(row.first_day for row in rows),
                last_day=max(row.last_day for row in rows),
                sums=sums,
                before=before.get(environment) if number else None,
                published_at=version.published_at if version else None,
                published_by=version.published_by if version else "",
                title=version.title if version else "",
                rolls_back_to=version.rolls_back_to if version else None,
            )
        )
        if number:
            before[environment] = sums
    return sorted(lines, key=lambda line: (line.environment, -line.number))


def _rules(by_rule: Sequence[RuleSums]) -> list[RuleLine]:
    """Return the rules that answered most, by version; those beyond are one line, so that they add up."""
    groups = _grouped(by_rule, "environment", "rules_version", "rule")
    lines = [
        RuleLine(environment=environment, number=number, rule=rule, sums=_sum(rows))
        for (environment, number, rule), rows in groups.items()
    ]
    lines.sort(key=lambda line: (-line.sums.answered, -line.sums.cost_usd, line.environment, -line.number, line.rule))
    if len(lines) <= MOST_RULES + 1:
        return lines
    left = {(line.environment, line.number, line.rule) for line in lines[MOST_RULES:]}
    rest = [row for row in by_rule if (row.environment, row.rules_version, row.rule) in left]
    return [*lines[:MOST_RULES], RuleLine(environment="", number=0, rule="", sums=_sum(rest), rest=len(left))]


def _reasons(by_rule: Sequence[RuleSums]) -> list[ReasonLine]:
    lines = [ReasonLine(reason=reason, sums=_sum(rows)) for (reason,), rows in _grouped(by_rule, "reason").items()]
    return sorted((line for line in lines if line.sums.answered), key=lambda line: (-line.sums.answered, line.reason))


def _moves(by_rule: Sequence[RuleSums]) -> list[Move]:
    """Return from which tier to which fallbacks led, most frequent first.

    Rollups do not know which attempt a fallback followed. They know what the same rule of the same version tried first:
    where all of that was of one tier, that is where the request came from.
    """
    moved: dict[tuple[str, str], int] = defaultdict(int)
    for rows in _grouped(by_rule, "environment", "rules_version", "rule").values():
        first = {row.tier for row in rows if row.first_choices > 0}
        tried = NOT_SEEN if not first or not rows[0].rule else first.pop() if len(first) == 1 else SEVERAL
        for row in rows:
            moved[tried, row.tier] += row.by_fallback
    moves = [Move(tried=tried, answered_in=tier, requests=count) for (tried, tier), count in moved.items() if count]
    return sorted(moves, key=lambda move: (-move.requests, move.tried, move.answered_in))
