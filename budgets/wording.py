"""What alerts and pages say about a budget, in words and figures that can be read one way only.

Per cent are always per cent of the limit *used*, never left, and every figure carries its unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import ROUND_DOWN, Context, Decimal

from budgets import rules
from budgets.rules import Definition, Forecast
from core import periods
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


def covers(scope: Mapping[str, Iterable[str]], *, most: int | None = None) -> str:
    """Return `use case support-routing, model gpt-5.4 or gpt-5.5`; of each list at most so many names, where given."""
    parts = []
    for dimension, values in scope.items():
        names = list(values)
        named = names[:most]
        more = f" or {len(names) - len(named)} more" if len(names) > len(named) else ""
        kind = "use case" if dimension == "use_case" else dimension.replace("tag:", "tag ", 1)
        parts.append(f"{kind} {' or '.join(named)}{more}")
    return ", ".join(parts) or "everything"


def day(value: date) -> str:
    return f"{value.day} {value:%B %Y}"


def days(period: Period, zone: str) -> str:
    """Return a period by its first and last day on the wall clock."""
    last = periods.last_day(period, zone)
    named = day(period.first_day)
    return f"{named} ({zone})" if last == period.first_day else f"{named} to {day(last)} ({zone})"


def at_the_limit(definition: Definition, period: Period, *, reached: bool, over: bool = False) -> str:
    """Return what happens at the limit, or happens now that it is reached."""
    if over:
        return "The period is over, so nothing is switched for it."
    if definition.action == rules.ALERT:
        return "This budget only alerts: gateways go on as before."
    last = periods.last_day(period, definition.zone)
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


def reached_on(forecast: Forecast | None) -> str:
    """Return when an amount is reached: `on 23 November 2026 at this pace (between 21 and 27 November)`."""
    if forecast is None or forecast.runs_out_on is None:
        return "before the period ends, at this pace"
    when = f"on {day(forecast.runs_out_on)} at this pace"
    earliest, latest = forecast.earliest, forecast.latest
    if earliest is None or (earliest == forecast.runs_out_on == latest):
        return when
    if latest is None:
        return f"{when} ({_short(earliest)} at the earliest, or not at all)"
    if earliest == latest:
        return f"{when} ({_short(earliest)})"
    first = str(earliest.day) if (earliest.year, earliest.month) == (latest.year, latest.month) else _short(earliest)
    return f"{when} (between {first} and {_short(latest)})"


def _short(value: date) -> str:
    return f"{value.day} {value:%B}"


def expected(unit: str, forecast: Forecast, limit: Decimal) -> str:
    """Return what is expected at the end: `1,203.00 USD, 120.3 % of the limit (between 1,100.00 USD and ...)`."""
    found = f"{quantity(unit, forecast.at_end)}, {per_cent(rules.per_cent(forecast.at_end, limit))} of the limit"
    if forecast.low is None or forecast.high is None or forecast.low == forecast.high:
        return found
    return f"{found} (eight of ten times between {quantity(unit, forecast.low)} and {quantity(unit, forecast.high)})"


def runs_out(
    definition: Definition,
    forecast: Forecast | None,
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
    if forecast.runs_out_on is not None:
        return reached_on(forecast).replace(" at this pace", "")
    if forecast.earliest is not None:
        return f"not in this {definition.period}, as expected; {_short(forecast.earliest)} at the earliest"
    return f"not in this {definition.period}"
