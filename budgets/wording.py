"""What alerts and pages say about a budget, in words and figures that can be read one way only.

Per cent are always per cent of the limit *used*, never left, and every figure carries its unit.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import ROUND_DOWN, Context, Decimal
from zoneinfo import ZoneInfo

from budgets import rules
from budgets.rules import Definition
from core.periods import Period

_UNITS = {
    rules.FRONTIER_TOKENS: ("frontier token", "frontier tokens"),
    rules.TOKENS: ("token", "tokens"),
    rules.REQUESTS: ("request", "requests"),
}
_WIDE = Context(prec=100, rounding=ROUND_DOWN)


def quantity(unit: str, value: Decimal) -> str:
    """Return `2,000,000 frontier tokens` or `1,234.56 USD`; small sums of money keep four places."""
    if unit == rules.USD:
        places = "0.01" if value == 0 or abs(value) >= 1 else "0.0001"
        return f"{value.quantize(Decimal(places), context=_WIDE):,f} USD"
    one, many = _UNITS[unit]
    whole = value.to_integral_value(rounding=ROUND_DOWN)
    return f"{whole:,f} {one if whole == 1 else many}"


def per_cent(value: Decimal) -> str:
    return f"{value:.1f} %"


def thresholds(values: tuple[int, ...]) -> str:
    return ", ".join(f"{one} %" for one in values)


def day(value: date) -> str:
    return f"{value.day} {value:%B %Y}"


def days(period: Period, zone: str) -> str:
    """Return a period by its first and last day on the wall clock."""
    last = (period.ends_at - timedelta(microseconds=1)).astimezone(ZoneInfo(zone)).date()
    named = day(period.first_day)
    return f"{named} ({zone})" if last == period.first_day else f"{named} to {day(last)} ({zone})"


def at_the_limit(definition: Definition, period: Period, *, reached: bool, over: bool = False) -> str:
    """Return what happens at the limit, or happens now that it is reached."""
    if over:
        return "The period is over, so nothing is switched for it."
    if definition.action == rules.ALERT:
        return "This budget only alerts: gateways go on as before."
    last = (period.ends_at - timedelta(microseconds=1)).astimezone(ZoneInfo(definition.zone)).date()
    does = {
        rules.DOWNGRADE: "send what it covers to the cheaper targets of their rules",
        rules.BLOCK: "refuse what it covers",
    }[definition.action]
    if definition.trial:
        when = "Were it not a trial, gateways would now" if reached else "Were it not a trial, gateways would then"
        return f"{when} {does} up to and including {day(last)}. As a trial it changes nothing."
    when = "From now on" if reached else "At 100 %"
    return (
        f"{when} gateways are told to {does} up to and including {day(last)}. Calls already under way are not stopped."
    )


def runs_out(
    definition: Definition,
    forecast: rules.Forecast | None,
    *,
    used: Decimal,
    limit: Decimal,
    over: bool,
) -> str:
    if used >= limit:
        return "used up"
    if over:
        return "no: the period is over"
    if forecast is None:
        return f"not known before {rules.FULL_DAYS_FOR_FORECAST} full days of use"
    if forecast.runs_out_on is None:
        return f"not in this {definition.period}"
    return f"on {day(forecast.runs_out_on)}"
