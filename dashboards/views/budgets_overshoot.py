"""How far a budget can be used beyond its limit, in the words and figures of its page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, Decimal

from budgets.rules import Definition
from budgets.selectors.overview import BudgetRow
from dashboards.selectors import overshoot
from dashboards.selectors.overshoot import PUBLISHED_WITHIN_S, GatewayBound, Overshoot
from dashboards.templatetags.figures import percent
from dashboards.views.budgets_words import full, short, unit_words

_DASH = "\N{EN DASH}"


@dataclass(frozen=True, kw_only=True)
class Line:
    """A gateway as the table shows it."""

    gateway: str
    per_hour: str
    per_hour_exact: str
    reports: str
    booking: str
    published: str
    polls: str
    note: str
    together: str
    amount: str
    amount_exact: str


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The card; `headline` is the answer, `warnings` what it leaves out."""

    headline: str
    exact: str
    so_far: str
    lines: Sequence[Line]
    warnings: Sequence[str]


def of(*, definition: Definition, row: BudgetRow, at: datetime) -> Shown | None:
    """Return what the page of a budget says of its overshoot; None where there is nothing to say. Three queries."""
    found = overshoot.bound(definition=definition, row=row, at=at)
    if found is None:
        return None
    return Shown(
        headline=_headline(found, definition, row),
        exact=full(row.unit, _up(row.unit, found.amount)),
        so_far=_so_far(found, definition, row),
        lines=[_line(one, row.unit) for one in found.gateways],
        warnings=_warnings(found),
    )


def seconds(value: float | None) -> str:
    """Return a time that people read: "0.4 s", "42 s", "12 min", "3.5 h"; a dash where it is not known."""
    if value is None:
        return _DASH
    if value < 10:
        return f"{value:.1f} s"
    if value < 120:
        return f"{value:.0f} s"
    if value < 7200:
        return f"{value / 60:.0f} min"
    return f"{value / 3600:.1f} h"


def _up(unit: str, value: Decimal) -> Decimal:
    """Return a bound as people read it: rounded up, never below what it is."""
    return value.quantize(Decimal("0.0001") if unit == "usd" else Decimal(1), rounding=ROUND_CEILING)


def _amount(unit: str, value: Decimal) -> str:
    said = short(unit, value)
    return said if unit == "usd" else f"{said} {unit_words(unit)}"


def _headline(found: Overshoot, definition: Definition, row: BudgetRow) -> str:
    not_held = ""
    if not definition.enforces:
        why = "is on trial" if definition.trial else "only alerts"
        not_held = f"This budget {why}: nothing is held back at its limit. "
    if not found.gateways:
        return f"{not_held}Nothing was used in the last 24 hours, so nothing would be used beyond the limit."
    if all(one.amount is None for one in found.gateways):
        return f"{not_held}How far use can go is not bounded, or not known yet."
    share = f", {percent(found.share)} of the limit" if found.share is not None else ""
    amount = f"about {_amount(row.unit, _up(row.unit, found.amount))}{share}, at the present rate of use."
    return f"{not_held}If it were, that would be at most {amount}" if not_held else f"At most {amount}"


def _so_far(found: Overshoot, definition: Definition, row: BudgetRow) -> str:
    if found.so_far is None:
        return ""
    share = f", {percent(found.share_so_far)} of it" if found.share_so_far is not None else ""
    said = f"So far {_amount(row.unit, found.so_far)} was used beyond the limit{share}."
    if definition.enforces and found.so_far > found.amount:
        said += " That is more than the bound is now: use was faster then, was reported late, came from a gateway that "
        said += "no limit reaches, or the limit was set when it was passed already."
    return said


def _line(one: GatewayBound, unit: str) -> Line:
    if not one.asks:
        polls = "never"
    elif one.pause_s == 0:
        polls = "waits"
    else:
        polls = seconds(one.pause_s)
    return Line(
        gateway=one.gateway,
        per_hour=short(unit, _up(unit, one.per_hour)),
        per_hour_exact=full(unit, _up(unit, one.per_hour)),
        reports=seconds(one.reports_s),
        booking=seconds(one.booking_s),
        published=seconds(PUBLISHED_WITHIN_S),
        polls=polls,
        note=f"{one.silent:,} not heard of for 5 minutes" if one.silent else "",
        together=seconds(one.delay_s),
        amount=_DASH if one.amount is None else short(unit, _up(unit, one.amount)),
        amount_exact="" if one.amount is None else full(unit, _up(unit, one.amount)),
    )


def _warnings(found: Overshoot) -> list[str]:
    said = []
    if names := _named(found.held_to_nothing):
        said.append(f"{names} did not ask for rules within 24 hours: nobody there hears of a limit. Not in this bound.")
    if names := _named(found.not_measured):
        said.append(f"Of {names} not every time is measured yet: what goes through there is not in this bound.")
    return said


def _named(names: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)
