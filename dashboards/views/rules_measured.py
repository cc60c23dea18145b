"""What was measured of rules: which take which requests, and the present order of those that choose by score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from core import periods
from dashboards.templatetags.figures import exact, milliseconds, percent, tokens, usd
from dashboards.templatetags.links import offering_url
from dashboards.views.access import page, zone_of
from dashboards.views.links import Link
from dashboards.views.rules_shown import RuleShown, found_environment
from dashboards.views.stats import Stat
from routing.rules import scoring
from routing.rules.evaluator import DEFAULT_ID
from routing.selectors import environments, orders
from routing.selectors import hits as selector
from routing.selectors.hits import Hits, RuleHits
from routing.selectors.orders import OrderRow
from usage.selectors.overview import share

_RANGES = {1: "Today", 7: "7 days", 30: "30 days"}
_IN_RANGE = {1: "today", 7: "in 7 days", 30: "in 30 days"}


@dataclass(frozen=True, kw_only=True)
class HitsShown:
    """What a rule took, small enough to stand beside it."""

    requests: str
    share: str
    width: int  # per cent of the bar
    words: str  # the whole of it, for who points at it or cannot see it
    url: str
    tone: str
    badge: str  # what stands out; empty: nothing does


@dataclass(frozen=True, kw_only=True)
class TargetMeasured:
    name: str
    url: str
    price: str
    exact_price: str
    median: str
    high: str
    failed: str
    calls: str
    score: str
    width: int
    points: str  # the points of each kind, in words


@dataclass(frozen=True, kw_only=True)
class OrderShown:
    weights: str
    targets: Sequence[TargetMeasured]
    computed_at: datetime
    moved_at: datetime
    measured: bool  # whether any target was


# --- Beside the rules of other pages


def measured(
    request: HttpRequest,
    rules: Sequence[RuleShown],
    default: RuleShown,
    *,
    environment: str,
    version: int | None,
    content: Mapping[str, Any] | None,
    at: datetime,
) -> tuple[list[RuleShown], RuleShown]:
    """Return rules and default with what those of the same ids took in force in the last 7 days, and their orders.

    `version` is the one in force; `content`, where its rules are shown, has its orders beside them. Two queries, one
    more where a rule is by score.
    """
    found = selector.of(
        environment=environment, version=version, days=selector.USUAL_DAYS, zone=zone_of(request), at=at
    )  # fmt: skip
    took = {name: hits_shown(one, found) for name, one in found.by_rule().items()}
    by_rule: dict[str, OrderShown] = {}
    if content is not None and scoring.by_score(content):
        by_rule = {row.rule: order_shown(row) for row in orders.rows(environment=environment)}
    return (
        [replace(rule, hits=took.get(rule.id), order=by_rule.get(rule.id)) for rule in rules],
        replace(default, hits=took.get(DEFAULT_ID), order=by_rule.get(DEFAULT_ID)),
    )


def hits_shown(one: RuleHits, found: Hits) -> HitsShown:
    tone, badge = _said(one, found)
    when = _IN_RANGE[found.days]
    words = f"{exact(one.requests)} request{'' if one.requests == 1 else 's'} {when}"
    if one.share is not None:
        words += f", {percent(one.share)} of those decided since version {one.since_version}"
    return HitsShown(
        requests=tokens(one.requests),
        share=percent(one.share) if one.requests else "",
        width=_width(one.share),
        words=words,
        url=f"{hits_url(found.environment, found.days)}#hits-{one.place or DEFAULT_ID}",
        tone=tone,
        badge=badge,
    )


def _said(one: RuleHits, found: Hits) -> tuple[str, str]:
    """Return what stands out about a rule, and its tone."""
    if not one.place:
        return "", ""
    if one.verdict == selector.TAKES_ALL:
        return "info", f"takes {percent(one.taken)} of what comes to it"
    if one.verdict == selector.NEVER:
        since = timezone.localtime(one.since).date()
        return "warning", f"no request {f'since {_day(since)}' if since > found.first else _IN_RANGE[found.days]}"
    return {
        selector.TOO_NEW: ("neutral", "too new to tell"),
        selector.QUIET: ("neutral", "none today so far"),
        selector.NOT_ACTIVE: ("neutral", "not active now"),
    }.get(one.verdict, ("", ""))


def order_shown(row: OrderRow) -> OrderShown:
    whole = sum(row.weights)
    weights = [f"{name} {percent(share(weight, whole), 0)}" for name, weight in row.weights._asdict().items() if weight]
    return OrderShown(
        weights=", ".join(weights),
        targets=[
            TargetMeasured(
                name=one.offering,
                url=offering_url(one.offering),
                price=usd(one.usd_per_1k_tokens),
                exact_price="" if one.usd_per_1k_tokens is None else exact(one.usd_per_1k_tokens),
                median=milliseconds(one.p50_ms),
                high=milliseconds(one.p95_ms),
                failed=f"{percent(share(one.failed, one.calls))} of {exact(one.calls)}" if one.calls else "no calls",
                calls=f"{exact(one.failed)} of {exact(one.calls)} calls" if one.calls else "",
                score=_of_100(one.score),
                width=round(Decimal(one.score) / 100),
                points=f"Price {_of_100(one.price)}, latency {_of_100(one.latency)}, errors {_of_100(one.errors)}",
            )
            for one in row.targets
        ],
        computed_at=row.computed_at,
        moved_at=row.moved_at,
        measured=any(one.calls for one in row.targets),
    )


def _of_100(points: int) -> str:
    return f"{(Decimal(points) / 100).quantize(Decimal('0.1'))}"


def _width(part: Decimal | None) -> int:
    return 0 if part is None else max(1, round(part * 100)) if part else 0


# --- The page of hits


def hits_url(environment: str, days: int) -> str:
    url = reverse("rules-hits", args=[environment])
    return url if days == selector.USUAL_DAYS else f"{url}?days={days}"


@page("rules.read")
def hits(request: HttpRequest, environment: str) -> HttpResponse:
    row = found_environment(environment)
    asked = request.GET.get("days", str(selector.USUAL_DAYS))
    known = {str(days): days for days in selector.DAYS}
    days = known.get(asked, selector.USUAL_DAYS)
    found = selector.of(
        environment=environment, version=row.live_version, days=days, zone=zone_of(request), at=timezone.now()
    )  # fmt: skip
    every = [*found.rules, *([found.default] if found.default else [])]
    return render(
        request,
        "dashboards/rules_hits.html",
        {
            "environment": environment,
            "environments": [
                (one.name, hits_url(one.name, days), one.name == environment) for one in environments.listed()
            ],
            "ranges": [
                Link(id=f"days-{number}", title=title, url=hits_url(environment, number), current=number == days)
                for number, title in _RANGES.items()
            ],
            "wrong": "" if asked in known else f"Hits are counted over {', '.join(known)} days.",
            "found": found,
            "when": _IN_RANGE[days],
            "days_shown": _days(found.first, found.last),
            "stats": _stats(found),
            "rows": [_row(one, found, zone_of(request)) for one in every],
            "left_over": found.earlier + found.unnamed + found.strange,
        },
        status=200 if asked in known else 400,
    )


def _stats(found: Hits) -> list[Stat]:
    named = sum(one.requests for one in (*found.rules, *((found.default,) if found.default else ())))
    never = [one for one in found.rules if one.verdict == selector.NEVER]
    nameless = found.unnamed + found.strange
    default = found.default
    return [
        Stat(
            label="Decided by the rules in force",
            value=percent(share(named, found.requests)),
            note=f"{exact(named)} of {exact(found.requests)} requests",
        ),
        Stat(
            label="Left to the default",
            value=percent(default.share) if default else "\N{EN DASH}",
            note=f"{exact(default.requests)} of {exact(default.decided)} decided" if default else "",
        ),
        Stat(
            label="Rules that took nothing",
            value=exact(len(never)),
            note=f"of {exact(len(found.rules))}; what is too new is left out",
        ),
        Stat(
            label="Name no rule of ours",
            value=percent(share(nameless, found.requests)),
            note=f"{exact(nameless)} of {exact(found.requests)} requests",
        ),
    ]


def _row(one: RuleHits, found: Hits, zone: str) -> dict[str, Any]:
    tone, badge = _said(one, found)
    return {
        "one": one,
        "name": one.title or one.rule if one.place else "Default",
        "url": f"{reverse('rules-environment', args=[found.environment])}#rule-{one.place or DEFAULT_ID}",
        "width": _width(one.share),
        "tone": tone,
        "badge": badge,
        "since": timezone.localtime(one.since) if periods.local_day(one.since, zone) >= found.first else None,
        "last": "today" if one.last_day == found.last else _day(one.last_day) if one.last_day else "",
        "moved": one.over_budget + one.switched_off + one.blocked,
        "moved_words": f"Over budget {exact(one.over_budget)}, switched off {exact(one.switched_off)}, "
        f"blocked {exact(one.blocked)}",
        "spend_url": _spend_url(one, found) if one.place else "",
    }


def _spend_url(one: RuleHits, found: Hits) -> str:
    asked = {"from": found.first, "to": found.last, "rule": one.rule, "environment": found.environment}
    return f"{reverse('spend')}?{urlencode(asked)}"


def _day(day: date) -> str:
    return f"{day:%-d %b}"


def _days(first: date, last: date) -> str:
    return f"{last:%-d %b %Y}" if first == last else f"{_day(first)} to {last:%-d %b %Y}"
