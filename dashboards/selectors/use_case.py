"""Everything about one use case, from what `usage`, `budgets`, `alerts`, `routing` and `catalog` answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from alerts.selectors import alerts
from alerts.selectors.alerts import AlertRow
from catalog.models import ClaimState, Gateway, UseCase, UseCaseAlias, UseCaseTeam
from catalog.rules import fold
from core import periods
from core.models import Organisation
from core.selectors import trail
from core.selectors.trail import TrailLine
from dashboards.selectors import about as shared
from dashboards.selectors.about import BY_DAY, Budgets, Days, Month, Named, Week
from dashboards.selectors.catalog import Span
from routing.rules.evaluator import DEFAULT_ID
from routing.selectors import environments, versions
from usage.selectors import about, lines, savings
from usage.selectors.about import Of, Row, Sums
from usage.selectors.lines import LineRow, LinesAsk
from usage.selectors.overview import share

MOST_LISTED = 12  # of models, tasks, names asked for and so on; the rest is one line
MOST_TAG_VALUES = 6
MOST_TRAIL = 30
MOST_ENTRIES = 6
_DECIDED = ("environment", "rules_version", "rule")
_LISTED = (("offering", "tier"), ("task",), ("requested_model",), ("gateway",), ("reason",), _DECIDED)


@dataclass(frozen=True, kw_only=True)
class TeamSpan:
    """A team that answers for a use case over [starts_at, ends_at); None is open."""

    id: int
    team_id: int
    name: str
    starts_at: datetime | None
    ends_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Part:
    """One name of a table, with its share of all requests."""

    name: str
    sums: Sums
    share: Decimal | None
    tier: str = ""
    rest: int = 0  # of how many names, where it stands for those that are not listed


@dataclass(frozen=True, kw_only=True)
class Applies:
    """A rule in force that can take requests of the use case, or the default (`place` 0).

    `share` is of its requests that the version decided in the listed days; None where there were none.
    """

    place: int
    requests: int
    share: Decimal | None


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What is in force in an environment for the use case, in order."""

    environment: str
    version: int
    content: Mapping[str, Any]
    decided: int  # its requests that the version decided
    applies: Sequence[Applies]
    others: int  # rules that never concern it


@dataclass(frozen=True, kw_only=True)
class UseCasePage:
    """One use case in full."""

    use_case: UseCase
    into: str  # the use case that its name means now, where it was merged
    into_id: int
    teams: Sequence[TeamSpan]  # newest first
    aliases: Sequence[Span]
    days: Days
    month: Month
    rows: Sequence[Row]  # of the drawn days, by (day, offering, tier)
    named: Mapping[int, Named]
    weeks: Sequence[Week]
    listed: Sums
    on_open: int  # of its answered requests in the listed days
    offerings: Sequence[Part]
    tasks: Sequence[Part]
    requested: Sequence[Part]
    gateways: Sequence[Part]
    gateway_ids: Mapping[str, int]
    fallbacks: Sequence[Part]
    tags: Mapping[str, Sequence[tuple[str, Decimal, int]]]
    rules: Sequence[Rules]
    budgets: Budgets
    alerts: Sequence[AlertRow]
    entries: Sequence[LineRow]  # of the listed days, the last booked first
    saved: savings.Sums | None  # against its baseline in the listed days; None where nobody chose one
    trail: Sequence[TrailLine]

    def team(self, at: datetime) -> TeamSpan | None:
        spans = (one for one in self.teams if one.starts_at is None or one.starts_at <= at)
        return next((one for one in spans if one.ends_at is None or at < one.ends_at), None)

    @property
    def open_share(self) -> Decimal | None:
        return share(self.on_open, self.listed.answered)


def found(pk: int) -> UseCase | None:
    """Return a use case with its baseline. One query."""
    return UseCase.objects.select_related("baseline__model").filter(pk=pk).first()


def one(*, use_case: UseCase, organisation: Organisation, at: datetime, with_rules: bool) -> UseCasePage:
    """Return all that is known of a use case, and what was booked for it.

    Four reads of sums, whose keys begin with the use case, and twenty-five other queries at most; one more for each
    environment, and more after a change of budgets.
    """
    days = shared.days_of(at=at, zone=organisation.zone)
    teams = _teams(use_case)
    team = next((one.name for one in teams if one.ends_at is None), None)
    aliases = list(UseCaseAlias.objects.filter(use_case=use_case).order_by("folded", "-valid"))
    of = Of(use_case_id=use_case.pk)
    drawn = about.sums(of=of, first=days.first, until=days.until, ways=[BY_DAY])[BY_DAY]
    listed = about.sums(of=of, first=days.listed, until=days.until, ways=_LISTED, latencies=True)
    named = shared.offerings_named({row.keys[1] for row in drawn})
    gateways = shared.names_of(Gateway, {row.keys[0] for row in listed["gateway",]})
    total = about.added(row.sums for row in listed["task",])
    lately = [row for row in drawn if row.keys[0] >= days.listed]
    budgets = shared.budgets_of(
        at=at,
        names={"use_case": frozenset([use_case.name]), "team": frozenset([team] if team else [])},
        own=["use_case"],
    )
    labels = frozenset([use_case.folded, *(one.folded for one in aliases if _holds(one, at))])
    into = _into(use_case, at)
    return UseCasePage(
        use_case=use_case,
        into=into.name if into else "",
        into_id=into.pk if into else 0,
        teams=teams,
        aliases=[Span(text=one.folded, starts_at=one.valid.lower, ends_at=one.valid.upper) for one in aliases],
        days=days,
        month=shared.month(shared.by_day(drawn), at=at, zone=organisation.zone),
        rows=drawn,
        named=named,
        weeks=shared.weeks(drawn, named),
        listed=total,
        on_open=shared.on_open(lately, named),
        offerings=offerings_used(listed["offering", "tier"], named, total),
        tasks=parts(_keyed(listed["task",]), total),
        requested=parts(_keyed(listed["requested_model",]), total),
        gateways=parts([(gateways.get(row.keys[0], ""), row.sums) for row in listed["gateway",]], total),
        gateway_ids={name: pk for pk, name in gateways.items()},
        fallbacks=[one for one in parts(_keyed(listed["reason",]), total) if one.sums.by_fallback],
        tags=about.tags(use_case_id=use_case.pk, first=days.listed, until=days.until, most=MOST_TAG_VALUES),
        rules=_rules(labels, listed[_DECIDED]) if with_rules else (),
        budgets=budgets,
        alerts=alerts.concerning(subjects=[("use_case", use_case.pk)], budget_ids=budgets.ids),
        entries=_entries(use_case, days, organisation.zone) if total.requests else (),
        saved=_saved(use_case, days, organisation.zone),
        trail=_trail(use_case, teams, aliases),
    )


def _entries(use_case: UseCase, days: Days, zone: str) -> Sequence[LineRow]:
    """Return the lines that were booked last. Seven queries at most."""
    ask = LinesAsk(
        starts_at=periods.day_start(days.listed, zone),
        ends_at=periods.day_start(days.until, zone),
        zone=zone,
        filters={"use_case": (use_case.name,)},
    )
    return lines.page(ask=ask, most=MOST_ENTRIES).rows


def _saved(use_case: UseCase, days: Days, zone: str) -> savings.Sums | None:
    """Return what was saved. Two queries, none without a baseline; more after a change of the catalogue."""
    if use_case.baseline_id is None:
        return None
    return savings.saved(first=days.listed, until=days.until, zone=zone, use_case_id=use_case.pk).total


def _holds(alias: UseCaseAlias, at: datetime) -> bool:
    valid: Any = alias.valid
    return (valid.lower is None or valid.lower <= at) and (valid.upper is None or at < valid.upper)


def _teams(use_case: UseCase) -> list[TeamSpan]:
    rows: Any = UseCaseTeam.objects.filter(use_case=use_case).select_related("team").order_by("-valid")
    return [
        TeamSpan(id=row.pk, team_id=row.team_id, name=row.team.name, starts_at=row.valid.lower, ends_at=row.valid.upper)
        for row in rows
    ]


def _into(use_case: UseCase, at: datetime) -> UseCase | None:
    """Return the use case that one which was merged means now. One query, none for others."""
    if use_case.state != ClaimState.MERGED:
        return None
    alias = UseCaseAlias.objects.filter(folded=use_case.folded, valid__contains=at).select_related("use_case").first()
    return alias.use_case if alias else None


def _keyed(rows: Iterable[Row]) -> list[tuple[str, Sums]]:
    return [(row.keys[0], row.sums) for row in rows]


def parts(rows: Iterable[tuple[str, Sums]], total: Sums) -> list[Part]:
    """Return a line per name, most requests first; those beyond `MOST_LISTED` are one, so that they add up."""
    found = sorted(rows, key=lambda row: (-row[1].requests, -row[1].cost_usd, row[0]))
    if len(found) > MOST_LISTED + 1:
        rest = found[MOST_LISTED:]
        found = found[:MOST_LISTED]
        last = [Part(name="", sums=(sums := about.added(one for _, one in rest)), rest=len(rest),
                     share=share(sums.requests, total.requests))]  # fmt: skip
    else:
        last = []
    return [Part(name=name, sums=sums, share=share(sums.requests, total.requests)) for name, sums in found] + last


def offerings_used(rows: Iterable[Row], named: Mapping[int, Named], total: Sums) -> list[Part]:
    """Return a line per offering and tier, dearest first: one that changed its tier is there once for each."""
    found = [
        Part(
            name=named[row.keys[0]].name,
            tier=shared.TIERS[row.keys[1]],
            sums=row.sums,
            share=share(row.sums.requests, total.requests),
        )
        for row in rows
        if row.keys[0] in named
    ]
    return sorted(found, key=lambda one: (-one.sums.cost_usd, -one.sums.requests, one.name))


def _rules(labels: frozenset[str], rows: Iterable[Row]) -> list[Rules]:
    """Return the rules in force that can take its requests. Two queries, and one for each environment."""
    decided: dict[tuple[str, int], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in rows:
        environment, number, rule = row.keys
        decided[environment, number][rule or DEFAULT_ID] += row.sums.requests - row.sums.by_fallback
    found = []
    for environment in environments.listed():
        if environment.live_version is None:
            continue
        content = versions.content_of(environment=environment.name, number=environment.live_version)
        took = decided.get((environment.name, environment.live_version), {})
        whole = sum(took.values())
        ids = [(place, rule["id"]) for place, rule in enumerate(content["rules"], 1) if _concerns(rule, labels)]
        found.append(
            Rules(
                environment=environment.name,
                version=environment.live_version,
                content=content,
                decided=whole,
                applies=[
                    Applies(place=place, requests=took.get(rule, 0), share=share(took.get(rule, 0), whole))
                    for place, rule in [*ids, (0, DEFAULT_ID)]
                ],
                others=len(content["rules"]) - len(ids),
            )
        )
    return found


def _concerns(rule: Mapping[str, Any], labels: frozenset[str]) -> bool:
    return rule.get("use_cases") is None or any(fold(name) in labels for name in rule["use_cases"])


def _trail(use_case: UseCase, teams: Iterable[TeamSpan], aliases: Iterable[UseCaseAlias]) -> list[TrailLine]:
    return trail.of_rows(
        rows={
            UseCase._meta.db_table: [str(use_case.pk)],
            UseCaseTeam._meta.db_table: [str(one.id) for one in teams],
            UseCaseAlias._meta.db_table: [str(one.pk) for one in aliases],
        },
        limit=MOST_TRAIL,
    )
