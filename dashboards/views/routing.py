"""The routing page: where traffic goes, and what the rules changed about it. Everything it shows is in its address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from core import access, periods
from core.models import Organisation
from dashboards.charts import routing as charts
from dashboards.charts.parts import day_of
from dashboards.selectors import routing as page_of
from dashboards.selectors.routing import MEASURES, MOST_DAYS, Page, Question, Totals, VersionLine
from dashboards.templatetags.figures import GAP, exact, percent, usd
from dashboards.views import days
from dashboards.views.access import page
from dashboards.views.links import Link
from dashboards.views.rules_switches import off_url
from routing.selectors import environments, switches
from routing.selectors.switches import SwitchRow
from usage.selectors import failing
from usage.selectors.failing import Failing
from usage.selectors.overview import share
from usage.selectors.routing import OfferingSums, UseCaseFallbacks, quantile_ms

USUAL_DAYS = 90
_PARAMETERS = ("from", "to", "environment", "use_case", "measure")
_REASONS = {
    "": "not reported",
    "rule": "a rule's first choice",
    "default": "no rule matched",
    "over_budget": "a budget was used up",
    "switched_off": "the first choice was switched off",
    "fallback": "the first choice failed",
}


# --- the address ---


@dataclass(frozen=True, kw_only=True)
class State:
    """What an address says; days that are None are left to the page."""

    first: date | None = None
    last: date | None = None
    environment: str = ""
    use_case: str = ""
    measure: str = "requests"

    def url(self, **changes: Any) -> str:
        state = replace(self, **changes)
        pairs = [("from", state.first.isoformat())] if state.first else []
        pairs += [("to", state.last.isoformat())] if state.last else []
        pairs += [("environment", state.environment)] if state.environment else []
        pairs += [("use_case", state.use_case)] if state.use_case else []
        pairs += [("measure", state.measure)] if state.measure != "requests" else []
        return f"{reverse('routing')}{'?' if pairs else ''}{urlencode(pairs)}"


def read(query: QueryDict) -> tuple[State, list[str]]:
    """Return what an address says and a sentence for everything in it that means nothing."""
    problems = [
        f"There is no filter {name!r}: environment, use_case." for name in query if name not in _PARAMETERS
    ]  # fmt: skip

    def name_of(name: str, title: str) -> str:
        values = {value.strip() for value in query.getlist(name) if value.strip()}
        if len(values) > 1:
            problems.append(f"This page shows one {title} or all of them.")
        text = min(values, default="")
        if "\0" in text or len(text) > 200:
            problems.append(f"There is no such {title}.")
            return ""
        return text

    measure = query.get("measure", "") or "requests"
    if measure not in MEASURES:
        problems.append(f"There is no {measure!r} to choose for `measure`: {', '.join(MEASURES)}.")
        measure = "requests"
    first, last = days.read_day(query, "from", problems), days.read_day(query, "to", problems)
    if first and last and last < first:
        problems.append("The last day lies before the first.")
        first = last = None
    return State(
        first=first, last=last, environment=name_of("environment", "environment"),
        use_case=name_of("use_case", "use case"), measure=measure,
    ), problems  # fmt: skip


def question_of(state: State, *, zone: str, today: date) -> tuple[Question, list[str]]:
    """Return what is asked, with everything filled in that the address left open, and what cannot be answered.

    Without days the last 90; with the first alone until today; with the last alone the 90 up to it. One query where a
    use case is named.
    """
    problems = []
    first, last = days.filled(state.first, state.last, today=today, usual=USUAL_DAYS)
    if (last - first).days >= MOST_DAYS:
        problems.append(f"This page draws {MOST_DAYS} days at most, and these are {(last - first).days + 1:,}.")
    use_case_id = page_of.use_case_id(state.use_case) if state.use_case else None
    if state.use_case and use_case_id is None:
        problems.append(f"There is no use case {state.use_case!r}.")
    question = Question(
        first=first, last=last, today=today, zone=zone, measure=state.measure, environment=state.environment,
        use_case=state.use_case, use_case_id=use_case_id,
    )  # fmt: skip
    return question, problems


# --- the page ---


@page("view")
def routing(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    alone = bool(request.headers.get("HX-Request") and not request.headers.get("HX-History-Restore-Request"))
    state, problems = read(request.GET)
    question, more = question_of(state, zone=organisation.zone, today=periods.local_day(now, organisation.zone))
    problems += more
    if alone and problems:
        # htmx swaps in no answer of 400: the whole page says what is wrong.
        return HttpResponse(status=400, headers={"HX-Redirect": request.get_full_path()})
    if alone:
        shares = page_of.shares(question)
        return render(request, "dashboards/_routing_shares.html", _share_context(shares, state))

    switched = switches.in_force(at=now)
    here = request.get_full_path()
    failing_rows = _failing_rows(failing.lately(at=now), switched, here)
    context: dict[str, Any] = {
        "switched": switched,
        "switch_environment": environments.USUAL,
        "failing_rows": failing_rows,
        "may_switch": access.may(request.user, "switches.turn"),
        "here": here,
        "problems": problems,
        "question": question,
        "state": state,
        "choices": page_of.choices(),
        "presets": _presets(state, question),
        "range_words": days.range_words(question.first, question.last),
        "narrowed": bool(state.environment or state.use_case),
        "clear_url": state.url(environment="", use_case=""),
        "now": now,
    }
    if not problems:
        shown = page_of.page(question=question, at=now)
        context |= {
            "shown": shown,
            **_share_context(shown.shares, state),
            "stats": _stats(shown, state),
            "fallback_chart": charts.fallbacks(shown),
            "requested_chart": charts.requested(shown),
            "version_rows": [_version_row(line, shown) for line in shown.versions],
            "use_case_rows": [_use_case_row(one, state) for one in shown.use_cases],
            "move_rows": [(move, share(move.requests, shown.total.by_fallback)) for move in shown.moves],
            "reason_rows": [
                (_REASONS.get(line.reason, ""), line.reason, line.sums, _of_all(line.sums, shown))
                for line in shown.reasons
            ],
            "rule_rows": [_rule_row(line, shown) for line in shown.rules],
            "offering_rows": [_offering_row(one, failing_rows) for one in shown.shares.offerings],
            "complete_through": shown.complete_through,
            "priced_share": shown.priced_share,
        }
    return render(request, "dashboards/routing.html", context, status=400 if problems else 200)


@dataclass(frozen=True, kw_only=True)
class Stat:
    """What `dashboards/_stat_exact.html` shows."""

    label: str
    value: str
    exact: str = ""
    change: str = ""
    direction: str = "flat"
    tone: str = "neutral"
    note: str = ""
    url: str = ""
    more: str = ""

    @property
    def value_markup(self) -> str:
        return self.value


def _share_context(shares: page_of.Shares, state: State) -> dict[str, Any]:
    return {
        "measure_links": [
            Link(id=f"measure-{key}", title=title, url=state.url(measure=key), current=key == state.measure)
            for key, title in charts.MEASURES.items()
        ],
        "tier_chart": charts.share_by_tier(shares),
        "model_chart": charts.share_by_model(shares),
    }


def _presets(state: State, question: Question) -> list[Link]:
    return [
        Link(
            id=f"range-{number}",
            title=title,
            url=state.url(first=first, last=last),
            current=(question.first, question.last) == (first, last),
        )
        for number, (title, (first, last)) in enumerate(days.presets(question.today).items())
    ]


# --- the numbers ---


def points(now: Decimal | None, before: Decimal | None) -> str:
    """Return the difference of two shares in points of per cent, with its sign; empty where one is not known."""
    if now is None or before is None:
        return ""
    moved = ((now - before) * 100).quantize(Decimal("0.1"))
    return f"{'+' if moved > 0 else ''}{moved if moved else Decimal('0.0')}"


def _moved(now: Decimal | None, before: Decimal | None, than: str) -> tuple[str, str]:
    """Return how a share moved, in words and as a direction."""
    difference = points(now, before)
    if not difference:
        return "", "flat"
    if difference == "0.0":
        return f"the same as {than}", "flat"
    words = f"{difference.lstrip('+-')} points {'more' if difference[0] == '+' else 'less'} than {than}"
    return words, "up" if difference[0] == "+" else "down"


def _stats(shown: Page, state: State) -> list[Stat]:
    total, (early, late) = shown.total, shown.halves
    half = "in the first half of these days"

    def stat(label: str, part: int, whole: int, moved: tuple[Decimal | None, Decimal | None], note: str) -> Stat:
        words, direction = _moved(moved[1], moved[0], half)
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
            "Answered by a fallback", total.by_fallback, total.answered, (early.fallback_share, late.fallback_share),
            f"{exact(total.by_fallback)} of {exact(total.answered)} answered requests",
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
    words, direction = _moved(newest.sums.frontier_share, before, than)
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


def _version_row(line: VersionLine, shown: Page) -> dict[str, Any]:
    return {
        "line": line,
        "name": f"Version {line.number}" if line.number else "No version reported",
        "url": _version_url(line.environment, line.number) if line.published_at else "",
        "sums": line.sums,
        "of_all": share(line.sums.answered, shown.total.answered),
        "frontier_points": points(line.sums.frontier_share, line.before.frontier_share if line.before else None),
        "fallback_points": points(line.sums.fallback_share, line.before.fallback_share if line.before else None),
    }


def _of_all(sums: Totals, shown: Page) -> Decimal | None:
    return share(sums.answered, shown.total.answered)


def _use_case_row(one: UseCaseFallbacks, state: State) -> dict[str, Any]:
    early, late = share(one.early_by_fallback, one.early_answered), share(one.late_by_fallback, one.late_answered)
    return {
        "name": one.use_case,
        "url": "" if state.use_case else state.url(use_case=one.use_case),
        "one": one,
        "share": share(one.by_fallback, one.answered),
        "early": early,
        "late": late,
        "points": points(late, early),
        "on_frontier": share(one.fallback_on_frontier, one.by_fallback),
    }


def _rule_row(line: page_of.RuleLine, shown: Page) -> dict[str, Any]:
    return {
        "line": line,
        "name": f"{line.rest} others" if line.rest else line.rule or "no rule reported",
        "version": "" if line.rest else f"{line.number}" if line.number else "\N{EN DASH}",
        "url": _version_url(line.environment, line.number) if _is_published(line, shown) else "",
        "of_all": _of_all(line.sums, shown),
        "cost_usd": usd(line.sums.cost_usd),
    }


def _is_published(line: page_of.RuleLine, shown: Page) -> bool:
    return any(
        other.published_at and (other.environment, other.number) == (line.environment, line.number)
        for other in shown.versions
    )


@dataclass(frozen=True, kw_only=True)
class FailingRow:
    """A provider or offering in a bad hour, and the way to turn it off."""

    one: Failing
    reason: str
    off_url: str


def _failing_rows(found: Sequence[Failing], switched: Sequence[SwitchRow], here: str) -> list[FailingRow]:
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


def _offering_row(one: OfferingSums, failing_rows: Sequence[FailingRow]) -> dict[str, Any]:
    return {
        "one": one,
        "failing": next(
            (row for row in failing_rows if (row.one.kind, row.one.name) == (failing.OFFERING, one.offering)), None
        ),
        "failed": share(one.failed, one.attempts),
        "mean": _seconds(one.mean_latency_ms),
        "half": _at_most(one, Decimal("0.5")),
        "most": _at_most(one, Decimal("0.95")),
    }


def _at_most(one: OfferingSums, part: Decimal) -> str:
    if sum(one.latencies) <= 0:
        return "\N{EN DASH}"
    bound = quantile_ms(one.latencies, part)
    return "> 60 s" if bound is None else f"\N{LESS-THAN OR EQUAL TO} {_seconds(bound)}"


def _seconds(milliseconds: int | None) -> str:
    if milliseconds is None:
        return "\N{EN DASH}"
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    return f"{exact((Decimal(milliseconds) / 1000).quantize(Decimal('0.1')))} s"
