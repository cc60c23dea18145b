"""Rows and cards of the routing page, ready for its templates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from dashboards.change_words import points, told_points
from dashboards.charts.parts import day_of
from dashboards.charts.routing import REASONS
from dashboards.selectors.routing import OfferingLine, Page, Question
from dashboards.selectors.routing_rules import IdleRule, Move, ReasonLine, RuleLine, VersionLine
from dashboards.selectors.spend_question import NONE
from dashboards.templatetags.figures import GAP, exact, milliseconds, percent
from dashboards.views.routing_address import elsewhere
from dashboards.views.rules_switches import off_url
from dashboards.views.stats import Stat
from routing.selectors import environments
from routing.selectors.switches import SwitchRow
from usage.rules.latencies import HIGH, LONGEST_MS, MEDIAN, percentile_ms
from usage.selectors import failing
from usage.selectors.failing import Failing
from usage.selectors.overview import share
from usage.selectors.routing_flows import UseCaseFallbacks

_REASONS = {"": "not reported", "rule": "a rule's first choice", "default": "no rule matched"} | REASONS


def stats(shown: Page) -> list[Stat]:
    total, (early, late) = shown.total, shown.halves
    half = "in the first half of these days"

    def stat(label: str, part: int, whole: int, moved: tuple[Decimal | None, Decimal | None], note: str) -> Stat:
        words, direction = told_points(moved[1], moved[0], half)
        if words:
            words = f"Second half: {words.replace(half, 'the first')}"
        return Stat(
            label=label,
            value=percent(share(part, whole)),
            exact=f"{exact(part)} of {exact(whole)}",
            change=words,
            direction=direction,
            tone={"up": "bad", "down": "good"}.get(direction, "neutral"),
            note=note,
        )

    return [
        stat(
            "Share on frontier", total.on_frontier, total.answered, (early.frontier_share, late.frontier_share),
            f"{exact(total.on_frontier)} of {exact(total.answered)} answered requests",
        ),
        stat(
            "Away from the first choice", total.detoured, total.answered,
            (share(early.detoured, early.answered), share(late.detoured, late.answered)),
            f"{exact(total.by_fallback)} answered by a fallback, {exact(total.detoured - total.by_fallback)} moved by "
            "a budget or a switch",
        ),
        stat(
            "Fallbacks that ended on frontier", total.fallback_on_frontier, total.by_fallback,
            (share(early.fallback_on_frontier, early.by_fallback), share(late.fallback_on_frontier, late.by_fallback)),
            f"{exact(total.fallback_on_frontier)} of {exact(total.by_fallback)} answered by a fallback",
        ),
        _version_stat(shown),
    ]  # fmt: skip


def _version_stat(shown: Page) -> Stat:
    """Return what the newest version changed, where one environment is shown and two versions were seen."""
    newest = next((line for line in shown.versions if line.number), None)
    if newest is None:
        return Stat(label="Newest version of the rules", value="none", note="No request names the rules it was sent by")
    label = f"On frontier under version {newest.number}"
    than = f"under version {_number_before(shown, newest)}" if newest.before else ""
    before = newest.before.frontier_share if newest.before else None
    words, direction = told_points(newest.sums.frontier_share, before, than)
    return Stat(
        label=label,
        value=percent(newest.sums.frontier_share),
        exact=f"{exact(newest.sums.on_frontier)} of {exact(newest.sums.answered)}",
        change=words,
        direction=direction,
        tone={"up": "bad", "down": "good"}.get(direction, "neutral"),
        note=f"{exact(newest.sums.answered)} answered since {day_of(newest.first_day)}",
        url=_version_url(newest.environment, newest.number) if newest.published_at else "",
        more="See the version",
    )


def _number_before(shown: Page, line: VersionLine) -> int:
    return max(
        other.number for other in shown.versions if other.environment == line.environment and other.number < line.number
    )


def _version_url(environment: str, number: int) -> str:
    try:
        return reverse("rules-version", args=[environment, number])
    except NoReverseMatch:
        return ""


def version_row(line: VersionLine, shown: Page) -> dict[str, Any]:
    return {
        "line": line,
        "name": f"Version {line.number}" if line.number else "No version reported",
        "url": _version_url(line.environment, line.number) if line.published_at else "",
        "sums": line.sums,
        "of_all": share(line.sums.answered, shown.total.answered),
        "frontier_points": points(line.sums.frontier_share, line.before.frontier_share if line.before else None),
        "fallback_points": points(line.sums.fallback_share, line.before.fallback_share if line.before else None),
    }


def use_case_row(one: UseCaseFallbacks, question: Question) -> dict[str, Any]:
    early, late = share(one.early_by_fallback, one.early_answered), share(one.late_by_fallback, one.late_answered)
    return {
        "name": one.use_case,
        "entries_url": elsewhere("entries", question, use_case=one.use_case, fallback="yes"),
        "one": one,
        "share": share(one.by_fallback, one.answered),
        "early": early,
        "late": late,
        "points": points(late, early),
        "on_frontier": share(one.fallback_on_frontier, one.by_fallback),
    }


def move_row(move: Move, shown: Page) -> dict[str, Any]:
    return {
        "move": move,
        "why": REASONS.get(move.reason, move.reason or "not reported"),
        "part": share(move.requests, shown.total.detoured),
        "url": elsewhere("entries", shown.question, offering=move.offering, reason=move.reason or NONE),
    }


def reason_row(line: ReasonLine, shown: Page) -> dict[str, Any]:
    return {
        "reason": line.reason,
        "words": _REASONS.get(line.reason, ""),
        "sums": line.sums,
        "part": share(line.sums.answered, shown.total.answered),
        "url": elsewhere("entries", shown.question, reason=line.reason or NONE),
    }


def rule_row(line: RuleLine, shown: Page) -> dict[str, Any]:
    filters = {
        "rule": line.rule or NONE, "environment": line.environment,
        "rules_version": str(line.number) if line.number else NONE,
    }  # fmt: skip
    return {
        "line": line,
        "name": f"{line.rest} others" if line.rest else line.rule or "no rule reported",
        "version": "" if line.rest else f"{line.number}" if line.number else "\N{EN DASH}",
        "url": _version_url(line.environment, line.number) if _is_published(line, shown) else "",
        "of_all": share(line.sums.answered, shown.total.answered),
        "spend_url": elsewhere("spend", shown.question, by="use_case", **filters) if not line.rest else "",
        "entries_url": elsewhere("entries", shown.question, **filters) if not line.rest else "",
    }


def _is_published(line: RuleLine, shown: Page) -> bool:
    return any(
        other.published_at and (other.environment, other.number) == (line.environment, line.number)
        for other in shown.versions
    )


def idle_row(one: IdleRule, *, at: datetime) -> dict[str, Any]:
    """Return a rule that took nothing, and what may explain it."""
    why, tone = "took nothing", "warning"
    if one.active_until is not None and one.active_until <= at:
        why, tone = f"its time ended on {_day(one.active_until)}", "neutral"
    elif one.active_from is not None and at < one.active_from:
        why, tone = f"active from {_day(one.active_from)} on", "neutral"
    elif one.new:
        why, tone = "new in these days", "info"
    return {"one": one, "why": why, "tone": tone, "version_url": _version_url(one.environment, one.version)}


def _day(at: datetime) -> str:
    return day_of(timezone.localtime(at).date())


@dataclass(frozen=True, kw_only=True)
class FailingRow:
    """A provider or offering in a bad hour, and the way to turn it off."""

    one: Failing
    reason: str
    off_url: str


def failing_rows(found: Sequence[Failing], switched: Sequence[SwitchRow], here: str) -> list[FailingRow]:
    """Return what fails and is not off already."""
    off = {(one.kind, one.name) for one in switched if one.off}
    rows = []
    for one in found:
        if off.isdisjoint(one.belongs_to):
            since = timezone.localtime(one.since)
            # Kept with the switch: a space that breaks, as people type it.
            reason = f"error rate {percent(one.failed_share, 0)} since {since:%H:%M}".replace(GAP, " ")
            url = off_url(environments.USUAL, kind=one.kind, name=one.name, reason=reason, back=here)
            rows.append(FailingRow(one=one, reason=reason, off_url=url))
    return rows


def offering_row(line: OfferingLine, bad: Sequence[FailingRow], question: Question) -> dict[str, Any]:
    now, before = line.now, line.before
    failed, had_failed = share(now.failed, now.attempts), share(before.failed, before.attempts) if before else None
    moved = points(failed, had_failed)
    return {
        "one": now,
        "failing": next((row for row in bad if (row.one.kind, row.one.name) == (failing.OFFERING, now.offering)), None),
        "failed": failed,
        "had_failed": had_failed,
        "moved": "" if moved in ("", "0.0") else moved,
        "tone": "bad" if moved.startswith("+") else "good",
        "mean": milliseconds(now.mean_latency_ms),
        "mean_before": milliseconds(before.mean_latency_ms) if before else "",
        "half": took(now.latencies, MEDIAN),
        "half_before": took(before.latencies, MEDIAN) if before else "",
        "most": took(now.latencies, HIGH),
        "most_before": took(before.latencies, HIGH) if before else "",
        "entries_url": elsewhere("entries", question, offering=now.offering),
        "errors_url": elsewhere("entries", question, offering=now.offering, status="error") if now.failed else "",
    }


def took(latencies: Sequence[int], percentile: int) -> str:
    """Return `percentile_ms` in words; a dash where no gateway told how long anything took."""
    value = percentile_ms(latencies, percentile)
    return f"\N{GREATER-THAN OR EQUAL TO} {milliseconds(value)}" if value == LONGEST_MS else milliseconds(value)
