"""Crossings and the alerts that tell them.

# Note [Who may write a crossing]
Whoever does holds the row lock of the counter (`budget`, `period_start`), so that looking what was told already and
writing what is new cannot interleave with anybody. The unique constraint stands behind that. Locks are taken in the
order counters (by budget, then period), alerts, `budgets_change`; the last is held only for an end that is near.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TypedDict

from django.db import connection, transaction

from alerts.models import Alert, Severity
from alerts.services import raising
from budgets import rules, wording
from budgets.models import Basis, Counter, CounterState, Crossing
from budgets.rules import Definition, Limit
from budgets.selectors import definitions
from catalog.models import Team, UseCaseTeam
from catalog.rules import fold
from core.periods import Period

# Budget, start of the period, limit's id, basis, threshold: what is told once.
_Key = tuple[int, datetime, int, str, int]

ALERT_KIND = "budget_crossing"
PAST_PERIOD = "past period"


class Explanation(TypedDict, total=False):
    """What drove a crossing, from whoever knows the ledger. All parts may be left out."""

    rows: Sequence[tuple[str, str]]  # label and value, such as ("Most of it", "gpt-5.5@openai, 81.2 %")
    links: Sequence[tuple[str, str]]  # text and path
    daily: Mapping[date, Decimal]  # used per day of the budget's zone, for the pace


# Called only for a crossing, in the transaction that books it.
Explain = Callable[[Definition, Period], Explanation]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCrossing:
    """A threshold told for the first time. Several with one alert were passed at once."""

    alert_id: int
    budget_id: int
    period_start: datetime
    basis: str
    threshold: int
    limit_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A locked counter as it is after the change."""

    definition: Definition
    period: Period
    used: Decimal
    unclassified: Decimal


def tell(
    *,
    standing: Standing,
    limit: Limit,
    actual: Sequence[int],
    may_have: Sequence[int],
    at: datetime,
    explain: Explain | None,
) -> list[NewCrossing]:
    """Write the crossings among these thresholds that nobody was told of, with one alert per basis.

    Takes part in the caller's transaction, which holds the counter's row lock (Note [Who may write a crossing]). A
    period that is over at `at` is recorded and its alert not sent. One query where all was told before.
    """
    told = set(
        Crossing.objects.filter(
            budget=standing.definition.id, period_start=standing.period.starts_at, limit=limit.id
        ).values_list("basis", "threshold")
    )
    new = {
        Basis.ACTUAL: [one for one in actual if (rules.ACTUAL, one) not in told],
        # Passed for sure once, and below again since: "may have" would be no news.
        Basis.MAY_HAVE: [
            one for one in may_have if (rules.MAY_HAVE, one) not in told and (rules.ACTUAL, one) not in told
        ],
    }
    if not any(new.values()):
        return []

    explanation = explain(standing.definition, standing.period) if explain else Explanation()
    found: list[NewCrossing] = []
    for basis, thresholds in new.items():
        if thresholds:
            found += _tell_one(standing, limit, basis, sorted(thresholds), at, explanation)
    return found


def _tell_one(
    standing: Standing, limit: Limit, basis: Basis, thresholds: list[int], at: datetime, explanation: Explanation
) -> list[NewCrossing]:
    definition, period = standing.definition, standing.period
    over = at >= period.ends_at
    key = f"budget:{definition.id}:{period.starts_at.isoformat()}:{basis}:v{limit.version}:{thresholds[-1]}"
    alert = raising.raise_alert(
        kind=ALERT_KIND,
        dedupe_key=key,
        severity=Severity.CRITICAL if basis == Basis.ACTUAL and thresholds[-1] >= 100 else Severity.WARNING,
        title=_title(standing, limit, basis, thresholds[-1]),
        facts=_facts(standing, limit, basis, thresholds, at, explanation),
        subject_kind="budget",
        subject_id=definition.id,
        team_ids=_team_ids(definition, at),
        budget_id=definition.id,
        at=at,
        not_sent_because=PAST_PERIOD if over else "",
    )
    if alert is None:  # raised before, and its crossings were not seen: cannot be while the counter is locked
        alert = Alert.objects.get(dedupe_key=key)
    Crossing.objects.bulk_create(
        [
            Crossing(
                budget_id=definition.id,
                period_start=period.starts_at,
                period_end=period.ends_at,
                basis=basis,
                threshold=threshold,
                limit_id=limit.id,
                used=standing.used,
                crossed_at=at,
                alert=alert,
            )
            for threshold in thresholds
        ],
        ignore_conflicts=True,
    )
    return [
        NewCrossing(
            alert_id=alert.pk,
            budget_id=definition.id,
            period_start=period.starts_at,
            basis=str(basis),
            threshold=threshold,
            limit_version=limit.version,
        )
        for threshold in thresholds
    ]


def _title(standing: Standing, limit: Limit, basis: Basis, highest: int) -> str:
    definition = standing.definition
    share = wording.per_cent(rules.per_cent(standing.used, limit.amount))
    used = f"{share} of {wording.quantity(definition.unit, limit.amount)} used"
    if basis == Basis.ACTUAL:
        return f"{definition.name}: {used}"
    return f"{definition.name}: may have passed {highest} %, {used} and unclassified tokens beside it"


def _facts(
    standing: Standing, limit: Limit, basis: Basis, thresholds: list[int], at: datetime, explanation: Explanation
) -> dict[str, Any]:
    """Return what happened as `alerts/README.md` wants it: summary, rows, links, next."""
    definition, period, used = standing.definition, standing.period, standing.used
    over = at >= period.ends_at
    share = wording.per_cent(rules.per_cent(used, limit.amount))
    gone = wording.per_cent(rules.per_cent_gone(period, at))
    ahead = rules.forecast(
        period=period, zone=definition.zone, at=at, used=used, limit=limit.amount, daily=explanation.get("daily")
    )
    spent, allowed = wording.quantity(definition.unit, used), wording.quantity(definition.unit, limit.amount)

    summary = f"{definition.name} has used {spent} of {allowed}: {share} of the limit, with {gone} of the period gone."
    rows = [
        ["Used", spent],
        ["Limit", f"{allowed} (version {limit.version})"],
        ["Per cent of the limit used", share],
        ["Thresholds passed", wording.thresholds(tuple(thresholds))],
        ["Period", wording.days(period, definition.zone)],
        ["Per cent of the period gone", gone],
        [
            "Runs out at this pace",
            wording.runs_out(definition, ahead, used=used, limit=limit.amount, over=over),
        ],
    ]
    if basis == Basis.MAY_HAVE:
        both = rules.add(used, standing.unclassified)
        share_of_both = wording.per_cent(rules.per_cent(both, limit.amount))
        summary += (
            f" {wording.quantity(rules.TOKENS, standing.unclassified)} of offerings without a tier stand beside it;"
            f" if all were frontier, {share_of_both} of the limit would be used."
        )
        rows[3][0] = "Thresholds that may have been passed"
    if standing.unclassified:
        rows.insert(1, ["Unclassified beside it", wording.quantity(rules.TOKENS, standing.unclassified)])
    rows += [[label, value] for label, value in explanation.get("rows", ())]

    links = [["Budget", f"/budgets/{definition.id}/"]]
    links += [[text, path] for text, path in explanation.get("links", ())]
    after = wording.at_the_limit(definition, period, reached=used >= limit.amount, over=over)
    if basis == Basis.MAY_HAVE:
        after = f"Give the unclassified offerings a tier, so that this is known. {after}"
    return {"summary": summary, "rows": rows, "links": links, "next": after}


def _team_ids(definition: Definition, at: datetime) -> list[int]:
    """Return the teams a budget is about: those it names, and those that answer for its use cases now."""
    found: set[int] = set()
    if teams := definition.scope.get("team"):
        found |= set(Team.objects.filter(folded__in=map(fold, teams)).values_list("id", flat=True))
    if use_cases := definition.scope.get("use_case"):
        answering = UseCaseTeam.objects.filter(use_case__folded__in=map(fold, use_cases), valid__contains=at)
        found |= set(answering.values_list("team_id", flat=True))
    return sorted(found)


@transaction.atomic
def evaluate(*, budget_ids: Collection[int] | None, at: datetime, explain: Explain | None = None) -> list[NewCrossing]:
    """Tell what the present periods' counters have passed and nobody was told of.

    For when the measure moved, not the use: another limit, other thresholds, a version that starts or ends by date. All
    budgets where `budget_ids` is None. Safe to repeat. Three queries where there is nothing to tell; only the counters
    with something to tell are locked.
    """
    known = definitions.current()
    wanted = known.by_id.keys() if budget_ids is None else known.by_id.keys() & set(budget_ids)
    counters = Counter.objects.filter(budget__in=wanted, period_start__lte=at, period_end__gt=at)
    counters = counters.filter(state=CounterState.LIVE)

    reached = {counter.pk: keys for counter in counters if (keys := _reached(known, counter, at))}
    budgets_reached = {key[0] for keys in reached.values() for key in keys}
    told = set(
        Crossing.objects.filter(budget__in=budgets_reached, period_end__gt=at).values_list(
            "budget", "period_start", "limit", "basis", "threshold"
        )
    )
    untold = [pk for pk, keys in reached.items() if not all(_is_told(key, told) for key in keys)]
    if not untold:
        return []

    found: list[NewCrossing] = []
    locked = Counter.objects.filter(pk__in=untold).select_for_update(no_key=True).order_by("budget", "period_start")
    for counter in locked:
        found += tell_all(counter=counter, definition=known.by_id[counter.budget_id], at=at, explain=explain)
    return found


def _is_told(key: _Key, told: set[_Key]) -> bool:
    return key in told or (*key[:3], rules.ACTUAL, key[4]) in told


def _reached(known: definitions.Definitions, counter: Counter, at: datetime) -> set[_Key]:
    definition = known.by_id[counter.budget_id]
    limit = definition.limit_at(at)
    if limit is None:
        return set()
    actual = rules.passed(definition.thresholds, counter.used, limit.amount)
    may_have = rules.may_have_passed(definition.thresholds, counter.used, counter.unclassified, limit.amount)
    named = [*((rules.ACTUAL, one) for one in actual), *((rules.MAY_HAVE, one) for one in may_have)]
    return {(counter.budget_id, counter.period_start, limit.id, basis, one) for basis, one in named}


def tell_all(*, counter: Counter, definition: Definition, at: datetime, explain: Explain | None) -> list[NewCrossing]:
    """Tell whatever a counter, locked by the caller, has passed and nobody was told of. Safe to repeat."""
    limit = definition.limit_at(at)
    if limit is None:
        return []
    return tell(
        standing=Standing(
            definition=definition,
            period=definition.period_of(counter.period_start),
            used=counter.used,
            unclassified=counter.unclassified,
        ),
        limit=limit,
        actual=rules.passed(definition.thresholds, counter.used, limit.amount),
        may_have=rules.may_have_passed(definition.thresholds, counter.used, counter.unclassified, limit.amount),
        at=at,
        explain=explain,
    )


def mark_states(*, changed: bool, look_at: datetime | None) -> None:
    """Tell the publisher that an exceeded budget appeared or went, and when time alone will change that.

    Takes the row that every booking reads, so it comes last in a transaction. `look_at` only ever brings the next look
    forward: a look too early changes nothing, and `looking.look_at_time` works the instant out anew.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE budgets_change SET states = states + %s, next_at = LEAST(next_at, %s::timestamptz) WHERE id = 1",
            [int(changed), look_at],
        )
