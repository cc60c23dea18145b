"""What the alert of a crossing says, as `alerts/README.md` wants it: title, summary, rows, links, next step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, TypedDict

from budgets import rules, wording
from budgets.models import Basis
from budgets.rules import Definition, Forecast, Limit
from budgets.selectors import outlooks
from budgets.selectors.outlooks import OutlookRow
from core.periods import Period

_MOST_NAMES = 5  # of each list of a scope; the page of the budget has the others


class Explanation(TypedDict, total=False):
    """What drove a crossing, from whoever knows the ledger. All parts may be left out."""

    rows: Sequence[tuple[str, str]]  # label and value, such as ("Most of it", "gpt-5.5@openai, 81.2 %")
    links: Sequence[tuple[str, str]]  # text and path


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A locked counter as it is after the change."""

    definition: Definition
    period: Period
    used: Decimal
    unclassified: Decimal

    def ahead(self, share: int, outlook: OutlookRow | None, at: datetime) -> Forecast | None:
        """Return where its use leads, and when it reaches a share (per cent) of its limit."""
        return outlooks.forecast(
            definition=self.definition, period=self.period, used=self.used, outlook=outlook, at=at, share=share
        )


def title(
    standing: Standing, limit: Limit, basis: Basis, highest: int, at: datetime, outlook: OutlookRow | None
) -> str:
    """Return a title that says the period: among alerts and in digests it stands beside those of other periods."""
    definition = standing.definition
    about = f"{definition.name}, {definition.called(standing.period)}"
    if basis == Basis.FORECAST:
        when = wording.reached_on(standing.ahead(highest, outlook, at))
        return f"{about}: will pass {highest} % of its limit {when}"
    share = wording.per_cent(rules.per_cent(standing.used, limit.amount))
    used = f"{share} of {wording.quantity(definition.unit, limit.amount)} used"
    if basis == Basis.ACTUAL:
        return f"{about}: {used}"
    return f"{about}: may have passed {highest} %, {used} and unclassified tokens beside it"


def facts(
    *,
    standing: Standing,
    limit: Limit,
    basis: Basis,
    thresholds: Sequence[int],
    at: datetime,
    outlook: OutlookRow | None,
    explanation: Explanation,
) -> Mapping[str, Any]:
    """Return what happened; `thresholds` ascending, those told with this alert."""
    definition, period, used = standing.definition, standing.period, standing.used
    over = at >= period.ends_at
    share = wording.per_cent(rules.per_cent(used, limit.amount))
    gone = wording.per_cent(rules.per_cent_gone(period, at))
    ahead = standing.ahead(100, outlook, at)
    spent, allowed = wording.quantity(definition.unit, used), wording.quantity(definition.unit, limit.amount)

    summary = f"{definition.name} has used {spent} of {allowed}: {share} of the limit, with {gone} of the period gone."
    passed = "Thresholds passed"
    if basis == Basis.FORECAST and ahead is not None:
        passed = "Thresholds that will be passed"
        highest = standing.ahead(thresholds[-1], outlook, at)
        summary += f" It will pass {thresholds[-1]} % of its limit {wording.reached_on(highest)}."
    if basis == Basis.MAY_HAVE:
        passed = "Thresholds that may have been passed"
        both = wording.per_cent(rules.per_cent(rules.add(used, standing.unclassified), limit.amount))
        summary += (
            f" {wording.quantity(rules.TOKENS, standing.unclassified)} of offerings without a tier stand beside it;"
            f" if all were frontier, {both} of the limit would be used."
        )
    rows = [["Used", spent]]
    if standing.unclassified:
        rows.append(["Unclassified beside it", wording.quantity(rules.TOKENS, standing.unclassified)])
    rows += [
        ["Limit", f"{allowed} (version {limit.version})"],
        ["Per cent of the limit used", share],
        [passed, wording.thresholds(tuple(thresholds))],
        ["Period", wording.days(period, definition.zone)],
        ["Per cent of the period gone", gone],
        ["Runs out at this pace", wording.runs_out(definition, ahead, used=used, limit=limit.amount, over=over)],
    ]
    if ahead is not None:
        rows.append(["Expected at the end of the period", wording.expected(definition.unit, ahead, limit.amount)])
    scope = {dimension: sorted(names) for dimension, names in sorted(definition.scope.items())}
    rows.append(["Covers", wording.covers(scope, most=_MOST_NAMES)])
    rows += [[label, value] for label, value in explanation.get("rows", ())]
    if definition.owner:
        rows.append(["Owner", definition.owner])

    links = [["Budget", f"/budgets/{definition.id}/"]]
    links += [[text, path] for text, path in explanation.get("links", ())]
    after = wording.at_the_limit(definition, period, reached=used >= limit.amount, over=over)
    if basis == Basis.FORECAST:
        after = f"A forecast switches nothing. {after}"
    if basis == Basis.MAY_HAVE:
        after = f"Give the unclassified offerings a tier, so that this is known. {after}"
    return {"summary": summary, "rows": rows, "links": links, "next": after}
