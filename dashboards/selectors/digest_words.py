"""A digest as the facts of an alert: sentences, rows and bars, with figures as the pages write them.

Names come from events and are plain text; each channel escapes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from urllib.parse import urlencode

from alerts.messages import Facts, SectionFacts
from alerts.models import AlertState, Severity
from budgets.selectors.overview import BudgetRow
from core import periods
from dashboards.alerts_words import kind_words
from dashboards.change_words import direction, relative, told_usd
from dashboards.change_words import told as told_change
from dashboards.selectors.digest import AlertLine, Daily, Told, Undelivered, Weekly
from dashboards.selectors.digest_sums import Change, Mover
from dashboards.templatetags.figures import exact, percent, tokens, usd
from usage.selectors.chargeback import Sums

MOST_LISTED = 10
MOST_BARS = 8
MOST_CHANGES = 5
DAY = timedelta(days=1)
_ZERO = Decimal(0)
_STATES = (AlertState.OPEN, AlertState.ACKNOWLEDGED, AlertState.RESOLVED)


def daily(told: Daily, *, zone: str) -> tuple[str, Facts]:
    """Return a title and facts."""
    name = f"{told.day:%A} {told.day.day} {told.day:%B}"
    if told.nothing_happened:
        return f"Daily digest of {name}: nothing happened{_for(told)}", {
            "summary": "No calls were booked, no alert is open, no budget is at risk. This message shows that digests "
            "still go out.",
            "rows": [["Complete through", _complete_through(told, zone)]],
            "links": [["Open Tollkeeper", "/"]],
        }
    usual = told.usual
    spent = f"{told.day:%A} cost {_spent(told.now)}"
    if usual is not None:
        spent += f", {_against(told.now.cost_usd, usual.cost_usd)} is usual for a {told.day:%A}"
    rows = [
        *_figures(told.now, usual, "usual"),
        *_rows(told, zone),
    ]
    days = f"the median of {told.usual_days} before" if told.usual_days > 1 else "the one before"
    moved = f"What moved most, against a usual {told.day:%A} ({days})" if usual is not None else "By use case"
    facts: Facts = {
        "summary": f"{spent}. {_attention(told)}",
        "rows": rows,
        "sections": _filled(
            _alerts(told.alerts),
            _budgets(told.at_risk),
            _bars(moved, told.use_cases[:MOST_LISTED], compared=usual is not None),
        ),
        "links": [
            ["The day in Spend", _spend(told.day, told.day)],
            ["Budgets", "/budgets/"],
            ["Alerts", "/alerts/"],
        ],
    }
    return f"Daily digest of {name}: {_headline(told)}{_for(told)}", facts


def weekly(told: Weekly, *, zone: str) -> tuple[str, Facts]:
    """Return a title and facts."""
    last = told.monday + 6 * DAY
    compared = not told.before.empty
    cost = f"The week cost {_spent(told.now)}"
    if compared:
        cost += f", {_against(told.now.cost_usd, told.before.cost_usd)} the week before"
    rows = [
        *_figures(told.now, told.before if compared else None, "before"),
        *_rows(told, zone),
    ]
    facts: Facts = {
        "summary": f"{cost}. {_attention(told)}",
        "rows": rows,
        "sections": _filled(
            _bars("By use case", told.use_cases, compared=compared),
            _bars("By team", told.teams if len(told.teams) > 1 else (), compared=compared),
            _bars("By tier", told.tiers, compared=compared),
            {
                "title": "What changed most, and why",
                "rows": [[one.name, why(one)] for one in told.changes[:MOST_CHANGES]] if compared else [],
            },
            _budgets(told.at_risk),
            _alerts_by_kind(told.alerts),
            {
                "title": "Rules published",
                "rows": [
                    [
                        f"{one.environment} {one.number}",
                        (f"back to {one.rolls_back_to}" if one.rolls_back_to else one.title or "without a title")
                        + f", by {one.by}, {periods.clock_text(one.at, zone)}",
                    ]
                    for one in told.versions[-MOST_LISTED:]
                ],
            },
        ),
        "links": [
            ["The week in Spend", _spend(told.monday, last)],
            ["Statement of the month", f"/statements/{last:%Y-%m}/"],
            ["Budgets", "/budgets/"],
            ["Alerts", "/alerts/"],
        ],
    }
    return f"Weekly digest of {_days(told.monday, last)}: {_headline(told)}{_for(told)}", facts


# --- sentences ---


def _headline(told: Told) -> str:
    parts = [f"{_spent(told.now)} spent"]
    if told.open_alerts:
        parts.append(f"{_count(told.open_alerts, 'alert')} open")
    if told.at_risk:
        parts.append(f"{_count(len(told.at_risk), 'budget')} at risk")
    return ", ".join(parts)


def _for(told: Told) -> str:
    if not told.about:
        return ""
    return f" ({', '.join(told.about[:3])}{f' and {len(told.about) - 3} more' if len(told.about) > 3 else ''})"


def _attention(told: Told) -> str:
    alerts = f"{_count(told.open_alerts, 'alert')} {_is(told.open_alerts)} open" if told.open_alerts else ""
    at_risk = f"{_count(len(told.at_risk), 'budget')} {_is(len(told.at_risk))} at risk" if told.at_risk else ""
    if not (alerts or at_risk):
        return "No alert is open, and no budget is at risk."
    return f"{alerts or 'No alert is open'}, and {at_risk or 'no budget is at risk'}."


def why(change: Change) -> str:
    """Return a change with its parts: "$12.00 more: +$10.00 for more requests, +$2.00 for other models"."""
    difference = change.now_usd - change.before_usd
    said = told_usd(difference)
    if change.before_usd == 0:
        return f"{said}: new"
    if change.now_usd == 0:
        return f"{said}: not used any more"
    parts = [
        (change.volume_usd, "more requests" if change.volume_usd > 0 else "fewer requests"),
        (change.mix_usd, "other models"),
        (change.per_request_usd, "dearer requests" if change.per_request_usd > 0 else "cheaper requests"),
    ]
    # What rounds away against the whole says nothing.
    shown = [(part, words) for part, words in parts if abs(part) * 100 >= abs(difference)]
    shown.sort(key=lambda one: -abs(one[0]))
    return f"{said}: " + ", ".join(f"{_signed(part)} for {words}" for part, words in shown)


def _spent(sums: Sums) -> str:
    """Unknown is not free."""
    return usd(sums.cost_usd) if sums.known else "an unpriced sum"


def _against(now: Decimal, before: Decimal) -> str:
    if before == 0:
        return "as much as" if now == 0 else "where nothing"
    change = relative(now, before)
    return "as much as" if direction(change) == "flat" else f"{told_change(change)} than"


def _signed(value: Decimal) -> str:
    return f"+{usd(value)}" if value > 0 else usd(value)


def _count(number: int, one: str) -> str:
    return f"{exact(number)} {one}{'' if number == 1 else 's'}"


def _is(number: int) -> str:
    return "is" if number == 1 else "are"


def _days(first: date, last: date) -> str:
    start = f"{first.day}" if first.month == last.month else f"{first.day} {first:%B}"
    return f"{start} to {last.day} {last:%B}"


def _spend(first: date, last: date) -> str:
    return f"/spend/?{urlencode({'from': first.isoformat(), 'to': last.isoformat(), 'by': 'use_case'})}"


# --- rows, sections, bars ---


def _figures(now: Sums, before: Sums | None, word: str) -> list[list[str]]:
    """Return what was measured, beside what it is compared with."""

    def beside(one: str, other: str) -> str:
        return one if before is None else f"{one} ({word} {other})"

    other = before or Sums()
    return [
        ["Spent", beside(_spent(now), _spent(other))],
        ["Requests", beside(exact(now.requests), exact(other.requests))],
        ["Tokens", beside(tokens(now.tokens), tokens(other.tokens))],
        ["On frontier", beside(percent(now.frontier_share), percent(other.frontier_share))],
    ]


def _rows(told: Told, zone: str) -> list[list[str]]:
    rows = []
    if told.now.unpriced_tokens:
        rows.append(
            ["Priced", f"{percent(told.now.priced_share)} of tokens; {tokens(told.now.unpriced_tokens)} are unpriced"]
        )
    rows.append(["Complete through", _complete_through(told, zone)])
    if told.undelivered:
        rows.append(["Not delivered", "; ".join(_not_delivered(one) for one in told.undelivered)])
    return rows


def _complete_through(told: Told, zone: str) -> str:
    if told.complete_through is None:
        return "not known: no gateway was heard of in 24 hours"
    return periods.clock_text(told.complete_through, zone)


def _not_delivered(one: Undelivered) -> str:
    if not one.channel:
        return f"{_count(one.given_up, 'alert')} that no channel wanted"
    parts = [f"{one.given_up} given up"] if one.given_up else []
    if one.failing:
        parts.append(f"{one.failing} being tried again")
    return f"{one.channel}: {', '.join(parts)}"


def _filled(*sections: SectionFacts) -> list[SectionFacts]:
    return [one for one in sections if one.get("rows") or one.get("bars")]


def _alerts(alerts: Sequence[AlertLine]) -> SectionFacts:
    waiting_first = sorted(alerts, key=lambda one: (not one.open, _STATES.index(one.state)))
    rows = [[f"{Severity(one.severity).label}, {_became(one)}", one.title] for one in waiting_first[:MOST_LISTED]]
    if len(alerts) > MOST_LISTED:
        rows.append(["", f"and {len(alerts) - MOST_LISTED} more"])
    return {"title": "Alerts: open ones, and those since yesterday", "rows": rows}


def _became(one: AlertLine) -> str:
    if one.state == AlertState.ACKNOWLEDGED:
        return f"acknowledged by {one.by}"
    if one.asleep:
        return "snoozed"
    return str(one.state) if one.new else f"{one.state} since {one.created_at.day} {one.created_at:%b}"


def _alerts_by_kind(alerts: Iterable[AlertLine]) -> SectionFacts:
    raised: Counter[str] = Counter()
    left: Counter[str] = Counter()
    for one in alerts:
        raised[one.kind] += one.new
        left[one.kind] += one.open
    rows = [
        [kind_words(kind), f"{raised[kind]} raised, {left[kind]} open"]
        for kind in sorted(raised, key=lambda kind: (-raised[kind], kind))
    ]
    return {"title": "Alerts of the week", "rows": rows[:MOST_LISTED]}


def _budgets(rows: Sequence[BudgetRow]) -> SectionFacts:
    return {
        "title": "Budgets at risk",
        "bars": [
            [row.name, _standing(row), _share(row.per_cent_used or _ZERO, Decimal(100))] for row in rows[:MOST_LISTED]
        ],
    }


def _standing(row: BudgetRow) -> str:
    period = periods.called(row.period.first_day, row.period_kind, fiscal_start_month=row.fiscal_start_month)
    used = f"{period}: {row.per_cent_used} % used"
    if row.state == "EXCEEDED":
        if not row.enforced:
            return used
        return f"{used}, enforced up to and including {periods.last_day(row.period, row.zone):%-d %b}"
    if row.forecast is not None and row.forecast.runs_out_on is not None:
        return f"{used}, runs out {row.forecast.runs_out_on:%-d %b}"
    return f"{used}, {row.per_cent_gone} % of the {row.period_kind} gone"


def _bars(title: str, movers: Sequence[Mover], *, compared: bool) -> SectionFacts:
    shown = [one for one in movers if one.now_usd or one.before_usd][:MOST_BARS]
    largest = max((one.now_usd for one in shown), default=_ZERO)
    return {
        "title": title,
        "bars": [
            [one.name, usd(one.now_usd) + (f" ({_moved(one)})" if compared else ""), _share(one.now_usd, largest)]
            for one in shown
        ],
    }


def _moved(one: Mover) -> str:
    # Less than a thousandth of it is noise, and would stand there in fractions of a cent.
    still = abs(one.change_usd) * 1000 < max(one.now_usd, one.before_usd)
    return "as before" if still else _signed(one.change_usd)


def _share(part: Decimal, whole: Decimal) -> str:
    if whole <= 0 or part <= 0:
        return "0"
    return f"{min(part / whole, Decimal(1)):.4f}"
