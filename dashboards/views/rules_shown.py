"""Rules as the pages of rules show them, the same wherever they stand, and what these pages share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from django.http import Http404, HttpRequest
from django.urls import reverse
from django.utils import timezone

from dashboards.selectors.rules import HeldBudget
from dashboards.templatetags.links import offering_url
from routing.rules.conditions import TAG
from routing.rules.document import Problem
from routing.rules.words import condition_text, percent
from routing.selectors import environments
from routing.selectors.environments import EnvironmentRow
from routing.selectors.proposals import ProposalRow

if TYPE_CHECKING:
    from dashboards.views.rules_measured import HitsShown, OrderShown

STATES = {
    "draft": ("neutral", "draft"),
    "in_review": ("info", "in review"),
    "approved": ("ok", "approved"),
    "published": ("ok", "published"),
    "rejected": ("danger", "rejected"),
    "withdrawn": ("neutral", "withdrawn"),
}
_STICKY = {"session": "the session", "user": "the user", "use_case": "the use case", "team": "the team"}


@dataclass(frozen=True, kw_only=True)
class TargetShown:
    name: str
    url: str
    tier: str
    percent: str  # empty where targets are tried in order
    width: int  # per cent of the bar


@dataclass(frozen=True, kw_only=True)
class RuleShown:
    """A rule, or the default (`place` 0), in words."""

    place: int  # from 1 on
    id: str
    title: str
    use_cases: Sequence[str] | None  # None: all
    condition: str  # empty: always
    how: str
    targets: Sequence[TargetShown]
    sticky: str
    fallbacks: Sequence[TargetShown]
    over_how: str
    over: Sequence[TargetShown]
    use_default: bool
    timeout_ms: int | None
    max_usd: str
    params: str
    active_from: datetime | None
    active_until: datetime | None
    rationale: str
    owner: str
    review_by: date | None
    review_tone: str  # empty: it is not due
    review_words: str
    problems: Sequence[str]
    first: bool
    last: bool
    hits: HitsShown | None = None  # what it took of late, in force
    order: OrderShown | None = None  # of a rule by score, in force


def rules_of(content: Mapping[str, Any], *, today: date, problems: Iterable[Problem] = ()) -> list[RuleShown]:
    """Return a content's rules in their order."""
    rules = content["rules"]
    by_place = _by_place(problems)
    return [
        _shown(
            rule,
            content["offerings"],
            place=number,
            today=today,
            problems=by_place.get(f"/rules/{number - 1}", ()),
            last=number == len(rules),
        )
        for number, rule in enumerate(rules, 1)
    ]


def default_of(content: Mapping[str, Any], *, today: date, problems: Iterable[Problem] = ()) -> RuleShown:
    told = _by_place(problems).get("/default", ())
    return _shown(content["default"], content["offerings"], place=0, today=today, problems=told, last=True)


def _by_place(problems: Iterable[Problem]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for problem in problems:
        parts = problem.pointer.split("/")
        place = "/".join(parts[:3]) if parts[1:2] == ["rules"] else "/".join(parts[:2])
        found.setdefault(place, []).append(problem.text)
    return found


def _shown(
    rule: Mapping[str, Any],
    offerings: Mapping[str, Any],
    *,
    place: int,
    today: date,
    problems: Sequence[str],
    last: bool,
) -> RuleShown:
    over = rule.get("over_budget") or {}
    sticky = rule.get("sticky_by") or ""
    review_by = rule.get("review_by")
    tone, words = review(review_by, today) if place else ("", "")
    when = rule.get("when")
    return RuleShown(
        place=place,
        id=rule.get("id", "default"),
        title=rule.get("title", ""),
        use_cases=rule.get("use_cases"),
        condition="" if when is None else _without_brackets(condition_text(when)),
        how=_how(rule),
        targets=_targets(rule, offerings),
        sticky=f"the tag {sticky[len(TAG) :]}" if sticky.startswith(TAG) else _STICKY.get(sticky, ""),
        fallbacks=[_target(name, offerings) for name in rule.get("fallbacks") or ()],
        over_how=_how(over) if over else "",
        over=_targets(over, offerings),
        use_default=rule.get("use_default", True),
        timeout_ms=rule.get("timeout_ms"),
        max_usd=rule.get("max_usd_per_1k_tokens") or "",
        params=json.dumps(rule["params"], ensure_ascii=False, sort_keys=True) if rule.get("params") else "",
        active_from=_instant(rule.get("active_from")),
        active_until=_instant(rule.get("active_until")),
        rationale=rule.get("rationale", ""),
        owner=rule.get("owner", ""),
        review_by=date.fromisoformat(review_by) if review_by else None,
        review_tone=tone,
        review_words=words,
        problems=problems,
        first=place == 1,
        last=last,
    )


def _without_brackets(text: str) -> str:
    return text[1:-1] if text.startswith("(") and text.endswith(")") and text.count("(") == 1 else text


def _how(part: Mapping[str, Any]) -> str:
    choose = part.get("choose") or "weight"
    if choose == "weight":
        return "split by weight" if len(part.get("targets", ())) > 1 else ""
    return "tried in order" if choose == "order" else "the best by score first"


def _targets(part: Mapping[str, Any], offerings: Mapping[str, Any]) -> list[TargetShown]:
    return [_target(one["offering"], offerings, one.get("weight")) for one in part.get("targets") or ()]


def _target(name: str, offerings: Mapping[str, Any], weight: int | None = None) -> TargetShown:
    return TargetShown(
        name=name,
        url=offering_url(name),
        tier=offerings.get(name, {}).get("tier") or "unclassified",
        percent="" if weight is None else percent(weight),
        width=0 if weight is None else round(weight / 100),
    )


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


# --- What is held besides the rules


@dataclass(frozen=True, kw_only=True)
class HeldShown:
    budget: HeldBudget
    scope: str


def held_of(budgets: Iterable[HeldBudget]) -> list[HeldShown]:
    return [
        HeldShown(
            budget=one,
            scope=", ".join(
                f"{dimension.replace('_', ' ').replace(TAG, 'tag ')} {' or '.join(values)}"
                for dimension, values in one.match.items()
            )
            or "everything",
        )
        for one in budgets
    ]


@dataclass(frozen=True, kw_only=True)
class ProposalShown:
    row: ProposalRow
    url: str
    tone: str
    state: str


def moment(instant: datetime) -> str:
    """Return an instant on the clock of the page, with its zone."""
    return f"{timezone.localtime(instant):%-d %b %Y, %H:%M %Z}"


def state_of(row: ProposalRow) -> tuple[str, str]:
    """Return the tone and the words of a proposal's state."""
    if row.scheduled_at is not None:
        return "info", f"scheduled for {moment(row.scheduled_at)}"
    return ("warning", "approved, schedule suspended") if row.suspended else STATES[row.state]


def proposals_of(rows: Iterable[ProposalRow]) -> list[ProposalShown]:
    return [
        ProposalShown(
            row=row,
            url=reverse("rules-draft", args=[row.environment, row.id]),
            tone=state_of(row)[0],
            state=state_of(row)[1],
        )
        for row in rows
    ]


# --- What the views share


def found_environment(name: str) -> EnvironmentRow:
    """Return an environment that has or may get rules. Two queries.

    Raises:
        Http404
    """
    row = environments.one(name=name)
    if row is None:
        raise Http404("There is no such environment.")
    return row


def today(request: HttpRequest) -> date:
    return timezone.localdate()


def whole(text: str | None, most: int = 2_000_000_000) -> int | None:
    """Read a whole number of an address or a hidden field; None for anything else."""
    if text is None or not (text.isascii() and text.isdecimal()) or len(text) > 10:
        return None
    return int(text) if int(text) <= most else None


def review(review_by: str | None, today: date) -> tuple[str, str]:
    """Return the tone and the words of a review date: overdue, within 14 days, or neither."""
    if not review_by:
        return "warning", "no review date"
    days = (date.fromisoformat(review_by) - today).days
    if days < 0:
        return "danger", f"review overdue by {-days} day{'s' if days != -1 else ''}"
    if days <= 14:
        return "warning", "review due today" if days == 0 else f"review due in {days} day{'s' if days != 1 else ''}"
    return "", ""
