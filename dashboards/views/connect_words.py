"""How far a gateway's connection is, step by step; what is wrong with it is told by `connect_findings.py`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.urls import NoReverseMatch, reverse

from catalog.models import TakesRules
from dashboards.connecting import Recipe
from dashboards.selectors.connecting import Facts
from dashboards.templatetags.figures import exact, relative
from dashboards.views.connect_findings import Finding, clock, count, findings, is_to_poll
from dashboards.views.fleet_words import fleet_url, rules_words
from routing.selectors import fleet

DONE, WAITING, WRONG, UNNEEDED = "done", "waiting", "wrong", "unneeded"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of being connected. `words` say what was seen, or what is waited for."""

    id: str
    title: str
    state: str
    words: str
    url: str = ""
    link: str = ""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    steps: Sequence[Step]
    findings: Sequence[Finding]

    @property
    def done(self) -> bool:
        return all(step.state in (DONE, UNNEEDED) for step in self.steps)

    @property
    def blocked(self) -> bool:
        """Something is wrong that waiting does not mend."""
        return any(step.state == WRONG for step in self.steps) or any(one.tone == "error" for one in self.findings)

    @property
    def wrong(self) -> int:
        return sum(one.tone in ("error", "warning") for one in self.findings)


def diagnosis(facts: Facts, recipe: Recipe, now: datetime) -> Diagnosis:
    """Say how far a gateway's connection is and what is wrong with it."""
    return Diagnosis(steps=list(_steps(facts, recipe, now)), findings=list(findings(facts, recipe, now)))


# --- steps ---


def _steps(facts: Facts, recipe: Recipe, now: datetime) -> Iterator[Step]:
    yield _key_step(facts, now)
    yield _rules_step(facts, recipe, now)
    yield from _usage_steps(facts, now)


def _key_step(facts: Facts, now: datetime) -> Step:
    title, key = "Its key was used", facts.key
    if key is None:
        words = "It has no key that works. Make one: nothing can be reported and no rules are fetched without."
        return Step(id="key", title=title, state=WRONG, words=words)
    if key.last_used_at is None:
        words = f"Nothing came with {key.prefix}… yet. Paste the lines, start the gateway and send a call through it."
        return Step(id="key", title=title, state=WAITING, words=words)
    return Step(id="key", title=title, state=DONE, words=f"{key.prefix}…, {relative(key.last_used_at, now)}")


def _rules_step(facts: Facts, recipe: Recipe, now: datetime) -> Step:
    title = "It fetched the rules"
    polled = [one for one in facts.page.row.rules if one.polled_at is not None]
    if not is_to_poll(facts, recipe) and not polled:
        how = facts.page.row.takes_rules
        if how == TakesRules.NONE or TakesRules.EXPORT not in (how, recipe.rules):
            return Step(id="rules", title=title, state=UNNEEDED, words="It takes none.")
        words = "Not by asking: they are brought to it in its own form."
        return Step(id="rules", title=title, state=UNNEEDED, words=words, url=_forms_url(facts), link="That form")
    heard = [one for one in polled if one.environment in facts.environments and one.state != fleet.UNHEARD]
    if heard:
        words = "; ".join(f"{one.environment}: {rules_words(one, now).words}" for one in heard)
        return Step(id="rules", title=title, state=DONE, words=words, url=fleet_url(heard[0].environment), link="Fleet")
    if facts.key is not None and not any(key.may_fetch_rules for key in facts.page.row.keys):
        words = "None of its keys may: make one that has the scope rules:read."
        return Step(id="rules", title=title, state=WRONG, words=words)
    if polled:
        words = f"It last asked {relative(max(one.polled_at for one in polled if one.polled_at), now)}."
        return Step(id="rules", title=title, state=WAITING, words=words)
    return Step(
        id="rules", title=title, state=WAITING, words="It did not ask for them yet. A poll shows here in seconds."
    )


def _forms_url(facts: Facts) -> str:
    environment = facts.key.environment if facts.key is not None else "production"
    try:
        return reverse("rules-forms", args=[environment])
    except NoReverseMatch:  # a name that no page can have
        return ""


def _usage_steps(facts: Facts, now: datetime) -> Iterator[Step]:
    stream, quarter, gateway = facts.stream, facts.quarter, facts.page.row
    intake = f"{reverse('intake')}?gateway={gateway.id}"
    title = "An event arrived"
    if stream.last_received_at is not None and stream.events:
        words = f"{count(stream.events, 'event')}, the last {relative(stream.last_received_at, now)}"
        yield Step(id="arrived", title=title, state=DONE, words=words, url=intake, link="Intake")
    else:
        words = "None yet. Gateways that send batches take some seconds after a call."
        yield Step(id="arrived", title=title, state=WAITING, words=words)

    title = "It was booked"
    if stream.booked:
        words = f"{count(stream.booked, 'event')} counted"
        yield Step(id="booked", title=title, state=DONE, words=words)
    elif stream.set_aside:
        words = f"It could not be: {stream.error or 'the intake says why'}"
        yield Step(id="booked", title=title, state=WRONG, words=words, url=intake, link="Intake")
    elif stream.duplicates and stream.duplicates == stream.events:
        words = "What came had counted before: the same event sent again counts once. Send one with another id."
        yield Step(id="booked", title=title, state=WAITING, words=words)
    elif stream.shadowed or stream.held:
        words = "What came is kept aside and counts for nothing; below stands why."
        yield Step(id="booked", title=title, state=WRONG, words=words, url=intake, link="Intake")
    else:
        words = "In line; this takes a second or two." if stream.waiting else "Nothing is there to book."
        yield Step(id="booked", title=title, state=WAITING, words=words)

    title = "It was priced"
    if quarter is None or not stream.booked:  # what is there without it was imported
        yield Step(id="priced", title=title, state=WAITING, words="Known once something is booked.")
    elif quarter.unpriced or quarter.uncounted:
        priced = quarter.requests - quarter.unpriced - quarter.uncounted
        words = f"{exact(priced)} of {count(quarter.requests, 'request')} since {clock(quarter.starts_at)}"
        state = WRONG if priced <= 0 else DONE
        yield Step(id="priced", title=title, state=state, words=words, url=reverse("attention"), link="Attention")
    else:
        words = f"all since {clock(quarter.starts_at)}: {count(quarter.requests, 'request')}"
        yield Step(id="priced", title=title, state=DONE, words=words)
