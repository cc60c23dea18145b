"""Everything about one team: the use cases it answers for, what it spends, its budgets, and who is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from alerts.models import AlertState
from alerts.selectors import alerts, channels
from alerts.selectors.alerts import AlertRow
from alerts.selectors.channels import ChannelRow
from catalog.models import ClaimState, Team, TeamAlias, UseCase, UseCaseTeam
from core.models import Organisation
from core.selectors import trail
from core.selectors.trail import TrailLine
from dashboards.selectors import about as shared
from dashboards.selectors.about import BY_DAY, Budgets, Days, Month, Named, Week
from dashboards.selectors.catalog import Span
from dashboards.selectors.use_case import MOST_TRAIL, Part, offerings_used
from usage.selectors import about
from usage.selectors.about import Of, Row, Sums

MOST_ALERTS = 20
BY_USE_CASE = ("day", "use_case")


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A use case that the team answers for now, or that used something in its name; its sums are the team's."""

    id: int
    name: str
    title: str
    owner: str
    answers: bool
    sums: Sums


@dataclass(frozen=True, kw_only=True)
class TeamPage:
    """One team in full."""

    team: Team
    into: str  # the team that its name means now, where it was merged
    into_id: int
    aliases: Sequence[Span]
    days: Days
    month: Month
    rows: Sequence[Row]  # of the drawn days, by (day, use case)
    names: Mapping[int, str]  # of use cases
    weeks: Sequence[Week]
    listed: Sums
    use_cases: Sequence[Answered]
    offerings: Sequence[Part]
    named: Mapping[int, Named]
    budgets: Budgets
    alerts: Sequence[AlertRow]
    channels: Sequence[ChannelRow]  # that are told of it, those that chose it first
    trail: Sequence[TrailLine]


def found(pk: int) -> Team | None:
    """Return a team. One query."""
    return Team.objects.filter(pk=pk).first()


def one(*, team: Team, organisation: Organisation, at: datetime) -> TeamPage:
    """Return all that is known of a team, and what was booked for it.

    Two reads of sums by their index of teams, and sixteen other queries at most; more after a change of budgets.
    """
    days = shared.days_of(at=at, zone=organisation.zone)
    of = Of(team_id=team.pk)
    drawn = about.sums(of=of, first=days.first, until=days.until, ways=[BY_USE_CASE, BY_DAY])
    listed = about.sums(
        of=of, first=days.listed, until=days.until, ways=[("use_case",), ("offering", "tier")], latencies=True
    )
    named = shared.offerings_named({row.keys[1] for row in drawn[BY_DAY]})
    answers = set(UseCaseTeam.objects.filter(team=team, valid__contains=at).values_list("use_case_id", flat=True))
    sums = {row.keys[0]: row.sums for row in listed["use_case",]}
    use_cases = list(UseCase.objects.filter(pk__in=answers | sums.keys() | {row.keys[1] for row in drawn[BY_USE_CASE]}))
    aliases: Any = list(TeamAlias.objects.filter(team=team).order_by("folded", "-valid"))
    into = _into(team, at)
    total = about.added(sums.values())
    return TeamPage(
        team=team,
        into=into.name if into else "",
        into_id=into.pk if into else 0,
        aliases=[Span(text=one.folded, starts_at=one.valid.lower, ends_at=one.valid.upper) for one in aliases],
        days=days,
        month=shared.month(shared.by_day(drawn[BY_USE_CASE]), at=at, zone=organisation.zone),
        rows=drawn[BY_USE_CASE],
        names={one.pk: one.name for one in use_cases},
        weeks=shared.weeks(drawn[BY_DAY], named),
        listed=total,
        use_cases=sorted(
            (
                Answered(
                    id=one.pk, name=one.name, title=one.title, owner=one.owner, answers=one.pk in answers,
                    sums=sums.get(one.pk, Sums()),
                )
                for one in use_cases
                if one.pk in answers or one.pk in sums
            ),
            key=lambda one: (-one.sums.cost_usd, -one.sums.requests, one.name),
        ),
        offerings=offerings_used(listed["offering", "tier"], named, total),
        named=named,
        budgets=shared.budgets_of(
            at=at,
            names={
                "team": frozenset([team.name]),
                "use_case": frozenset(one.name for one in use_cases if one.pk in answers),
            },
            own=["team", "use_case"],
        ),
        alerts=alerts.newest(
            team_id=team.pk, states=[AlertState.OPEN, AlertState.ACKNOWLEDGED], limit=MOST_ALERTS
        ).rows,
        channels=_told(team.pk),
        trail=trail.of_rows(
            rows={
                Team._meta.db_table: [str(team.pk)],
                TeamAlias._meta.db_table: [str(one.pk) for one in aliases],
            },
            limit=MOST_TRAIL,
        ),
    )  # fmt: skip


def _into(team: Team, at: datetime) -> Team | None:
    """Return the team that one which was merged means now. One query, none for others."""
    if team.state != ClaimState.MERGED:
        return None
    alias = TeamAlias.objects.filter(folded=team.folded, valid__contains=at).select_related("team").first()
    return alias.team if alias else None


def _told(team_id: int) -> list[ChannelRow]:
    """Return the channels in use that take alerts about a team: those that chose it, then those that take all."""
    taking = [one for one in channels.every() if one.enabled and (not one.teams or team_id in one.teams)]
    return sorted(taking, key=lambda one: (team_id not in one.teams, one.name))
