"""What the pages of the fleet and of gateways say in words of how instances stand with their rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.urls import NoReverseMatch, reverse

from catalog.models import TakesRules
from dashboards.templatetags.figures import relative
from routing.selectors import fleet
from routing.selectors.fleet import Instance, Standing

# By state: tone, what a badge says, and what one or several instances do.
STATES = {
    fleet.REFUSED: ("danger", "refused", "refuses", "refuse"),
    fleet.BEHIND: ("warning", "behind", "is behind", "are behind"),
    fleet.UNHEARD: ("warning", "not heard of", "is not heard of", "are not heard of"),
    fleet.UPDATING: ("info", "on its way", "is on its way", "are on their way"),
    fleet.UNSAID: ("neutral", "says nothing", "does not say what it runs", "do not say what they run"),
    fleet.WAITING: ("neutral", "no rules yet", "waits for rules", "wait for rules"),
    fleet.CURRENT: ("ok", "up to date", "is up to date", "are up to date"),
    fleet.GONE: ("neutral", "gone", "is gone", "are gone"),
}
_NEVER = ("neutral", "never polled")
# Of those that never polled because they are not to.
_NOT_POLLING = {
    TakesRules.EXPORT: ("neutral", "own form", "takes rules in a form of its own; what it runs is not known here"),
    TakesRules.NONE: ("neutral", "takes none", "it is set to take no rules from here"),
}


@dataclass(frozen=True, kw_only=True)
class RulesWords:
    """How a gateway stands with the rules of an environment, in words. `url` is empty where it has no page."""

    row: Standing
    tone: str
    state: str
    words: str
    url: str


@dataclass(frozen=True, kw_only=True)
class InstanceShown:
    row: Instance
    tone: str
    state: str
    words: str


def fleet_url(environment: str) -> str:
    """Return the fleet's page of an environment; empty where a gateway asked for one with a name that none can have."""
    try:
        return reverse("rules-fleet", args=[environment])
    except NoReverseMatch:
        return ""


def rules_words(row: Standing, now: datetime) -> RulesWords:
    """Say whether a gateway runs the version in force: by its own word in the last poll, never by what it was given."""
    if row.polled_at is None and row.takes_rules != TakesRules.POLL:
        tone, state, words = _NOT_POLLING[TakesRules(row.takes_rules)]
        return RulesWords(row=row, tone=tone, state=state, words=words, url=fleet_url(row.environment))
    tone, state = STATES[row.state][:2] if row.state else _NEVER
    if row.state == "" and row.live_version is None:
        tone, state = STATES[fleet.WAITING][:2]
    return RulesWords(
        row=row, tone=tone, state=state, words=_words(row, now), url=fleet_url(row.environment)
    )  # fmt: skip


def instance_shown(row: Instance, now: datetime) -> InstanceShown:
    tone, state = STATES[row.state][:2]
    return InstanceShown(row=row, tone=tone, state=state, words=_instance_words(row, now))


def counted(row: Standing) -> str:
    """Say how many instances there are of each kind, where they are not all alike."""
    found = [(state, row.of(state)) for state in fleet.STATES if row.of(state)]
    if len(found) < 2:
        return ""
    return ", ".join(f"{count:,} {STATES[state][1]}" for state, count in found)


def _words(row: Standing, now: datetime) -> str:
    live = f"v{row.live_version}"
    if row.polled_at is None:
        return "none are in force, and it never asked" if row.live_version is None else f"{live} is in force"
    asked, has = relative(row.polled_at, now), _has(row.version)
    if row.state == fleet.UNHEARD:
        return f"last asked {asked}, then with {has}" + ("" if row.live_version is None else f"; {live} is in force")
    if row.live_version is None:
        return f"asked {asked}; none are in force"
    many = row.heard > 1
    if row.state == fleet.REFUSED:
        if many:
            return f"{_some(row)} v{row.refused}; {live} is in force"
        return f"refuses v{row.refused} and goes on with {has}; asked {asked}"
    stands = f"{live} is in force"
    if row.live_since:
        stands = f"{live} has been in force for {relative(row.live_since, now).removesuffix(' ago')}"
    if row.state == fleet.CURRENT:
        return f"{live}, asked {asked}" + (f" by all {row.heard:,} instances" if many else "")
    if many:
        return f"{_some(row)}; {stands}"
    if row.state == fleet.BEHIND and row.version == row.live_version:
        late = f" for {relative(row.late_since, now).removesuffix(' ago')}" if row.late_since else ""
        return f"has {has}, and{late} not the budgets and switches in force; asked {asked}"
    if row.given_version == row.live_version:
        return f"has {has}; was given {live} {asked} and has not confirmed it yet"
    return f"has {has}, asked {asked}; {stands}"


def _instance_words(row: Instance, now: datetime) -> str:
    """Say what there is to say besides what stands in the columns."""
    if row.state == fleet.REFUSED or (row.state == fleet.UNHEARD and row.refused_version is not None):
        return f"v{row.refused_version}: {row.refused_reason or 'no reason given'}"
    if row.state == fleet.BEHIND and row.late_since is not None:
        return f"for {relative(row.late_since, now).removesuffix(' ago')}"
    return ""


def _some(row: Standing) -> str:
    """Say how many of those that are heard of are as the worst of them."""
    count = row.of(row.state)
    return f"{count:,} of {row.heard:,} instances {STATES[row.state][2 if count == 1 else 3]}"


def _has(version: int | None) -> str:
    return "no version" if version is None else f"v{version}"


def shown(rows: Sequence[Instance], now: datetime) -> list[InstanceShown]:
    return [instance_shown(row, now) for row in rows]
