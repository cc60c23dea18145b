"""Which rules take which requests, from the days that gateways reported: `rollup_day`, beside the version in force.

A rule's numbers are those of the versions in which it has asked for the same (use cases, condition and time) without a
break up to the one in force: what an earlier condition took says nothing about this one. A request is a call as far as
gateways report one: first choices, or answered requests where there are more of these.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any

from django.db.models import Q, Subquery

from core import periods
from routing.models import Version
from routing.rules import document, evaluator
from routing.rules.evaluator import DEFAULT_ID
from usage.selectors import routing as usage
from usage.selectors.overview import share
from usage.selectors.routing import RuleSums

DAYS = (1, 7, 30)
USUAL_DAYS = 7
MOST_VERSIONS = 50  # that a rule is followed back through
MOST_STRANGERS = 20
ENOUGH_TIME = timedelta(days=1)  # in force for less, a rule that took nothing is too new to tell
NEARLY_ALL = Decimal("0.95")
ENOUGH_REQUESTS = 100  # that came to a rule, before it is said to take nearly all

# What can be said of a rule.
FIRES, TAKES_ALL, NEVER = "fires", "takes_all", "never"
TOO_NEW, QUIET, NOT_ACTIVE, UNSEEN = "too_new", "quiet", "not_active", "unseen"

_OF_DEFAULT = frozenset(
    {evaluator.DEFAULT, evaluator.OVER_BUDGET, evaluator.SWITCHED_OFF, evaluator.BUDGET_BLOCKS, evaluator.NOTHING_LEFT}
    | {usage.FALLBACK}
)
_BLOCKED = frozenset({evaluator.BUDGET_BLOCKS, evaluator.NOTHING_LEFT})


@dataclass(frozen=True, kw_only=True)
class RuleHits:
    """What a rule in force, or the default (`place` 0), took in the range."""

    rule: str  # its id, or `default`
    title: str
    place: int  # from 1 on
    since_version: int  # the first of those that are counted
    since: datetime  # from when on it has asked for the same; no earlier than the version in force when the range began
    requests: int
    decided: int  # requests that the same versions decided
    reached: int  # of these, those that no rule before it took
    last_day: date | None
    cost_usd: Decimal  # of answered requests
    by_fallback: int  # answered by a fallback
    over_budget: int
    switched_off: int
    blocked: int
    verdict: str

    @property
    def share(self) -> Decimal | None:
        return share(self.requests, self.decided)

    @property
    def taken(self) -> Decimal | None:
        """Share of those that came to it."""
        return share(self.requests, self.reached)


@dataclass(frozen=True, kw_only=True)
class Stranger:
    """Requests that name a version or a rule of it that was never published here."""

    version: int  # 0: none
    rule: str
    requests: int


@dataclass(frozen=True, kw_only=True)
class Hits:
    """An environment's requests in whole days of the organisation's, [first, last] with both in.

    Those of `rules` and `default`, `earlier`, `unnamed` and `strange` add up to `requests`.
    """

    environment: str
    version: int | None  # in force
    days: int
    first: date
    last: date
    requests: int
    rules: Sequence[RuleHits] = ()  # in their order
    default: RuleHits | None = None
    earlier: int = 0  # decided by rules that are no more, or ask for something else now
    unnamed: int = 0  # name no rule, and no default that took them
    strange: int = 0
    strangers: Sequence[Stranger] = field(default_factory=list)  # the most frequent of these

    def by_rule(self) -> dict[str, RuleHits]:
        return {one.rule: one for one in (*self.rules, *((self.default,) if self.default else ()))}


def of(*, environment: str, version: int | None, days: int, zone: str, at: datetime) -> Hits:
    """Return what each rule in force took in the last `days`, today among them. Two queries, one without a version.

    `version` is the one in force, `zone` the organisation's.
    """
    last = periods.local_day(at, zone)
    first, until = last - timedelta(days=days - 1), last + timedelta(days=1)
    begins = periods.day_start(first, zone)
    sums = usage.rules(usage.Scope(first=first, until=until, environment=environment))
    published = [] if version is None else _published(environment, version, begins)
    counted = _Counted(sums, published, version or 0)
    rules: list[RuleHits] = []
    default = None
    if published:
        content = published[0].content
        for place, rule in enumerate(content["rules"], 1):
            rules.append(_hits(rule["id"], rule, place, counted, begins=begins, at=at))
        default = _hits(DEFAULT_ID, content["default"], 0, counted, begins=begins, at=at)
    taken = sum(one.requests for one in rules) + (default.requests if default else 0)
    strange = sum(counted.strangers.values())
    return Hits(
        environment=environment,
        version=version,
        days=days,
        first=first,
        last=last,
        requests=counted.decided + counted.unnamed + strange,
        rules=rules,
        default=default,
        earlier=counted.decided - taken,
        unnamed=counted.unnamed,
        strange=strange,
        strangers=[
            Stranger(version=number, rule=rule, requests=requests)
            for (number, rule), requests in sorted(counted.strangers.items(), key=lambda one: (-one[1], one[0]))
        ][:MOST_STRANGERS],
    )


@dataclass(frozen=True, kw_only=True)
class _Published:
    number: int
    published_at: datetime
    content: Mapping[str, Any]
    asks: dict[str, Any]  # what each rule asks for, by id, in their order; the default comes last


def _published(environment: str, version: int, begins: datetime) -> list[_Published]:
    """Return the versions from the one in force back to that in force when the range began. One query."""
    before = Version.objects.filter(environment__name=environment, published_at__lt=begins).order_by("-number")
    found = Version.objects.filter(environment__name=environment, number__lte=version).filter(
        Q(published_at__gte=begins) | Q(number=Subquery(before.values("number")[:1])) | Q(number=version)
    )
    made = []
    for one in found.order_by("-number")[:MOST_VERSIONS]:
        content = document.parse(bytes(one.canonical))
        asks = {rule["id"]: _asks(rule) for rule in content["rules"]}
        made.append(
            _Published(
                number=one.number, published_at=one.published_at, content=content, asks={**asks, DEFAULT_ID: None}
            )
        )  # fmt: skip
    return made


def _asks(rule: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(rule.get(name) for name in ("use_cases", "when", "active_from", "active_until"))


class _Counted:
    """Requests by version and rule; what names none of those published is counted apart."""

    def __init__(self, sums: Iterable[RuleSums], published: Sequence[_Published], live: int) -> None:
        self.published = published
        self.rows: dict[tuple[int, str], list[RuleSums]] = defaultdict(list)
        self.strangers: Counter[tuple[int, str]] = Counter()
        self.unnamed = 0
        known = {one.number: one.asks for one in published}
        strange: dict[tuple[int, str], list[RuleSums]] = defaultdict(list)
        unnamed: dict[tuple[int, str], list[RuleSums]] = defaultdict(list)
        for row in sums:
            key = row.rules_version, row.rule
            of_default = row.rule in ("", DEFAULT_ID) and row.reason in _OF_DEFAULT
            if row.rules_version > live or row.rules_version < 0 or (row.rule and not row.rules_version):
                strange[key].append(row)
            elif not row.rules_version or (not row.rule and not of_default):
                unnamed[key].append(row)
            elif of_default:
                self.rows[row.rules_version, DEFAULT_ID].append(row)
            elif row.rules_version in known and row.rule not in known[row.rules_version]:
                strange[key].append(row)
            else:
                self.rows[key].append(row)
        self.requests = {key: _requests(rows) for key, rows in self.rows.items()}
        self.decided = sum(self.requests.values())
        self.reached: dict[tuple[int, str], int] = {}  # requests that came to a rule of a version
        self.decided_by: dict[int, int] = {}
        for one in published:
            left = 0
            for name in reversed(one.asks):
                left += self.requests.get((one.number, name), 0)
                self.reached[one.number, name] = left
            self.decided_by[one.number] = left
        self.unnamed = sum(map(_requests, unnamed.values()))
        self.strangers.update({key: requests for key, rows in strange.items() if (requests := _requests(rows))})

    def since(self, rule: str) -> list[_Published]:
        """Return the versions that are counted for a rule, from the one in force back."""
        asks = self.published[0].asks[rule]
        found = []
        for one in self.published:
            if rule not in one.asks or one.asks[rule] != asks:
                break
            found.append(one)
        return found


def _requests(rows: Sequence[RuleSums]) -> int:
    return max(0, sum(row.first_choices for row in rows), sum(row.answered for row in rows))


def _hits(
    rule: str, part: Mapping[str, Any], place: int, counted: _Counted, *, begins: datetime, at: datetime
) -> RuleHits:
    versions = counted.since(rule)
    rows = [row for one in versions for row in counted.rows.get((one.number, rule), ())]
    requests = sum(counted.requests.get((one.number, rule), 0) for one in versions)
    decided = sum(counted.decided_by[one.number] for one in versions)
    reached = sum(counted.reached[one.number, rule] for one in versions)
    since = versions[-1].published_at
    active_from, active_until = evaluator.instant(part.get("active_from")), evaluator.instant(part.get("active_until"))
    if active_from is not None:
        since = max(since, active_from)
    if (active_from is not None and at < active_from) or (active_until is not None and active_until <= at):
        verdict = NOT_ACTIVE
    elif requests or rows:
        # The default takes all that comes to it.
        nearly = place and reached >= ENOUGH_REQUESTS and requests > NEARLY_ALL * reached
        verdict = TAKES_ALL if nearly else FIRES
    elif not decided:
        verdict = UNSEEN if at - since >= ENOUGH_TIME else TOO_NEW
    elif at - since < ENOUGH_TIME:
        verdict = TOO_NEW
    else:
        verdict = NEVER if at - begins >= ENOUGH_TIME else QUIET
    reasons: Counter[str] = Counter()
    for row in rows:
        reasons[row.reason] += row.first_choices
    return RuleHits(
        rule=rule,
        title=part.get("title", ""),
        place=place,
        since_version=versions[-1].number,
        since=since,
        requests=requests,
        decided=decided,
        reached=reached,
        last_day=max((row.last_day for row in rows), default=None),
        cost_usd=_added(row.cost_usd for row in rows),
        by_fallback=sum(row.by_fallback for row in rows),
        over_budget=reasons[evaluator.OVER_BUDGET],
        switched_off=reasons[evaluator.SWITCHED_OFF],
        blocked=sum(reasons[name] for name in _BLOCKED),
        verdict=verdict,
    )


def _added(costs: Iterable[Decimal]) -> Decimal:
    with localcontext() as context:
        context.prec = 80  # sums have more digits than the default context keeps
        return sum(costs, Decimal(0))
