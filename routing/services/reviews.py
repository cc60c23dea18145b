"""Reminders of rules that are to be looked at again, and the draft that says a rule is still right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db import transaction

from alerts.models import Alert, AlertState, Severity
from alerts.services import raising, resolving
from core import periods
from core.errors import Invalid, NotFound
from core.models import Organisation
from core.services import audit
from routing.models import Contribution, Environment, Proposal, Version
from routing.rules import document
from routing.selectors import environments
from routing.selectors import reviews as rows
from routing.selectors.reviews import DUE, OVERDUE, Review
from routing.services.proposals import TITLE_CHARACTERS

KIND = "review_due"
_SEVERITY = {DUE: Severity.INFO, OVERDUE: Severity.WARNING}


@dataclass(frozen=True, kw_only=True)
class Looked:
    raised: int
    resolved: int


@transaction.atomic(durable=True)
def look(*, at: datetime) -> Looked:
    """Tell of each rule in force whose review is due within 14 days, and once more, graver, when it is overdue.

    Once per environment, rule and review date, in days of the organisation. What is open is resolved when the version
    in force has no such rule with that date any more, or the graver alert has taken its place. Safe to repeat, and for
    any number of schedulers at once. Four queries where nothing is due.
    """
    zone = Organisation.objects.values_list("zone", flat=True).get(pk=1)
    found = rows.listed(today=periods.local_day(at, zone))
    due = {_key(one): one for one in found if one.state in _SEVERITY}
    left = Alert.objects.filter(kind=KIND).exclude(state=AlertState.RESOLVED)
    over = [key for key in left.order_by("dedupe_key").values_list("dedupe_key", flat=True) if key not in due]
    resolved = sum(resolving.resolve(kind=KIND, dedupe_key_prefix=key, at=at) for key in over)
    told = set(Alert.objects.filter(dedupe_key__in=due).values_list("dedupe_key", flat=True)) if due else set()
    # In the order of their keys, as the alerts want it.
    raised = [_raise(due[key], key, at=at) for key in sorted(due) if key not in told]
    return Looked(raised=sum(alert is not None for alert in raised), resolved=resolved)


def _key(one: Review) -> str:
    # No id of a rule holds a colon, so no key is the beginning of another.
    return f"{KIND}:{one.environment_id}:{one.rule}:{one.review_by}:{one.state}"


def _raise(one: Review, key: str, *, at: datetime) -> Alert | None:
    assert one.review_by is not None
    assert one.days_left is not None
    overdue = one.state == OVERDUE
    name = one.title or one.rule
    return raising.raise_alert(
        kind=KIND,
        dedupe_key=key,
        severity=_SEVERITY[one.state],
        title=f"Review {'overdue' if overdue else 'due'} by {one.review_by:%-d %B %Y}: {name}",
        facts={
            "summary": f"The rule {one.rule} in {one.environment} {'was' if overdue else 'is'} to be looked at again "
            f"by {one.review_by:%-d %B %Y}. It holds all the same, until somebody changes it.",
            "rows": [
                ["Owner", one.owner],
                ["Rationale", one.rationale],
                ["In force with", f"version {one.version}"],
            ],
            "next": "Look whether the rationale still holds: then confirm the rule with a new date, or change it.",
            "links": [["Open the reviews", f"{environments.console_path(one.environment)}reviews/"]],
        },
        subject_kind="environment",
        subject_id=one.environment_id,
        team_ids=[],
        budget_id=None,
        at=at,
    )


@transaction.atomic(durable=True)
def confirm(
    *, environment: str, rules: Sequence[str], review_by: date | None, reason: str, by: str, at: datetime
) -> Proposal:
    """Begin a draft that says of rules in force that they are still right: it moves their review date and nothing else.

    The reason stands in its title. Like any draft it is submitted, approved and published.

    Raises:
        NotFound: nothing is in force in such an environment.
        Invalid: all reasons at once: no rules, or some that are not in force; a day that is not to come; no reason.
    """
    audit.acting(by=by, reason=reason)
    held = Environment.objects.filter(name=environment).first()
    live = Version.objects.filter(environment=held, number=held.live_version or 0).first() if held else None
    if held is None or live is None:
        raise NotFound(f"No rules are in force in {environment}.")
    zone = Organisation.objects.values_list("zone", flat=True).get(pk=1)
    content: dict[str, Any] = document.parse(bytes(live.canonical))
    title = _title(rules, reason)
    known = {rule["id"] for rule in content["rules"]}
    problems = [("rules", f"There is no rule {name} in force any more.") for name in rules if name not in known]
    if not rules:
        problems.append(("rules", "Choose at least one rule."))
    if review_by is None or review_by <= periods.local_day(at, zone):
        problems.append(("review_by", "This is a day to come."))
    elif review_by.year > 2999:
        problems.append(("review_by", "This is a day before the year 3000."))
    if not reason.strip():
        problems.append(("reason", "Say why it is still right: whoever approves reads it."))
    elif len(title) > TITLE_CHARACTERS or "\x00" in title:
        problems.append(("reason", f"With the names of the rules this has {TITLE_CHARACTERS} characters at most."))
    if problems:
        raise Invalid("This cannot be confirmed so.", problems)
    for rule in content["rules"]:
        if rule["id"] in rules:
            rule["review_by"] = str(review_by)
    # The base is the version that the content was read from: if another goes live meanwhile this draft is stale.
    proposal = Proposal.objects.create(
        environment=held, base_version=live.number, title=title, content=content, created_at=at, created_by=by
    )
    Contribution.objects.create(proposal=proposal, by=by, at=at)
    return proposal


def _title(rules: Sequence[str], reason: str) -> str:
    names = rules[0] if len(rules) == 1 else f"{len(rules)} rules"
    return f"Still right, {names}: {reason.strip()}"
