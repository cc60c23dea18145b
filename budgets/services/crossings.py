"""Crossings and the alerts that tell them.

# Note [Who may write a crossing]
Whoever does holds the row lock of the counter (`budget`, `period_start`), so that looking what was told already and
writing what is new cannot interleave with anybody. The unique constraint stands behind that. Locks are taken in the
order counters (by budget, then period), alerts, `budgets_change`; the last is held only for an end that is near.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from alerts.models import Alert, Severity
from alerts.services import raising
from budgets import rules
from budgets.models import Basis, Counter, CounterState, Crossing
from budgets.rules import Definition, Limit
from budgets.selectors import definitions, names, outlooks
from budgets.selectors.outlooks import OutlookRow
from budgets.services import facts
from budgets.services.facts import Explanation, Standing
from core.periods import Period

# Budget, start of the period, limit's id, basis, threshold: what is told once.
_Key = tuple[int, datetime, int, str, int]

ALERT_KIND = "budget_crossing"
PAST_PERIOD = "past period"


# Called only for a crossing, in the transaction that books it.
Explain = Callable[[Definition, Period], Explanation]

_explain: Explain | None = None


def explained_by(explain: Explain) -> None:
    """Let this say what drove a crossing that a person's change of a limit or of thresholds makes.

    Bookings hand theirs in with what they consumed; who changes a limit does not know the ledger.
    """
    global _explain
    _explain = explain


def explain_now(definition: Definition, period: Period) -> Explanation:
    """Say what drove a crossing, as far as anybody does (`explained_by`)."""
    return _explain(definition, period) if _explain else Explanation()


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
class Notice:
    """How to tell a crossing that leaves nothing to do: in words of its own, and to these channels."""

    kind: str
    title: str
    facts: Mapping[str, Any]
    channels: Collection[int]


def tell(
    *,
    standing: Standing,
    limit: Limit,
    reached: Mapping[Basis, Sequence[int]],
    at: datetime,
    explain: Explain | None,
    notice: Notice | None = None,
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
    # Passed for sure once, and below again since: that it may have been, or will be, would be no news.
    new = {
        basis: [one for one in thresholds if not {(str(basis), one), (rules.ACTUAL, one)} & told]
        for basis, thresholds in reached.items()
    }
    if not any(new.values()):
        return []

    explanation = explain(standing.definition, standing.period) if explain else Explanation()
    outlook = outlooks.of([standing.definition.id]).get(standing.definition.id)
    found: list[NewCrossing] = []
    for basis, thresholds in new.items():
        if thresholds:
            found += _tell_one(standing, limit, basis, sorted(thresholds), at, outlook, explanation, notice)
    return found


def _tell_one(
    standing: Standing,
    limit: Limit,
    basis: Basis,
    thresholds: list[int],
    at: datetime,
    outlook: OutlookRow | None,
    explanation: Explanation,
    notice: Notice | None,
) -> list[NewCrossing]:
    definition, period = standing.definition, standing.period
    key = f"budget:{definition.id}:{period.starts_at.isoformat()}:{basis}:v{limit.version}:{thresholds[-1]}"
    if notice is None:
        words = _words(standing, limit, basis, thresholds, at, outlook, explanation)
    else:
        words = _words_of(notice)
    alert = raising.raise_alert(
        dedupe_key=key,
        subject_id=definition.id,
        at=at,
        not_sent_because=PAST_PERIOD if at >= period.ends_at else "",
        **words,
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


def _words(
    standing: Standing,
    limit: Limit,
    basis: Basis,
    thresholds: list[int],
    at: datetime,
    outlook: OutlookRow | None,
    explanation: Explanation,
) -> dict[str, Any]:
    definition, highest = standing.definition, thresholds[-1]
    used_up = basis == Basis.ACTUAL and highest >= 100 and not definition.trial  # a trial has done nothing to anybody
    return {
        "kind": ALERT_KIND,
        "severity": Severity.CRITICAL if used_up else Severity.WARNING,
        "title": facts.title(standing=standing, limit=limit, basis=basis, highest=highest, at=at, outlook=outlook),
        "facts": facts.facts(
            standing=standing,
            limit=limit,
            basis=basis,
            thresholds=thresholds,
            at=at,
            outlook=outlook,
            explanation=explanation,
        ),
        "subject_kind": "budget",
        "team_ids": names.team_ids(definition.scope, at=at),
        "budget_id": definition.id,
    }


def _words_of(notice: Notice) -> dict[str, Any]:
    return {
        "kind": notice.kind,
        "severity": Severity.INFO,
        "title": notice.title,
        "facts": notice.facts,
        "subject_kind": notice.kind,
        "team_ids": [],
        "budget_id": None,
        "channels": notice.channels,
        "notice": True,
    }


@transaction.atomic
def evaluate(*, budget_ids: Collection[int] | None, at: datetime, explain: Explain | None = None) -> list[NewCrossing]:
    """Tell what the present periods' counters, and the forecasts made with them, have passed and nobody was told of.

    For when the measure moved, not the use: another limit, other thresholds, a version that starts or ends by date, and
    for forecasts, which move with time. All budgets where `budget_ids` is None. Safe to repeat. Three queries where
    there is nothing to tell, four where there are thresholds of forecasts; only the counters with something to tell are
    locked.
    """
    known = definitions.current()
    wanted = known.by_id.keys() if budget_ids is None else known.by_id.keys() & set(budget_ids)
    counters = Counter.objects.filter(budget__in=wanted, period_start__lte=at, period_end__gt=at)
    counters = counters.filter(state=CounterState.LIVE)
    forecasts = outlooks.of([each for each in wanted if known.by_id[each].forecast_thresholds])

    passed: dict[int, set[_Key]] = {}
    for counter in counters:
        definition = known.by_id[counter.budget_id]
        if limit := definition.limit_at(at):
            reached = _reached(_standing(counter, definition), limit, forecasts.get(definition.id), at)
            keys = {
                (definition.id, counter.period_start, limit.id, str(basis), threshold)
                for basis, thresholds in reached.items()
                for threshold in thresholds
            }
            if keys:
                passed[counter.pk] = keys
    told = set(
        Crossing.objects.filter(
            budget__in={key[0] for keys in passed.values() for key in keys}, period_end__gt=at
        ).values_list("budget", "period_start", "limit", "basis", "threshold")
    )
    untold = [pk for pk, keys in passed.items() if not all(_is_told(key, told) for key in keys)]
    if not untold:
        return []

    found: list[NewCrossing] = []
    locked = Counter.objects.filter(pk__in=untold).select_for_update(no_key=True).order_by("budget", "period_start")
    for counter in locked:
        found += tell_all(counter=counter, definition=known.by_id[counter.budget_id], at=at, explain=explain)
    return found


def _is_told(key: _Key, told: set[_Key]) -> bool:
    return key in told or (*key[:3], rules.ACTUAL, key[4]) in told


def tell_all(*, counter: Counter, definition: Definition, at: datetime, explain: Explain | None) -> list[NewCrossing]:
    """Tell whatever a counter, locked by the caller, has passed and nobody was told of. Safe to repeat."""
    limit = definition.limit_at(at)
    if limit is None:
        return []
    standing = _standing(counter, definition)
    forecasts = outlooks.of([definition.id] if definition.forecast_thresholds else [])
    reached = _reached(standing, limit, forecasts.get(definition.id), at)
    return tell(standing=standing, limit=limit, reached=reached, at=at, explain=explain)


def _standing(counter: Counter, definition: Definition) -> Standing:
    return Standing(
        definition=definition,
        period=definition.period_of(counter.period_start),
        used=counter.used,
        unclassified=counter.unclassified,
    )


def _reached(
    standing: Standing, limit: Limit, outlook: OutlookRow | None, at: datetime
) -> dict[Basis, tuple[int, ...]]:
    definition, used, amount = standing.definition, standing.used, limit.amount
    expected = {share: standing.ahead(share, outlook, at) for share in definition.forecast_thresholds}
    return {
        Basis.ACTUAL: rules.passed(definition.thresholds, used, amount),
        Basis.MAY_HAVE: rules.may_have_passed(definition.thresholds, used, standing.unclassified, amount),
        Basis.FORECAST: tuple(share for share, ahead in expected.items() if ahead and ahead.runs_out_on),
    }


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
