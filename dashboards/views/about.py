"""Words and links that the pages of use cases, teams and models share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import urlencode

from django.urls import NoReverseMatch, reverse

from core.models import Organisation
from core.selectors.trail import TrailLine
from dashboards.alerts_words import kind_words, severity_tone
from dashboards.change_words import signed
from dashboards.selectors.about import DAYS_LISTED, Budgets, Days, Month
from dashboards.selectors.use_case import Part
from dashboards.templatetags.figures import exact, percent, usd, usd_tile
from dashboards.views import goal_words
from dashboards.views.budgets_words import BudgetLine, line_of
from dashboards.views.goal_words import Standing
from dashboards.views.routing_rows import took
from usage.rules.latencies import HIGH, MEDIAN
from usage.selectors.about import Sums

_HIDDEN = frozenset({"id", "folded", "first seen at"})
_OPERATIONS = {"insert": "Made", "update": "Changed", "delete": "Removed"}


@dataclass(frozen=True, kw_only=True)
class PartShown:
    """A line of a table in words; `url` leads to what the name is."""

    part: Part
    url: str
    share: str
    tokens_per_call: str
    cache: str
    failed: str
    fallback: str
    usual: str  # median latency of the answered requests
    slow: str  # and its 95th percentile


@dataclass(frozen=True, kw_only=True)
class Step:
    """A line of the audit trail in words."""

    line: TrailLine
    words: str
    changes: Sequence[tuple[str, str, str]]  # (what, before, after)


def part_of(part: Part, url: str = "") -> PartShown:
    sums = part.sums
    return PartShown(
        part=part,
        url=url,
        share=percent(part.share),
        tokens_per_call=exact(None if sums.tokens_per_call is None else round(sums.tokens_per_call)),
        cache=percent(sums.cache_share),
        failed=percent(sums.failed_share),
        fallback=percent(sums.fallback_share),
        usual=took(sums.latencies, MEDIAN),
        slow=took(sums.latencies, HIGH),
    )


def month_stats(month: Month, **filters: str) -> list[dict[str, str]]:
    """Return the cards of a month for `_about_stat.html`: what was spent so far, and where that leads."""
    sums, calendar = month.sums, month.calendar
    change = signed(month.so_far_usd, month.before_usd)
    ahead = month.forecast
    return [
        stat(
            f"Spend in {calendar.name}",
            usd_tile(sums.cost_usd) if sums.known else "unpriced",
            f"{change} against the same {calendar.full_days} day{'' if calendar.full_days == 1 else 's'} "
            f"of {calendar.name_before}"
            if calendar.full_days and month.before_usd
            else f"nothing to compare with in {calendar.name_before}",
            exact=f"${exact(sums.cost_usd)}" if sums.known else "",
            url=page_url("spend", **filters, **{"from": str(calendar.first), "to": str(calendar.today)}),
        ),
        stat(
            "Expected at its end",
            usd_tile(ahead.at_end_usd) if ahead and sums.known else "\N{EN DASH}",
            f"{usd(ahead.per_day_usd)} a day, the mean of {ahead.full_days} full days"
            if ahead
            else "told from the third day of the month on",
            exact=f"${exact(ahead.at_end_usd)}" if ahead and sums.known else "",
        ),
    ]


def stat(label: str, value: str, note: str, *, tone: str = "", exact: str = "", url: str = "") -> dict[str, str]:
    """Return a card for `_about_stat.html`; `tone` says how it stands to a goal: good, bad, or nothing."""
    return {"label": label, "value": value, "note": note, "tone": tone, "exact": exact, "url": url}


def spend_stat(sums: Sums, days: Days, *, note: str, **filters: str) -> dict[str, str]:
    """Return what the listed days cost."""
    return stat(
        f"Spend, {DAYS_LISTED} days",
        usd_tile(sums.cost_usd) if sums.known else "unpriced",
        note,
        exact=f"${exact(sums.cost_usd)}" if sums.known else "",
        url=page_url("spend", **filters, **{"from": str(days.listed), "to": str(days.today)}),
    )


def frontier_stat(sums: Sums, organisation: Organisation) -> dict[str, str]:
    return goal_stat("On frontier", sums.frontier_share, goal_words.on_frontier(sums.frontier_share, organisation))


def open_stat(share: Decimal | None, organisation: Organisation) -> dict[str, str]:
    return goal_stat("On open weights", share, goal_words.on_open_weights(share, organisation))


def goal_stat(label: str, share: Decimal | None, standing: Standing) -> dict[str, str]:
    return stat(label, percent(share), standing.note, tone=standing.tone)


def tokens_stat(sums: Sums) -> dict[str, str]:
    per_call = None if sums.tokens_per_call is None else round(sums.tokens_per_call)
    return stat("Tokens per call", exact(per_call), f"{percent(sums.cache_share)} of the input from the cache")


def failed_stat(sums: Sums) -> dict[str, str]:
    return stat("Failed", percent(sums.failed_share), f"{exact(sums.failed)} of {exact(sums.requests)} attempts")


def latency_stat(sums: Sums) -> dict[str, str]:
    half, most = took(sums.latencies, MEDIAN), took(sums.latencies, HIGH)
    return stat("Median latency", half, f"95th percentile {most}, of answered requests")


def page_url(name: str, *args: object, **query: str) -> str:
    """Return the address of a page with a query, empty where this console has no such page."""
    try:
        url = reverse(name, args=args)
    except NoReverseMatch:
        return ""
    return f"{url}?{urlencode(query)}" if query else url


def ways_on(days: Days, **filters: str) -> list[tuple[str, str]]:
    """Return where the same days are seen in other ways, as (title, address)."""
    span = {"from": str(days.listed), "to": str(days.today)}
    found = [
        ("Explore spend", page_url("spend", **filters, **span)),
        ("Entries", page_url("entries", **filters, **span)),
    ]
    return [(title, url) for title, url in found if url]


def budget_lines(budgets: Budgets) -> dict[str, object]:
    """Return the context of `_about_budgets.html`."""
    own: list[BudgetLine] = [line_of(row) for row in budgets.own]
    return {"own": own, "wider": [line_of(row) for row in budgets.wider], "left": budgets.left}


def alerts_of(rows: Iterable[object]) -> list[tuple[object, str, str]]:
    """Return alerts with their tone and the words of their kind."""
    return [(row, severity_tone(row.severity), kind_words(row.kind)) for row in rows]  # type: ignore[attr-defined]


def steps(lines: Iterable[TrailLine], names: Mapping[str, Mapping[str, str]]) -> list[Step]:
    """Return the trail in words. `names` has the names of rows by the column that holds their number."""
    return [_step(line, names) for line in lines]


def _step(line: TrailLine, names: Mapping[str, Mapping[str, str]]) -> Step:
    words = _OPERATIONS.get(line.operation, line.operation)
    if line.table.endswith("alias"):
        label = next((one.after or one.before for one in line.differences if one.column == "folded"), "")
        added = f"Another label: {label}"
        return Step(line=line, words=added if line.operation == "insert" else "Time of a label changed", changes=[])
    if line.table.endswith("usecaseteam"):
        after = next((one.after for one in line.differences if one.column == "team id"), "")
        team = names.get("team id", {}).get(after, f"number {after}")
        added = f"Team {team} answers for it"
        return Step(line=line, words=added if line.operation == "insert" else "Time of a team changed", changes=[])
    changes = []
    for one in line.differences:
        if one.column in _HIDDEN or (line.operation == "insert" and one.column == "state"):
            continue
        called = names.get(one.column, {})
        changes.append(
            (
                one.column.removesuffix(" id"),
                called.get(one.before, one.before) or "nothing",
                called.get(one.after, one.after) or "nothing",
            )
        )
    return Step(line=line, words=words, changes=changes)
