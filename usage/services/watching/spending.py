"""Tells of days that cost far more than usual: see Note [What is unusual spend] in `rules/watching.py`.

# Note [Who is told about]
Today is looked at while it runs, against whole days, and yesterday for what came in late. Where the organisation's day
is unusual, one alert says so; if one use case is two thirds of what is beyond the usual, it is that one's. Else each
use case whose day is unusual is told, and a team unless the use cases told are what happened to it. Models are no
subject: rules move work from one to another, and the alert says which model it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db import transaction

from alerts.models import Alert, AlertState
from alerts.services import resolving
from budgets.wording import day as in_words
from core import periods
from core.models import Organisation
from usage.rules import watching as rules
from usage.rules.watching import Unusual
from usage.selectors import watched
from usage.selectors.watched import Part, Spent, Volume
from usage.services.watching.looked import Finding, Looked, alone, link, per_cent, tell, usd

KIND = "spend_unusual"
ORGANISATION, USE_CASE, TEAM = "organisation", "use_case", "team"
_DAY = timedelta(days=1)
_SHOWN = 3  # parts of each kind
_LEAST_PART = Decimal("0.1")  # of the difference
_NONE = "0"  # the version that gateways report where they report none
_KINDS = {
    "model": "Model",
    "use_case": "Use case",
    "team": "Team",
    "gateway": "Gateway",
}


@dataclass(frozen=True, kw_only=True)
class Jump:
    """A day of somebody's that is to be told."""

    day: date
    kind: str
    id: int  # 0 for the organisation
    unusual: Unusual
    whole: Unusual | None = None  # the organisation's day, where this is what happened to it

    @property
    def key(self) -> str:
        return _key(self.day, self.kind, self.id)


def _key(day: date, kind: str, id_: int) -> str:
    return f"{KIND}:{day.isoformat()}:{kind}:{id_}"


@transaction.atomic(durable=True)
def look(*, at: datetime) -> Looked:
    """Raise an alert for each unusual day of today and yesterday, and resolve those that are over.

    Safe to repeat, and for any number of schedulers at once: a day is told once per subject. An alert ends when the day
    after it was usual, or has become so (a level that held for three days), or when a correction made its own day
    usual. Four queries where all is well, and three to five for each new alert.
    """
    if not alone("spending"):
        return Looked()
    zone = Organisation.objects.values_list("zone", flat=True).get(pk=1)
    today = periods.local_day(at, zone)
    spent = watched.spent(first=today - _DAY - rules.LONGEST_LOOK, until=today + _DAY)
    left = Alert.objects.filter(kind=KIND).exclude(state=AlertState.RESOLVED)
    resolved = _take_back(list(left.values_list("dedupe_key", flat=True)), spent, today=today, at=at)
    jumps = [jump for day in (today - _DAY, today) for jump in _jumps(spent, day)]
    if not jumps:
        return Looked(resolved=resolved)
    keys = {key for jump in jumps for key in (jump.key, _key(jump.day, ORGANISATION, 0))}
    told = set(Alert.objects.filter(dedupe_key__in=keys).values_list("dedupe_key", flat=True))
    new = [jump for jump in jumps if not told & {jump.key, _key(jump.day, ORGANISATION, 0)}]
    found = [_finding(jump, spent, today=today, zone=zone, at=at) for jump in new]
    return Looked(raised=tell(KIND, found, at=at), resolved=resolved)


def _jumps(spent: Spent, day: date) -> list[Jump]:
    """Return what is to be told of a day; see Note [Who is told about]."""
    least = rules.least_usd(spent.organisation, day)
    whole = rules.unusual(spent.organisation, day, least_usd=least)
    use_cases = _unusual(spent.use_cases, day, least)
    if whole is not None:
        part = rules.explaining(whole, use_cases)
        if part is None:
            return [Jump(day=day, kind=ORGANISATION, id=0, unusual=whole)]
        return [Jump(day=day, kind=USE_CASE, id=part, unusual=use_cases[part], whole=whole)]
    jumps = [Jump(day=day, kind=USE_CASE, id=id_, unusual=one) for id_, one in use_cases.items()]
    for team, one in _unusual(spent.teams, day, least).items():
        known = sum((spent.together.get((id_, team), {}).get(day, Decimal(0)) for id_ in use_cases), Decimal(0))
        if known < one.beyond * rules.EXPLAINS:
            jumps.append(Jump(day=day, kind=TEAM, id=team, unusual=one))
    return jumps


def _unusual(subjects: Mapping[int, rules.Spend], day: date, least: Decimal) -> dict[int, Unusual]:
    found = {id_: rules.unusual(spend, day, least_usd=least) for id_, spend in subjects.items()}
    return {id_: one for id_, one in found.items() if one is not None}


def _take_back(keys: Sequence[str], spent: Spent, *, today: date, at: datetime) -> int:
    """Resolve what is over, of the alerts with these keys."""
    yesterday = today - _DAY
    count = 0
    for key in sorted(keys):
        _, told_day, kind, id_ = key.split(":")
        day = date.fromisoformat(told_day)
        subjects = {USE_CASE: spent.use_cases, TEAM: spent.teams}.get(kind)
        spend = spent.organisation if subjects is None else subjects.get(int(id_), {})
        asked = (day,) if day >= yesterday else (yesterday, today)
        lasts = any(
            rules.unusual(spend, one, least_usd=rules.least_usd(spent.organisation, one)) is not None for one in asked
        )
        if not lasts:
            count += resolving.resolve(kind=KIND, dedupe_key_prefix=key, at=at)
    return count


def _finding(jump: Jump, spent: Spent, *, today: date, zone: str, at: datetime) -> Finding:
    day, one = jump.day, jump.unusual
    use_case_id = jump.id if jump.kind == USE_CASE else None
    team_id = jump.id if jump.kind == TEAM else None
    parts, volume, past = watched.parts(day=day, past=one.usual.days, use_case_id=use_case_id, team_id=team_id)
    name = "The organisation" if jump.kind == ORGANISATION else spent.names[jump.kind, jump.id]
    kind_of_day = _kind_of(one.usual.days, day)
    so_far = f" by {periods.clock_text(at, zone).split(', ')[1]}" if day == today else ""
    usual = usd(one.usual.median)
    times = f"{one.times:.1f} times what is usual" if one.times is not None else "where nothing is usual"
    summary = f"{name} cost {usd(one.spent)} on {in_words(day)}{so_far}. {kind_of_day[0].upper()}{kind_of_day[1:]} "
    summary += f"{usual} is usual for the whole day." if one.times is not None else "it costs nothing, as a rule."
    if jump.whole is not None:
        summary += (
            f" It is what made the organisation's day unusual: {usd(jump.whole.spent)}, where "
            f"{usd(jump.whole.usual.median)} is usual."
        )
    between = f"8 of 10 such days between {usd(one.usual.low)} and {usd(one.usual.high)}"
    rows = [
        ["Spent so far" if day == today else "Spent", usd(one.spent)],
        [f"Usual {kind_of_day}", f"{usual}; {between}, by {len(one.usual.days):,} days"],
        ["Unusual above", usd(one.usual.most)],
        *_volume_rows(volume, past, days=len(one.usual.days)),
        *_part_rows(parts, days=len(one.usual.days), leave_out=jump.kind),
    ]
    query = {"from": day.isoformat(), "to": day.isoformat()}
    if jump.kind != ORGANISATION:
        query[jump.kind] = name
    by = "use_case" if jump.kind == ORGANISATION else "model"
    return Finding(
        dedupe_key=jump.key,
        title=f"{name}: {usd(one.spent)} on {in_words(day)}{' so far' if day == today else ''}, {times}",
        facts={
            "summary": summary,
            "rows": rows,
            "next": "If it is meant, acknowledge it: a level that holds for three days is told no more. If not, look "
            "at what made the difference, and stop it where the calls come from, by a rule or by a budget.",
            "links": [
                link("Spend of that day", "/spend/", **query, by=by),
                link(
                    "The weeks before it",
                    "/spend/",
                    **{**query, "from": (day - timedelta(weeks=rules.WEEKS)).isoformat()},
                    by=by,
                ),
            ],
        },
        subject_kind=jump.kind,
        subject_id=None if jump.kind == ORGANISATION else jump.id,
        team_ids=_team_ids(jump, spent),
    )


def _kind_of(days: Sequence[date], day: date) -> str:
    if all(one.weekday() == day.weekday() for one in days):
        return f"on a {day:%A}"
    return "at weekends" if day.weekday() >= 5 else "on a weekday"


def _team_ids(jump: Jump, spent: Spent) -> list[int]:
    """Return the teams that a channel may have chosen: the team itself, or those that a use case cost that day."""
    if jump.kind == TEAM:
        return [jump.id]
    return [team for (id_, team), days in spent.together.items() if jump.kind == USE_CASE and id_ == jump.id
            and days.get(jump.day)]  # fmt: skip


def _volume_rows(now: Volume, past: Volume, *, days: int) -> list[list[str]]:
    """Say whether it was more requests, longer ones or dearer tokens."""
    requests = Decimal(past.requests) / days
    rows = [["Requests", f"{now.requests:,}, usually {requests:,.0f} a day"]]
    if not (now.requests > 0 and past.requests > 0 and now.tokens > 0 and past.tokens > 0 and past.cost_usd > 0):
        return rows
    length, usual_length = Decimal(now.tokens) / now.requests, Decimal(past.tokens) / past.requests
    price, usual_price = now.cost_usd / now.tokens, past.cost_usd / past.tokens
    grew = {
        "more requests": now.requests / requests,
        "more tokens for each request": length / usual_length,
        "dearer tokens (other models, less from caches, or higher prices)": price / usual_price,
    }
    mostly = max(grew, key=lambda one: grew[one])
    return [
        ["Mostly", f"{mostly}, {grew[mostly]:.1f} times the usual"],
        *rows,
        ["Tokens per request", f"{length:,.0f}, usually {usual_length:,.0f}"],
        ["Cost per million tokens", f"{usd(price * 1_000_000)}, usually {usd(usual_price * 1_000_000)}"],
        [
            "Cost per 1,000 requests",
            f"{usd(now.cost_usd * 1000 / now.requests)}, usually {usd(past.cost_usd * 1000 / past.requests)}",
        ],
    ]


def _part_rows(parts: Mapping[str, Sequence[Part]], *, days: int, leave_out: str) -> list[list[str]]:
    """Say what made the difference: of each kind the parts that rose, the most first."""
    rows = []
    for kind, label in _KINDS.items():
        rises = [(part, part.cost_usd - part.past_usd / days) for part in parts[kind]]
        whole = sum((rise for _, rise in rises), Decimal(0))
        if kind == leave_out or whole <= 0:
            continue
        shown = [
            f"{part.name} {usd(rise)} more ({per_cent(rise / whole)} of the difference)"
            for part, rise in rises[:_SHOWN]
            if rise >= whole * _LEAST_PART
        ]
        if shown:
            rows.append([label, "; ".join(shown)])
    return [*rows, *_version_rows(parts["rules_version"])]


def _version_rows(versions: Sequence[Part]) -> list[list[str]]:
    """Say which versions of the rules were at work. They follow each other, so no difference is told between them."""
    whole = sum((part.cost_usd for part in versions), Decimal(0))
    of_day = sorted(versions, key=lambda part: -part.cost_usd)[:_SHOWN]
    if whole <= 0 or of_day[0].name == _NONE:
        return []
    shown = [
        f"{'none reported' if part.name == _NONE else part.name} ({per_cent(part.cost_usd / whole)} of the day)"
        for part in of_day
        if part.cost_usd >= whole * _LEAST_PART
    ]
    return [["Rules version", ", ".join(shown)]]
