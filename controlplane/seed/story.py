"""What the demo's company did in three months, as events. Plain Python: no database, no clock, the same for a seed.

Each use case has on each day a stream of chance of its own, so a part of the story can be told alone (to size a budget,
say) and is the same as in the whole.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import accumulate
from math import exp

from core import periods
from usage.events import Event

SEED = 20_260_423
LITELLM, ROUTER, BIFROST = "litellm-main", "edge-router", "bifrost-eu"
GATEWAYS = (LITELLM, ROUTER, BIFROST)

UNPRICED_MODEL = "kimi-k3"  # in nobody's price list here
SUPPORT, REVIEW, BATCH = "support-routing", "code-review", "invoice-extraction"
FRONTIER = frozenset({"gpt-5.5", "gpt-5.4", "claude-opus-4.7"})
OPEN_MODEL = "qwen3.6-35b-a3b"
FAILED_PROVIDER = "openai"
# A month always has this many calls of support that ended on a frontier model, however young it is: its budget has to
# have been passed in part on the first of a month, too.
LEAST_FRONTIER_CALLS = 12


@dataclass(frozen=True, slots=True)
class Served:
    """A model as a gateway reports it, and how quick it is."""

    provider: str
    model: str
    latency_ms: float  # before the first token, typically
    ms_per_token: float


SERVED = {
    "gpt-5.5": Served("openai", "gpt-5.5-2026-04-23", 1400, 14),
    "gpt-5.4": Served("openai", "gpt-5.4-2026-03-05", 1300, 12),
    "gpt-5.4-mini": Served("openai", "gpt-5.4-mini", 600, 6),
    "gpt-5-mini": Served("openai", "gpt-5-mini-2025-08-07", 550, 6),
    "gpt-4o-mini": Served("openai", "gpt-4o-mini", 420, 7),
    "text-embedding-3-small": Served("openai", "text-embedding-3-small", 90, 0),
    "claude-opus-4.7": Served("anthropic", "claude-opus-4-7", 1900, 17),
    "claude-sonnet-4.6": Served("anthropic", "claude-sonnet-4-6", 1100, 11),
    "claude-haiku-4.5": Served("anthropic", "claude-haiku-4-5-20251001", 520, 6),
    "gemini-3.1-pro": Served("google", "gemini-3.1-pro-preview", 1500, 9),
    "gemini-3-flash": Served("google", "gemini-3-flash-preview", 480, 5),
    "gemini-3.1-flash-lite": Served("google", "gemini-3.1-flash-lite", 350, 4),
    "deepseek-v4-flash": Served("deepseek", "deepseek-v4-flash", 700, 6),
    OPEN_MODEL: Served("self-hosted", "Qwen/Qwen3.6-35B-A3B", 300, 5),
    "llama-4-scout": Served("self-hosted", "meta-llama/Llama-4-Scout", 320, 6),
    UNPRICED_MODEL: Served("moonshot", "kimi-k3", 1200, 13),
}


def served_by(name: str) -> Served:
    """Return the model of a name in `SERVED`, or of an offering `model@provider` that the story knows nothing of."""
    if name in SERVED:
        return SERVED[name]
    model, _, provider = name.rpartition("@")
    return Served(provider, model, 900, 9)


@dataclass(frozen=True, slots=True)
class Route:
    """One rule's answer: the target and what follows when it fails, with its share of a use case's calls."""

    share: float
    rule: str
    chain: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A use case as a source of calls."""

    name: str
    gateway: str
    share: float  # of all calls
    hours: str
    weekend: float  # a Saturday's or Sunday's calls against a weekday's
    tasks: tuple[str, ...]
    features: tuple[str, ...]
    requested: str
    input_tokens: float  # the median
    output_tokens: float
    spread: float = 0.7  # sigma of the logarithm
    cached: float = 0.0  # of the input, read from the provider's cache
    written_5m: float = 0.0
    written_1h: float = 0.0
    reasoning: float = 0.0  # of the output
    hits: float = 0.0  # answered from the gateway's own cache
    users: int = 60
    session_calls: int = 1
    user_tiers: tuple[str, ...] = ("internal",)


WORKS = (
    Work(
        name=SUPPORT, gateway=LITELLM, share=0.21, hours="shop", weekend=0.62,
        tasks=("chat", "classification", "tool-use"), features=("web-chat", "app-chat", "mail"), requested="support",
        input_tokens=11_000, output_tokens=700, cached=0.35, hits=0.035, users=900, session_calls=4,
        user_tiers=("free", "paid", "paid", "business"),
    ),
    Work(
        name="support-drafts", gateway=LITELLM, share=0.08, hours="shop", weekend=0.4,
        tasks=("chat", "summarisation"), features=("draft", "tone"), requested="drafts",
        input_tokens=18_000, output_tokens=1_400, cached=0.3, users=45, session_calls=3,
    ),
    Work(
        name="call-summaries", gateway=LITELLM, share=0.09, hours="shop", weekend=0.45,
        tasks=("summarisation",), features=("hotline", "callback"), requested="cheap",
        input_tokens=14_000, output_tokens=380, spread=0.5, users=30,
    ),
    Work(
        name=REVIEW, gateway=ROUTER, share=0.075, hours="office", weekend=0.12,
        tasks=("code",), features=("pull-request", "security"), requested="auto",
        input_tokens=130_000, output_tokens=4_600, cached=0.55, written_5m=0.12, reasoning=0.3, users=110,
    ),
    Work(
        name="coding-agent", gateway=ROUTER, share=0.1, hours="office", weekend=0.2,
        tasks=("code", "tool-use", "planning"), features=("ide", "terminal"), requested="auto",
        input_tokens=180_000, output_tokens=3_400, cached=0.78, written_1h=0.06, reasoning=0.35, users=95,
        session_calls=14,
    ),
    Work(
        name="test-generation", gateway=ROUTER, share=0.05, hours="round", weekend=0.5,
        tasks=("code", "structured-output"), features=("unit", "end-to-end"), requested="auto",
        input_tokens=60_000, output_tokens=6_500, cached=0.3, users=70,
    ),
    Work(
        name="contract-analysis", gateway=ROUTER, share=0.02, hours="office", weekend=0.05,
        tasks=("extraction", "summarisation"), features=("supplier", "lease", "privacy"), requested="long-context",
        input_tokens=170_000, output_tokens=4_500, spread=0.75, users=14, reasoning=0.2,
    ),
    Work(
        name="address-parsing", gateway=BIFROST, share=0.14, hours="round", weekend=0.7,
        tasks=("extraction", "structured-output"), features=("label", "import"), requested="parse",
        input_tokens=1_500, output_tokens=130, spread=0.4, users=8,
    ),
    Work(
        name=BATCH, gateway=BIFROST, share=0.115, hours="night", weekend=0.85,
        tasks=("batch", "extraction"), features=("incoming", "customs"), requested="batch",
        input_tokens=16_000, output_tokens=1_500, spread=0.6, users=3,
    ),
    Work(
        name="route-planning", gateway=BIFROST, share=0.045, hours="early", weekend=0.5,
        tasks=("planning", "tool-use"), features=("depot", "same-day"), requested="planner",
        input_tokens=70_000, output_tokens=4_200, cached=0.2, reasoning=0.4, users=24,
    ),
    Work(
        name="campaign-copy", gateway=LITELLM, share=0.025, hours="office", weekend=0.08,
        tasks=("creative",), features=("newsletter", "landing-page"), requested="creative",
        input_tokens=12_000, output_tokens=3_000, users=18, session_calls=5,
    ),
    Work(
        name="knowledge-search", gateway=LITELLM, share=0.05, hours="office", weekend=0.3,
        tasks=("embedding-rag", "chat"), features=("intranet", "help-centre"), requested="search",
        input_tokens=11_000, output_tokens=350, cached=0.1, hits=0.06, users=420, user_tiers=("internal", "paid"),
    ),
)  # fmt: skip
BY_NAME = {work.name: work for work in WORKS}

_BACKLOG = replace(
    BY_NAME[SUPPORT], tasks=("summarisation",), features=("claims",), requested="backlog", input_tokens=80_000,
    output_tokens=1_500, spread=0.3, users=6, session_calls=40, user_tiers=("business",),
)  # fmt: skip

# How an hour of the wall clock weighs, 0 to 23.
_HOURS = {
    "office": (0, 0, 0, 0, 0, 1, 3, 8, 14, 18, 18, 15, 9, 13, 17, 17, 14, 10, 6, 4, 3, 2, 1, 0),
    "shop": (1, 1, 0, 0, 0, 1, 3, 6, 9, 12, 13, 12, 11, 11, 11, 11, 12, 13, 13, 11, 9, 6, 4, 2),
    "night": (12, 16, 18, 18, 14, 9, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3, 6, 9),
    "early": (1, 1, 3, 8, 16, 20, 16, 9, 6, 5, 4, 4, 4, 3, 3, 3, 3, 2, 2, 1, 1, 1, 1, 1),
    "round": (4, 3, 3, 3, 4, 5, 6, 8, 9, 9, 9, 8, 8, 8, 8, 8, 8, 7, 6, 6, 5, 5, 4, 4),
}
_CUMULATED = {name: tuple(accumulate(weights)) for name, weights in _HOURS.items()}
_LONGEST_INPUT = 950_000  # tokens; what the models with the longest contexts take
_GROWTH_PER_DAY = 0.0012  # in calls, about 4 per cent a month


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """When the story's turns happen, and how much of it there is."""

    zone: str
    starts_at: datetime  # the first day of the month two months back
    now: datetime  # nothing happens at or after it
    days: tuple[date, ...]
    calls: float
    seed: int = SEED
    months: tuple[date, date, date] = field(kw_only=True)  # first days, oldest first
    fallback_added: date  # a frontier model became support's fallback
    price_cut: date
    outage: date  # a provider failed by day
    takeover: date  # an open model began to take over batch work
    experiment: date  # somebody began to try a model that has no price


def plan(*, now: datetime, zone: str, events: int = 200_000, seed: int = SEED) -> Plan:
    """Lay out the three months up to `now`: two whole ones and the present one so far."""
    today = periods.local_day(now, zone)
    third = today.replace(day=1)
    first, second = periods.add_months(third, -2), periods.add_months(third, -1)
    days = tuple(first + timedelta(days=n) for n in range((today - first).days + 1))
    outage = second + timedelta(days=16)
    while outage.weekday() > 3:
        outage += timedelta(days=1)
    return Plan(
        zone=zone,
        starts_at=periods.day_start(first, zone),
        now=now,
        days=days,
        calls=events * 0.968,  # failed attempts come on top
        seed=seed,
        months=(first, second, third),
        fallback_added=second + timedelta(days=7),
        price_cut=second + timedelta(days=11),
        outage=outage,
        takeover=first + timedelta(days=19),
        experiment=max(first, today - timedelta(days=18)),
    )


def rules_version(of: Plan, day: date) -> int:
    """Return the version of the rules that gateways ran on a day."""
    changes = (of.takeover, of.fallback_added, of.outage + timedelta(days=1), of.months[2])
    return 17 + sum(day >= change for change in changes)


def events(of: Plan, *, gateway: str, first: date, until: date) -> Iterator[Event]:
    """Tell what a gateway saw on the days [first, until), in order of time."""
    for day in of.days:
        if first <= day < until:
            told = [event for work in WORKS if work.gateway == gateway for event in of_use_case(of, work.name, day)]
            told.sort(key=lambda event: event.occurred_at)
            yield from told


def of_use_case(of: Plan, name: str, day: date) -> list[Event]:
    """Tell one use case's day, up to the plan's now."""
    work = BY_NAME[name]
    rng = random.Random(f"{of.seed}/{name}/{day}")  # noqa: S311 - a story, not a secret
    instants = times(of, work, day, rng)
    routes = _ROUTES[name](of, day)
    weights = tuple(accumulate(route.share for route in routes))
    telling = Telling(of, work, day, rng)
    for at in instants:
        route = rng.choices(routes, cum_weights=weights)[0]
        telling.call(at, route)
    told = telling.told
    if name == SUPPORT and day == of.months[2]:
        told += _first_calls(of, day, periods.day_start(day, of.zone))
    return [event for event in told if event.occurred_at < of.now]


def times(of: Plan, work: Work, day: date, rng: random.Random) -> list[datetime]:
    """Return when a use case calls on a day, which may lie after the plan's, in order."""
    starts_at, ends_at = periods.day_start(day, of.zone), periods.day_start(day + timedelta(days=1), of.zone)
    length = (ends_at - starts_at).total_seconds()
    count = round(of.calls * work.share * _day_share(of, work, day) * rng.uniform(0.93, 1.07))
    hours = rng.choices(range(24), cum_weights=_CUMULATED[work.hours], k=count)
    seconds = sorted((hour + rng.random()) * length / 24 for hour in hours)
    return [starts_at + timedelta(seconds=second) for second in seconds]


def late_event(of: Plan) -> Event:
    """Tell the one call of the oldest month that its gateway reported when that month was closed."""
    day = of.months[0] + timedelta(days=20)
    at = periods.day_start(day, of.zone) + timedelta(hours=10, minutes=41)
    rng = random.Random(f"{of.seed}/late")  # noqa: S311
    telling = Telling(of, BY_NAME["contract-analysis"], day, rng)
    telling.attempt(at, "claude-opus-4.7", "contracts", 0, "", failed=False)
    return telling.told[0]


def _first_calls(of: Plan, day: date, starts_at: datetime) -> list[Event]:
    """Tell the calls that support makes as the month begins: a few ordinary ones, and its backlog."""
    rng = random.Random(f"{of.seed}/first")  # noqa: S311
    span = min(max((of.now - starts_at).total_seconds(), 1.0), 3_600.0)
    told = []
    for work, rule, count in (
        (BY_NAME[SUPPORT], "support-hard", LEAST_FRONTIER_CALLS),
        (_BACKLOG, "support-backlog", _backlog_calls(of)),
    ):
        telling = Telling(of, work, day, rng)
        for n in range(count):
            telling.attempt(
                starts_at + timedelta(seconds=span * (n + 0.5) / count), "gpt-5.5", rule, 0, "", failed=False
            )
        told += telling.told
    return told


@lru_cache(maxsize=8)
def _backlog_calls(of: Plan) -> int:
    """Return how many claims of last month were answered in the first hour of a month that is young still.

    A budget that was passed in part on the second of a month, at a pace that ordinary days have, would be far too small
    for any other month. So most of what a young month has used is a backlog; by the middle it is not needed any more.
    """
    young = max(0.0, 1 - (of.days[-1].day - 1) / 13)
    if not young:
        return 0
    last = (day for day in of.days if of.months[1] <= day < of.months[2])
    tokens = sum(frontier_tokens(of_use_case(of, SUPPORT, day)) for day in last)
    return round(0.8 * young * tokens / (_BACKLOG.input_tokens * 1.06))  # the mean is above the median


def _day_share(of: Plan, work: Work, day: date) -> float:
    """Return a day's part of a use case's calls."""
    total = sum(_weight(of, work, other) for other in of.days)
    return _weight(of, work, day) / total


def _weight(of: Plan, work: Work, day: date) -> float:
    growth = 1 + _GROWTH_PER_DAY * (day - of.months[0]).days
    return growth * (work.weekend if day.weekday() >= 5 else 1.0)


def _ramp(day: date, start: date, days: int) -> float:
    """Rise from 0 at `start` to 1 some days later."""
    return min(1.0, max(0.0, (day - start).days / days))


# Routes: a list per use case and day. ---------------------------------------------------------------------------------


def _support(of: Plan, day: date) -> list[Route]:
    # The fallback was added for the rare time-out. Time-outs became less rare, and nobody looked.
    last = "gpt-5.5" if day >= of.fallback_added else "gpt-4o-mini"
    return [
        Route(0.045, "support-hard", ("gpt-5.5", "claude-sonnet-4.6")),
        Route(0.135, "support-business", ("claude-haiku-4.5", "gemini-3-flash")),
        Route(0.82, "support-default", ("gemini-3-flash", last)),
    ]


def _review(of: Plan, day: date) -> list[Route]:
    # Last month's budget was nearly used up, so this month half of the work goes to the middle tier.
    frontier = 0.42 if day >= of.months[2] else 0.88
    return [
        Route(frontier, "code-high", ("claude-opus-4.7", "gpt-5.5")),
        Route(1 - frontier, "code-low", ("claude-sonnet-4.6", "gemini-3.1-pro")),
    ]


def _batch(of: Plan, day: date) -> list[Route]:
    taken = 0.88 * _ramp(day, of.takeover, 38)
    return [
        Route(taken, "batch-open", (OPEN_MODEL, "gpt-5-mini")),
        Route(1 - taken, "batch-default", ("gpt-5-mini", "deepseek-v4-flash")),
    ]


def _copy(of: Plan, day: date) -> list[Route]:
    tried = 0.3 if day >= of.experiment else 0.0
    return [
        Route(tried, "copy-trial", (UNPRICED_MODEL, "gpt-5.4")),
        Route(0.62 - tried / 2, "copy", ("gpt-5.4", "claude-sonnet-4.6")),
        Route(0.38 - tried / 2, "copy-short", ("gpt-5.4-mini", "gemini-3-flash")),
    ]


def _same(*routes: Route) -> Callable[[Plan, date], list[Route]]:
    return lambda of, day: list(routes)


_ROUTES: dict[str, Callable[[Plan, date], list[Route]]] = {
    SUPPORT: _support,
    "support-drafts": _same(
        Route(0.72, "drafts", ("claude-sonnet-4.6", "gpt-5.4")),
        Route(0.28, "drafts-short", ("claude-haiku-4.5", "gemini-3-flash")),
    ),
    "call-summaries": _same(
        Route(0.8, "summaries", ("gemini-3.1-flash-lite", "gpt-4o-mini")),
        Route(0.2, "summaries-long", ("deepseek-v4-flash", "gemini-3-flash")),
    ),
    REVIEW: _review,
    "coding-agent": _same(
        Route(0.5, "agent-hard", ("claude-opus-4.7", "gpt-5.5")),
        Route(0.3, "agent", ("claude-sonnet-4.6", "gpt-5.4")),
        Route(0.2, "agent-tools", ("gpt-5.5", "claude-opus-4.7")),
    ),
    "test-generation": _same(
        Route(0.6, "tests", ("claude-sonnet-4.6", "gpt-5.4-mini")),
        Route(0.4, "tests-simple", ("gpt-5.4-mini", "deepseek-v4-flash")),
    ),
    "contract-analysis": _same(
        Route(0.45, "contracts", ("claude-opus-4.7", "gemini-3.1-pro")),
        Route(0.4, "contracts-long", ("gemini-3.1-pro", "claude-opus-4.7")),
        Route(0.15, "contracts-check", ("gpt-5.5", "claude-opus-4.7")),
    ),
    "address-parsing": _same(
        Route(0.55, "parse", ("gemini-3.1-flash-lite", "gpt-4o-mini")),
        Route(0.45, "parse-domestic", ("llama-4-scout", "gemini-3.1-flash-lite")),
    ),
    BATCH: _batch,
    "route-planning": _same(
        Route(0.85, "planning", ("gemini-3.1-pro", "claude-sonnet-4.6")),
        Route(0.15, "planning-simple", ("gemini-3-flash", "gpt-5-mini")),
    ),
    "campaign-copy": _copy,
    "knowledge-search": _same(
        Route(0.45, "embed", ("text-embedding-3-small",)),
        Route(0.55, "answer", ("gemini-3-flash", "gpt-4o-mini")),
    ),
}


class Telling:
    """Turns calls of one use case on one day into events."""

    def __init__(self, of: Plan, work: Work, day: date, rng: random.Random) -> None:
        self.told: list[Event] = []
        self._of, self._work, self._day, self._rng = of, work, day, rng
        self._version = rules_version(of, day)
        # Time-outs of support's first choice rise from the day when the frontier fallback was added.
        self._timeouts = 0.02 + (0.33 * _ramp(day, of.fallback_added, 44) if work.name == SUPPORT else 0.0)
        self._session, self._session_left, self._user = "", 0, ""
        midnight = periods.day_start(day, of.zone)
        self._outage = (midnight + timedelta(hours=9), midnight + timedelta(hours=17)) if day == of.outage else None

    def call(self, at: datetime, route: Route) -> None:
        """Go down a rule's chain until something answers."""
        rng, work = self._rng, self._work
        if work.hits and rng.random() < work.hits:
            self.attempt(at, route.chain[0], route.rule, 0, "", failed=False, hit=True)
            return
        group = f"c-{rng.getrandbits(48):012x}" if len(route.chain) > 1 else ""
        for index, name in enumerate(route.chain):
            failed = rng.random() < self._chance_of_failure(name, at, index)
            took = self.attempt(at, name, route.rule, index, group, failed=failed)
            if not failed:
                return
            at += timedelta(milliseconds=took)

    def _chance_of_failure(self, name: str, at: datetime, index: int) -> float:
        provider = served_by(name).provider
        if self._outage and provider == FAILED_PROVIDER and self._outage[0] <= at < self._outage[1]:
            return 0.94
        if index == 0 and self._work.name == SUPPORT and name == "gemini-3-flash":
            return self._timeouts
        return 0.009

    def attempt(
        self, at: datetime, name: str, rule: str, index: int, group: str, *, failed: bool, hit: bool = False
    ) -> int:
        """Tell one attempt; returns the milliseconds it took."""
        rng, work, served = self._rng, self._work, served_by(name)
        if self._session_left <= 0:
            self._session = f"s-{rng.getrandbits(32):08x}" if work.session_calls > 1 else ""
            self._session_left = 1 + int(rng.expovariate(1 / work.session_calls))
            self._user = f"u-{work.name[:3]}-{int(work.users * rng.random() ** 1.6)}"  # some do far more than others
        if index == 0:
            self._session_left -= 1
        event = Event(
            event_id=f"{rng.getrandbits(128):032x}",
            occurred_at=at.replace(microsecond=at.microsecond // 1000 * 1000).astimezone(UTC),
            use_case=work.name,
            provider=served.provider,
            model=served.model,
            requested_model=work.requested,
            call_group=group,
            rules_version=self._version,
            rule=rule,
            route_reason="fallback" if index else "rule",
            fallback_index=index,
            session=self._session,
            user=self._user,
            context=context(work, rng),
            tags=tags(work, rng),
        )
        if failed:
            event.status = "error"
            timed_out = rng.random() < (0.9 if work.name == SUPPORT and name == "gemini-3-flash" else 0.35)
            event.latency_ms = 30_000 if timed_out else int(rng.uniform(60, 900))
        elif hit:
            self._count(event, name)
            event.status = "cache_hit"
            event.latency_ms = int(rng.uniform(3, 25))
        else:
            chance = rng.random()
            if chance < 0.002:
                event.status, event.latency_ms = "blocked", int(rng.uniform(40, 300))
            elif chance < 0.005:
                event.status, event.counted = "usage_missing", False
                event.latency_ms = int(served.latency_ms * rng.uniform(0.8, 3))
            else:
                self._count(event, name)
                wait = served.latency_ms * exp(rng.gauss(0, 0.35)) + served.ms_per_token * event.output_tokens
                event.latency_ms = int(wait)
        self.told.append(event)
        return event.latency_ms

    def _count(self, event: Event, name: str) -> None:
        rng, work = self._rng, self._work
        total = min(int(work.input_tokens * exp(rng.gauss(0, work.spread))) + 20, _LONGEST_INPUT)
        if name == "text-embedding-3-small":
            event.uncached_input_tokens = min(total, 8_000)
            return
        output = int(work.output_tokens * exp(rng.gauss(0, work.spread))) + 5
        read = written_5m = written_1h = 0
        if work.cached and event.provider != "self-hosted":
            read = int(total * min(0.95, max(0.0, rng.gauss(work.cached, 0.18)))) // 128 * 128
            if event.provider == "anthropic":
                written_5m = int((total - read) * work.written_5m / (1 - work.cached))
                written_1h = int((total - read) * work.written_1h / (1 - work.cached))
        event.cache_read_tokens = read
        event.cache_write_5m_tokens = written_5m
        event.cache_write_1h_tokens = written_1h
        event.uncached_input_tokens = total - read - written_5m - written_1h
        event.output_tokens = output
        if work.reasoning:
            event.reasoning_tokens = int(output * min(0.9, rng.uniform(0.4, 1.6) * work.reasoning))


_COMPLEXITIES = ("0.1", "0.2", "0.3", "0.4", "0.5", "0.7", "0.8")
_contexts: dict[tuple[str, str, str], dict[str, str]] = {}
_tag_sets: dict[tuple[str, str], dict[str, str]] = {}


def context(work: Work, rng: random.Random) -> dict[str, str]:
    """Return a request context. Equal ones are one object: there are few, and nobody changes them."""
    key = (
        work.tasks[int(len(work.tasks) * rng.random())],
        _COMPLEXITIES[int(7 * rng.random())],
        work.user_tiers[int(len(work.user_tiers) * rng.random())],
    )
    found = _contexts.get(key)
    if found is None:
        found = _contexts[key] = {"task": key[0], "complexity": key[1], "user_tier": key[2]}
    return found


def tags(work: Work, rng: random.Random) -> dict[str, str]:
    chance = rng.random()
    key = (
        ("prod", "prod", "staging")[bisect_right((0.5, 0.93), chance)],
        work.features[int(len(work.features) * rng.random())],
    )
    found = _tag_sets.get(key)
    if found is None:
        found = _tag_sets[key] = {"env": key[0], "feature": key[1]}
    return found


def frontier_tokens(told: list[Event]) -> int:
    """Return the tokens that count against a frontier budget: input and output of calls to frontier models."""
    names = {SERVED[name].model for name in FRONTIER}
    return sum(
        event.uncached_input_tokens
        + event.cache_read_tokens
        + event.cache_write_5m_tokens
        + event.cache_write_1h_tokens
        + event.output_tokens
        for event in told
        if event.model in names and event.status in ("ok", "error", "usage_missing")
    )
