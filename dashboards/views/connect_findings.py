"""What a page says to be wrong with a gateway's connection, and what to do about it.

# Note [What is said to be wrong]
What a page says must be true and lead somewhere. So each finding says what was seen, how often and where, and what to
do about it in the words of that kind of gateway. What may be another gateway's is said to be that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.urls import reverse
from django.utils import timezone

from catalog.models import TakesRules
from core import turned_away
from core.access import ACTIONS
from dashboards.connecting import Recipe
from dashboards.selectors.connecting import Facts, Refused
from dashboards.templatetags.figures import exact, relative
from dashboards.views.fleet_words import fleet_url
from dashboards.views.gateway_words import seconds_words
from routing.rules import document
from routing.selectors import fleet
from routing.selectors.fleet import Standing

_SOON = timedelta(minutes=2)  # what one side may take after the other, before it is missed
_AHEAD_S = 60


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that is wrong, or that somebody should know, and what to do about it."""

    id: str
    tone: str  # error, warning, info: as messages are coloured
    title: str
    words: str
    url: str = ""
    link: str = ""


def findings(facts: Facts, recipe: Recipe, now: datetime) -> Iterator[Finding]:
    """Yield what is wrong, or worth knowing; see Note [What is said to be wrong]."""
    yield from _turned_away(facts, now)
    yield from _refused_usage(facts)
    yield from _one_sided(facts, recipe, now)
    yield from _rules(facts)
    yield from _booked(facts, recipe)
    yield from _told(facts, recipe)


_LOOKS = {
    turned_away.EMPTY: ("nothing in the key's place", "A variable that holds it is not set, most likely."),
    turned_away.PLACEHOLDER: ("the placeholder YOUR-KEY", "Put the key in its place."),
    turned_away.QUOTED: ("a key in quotes", "Take the quotes away: they were sent as part of it."),
    turned_away.VARIABLE: (
        "the name of a variable instead of a key",
        "Whatever read that line does not fill variables in; put the key itself there.",
    ),
    turned_away.PROVIDERS: ("what looks like a provider's key", "This address wants a key of Tollkeeper's, tk_…"),
    turned_away.OTHER: ("what is no key of Tollkeeper's", "They begin with tk_."),
}


def _turned_away(facts: Facts, now: datetime) -> Iterator[Finding]:
    for number, one in enumerate(facts.refused):
        yield _refusal(f"refused-{number}", one, now)


def _refusal(id_: str, one: Refused, now: datetime) -> Finding:
    what = one.seen.what
    last = "" if one.seen.times == 1 else "last "
    where = f"{_times(one.seen.times)} at {_place(what.path)}, {last}{_ago(one.seen.last_at, now)}"
    whose = "It may be another gateway's."
    if what.why == turned_away.NO_KEY:
        words = f"Send it as Authorization: Bearer KEY, or as X-API-Key. {whose}"
        return Finding(id=id_, tone="warning", title=f"Something came without a key {where}", words=words)
    if what.why == turned_away.BODY:
        words = f"Nothing of it was kept: {what.words}. Look whether the address fits what is sent there."
        return Finding(id=id_, tone="error", title=f"What it sent could not be read {where}", words=words)
    if what.why == turned_away.SIGNATURE and what.words == turned_away.SKEWED:
        words = "What it signed says another time than ours, by more than 15 minutes: set its clock."
        return Finding(id=id_, tone="error", title=f"Its clock is wrong: it was refused {where}", words=words)
    if what.why == turned_away.SIGNATURE and (one.key is None or one.key.works(now)):
        words = (
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY have to be those of its newest lines, and a proxy in between "
        )
        words += f"has to keep the Host header. {'' if one.key else whose}"
        title = f"A request for the bucket was not signed as it has to be {where}"
        return Finding(id=id_, tone="error", title=title, words=words.strip())
    if what.why == turned_away.SCOPE and one.key is not None:
        scopes = " or ".join(sorted(_scopes_for(what.words)))
        words = f"{one.key.prefix}… has {', '.join(one.key.scopes)}. This takes {scopes}: make a key that has it."
        return Finding(id=id_, tone="error", title=f"Its key may not do what it tried {where}", words=words)
    if one.key is not None:
        end = "was revoked" if one.key.revoked_at is not None else "has expired"
        words = f"{one.key.name} ({one.key.prefix}…) {end}. Put the newer key in its place."
        return Finding(id=id_, tone="error", title=f"A key of it that has ended was tried {where}", words=words)
    if what.looks == turned_away.OURS:
        words = f"Compare it with the key that you pasted: part of it may be missing. {whose}"
        title = f"A key that we do not know, starting {what.start}, was tried {where}"
        return Finding(id=id_, tone="error", title=title, words=words)
    title, advice = _LOOKS.get(what.looks, _LOOKS[turned_away.OTHER])
    return Finding(id=id_, tone="error", title=f"{title[0].upper()}{title[1:]} came {where}", words=f"{advice} {whose}")


def _refused_usage(facts: Facts) -> Iterator[Finding]:
    stream, gateway = facts.stream, facts.page.row
    intake = f"{reverse('intake')}?gateway={gateway.id}"
    if stream.rejected:
        reasons = "; ".join(f"{reason} ({_times(number)})" for reason, number in stream.rejected)
        url = f"{intake}&show=in_part"
        yield Finding(
            id="rejected", tone="error", title="Events were refused", words=f"{reasons}.", url=url, link="Those bodies"
        )
    if stream.set_aside:
        words = f"{stream.error or 'The intake says why.'} They are kept, and can be tried again."
        url = f"{reverse('intake')}?show=failed&gateway={gateway.id}"
        title = f"{count(stream.set_aside, 'body', 'bodies')} could not be booked"
        yield Finding(id="aside", tone="error", title=title, words=words, url=url, link="Try again")
    counted = gateway.accounting_format
    others = [name for name in stream.formats if counted and name != counted]
    if others:
        settings = reverse("gateway-settings", args=[gateway.id])
        if stream.formats == others:
            title = f"Its events come as {others[0]}, and it is counted by {counted}"
            words = "So nothing of them counts. Choose in its settings which of the two counts."
            yield Finding(id="format", tone="error", title=title, words=words, url=settings, link="Settings")
        else:
            title = f"It reports in two ways: {counted} and {others[0]}"
            words = (
                f"What comes as {others[0]} is kept aside, so that no call counts twice. Turn one of them off, such as "
                "OpenTelemetry beside the callback; or choose in its settings which one counts."
            )
            yield Finding(id="format", tone="warning", title=title, words=words, url=settings, link="Settings")
    elif stream.held:
        title = f"{count(stream.held, 'event')} in doubt"
        words = "They have a known id with other content, or are more than 35 days old, and count for nothing."
        url = f"{reverse('held')}?gateway={gateway.id}"
        yield Finding(id="held", tone="warning", title=title, words=words, url=url, link="Look at them")


def _one_sided(facts: Facts, recipe: Recipe, now: datetime) -> Iterator[Finding]:
    polls = [one.polled_at for one in facts.page.row.rules if one.polled_at is not None]
    heard = facts.stream.last_received_at is not None
    if polls and not heard and min(polls) < now - _SOON:
        words = (
            "Send a call through it. If one went through, its callback or exporter is not switched on: see the lines."
        )
        yield Finding(id="no-usage", tone="warning", title="It fetches rules and reports no usage", words=words)
    late = heard and (facts.stream.first_received_at or now) < now - _SOON
    if is_to_poll(facts, recipe) and not polls and late:
        words = "So it decides without them. See the lines above for the rules; its key needs the scope rules:read."
        yield Finding(id="no-polls", tone="warning", title="It reports usage and never asked for rules", words=words)
    used = facts.key is not None and facts.key.last_used_at is not None
    if recipe.format == "otlp" and used and not heard and not polls:
        words = (
            "Spans without a model and tokens are passed over. Look whether the instrumentation of your model's SDK is "
            "switched on, and whether it is traces that are sent: metrics and logs hold nothing to count."
        )
        yield Finding(id="no-calls", tone="warning", title="Its key was used, and no call of a model came", words=words)


def _rules(facts: Facts) -> Iterator[Finding]:
    for standing in facts.page.row.rules:
        if standing.polled_at is None:
            continue
        yield from _standing(facts, standing)
    old = [one for one in facts.page.instances if one.spec is not None and one.spec < document.SPEC]
    if old:
        known = f"It understands specification {old[0].spec}, and rules may need {document.SPEC}"
        words = f"{known}: update {old[0].client or 'what asks for them'}."
        yield Finding(id="spec", tone="warning", title="Its client is old", words=words)


def _standing(facts: Facts, standing: Standing) -> Iterator[Finding]:
    name = standing.environment
    if facts.environments and name not in facts.environments and standing.state != fleet.UNHEARD:
        known = ", ".join(facts.environments)
        title = f"It asks for the rules of {name}, and its keys stand for {known}"
        words = f"Its usage is booked in {known}. Ask for those rules, or make a key for {name}."
        yield Finding(id=f"environment-{name}", tone="warning", title=title, words=words)
    elif standing.live_version is None and name in facts.environments:
        title = f"No rules are in force in {name}"
        words = "It asks, and gets none until a version is published. It goes on without, as it did before."
        yield Finding(
            id=f"none-{name}", tone="info", title=title, words=words, url=reverse("rules"), link="Write rules"
        )
    if standing.refused is not None:
        title = f"It refuses version {standing.refused}"
        words = "It goes on with what it had. The fleet's page says why."
        yield Finding(id=f"refuses-{name}", tone="error", title=title, words=words, url=fleet_url(name), link="Why")


def _booked(facts: Facts, recipe: Recipe) -> Iterator[Finding]:
    quarter = facts.quarter
    if quarter is None:
        return
    since = f"since {clock(quarter.starts_at)}"
    if quarter.unassigned:
        title = f"{exact(quarter.unassigned)} of {count(quarter.requests, 'request')} {since} named no use case"
        words = f"They are booked under unassigned, where no budget of a use case sees them. {recipe.use_case}"
        yield Finding(id="use-case", tone="warning", title=title, words=words)
    if quarter.unpriced:
        models = ", ".join(quarter.models)
        verb = "is" if quarter.unpriced == 1 else "are"
        title = f"{exact(quarter.unpriced)} of {count(quarter.requests, 'request')} {since} {verb} unpriced"
        words = f"{models}: give a price, or say which known model that is. What waits is priced by itself then."
        yield Finding(
            id="unpriced", tone="warning", title=title, words=words, url=reverse("attention"), link="Attention"
        )
    if quarter.uncounted:
        title = f"{exact(quarter.uncounted)} of {count(quarter.requests, 'request')} {since} came without token counts"
        words = "Streams need stream_options: {include_usage: true} with providers that speak as OpenAI does."
        yield Finding(id="uncounted", tone="warning", title=title, words=words)


def _told(facts: Facts, recipe: Recipe) -> Iterator[Finding]:
    stream = facts.stream
    if stream.ahead_s > _AHEAD_S:
        title = f"Its clock is ahead by {seconds_words(stream.ahead_s)}"
        words = "Calls are booked when they say that they were. More than a day ahead they are refused: set its clock."
        yield Finding(id="clock", tone="warning", title=title, words=words)
    if stream.carries_prompts:
        words = f"They are dropped before anything is stored, and need not travel. {recipe.prompts}"
        yield Finding(id="prompts", tone="info", title="Prompts are being sent", words=words)


def is_to_poll(facts: Facts, recipe: Recipe) -> bool:
    """Say whether polls are missed: a gateway may be set to take no rules, of a kind that could."""
    return recipe.rules == facts.page.row.takes_rules == TakesRules.POLL


def count(number: int, one: str, many: str = "") -> str:
    return f"{exact(number)} {one if number == 1 else many or one + 's'}"


def _times(number: int) -> str:
    return "once" if number == 1 else "twice" if number == 2 else f"{exact(number)} times"


def _place(path: str) -> str:
    return path.removeprefix("/api/v1/")


def _ago(minute: datetime, now: datetime) -> str:
    return "just now" if now - minute < timedelta(minutes=2) else relative(minute, now)


def clock(instant: datetime) -> str:
    return f"{timezone.localtime(instant):%H:%M}"


def _scopes_for(action: str) -> set[str]:
    grant = ACTIONS.get(action)
    # The least that does it: `write` and `admin` would do, and are more than a gateway should hold.
    return {scope for scope in grant.scopes if ":" in scope} or set(grant.scopes) if grant is not None else set()
