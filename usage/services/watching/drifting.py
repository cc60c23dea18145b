"""Tells of use cases whose share on frontier models rises: see Note [What is drift] in `rules/watching.py`.

A rise that began with a version of the rules is told once per use case, environment and version. One that no version
explains, such as fallbacks that creep in, is told when the last week stands out against the four weeks before, and not
again for four weeks. Only whole days count: what a use case does at night is another mix than by day.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import Q

from alerts.models import Alert, AlertState
from alerts.services import resolving
from budgets.wording import day as in_words
from core import periods
from core.models import Organisation
from usage.rules import watching as rules
from usage.rules.watching import Change, Counted
from usage.selectors import watched
from usage.selectors.watched import CostPerRequest, RuleShare
from usage.services.watching.looked import Finding, Looked, alone, link, per_cent, tell, usd

KIND = "frontier_drift"
AGAIN_AFTER = timedelta(days=28)  # then what was told is the past that the share is held against
_DAY = timedelta(days=1)
_SHOWN = 3  # rules

Series = Mapping[date, Mapping[int, Counted]]  # answered requests per day and version
Subject = tuple[int, str]  # use case and environment


@dataclass(frozen=True, kw_only=True)
class Drift:
    """A share that rose, by the days before and after. `change` is None where no version explains it."""

    subject: Subject
    before: tuple[date, ...]
    after: tuple[date, ...]
    was: Counted
    now: Counted
    change: Change | None

    @property
    def key(self) -> str:
        use_case_id, environment = self.subject
        told = f"v{self.change.version}" if self.change else f"{max(self.after).isoformat()}"
        return f"{KIND}:{use_case_id}:{told}:{environment}"


@transaction.atomic(durable=True)
def look(*, at: datetime) -> Looked:
    """Raise an alert for each share that rose, and resolve those that rise no more.

    Safe to repeat, and for any number of schedulers at once. An alert ends a week after it was raised at the earliest:
    when the last week is no longer half of the least rise above the four weeks before, since the share went back or has
    become usual. Four queries where all is well, and four to six for each new alert.
    """
    if not alone("frontier"):
        return Looked()
    zone = Organisation.objects.values_list("zone", flat=True).get(pk=1)
    today = periods.local_day(at, zone)
    names: dict[int, str] = {}
    series: dict[Subject, dict[date, dict[int, Counted]]] = defaultdict(lambda: defaultdict(dict))
    for row in watched.shares(first=today - rules.SHARES_LOOK, until=today):
        names[row.use_case_id] = row.use_case
        series[row.use_case_id, row.environment][row.day][row.rules_version] = row.counted
    known = Alert.objects.filter(Q(created_at__gt=at - AGAIN_AFTER) | ~Q(state=AlertState.RESOLVED), kind=KIND)
    alerts = list(known.values_list("dedupe_key", "state", "created_at"))
    lately = {_subject(key) for key, _, created_at in alerts if created_at > at - AGAIN_AFTER}
    resolved = _take_back(
        {key for key, state, created_at in alerts if state != AlertState.RESOLVED and created_at <= at - rules.WEEK},
        series,
        today=today,
        at=at,
    )
    drifts = [
        drift
        for subject, days in sorted(series.items())
        if (drift := _drift(subject, days, lately=subject in lately, today=today, looks=len(series))) is not None
    ]
    told = set(Alert.objects.filter(dedupe_key__in=[one.key for one in drifts]).values_list("dedupe_key", flat=True))
    found = [_finding(one, names[one.subject[0]]) for one in drifts if one.key not in told]
    return Looked(raised=tell(KIND, found, at=at), resolved=resolved)


def _subject(key: str) -> Subject:
    _, use_case_id, _, environment = key.split(":", 3)
    return int(use_case_id), environment


def _counts(days: Series, those: Collection[date]) -> list[Counted]:
    return [rules.added(days[day].values()) for day in those if day in days]


def _drift(subject: Subject, days: Series, *, lately: bool, today: date, looks: int) -> Drift | None:
    change = rules.change(days, today=today)
    if change is not None:
        before, after = _counts(days, change.before), _counts(days, change.after)
        earlier = rules.added(_counts(days, [day - rules.WEEK for day in change.before]))
        under_way = (
            rules.added(before).share - earlier.share if earlier.answered >= rules.LEAST_ANSWERED else Decimal(0)
        )
        if rules.rose(before=before, after=after, looks=looks, under_way=max(Decimal(0), under_way)):
            return _made(subject, days, change.before, change.after, change)
    if lately:
        return None
    last, four_weeks = _weeks(today)
    if rules.rose(before=_counts(days, four_weeks), after=_counts(days, last), looks=looks):
        return _made(subject, days, four_weeks, last, None)
    return None


def _made(
    subject: Subject, days: Series, before: Sequence[date], after: Sequence[date], change: Change | None
) -> Drift:
    was, now = rules.added(_counts(days, before)), rules.added(_counts(days, after))
    return Drift(subject=subject, before=tuple(before), after=tuple(after), was=was, now=now, change=change)


def _weeks(today: date) -> tuple[list[date], list[date]]:
    """Return the last seven whole days, and the four weeks before them."""
    first = today - rules.WEEK
    before = rules.WEEKS_BEFORE * 7
    return [first + n * _DAY for n in range(7)], [first - n * _DAY for n in range(before, 0, -1)]


def _take_back(keys: Collection[str], series: Mapping[Subject, Series], *, today: date, at: datetime) -> int:
    last, four_weeks = _weeks(today)
    count = 0
    for key in sorted(keys):
        days = series.get(_subject(key), {})
        rise = rules.added(_counts(days, last)).share - rules.added(_counts(days, four_weeks)).share
        if rise < rules.LEAST_RISE / 2:
            count += resolving.resolve(kind=KIND, dedupe_key_prefix=key, at=at)
    return count


def _finding(drift: Drift, use_case: str) -> Finding:
    use_case_id, environment = drift.subject
    shares, costs = watched.frontier_rules(
        use_case_id=use_case_id, environment=environment, before=drift.before, after=drift.after
    )
    first, last = min(drift.after), max(drift.after)
    change = drift.change
    since = f"since version {change.version} of the rules" if change else "in a week"
    was, now = per_cent(drift.was.share), per_cent(drift.now.share)
    summary = f"{now} of the answered requests of {use_case} in {environment} went to frontier models from "
    summary += f"{in_words(first)} to {in_words(last)}, "
    if change:
        summary += f"under version {change.version} of the rules; under version {change.version_before} it was {was}."
    else:
        summary += f"where it was {was} in the four weeks before. No new version of the rules explains it."
    rows = [
        ["Share before", _share(drift.was, drift.before, change.version_before if change else None)],
        ["Share now", _share(drift.now, drift.after, change.version if change else None)],
        *_rule_rows(shares, drift),
        *_cost_rows(costs, drift),
    ]
    query = {"use_case": use_case, "environment": environment}
    links = [link("Routing of these weeks", "/routing/", **{"from": min(drift.before).isoformat()},
                  to=last.isoformat(), **query)]  # fmt: skip
    if change:
        links.append(
            link(
                f"What version {change.version} changed",
                f"/rules/{environment}/compare/",
                before=str(change.version_before),
                after=str(change.version),
            )
        )
    links.append(link("Spend by rule", "/spend/", **{"from": min(drift.before).isoformat()}, to=last.isoformat(),
                      use_case=use_case, environment=environment, tier="frontier"))  # fmt: skip
    return Finding(
        dedupe_key=drift.key,
        title=f"{use_case}: {now} on frontier models {since}, {was} before",
        facts={"summary": summary, "rows": rows, "next": _advice(shares, drift), "links": links},
        subject_kind="use_case",
        subject_id=use_case_id,
        team_ids=watched.team_ids(use_case_id=use_case_id, first=first, until=last + _DAY),
    )


def _share(counted: Counted, days: Sequence[date], version: int | None) -> str:
    named = f", version {version}" if version is not None else ""
    return (
        f"{per_cent(counted.share)}: {counted.on_frontier:,} of {counted.answered:,} answered, "
        f"{in_words(min(days))} to {in_words(max(days))}{named}"
    )


def _rises(shares: Sequence[RuleShare], drift: Drift) -> list[tuple[RuleShare, Decimal, Decimal]]:
    """Return the rules whose share of all answered requests rose, with what it was and is, the most first."""
    found = [
        (one, Decimal(one.before) / drift.was.answered, Decimal(one.after) / drift.now.answered) for one in shares
    ]  # fmt: skip
    return sorted((each for each in found if each[2] > each[1]), key=lambda each: (each[1] - each[2], each[0].rule))


def _rule_rows(shares: Sequence[RuleShare], drift: Drift) -> list[list[str]]:
    words = [
        f"{_named(one)}: {per_cent(now)} of all answered, {per_cent(was)} before"
        for one, was, now in _rises(shares, drift)[:_SHOWN]
        if now - was >= rules.LEAST_RISE / 6
    ]
    return [["What grew", "; ".join(words)]] if words else []


def _named(one: RuleShare) -> str:
    rule = f"rule {one.rule}" if one.rule else "no rule named"
    if one.by_fallback * 2 > one.after:
        return f"{rule}, by a fallback"
    return f"{rule}, {one.reason.replace('_', ' ')}" if one.reason else rule


def _cost_rows(costs: CostPerRequest, drift: Drift) -> list[list[str]]:
    if costs.on_frontier is None or costs.elsewhere is None:
        return []
    a_week = Decimal(drift.now.answered) / len(drift.after) * 7
    more = a_week * (drift.now.share - drift.was.share)
    dearer = costs.on_frontier - costs.elsewhere
    said = f"{usd(costs.on_frontier)} on frontier, {usd(costs.elsewhere)} elsewhere"
    rows = [["Cost per answered request", said]]
    if dearer > 0:
        rows.insert(0, ["Costs more a week", f"about {usd(more * dearer)}, for {more:,.0f} more requests on frontier"])
    return rows


def _advice(shares: Sequence[RuleShare], drift: Drift) -> str:
    rises = _rises(shares, drift)
    meant = "If it is meant, acknowledge it; it is told again in four weeks if it rises on."
    if rises and rises[0][0].by_fallback * 2 > rises[0][0].after:
        rule = f"of rule {rises[0][0].rule} " if rises[0][0].rule else ""
        return f"Find out why the first choice {rule}fails, or give it a cheaper fallback. {meant}"
    if drift.change:
        return (
            f"Compare version {drift.change.version} with {drift.change.version_before}; going back is one step on the "
            f"page of the version. {meant}"
        )
    return f"Look at which requests the rules named take, and whether they need a frontier model. {meant}"
