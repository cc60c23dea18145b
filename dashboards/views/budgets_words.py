"""Budgets in the words and figures of their pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from budgets import wording
from budgets.rules import Forecast
from budgets.rules.forecasting import EVEN, WEEKDAYS
from budgets.selectors.overview import BudgetRow
from core import periods
from core.periods import Period
from dashboards.charts.sparkline import Sparkline
from dashboards.templatetags.figures import clock, exact, tokens, usd

STATES = {
    "OK": ("ok", "OK"),
    "WARN": ("warning", "Warning"),
    "ALERT": ("warning", "Nearly used up"),
    "EXCEEDED": ("danger", "Used up"),
    "BUILDING": ("info", "Being counted"),
    "RETIRED": ("neutral", "Retired"),
}
ACTIONS = {"alert": "alerts only", "downgrade": "downgrades", "block": "blocks"}
BASES = {"actual": "actual", "may_have": "with unclassified", "forecast": "forecast"}
_DASH = "\N{EN DASH}"


@dataclass(frozen=True, kw_only=True)
class BudgetLine:
    """A budget as the table shows it."""

    row: BudgetRow
    scope: str
    used: str
    used_exact: str
    limit: str
    limit_exact: str
    share: Decimal | None
    expected: Decimal | None
    forecast: str
    band: str  # of the day it runs out, or of what is used at the end
    per: str
    tone: str
    state: str
    action: str
    days: Sparkline | None


def line_of(row: BudgetRow, days: Sparkline | None = None) -> BudgetLine:
    tone, state = STATES[row.state]
    return BudgetLine(
        row=row,
        scope=in_words(row.scope),
        used=short(row.unit, row.used) if row.state != "BUILDING" else _DASH,
        used_exact=full(row.unit, row.used) if row.state != "BUILDING" else "being counted",
        limit=short(row.unit, row.limit),
        limit_exact=full(row.unit, row.limit) if row.limit is not None else "no limit is in force",
        # Rounded down as everywhere, so that 69.96 % never reads as a threshold of 70 passed.
        share=None if row.per_cent_used is None else row.per_cent_used / 100,
        expected=row.forecast.at_end / row.limit if row.forecast and row.limit else None,
        forecast=_forecast(row),
        band=_band(row),
        per=f"a {row.period_kind}" if row.unit == "usd" else f"{unit_words(row.unit)} a {row.period_kind}",
        tone=tone,
        state=state,
        action=ACTIONS[row.action] + (" (trial)" if row.trial else ""),
        days=days,
    )


def in_words(scope: Mapping[str, Iterable[str]]) -> str:
    """Return a scope as a sentence's part: "use case support-routing, model gpt-5.5 or gpt-5.4"."""
    return wording.covers(scope)


def short(unit: str, value: Decimal | None) -> str:
    return usd(value) if unit == "usd" else tokens(value)


def full(unit: str, value: Decimal | None) -> str:
    if value is None:
        return ""
    return f"{exact(value)} {unit_words(unit)}"


def unit_words(unit: str) -> str:
    return "USD" if unit == "usd" else unit.replace("_", " ")


def day(value: date) -> str:
    return f"{value.day} {value:%b}"


def _forecast(row: BudgetRow) -> str:
    if row.state in ("BUILDING", "RETIRED") or row.limit is None:
        return _DASH
    if row.used >= row.limit:
        return "used up"
    if row.forecast is None:
        return "after 3 full days"
    if row.forecast.runs_out_on is None:
        return f"lasts the {row.period_kind}"
    return f"runs out {day(row.forecast.runs_out_on)}"


def _band(row: BudgetRow) -> str:
    ahead = row.forecast
    if ahead is None or row.limit is None or row.used >= row.limit or row.state in ("BUILDING", "RETIRED"):
        return ""
    if ahead.runs_out_on is not None:
        return _between(ahead)
    if ahead.earliest is not None:
        return f"or out on {day(ahead.earliest)}, at the earliest"
    return f"{short(row.unit, ahead.at_end)} at the end"


def _between(ahead: Forecast) -> str:
    if ahead.earliest is None or ahead.earliest == ahead.latest:
        return ""
    if ahead.latest is None:
        return f"{day(ahead.earliest)} at the earliest, or lasts"
    return f"between {day(ahead.earliest)} and {day(ahead.latest)}"


def pace_note(row: BudgetRow) -> str:
    """Return what is expected at the end, with its band, and of a day."""
    ahead = row.forecast
    if ahead is None:
        return ""
    found = f"{short(row.unit, ahead.at_end)} at the end of the {row.period_kind}"
    if ahead.low is not None and ahead.low != ahead.high:
        found += f", eight of ten times between {short(row.unit, ahead.low)} and {short(row.unit, ahead.high)}"
    return f"{found}; forecast of {clock(ahead.made_at)}"


def method(row: BudgetRow) -> str:
    """Return how a budget's forecast was made, and when, in four sentences."""
    ahead = row.forecast
    if ahead is None:
        if row.outlook is None:
            return "The days of this budget are not summed yet. They are looked at every five minutes."
        return "A forecast needs three full days of use in the last eight weeks."
    if ahead.method == EVEN:
        return (
            "The days of this budget are not summed: its scope goes by tags, or was made moments ago. So what was used "
            "over the time gone goes on as it did. Without days there is no band."
        )
    if ahead.method == WEEKDAYS:
        first = (
            "Each weekday is expected to use what it used on the middle half of its days in the last eight weeks, so "
            "that a holiday or an outage bends nothing, times how the last two weeks compare with that."
        )
    else:
        first = (
            "Each day is expected to use the mean of the full days since the first use; weekdays are told apart once "
            "there are three weeks of them, and where use does not come in bursts."
        )
    return (
        f"{first} What is left of today and the days until the {row.period_kind} ends are added to what is used now. "
        "The band is where eight of ten such periods end: eight of ten past days lay as near to what was expected of "
        "them, and a sum widens with the root of its days, and with how few days it was learned from. "
        f"It is made anew every five minutes, this one at {clock(ahead.made_at)}."
    )


def named(period: Period, row: BudgetRow) -> str:
    return periods.called(period.first_day, row.period_kind, fiscal_start_month=row.fiscal_start_month)
