"""Why a provider's statement and the ledger may differ, as far as that can be named."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, localcontext

from django.db import connection

from usage.selectors.compared import DIGITS, OURS_ONLY, THEIRS_ONLY, Cells, Pair, Reason, Row, sum_of
from usage.selectors.spend import Spend, Sums
from usage.selectors.statements import COST, Coverage, Figure

_ONE_DAY = timedelta(days=1)


def of_row(row: Row, sums: Sums, *, unknown: bool, tolerance: Decimal) -> list[Reason]:
    """Return why both sides of a model, or of its day, may differ; `tolerance` is in per cent."""
    found: list[tuple[str, str]] = []
    if unknown:
        meant = f" It is probably {row.suggestion}." if row.suggestion else ""
        found.append(("no-offering", f"The catalogue has no {row.model} at {row.provider}.{meant}"))
    if not row.model and row.day is None:
        found.append(
            ("not-by-model", "The statement gives these to no model. On our side they are with the models' costs.")
        )
    elif row.state == THEIRS_ONLY and not unknown:
        found.append(("theirs-only", "No gateway reports it: it is called past the gateways, or one is not connected."))
    elif row.state == OURS_ONLY:
        found.append(
            ("ours-only", "The statement does not have it: another account pays for it, or it has another name there.")
        )
    if sums.unpriced_tokens:
        found.append(
            ("unpriced", f"{sums.unpriced_tokens:,} tokens are unpriced here, so they are in no cost of ours.")
        )
    if sums.uncounted_requests:
        many = "1 request" if sums.uncounted_requests == 1 else f"{sums.uncounted_requests:,} requests"
        found.append(("uncounted", f"{many} came without token counts; the provider may charge them all the same."))
    if row.day is None and _agrees_at_list(row, tolerance):
        found.append(("list-price", "At list prices the two agree: the statement does not have the contract's terms."))
    return [Reason(code=code, text=text, provider=row.provider, model=row.model) for code, text in found]


def _agrees_at_list(row: Row, tolerance: Decimal) -> bool:
    cost = row.figures[COST]
    at_list = Pair(theirs=cost.theirs, ours=row.list_cost_usd)
    return bool(cost.apart(tolerance) and cost.ours != at_list.ours and at_list.ours and not at_list.apart(tolerance))


def missing_days(covered: Sequence[Coverage], at: datetime) -> list[Reason]:
    """Return which exports are missing for whole UTC days before today."""
    today = at.astimezone(UTC).date()  # which no export can hold whole yet
    found = []
    for one in covered:
        if not one.usage_days:
            text = f"There is no usage export of {one.provider} for these days: tokens are not compared."
            found.append(Reason(code="no-usage-statement", text=text, provider=one.provider))
        if not one.cost_days:
            text = f"There is no cost export of {one.provider} for these days: costs are not compared."
            found.append(Reason(code="no-cost-statement", text=text, provider=one.provider))
        for stream, days in one.missing:
            lacking = [day for day in days if day < today]
            if not lacking:
                continue
            text = f"{stream.title} lacks {words_of(lacking)}: these days are left out on both sides."
            found.append(Reason(code="days-missing", text=text, provider=one.provider))
    return found


def corrections(covered: Coverage, in_range: Spend, later: Spend, model: str | None) -> list[Reason]:
    """Say what was booked for closed months: in these days for others, and for months of these days at any time."""
    found = []
    of_range = _by_month(later, model)
    elsewhere = [sums for month, sums in _by_month(in_range, model).items() if month not in of_range]
    if elsewhere:
        cost = sum_of([cost for cost, _ in elsewhere]) or Decimal(0)
        text = f"Corrections of closed months were booked in these days: {_usd(cost)}. They are left out."
        found.append(Reason(code="corrections-booked-here", text=text, provider=covered.provider))
    for month, (cost, tokens) in sorted(of_range.items()):
        counted = f"{tokens:,} tokens and " if tokens else ""
        text = f"{month} was closed, and {counted}{_usd(cost)} of it were booked later. They are left out."
        found.append(Reason(code="corrected-later", text=text, provider=covered.provider))
    return found


def _by_month(spend: Spend, model: str | None) -> dict[str, tuple[Decimal, int]]:
    """Sum cost and tokens of corrections by the month that they are for."""
    found: dict[str, tuple[Decimal, int]] = {}
    with localcontext() as context:
        context.prec = DIGITS
        for row in spend.rows:
            month = row.keys["correction_of"]
            if month is not None and model in (None, row.keys["model"] or ""):
                cost, tokens = found.get(month, (Decimal(0), 0))
                found[month] = cost + row.sums.cost_usd, tokens + row.sums.tokens
    return found


def silent_days(cells: Cells, covered: Sequence[Coverage], model: str) -> list[Reason]:
    """Name the days on which the provider counts something and no gateway reported a call to it."""
    found = []
    for one in covered:
        theirs: set[date] = set()
        ours: set[date] = set()
        for (provider, _, day), cell in cells.items():
            if provider == one.provider:
                theirs |= {day} if any(cell.theirs.values()) else set()
                ours |= {day} if any(cell.ours.values()) else set()
        if silent := sorted(theirs - ours):
            to = f"{model} at {one.provider}" if model else one.provider
            text = f"No gateway reported a call to {to} on {words_of(silent)}, and the provider counts some."
            found.append(Reason(code="not-reported", text=text, provider=one.provider, model=model))
    return found


def kept_out(first: date, last: date) -> Reason | None:
    """Say whether calls of these days are kept and not counted. One query."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM ledger_unsummed WHERE booked_at >= %s AND booked_at < %s)",
            [_midnight(first), _midnight(last + _ONE_DAY)],
        )
        if not cursor.fetchone()[0]:
            return None
    return Reason(
        code="kept-out",
        text="Calls of these days are kept and not counted: of a second format of a gateway (shadow), or imported for "
        "audit.",
    )


def words_of(some: Sequence[date]) -> str:
    """Return days in words, neighbours as a range: `1 to 3 Nov 2026, 7 Nov 2026`."""
    ranges: list[tuple[date, date]] = []
    for day in sorted(some):
        if ranges and day == ranges[-1][1] + _ONE_DAY:
            ranges[-1] = ranges[-1][0], day
        else:
            ranges.append((day, day))
    words = [_range_words(begins, ends) for begins, ends in ranges[:6]]
    more = f" and {len(ranges) - 6} more ranges" if len(ranges) > 6 else ""
    return ", ".join(words) + more


def _range_words(begins: date, ends: date) -> str:
    if begins == ends:
        return f"{begins.day} {begins:%b %Y}"
    if (begins.year, begins.month) == (ends.year, ends.month):
        return f"{begins.day} to {ends.day} {ends:%b %Y}"
    return f"{begins.day} {begins:%b %Y} to {ends.day} {ends:%b %Y}"


def _usd(value: Figure) -> str:
    return f"${Decimal(value):,.2f}"


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)
