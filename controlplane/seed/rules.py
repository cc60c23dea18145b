"""The demo's rules: how they grew before the story, what they said during it, and what is being proposed now.

The story stamps entries with a version, a rule, a target and what follows when it fails. The versions written here are
those: their days, rule ids, targets and first fallbacks agree with it (`tests/controlplane_seed/test_seed_rules.py`).
One rule of the story is in no version: `copy-trial` is a gateway's own doing, for a model that has no price.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db import connection

from controlplane.seed import company, story
from controlplane.seed.story import BATCH, OPEN_MODEL, REVIEW, SUPPORT, UNPRICED_MODEL, Plan
from core import periods
from routing.models import Proposal, ProposalState, Schedule, Version
from routing.services import proposals, schedules, versions

ENVIRONMENT = "production"
LEAD = f"engineer@{company.DOMAIN}"
APPROVER = f"approver@{company.DOMAIN}"
TRIAL_RULE = "copy-trial"
IN_REVIEW = "Take the frontier out of support's fallbacks"
DRAFT = "Try Kimi K3 for newsletters"
OVERTAKEN = "Send code review's medium changes to Sonnet"
SCHEDULED = "Label requests by their text, and let intranet answers go by score"

Content = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A step of the rules' history: what it was for, and what the approver said or, for a rollback, why."""

    number: int
    title: str
    said: str
    back_to: int | None = None


CHANGES = (
    Change(number=1, title="Move support to Tollkeeper's rules", said="As the gateway did it until now."),
    Change(number=2, title="Send support's hard questions to GPT-5.5", said="Lena has the examples. Fine for 5 %."),
    Change(number=3, title="Move the hotline's summaries over", said="No change for callers."),
    Change(number=4, title="Move the agents' reply drafts over", said="Agreed with Customer Care."),
    Change(number=5, title="Move address parsing over", said="Same model as before."),
    Change(number=6, title="Move the invoices' night run over", said="Same model as before."),
    Change(number=7, title="Move the coding agent over", said="Opus stays where it is needed."),
    Change(number=8, title="Move code review over", said="To be tightened once we see the numbers."),
    Change(number=9, title="Move test generation over", said="Fine."),
    Change(number=10, title="Move tour planning over", said="Ines checked the tours of a week."),
    Change(number=11, title="Move contract analysis over", said="Klara needs the long context."),
    Change(number=12, title="Read all addresses with our own Llama", said="Looks right on the sample."),
    Change(
        number=13, title="", back_to=11,
        said="Addresses from abroad came back without a country: 340 parcels of this morning are sorted by hand",
    ),
    Change(number=14, title="Read domestic labels with our own Llama", said="Only labels, and only from here."),
    Change(number=15, title="Move campaigns and the intranet's search over", said="The last two of twelve."),
    Change(number=16, title="Say what happens when a frontier budget is used up", said="Agreed with Jonas."),
    Change(number=17, title="Let support answer a month's claims in one go", said="Within support's budget."),
    Change(number=18, title="Read marked invoices with Qwen on our own machines", said="Compared on 500 invoices."),
    Change(number=19, title="Fall back to GPT-5.5 when support times out", said="Rare. Look again in two weeks."),
    Change(number=20, title="Add a second fallback at another provider", said="After yesterday's outage."),
    Change(number=21, title="Send less of code review to Opus", said="The budget was nearly gone last month."),
)  # fmt: skip
BEFORE_THE_STORY = 17  # the version in force as it begins


def published_at(plan: Plan, number: int) -> datetime:
    """Return when a version came: two a day while use cases were moved over, then the story's midnights."""
    if number > BEFORE_THE_STORY:
        day = next(day for day in plan.days if story.rules_version(plan, day) == number)
        return periods.day_start(day, plan.zone)
    begins = plan.days[0] - timedelta(days=9)
    hours = timedelta(hours=9, minutes=40) if number % 2 else timedelta(hours=15, minutes=25)
    return periods.day_start(begins + timedelta(days=(number - 1) // 2), plan.zone) + hours


def publish_history(plan: Plan) -> None:
    """Write the versions that are not there yet. Safe to break off between any two calls, and to repeat."""
    known = set(Version.objects.filter(environment__name=ENVIRONMENT).values_list("number", flat=True))
    if len(known) == len(CHANGES):
        return
    # The catalogue was loaded a moment ago: without statistics each check of a content takes ten times as long.
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE catalog_price, catalog_priceseries, catalog_offering, catalog_offeringtier")
    for change in CHANGES:
        if change.number in known:
            continue
        at = published_at(plan, change.number)
        if change.back_to is not None:
            versions.roll_back(
                environment=ENVIRONMENT, to=change.back_to, seen=change.number - 1, reason=change.said, by=APPROVER,
                at=at,
            )  # fmt: skip
            continue
        if change is CHANGES[-1]:
            _overtaken(plan, at)
        # What was set up in a day was written that morning; later changes took their days.
        steps = timedelta(minutes=40) if change.number <= BEFORE_THE_STORY else timedelta(hours=17)
        proposal = _submitted(change.title, content(plan, change.number), at - 3 * steps, steps)
        if proposal.state == ProposalState.IN_REVIEW:
            proposals.approve(
                proposal_id=proposal.pk, sha256=bytes(proposal.sha256 or b"").hex(), by=APPROVER, at=at - steps,
                comment=change.said,
            )  # fmt: skip
        versions.publish(proposal_id=proposal.pk, by=LEAD, at=at)


def propose(plan: Plan) -> None:
    """Leave on the table what is being thought about now.

    One proposal in review, one that is approved and scheduled, and a draft that cannot work yet. (Another draft was
    overtaken by the newest version.) After the story was told: the draft names a model that the catalogue knows from
    its use alone. Safe to repeat.
    """
    begins = published_at(plan, CHANGES[-1].number)
    _scheduled(plan, _within(plan, begins, timedelta(days=3)))
    _submitted(IN_REVIEW, in_review(plan), _within(plan, begins, timedelta(days=2)), timedelta(minutes=5))
    if not Proposal.objects.filter(environment__name=ENVIRONMENT, title=DRAFT).exists():
        at = _within(plan, begins, timedelta(days=5))
        proposals.start(environment=ENVIRONMENT, title=DRAFT, by=LEAD, at=at, content=draft(plan))


def _overtaken(plan: Plan, published: datetime) -> None:
    """Leave a draft that the newest version, published a moment later, left behind, and disagrees with."""
    if not Proposal.objects.filter(environment__name=ENVIRONMENT, title=OVERTAKEN).exists():
        before = CHANGES[-1].number - 1
        wanted = content(plan, before)
        for rule in wanted["rules"]:
            if rule["id"] == "code-high":
                rule["when"] = _all(_is("task", "code"), _at_least("complexity", "0.6"))
                rule["rationale"] = "Sonnet found as much as Opus in all but the hardest four in ten."
            if rule["id"] == "code-low":
                rule["timeout_ms"] = 120_000
        at = max(
            published - timedelta(days=3), published_at(plan, before) + (published - published_at(plan, before)) / 2
        )
        proposals.start(environment=ENVIRONMENT, title=OVERTAKEN, by=LEAD, at=at, content=wanted)


def _scheduled(plan: Plan, at: datetime) -> None:
    """Have a proposal approved and published by itself, on the morning of the day after tomorrow."""
    step = timedelta(minutes=5)
    proposal = _submitted(SCHEDULED, scheduled(plan), at, step)
    if proposal.state == ProposalState.IN_REVIEW:
        proposals.approve(
            proposal_id=proposal.pk, sha256=bytes(proposal.sha256 or b"").hex(), by=APPROVER, at=at + 2 * step,
            comment="Answers are short, so the three may compete.",
        )  # fmt: skip
    if not Schedule.objects.filter(proposal=proposal).exists():
        morning = periods.day_start(plan.days[-1] + timedelta(days=2), plan.zone) + timedelta(hours=6)
        schedules.schedule(proposal_id=proposal.pk, publish_at=morning, by=LEAD, at=at + 3 * step)


def _submitted(title: str, wanted: Content, at: datetime, steps: timedelta) -> Proposal:
    """Bring a proposal to review, from wherever an earlier call left it."""
    proposal = Proposal.objects.filter(environment__name=ENVIRONMENT, title=title).order_by("-id").first()
    if proposal is None:
        proposal = proposals.start(environment=ENVIRONMENT, title=title, by=LEAD, at=at, content=wanted)
    if proposal.state == ProposalState.DRAFT:
        proposal = proposals.submit(proposal_id=proposal.pk, by=LEAD, at=at + steps)
    return proposal


def _within(plan: Plan, begins: datetime, ago: timedelta) -> datetime:
    """Return an instant some time ago, or one between the newest version and now where that is younger."""
    return max(plan.now - ago, begins + (plan.now - begins) / 2)


# What the rules said. -------------------------------------------------------------------------------------------------


def content(plan: Plan, number: int) -> Content:
    """Return the rules of a version, without the offerings that the catalogue adds."""
    if number == 13:
        return content(plan, 11)
    return {
        "rules": [rule for of_use_case in _RULES for rule in of_use_case(plan, number)],
        "default": {"targets": _only("gpt-5-mini"), "fallbacks": [_offering("gemini-3-flash")], "timeout_ms": 60_000},
    }


def in_review(plan: Plan) -> Content:
    """Return the rules with support's default on two economy models, which also stand in for each other."""
    proposed = content(plan, CHANGES[-1].number)
    for rule in proposed["rules"]:
        if rule["id"] == "support-default":
            rule |= {
                "targets": [
                    {"offering": _offering("gemini-3-flash"), "weight": 9000},
                    {"offering": _offering("claude-haiku-4.5"), "weight": 1000},
                ],
                "fallbacks": [_offering("claude-haiku-4.5"), _offering("gpt-4o-mini")],
                "timeout_ms": 12_000,
                "rationale": "One call in four timed out this month and was answered by GPT-5.5, at many times the "
                "price. Haiku answers these questions as well; a tenth goes there at once, to see how it does. Callers "
                "wait 12 seconds at most instead of 30.",
                "review_by": _day(plan.days[-1] + timedelta(days=21)),
            }
    return proposed


def scheduled(plan: Plan) -> Content:
    """Return the rules with labels for gateways that have no classifier, and one rule whose targets go by score."""
    proposed = content(plan, CHANGES[-1].number)
    for rule in proposed["rules"]:
        if rule["id"] == "answer":
            rule |= {
                "choose": "score",
                "targets": [{"offering": _offering(name)} for name in ("gemini-3-flash", "claude-haiku-4.5")],
                "score": {"price": 2, "latency": 1, "errors": 2},
                "fallbacks": [_offering("gpt-4o-mini")],
                "rationale": "Both answer these alike; whichever is cheap, quick and up at the moment may.",
            }
    words = ["traceback", "stack trace", "refactor", "unit test", "merge request"]
    return proposed | {
        "heuristics": {
            "tasks": [
                {
                    "task": "code",
                    "any": [
                        {"count": "code_fences", "at_least": 1},
                        {"count": "keywords", "at_least": 1, "words": words},
                    ],
                },
                {
                    "task": "summarisation",
                    "any": [{"count": "keywords", "at_least": 1, "words": ["summarise", "tl;dr"]}],
                },
            ],
            "complexity": [
                {"points": 20, "count": "characters", "at_least": 0},
                {"points": 30, "count": "characters", "at_least": 4_000},
                {"points": 30, "count": "keywords", "at_least": 1, "words": ["step by step", "compare", "why"]},
                {"points": 20, "count": "code_fences", "at_least": 4},
            ],
        }
    }


def draft(plan: Plan) -> Content:
    """Return the rules with a trial of a model that nobody has entered a price for, so they cannot be submitted."""
    proposed = content(plan, CHANGES[-1].number)
    at = next(index for index, rule in enumerate(proposed["rules"]) if rule["id"] == "copy-short")
    trial = _rule(
        TRIAL_RULE, "campaign-copy", UNPRICED_MODEL, "gpt-5.4",
        title="Newsletters, a trial",
        when=_all(_is("tag:feature", "newsletter"), _is("task", "creative")),
        rationale="Noor likes its tone. Its price still has to be agreed and entered.",
        review_by=plan.days[-1] + timedelta(days=30),
    )  # fmt: skip
    proposed["rules"].insert(at, trial)
    return proposed


def _support(plan: Plan, number: int) -> Iterator[Content]:
    held = {"over_budget": {"targets": _only("claude-sonnet-4.6")}} if number >= 16 else {}
    if number >= 17:
        yield _rule(
            "support-backlog", SUPPORT, "gpt-5.5", "claude-sonnet-4.6",
            title="Claims of last month, answered in one go",
            when=_is("tag:feature", "claims"),
            rationale="Claims come with long histories. They are answered once, as the month begins, by the model that "
            "reads them best.",
            review_by=_later(plan, 3), timeout_ms=120_000, **held,
        )  # fmt: skip
    if number >= 2:
        yield _rule(
            "support-hard", SUPPORT, "gpt-5.5", "claude-sonnet-4.6",
            title="Hard questions that need tools",
            when=_all(_is("task", "tool-use"), _at_least("complexity", "0.8")),
            rationale="Rerouting a parcel that is under way takes several tools in the right order. The economy models "
            "failed at two in five of these.",
            review_by=_later(plan, 2), timeout_ms=60_000, **held,
        )  # fmt: skip
    yield _rule(
        "support-business", SUPPORT, "claude-haiku-4.5", "gemini-3-flash",
        title="Business customers with more than a simple question",
        when=_all(_is("user_tier", "business"), _at_least("complexity", "0.4")),
        rationale="Business customers ask about many parcels at once; Haiku keeps them apart.",
        review_by=_later(plan, 2), timeout_ms=30_000,
    )  # fmt: skip
    last = "gpt-5.5" if number >= 19 else "gpt-4o-mini"
    why = "Quick and cheap enough for the many: where is my parcel, when does it come."
    yield _rule(
        "support-default", SUPPORT, "gemini-3-flash", last, *(("claude-haiku-4.5",) if number >= 20 else ()),
        title="All other questions of customers",
        rationale=f"{why} For the rare time-out a frontier model answers, so that nobody is left waiting."
        if number >= 19
        else why,
        # Two weeks were agreed on, and nobody looked.
        review_by=plan.fallback_added + timedelta(days=14) if number >= 19 else _later(plan, 1),
        sticky_by="session", timeout_ms=30_000,
    )  # fmt: skip


def _drafts(plan: Plan, number: int) -> Iterator[Content]:
    if number < 4:
        return
    yield _rule(
        "drafts-short", "support-drafts", "claude-haiku-4.5", "gemini-3-flash",
        title="Short summaries for agents",
        when=_all(_is("task", "summarisation"), _at_most("complexity", "0.4")),
        rationale="An agent reads them before she writes herself.", review_by=_later(plan, 2),
    )  # fmt: skip
    yield _rule(
        "drafts", "support-drafts", "claude-sonnet-4.6", "gpt-5.4", *(("gemini-3.1-pro",) if number >= 20 else ()),
        title="Drafts of replies",
        rationale="Agents sent Sonnet's drafts with the fewest changes in the trial of spring.",
        review_by=_later(plan, 2), sticky_by="session",
    )  # fmt: skip


def _summaries(plan: Plan, number: int) -> Iterator[Content]:
    if number < 3:
        return
    yield _rule(
        "summaries-long", "call-summaries", "deepseek-v4-flash", "gemini-3-flash",
        title="Long calls",
        when=_at_least("input_tokens", 20_000),
        rationale="Calls of more than half an hour; Flash Lite loses the beginning of them.",
        review_by=_later(plan, 3),
    )  # fmt: skip
    yield _rule(
        "summaries", "call-summaries", "gemini-3.1-flash-lite", "gpt-4o-mini",
        *(("gemini-3-flash",) if number >= 20 else ()),
        title="Calls to the hotline",
        rationale="Five lines for the customer's file. The cheapest model that keeps numbers right.",
        review_by=_later(plan, 3),
    )  # fmt: skip


def _review(plan: Plan, number: int) -> Iterator[Content]:
    if number < 8:
        return
    held = {"over_budget": {"targets": _only("claude-sonnet-4.6")}} if number >= 16 else {}
    hard = "0.5" if number >= 21 else "0.2"
    yield _rule(
        "code-high", REVIEW, "claude-opus-4.7", "gpt-5.5",
        title="Changes that are hard to judge",
        when=_all(_is("task", "code"), _at_least("complexity", hard)),
        rationale="Opus finds what others miss in concurrent code. The budget was nearly used up last month, so only "
        "the harder half goes there."
        if number >= 21
        else "Opus finds what others miss in concurrent code.",
        review_by=_later(plan, 1), timeout_ms=180_000, **held,
    )  # fmt: skip
    yield _rule(
        "code-low", REVIEW, "claude-sonnet-4.6", "gemini-3.1-pro",
        title="All other changes",
        rationale="Configuration, copy and dependencies.", review_by=_later(plan, 1), timeout_ms=180_000,
    )  # fmt: skip


def _agent(plan: Plan, number: int) -> Iterator[Content]:
    if number < 7:
        return
    yield _rule(
        "agent-tools", "coding-agent", "gpt-5.5", "claude-opus-4.7",
        title="Sessions in the terminal",
        when=_all(_is("task", "tool-use"), _is("tag:feature", "terminal")),
        rationale="GPT-5.5 needs fewer steps where it runs commands itself.", review_by=_later(plan, 2),
        sticky_by="session", timeout_ms=300_000,
    )  # fmt: skip
    yield _rule(
        "agent-hard", "coding-agent", "claude-opus-4.7", "gpt-5.5",
        *(("claude-sonnet-4.6",) if number >= 20 else ()),
        title="Hard changes",
        when=_any(_is("task", "planning"), _at_least("complexity", "0.5")),
        rationale="Plans and changes over many files. A wrong plan costs more than the model.",
        review_by=_later(plan, 2), sticky_by="session", timeout_ms=300_000,
    )  # fmt: skip
    yield _rule(
        "agent", "coding-agent", "claude-sonnet-4.6", "gpt-5.4", *(("gemini-3.1-pro",) if number >= 20 else ()),
        title="Everyday changes",
        rationale="Good enough for a change in one place, at a fifth of the price.", review_by=_later(plan, 2),
        sticky_by="session", timeout_ms=300_000,
    )  # fmt: skip


def _tests(plan: Plan, number: int) -> Iterator[Content]:
    if number < 9:
        return
    yield _rule(
        "tests-simple", "test-generation", "gpt-5.4-mini", "deepseek-v4-flash",
        title="Unit tests of simple code",
        when=_all(_is("tag:feature", "unit"), _at_most("complexity", "0.7")),
        rationale="They run or they do not; a failed one is written again.", review_by=_later(plan, 4),
    )  # fmt: skip
    yield _rule(
        "tests", "test-generation", "claude-sonnet-4.6", "gpt-5.4-mini", *(("gemini-3.1-pro",) if number >= 20 else ()),
        title="All other tests",
        rationale="End-to-end tests need the whole page in view.", review_by=_later(plan, 4),
    )  # fmt: skip


def _contracts(plan: Plan, number: int) -> Iterator[Content]:
    if number < 11:
        return
    yield _rule(
        "contracts-check", "contract-analysis", "gpt-5.5", "claude-opus-4.7",
        title="Second look at privacy clauses",
        when=_all(_is("tag:feature", "privacy"), _at_least("complexity", "0.5")),
        rationale="Clauses about personal data are read by a model of another lab than the first time.",
        review_by=_later(plan, 2), timeout_ms=300_000,
    )  # fmt: skip
    yield _rule(
        "contracts-long", "contract-analysis", "gemini-3.1-pro", "claude-opus-4.7",
        title="Long contracts",
        when=_at_least("context_needed", 200_000),
        rationale="Frame contracts with all annexes; Gemini takes them in one piece.", review_by=_later(plan, 2),
        timeout_ms=300_000,
    )  # fmt: skip
    yield _rule(
        "contracts", "contract-analysis", "claude-opus-4.7", "gemini-3.1-pro",
        title="All other contracts",
        rationale="A missed clause costs more than a year of this.", review_by=_later(plan, 2), timeout_ms=300_000,
    )  # fmt: skip


def _addresses(plan: Plan, number: int) -> Iterator[Content]:
    if number < 5:
        return
    if number == 12:
        yield _rule(
            "parse", "address-parsing", "llama-4-scout", "gemini-3.1-flash-lite",
            title="All addresses",
            rationale="Addresses need not leave the house for this.", review_by=_later(plan, 1), timeout_ms=8_000,
        )  # fmt: skip
        return
    if number >= 14:
        yield _rule(
            "parse-domestic", "address-parsing", "llama-4-scout", "gemini-3.1-flash-lite",
            title="Labels of domestic parcels",
            when=_is("tag:feature", "label"),
            rationale="Our own Llama reads German labels as well as any, and addresses stay in the house.",
            review_by=plan.days[0] + timedelta(days=45), timeout_ms=8_000,
        )  # fmt: skip
    yield _rule(
        "parse", "address-parsing", "gemini-3.1-flash-lite", "gpt-4o-mini",
        *(("gemini-3-flash",) if number >= 20 else ()),
        title="All other addresses",
        rationale="Writes countries and postcodes of 40 countries the way the sorters want them.",
        review_by=_later(plan, 3), timeout_ms=8_000,
    )  # fmt: skip


def _invoices(plan: Plan, number: int) -> Iterator[Content]:
    if number < 6:
        return
    if number >= 18:
        yield _rule(
            "batch-open", BATCH, OPEN_MODEL, "gpt-5-mini", *(("deepseek-v4-flash",) if number >= 20 else ()),
            title="Invoices that depots marked for the night run",
            when=_is("batch", True),
            rationale="Nobody waits for these. Qwen on our own machines read 498 of 500 right; depots mark their "
            "invoices one after the other, so it takes over in about five weeks.",
            review_by=_later(plan, 1), timeout_ms=120_000,
        )  # fmt: skip
    yield _rule(
        "batch-default", BATCH, "gpt-5-mini", "deepseek-v4-flash",
        title="All other invoices",
        rationale="Reads scans of every supplier we have.", review_by=_later(plan, 1), timeout_ms=120_000,
    )  # fmt: skip


def _planning(plan: Plan, number: int) -> Iterator[Content]:
    if number < 10:
        return
    yield _rule(
        "planning-simple", "route-planning", "gemini-3-flash", "gpt-5-mini",
        title="Tours with few stops",
        when=_at_most("complexity", "0.1"),
        rationale="Up to 20 stops there is little to plan.", review_by=_later(plan, 3),
    )  # fmt: skip
    yield _rule(
        "planning", "route-planning", "gemini-3.1-pro", "claude-sonnet-4.6",
        title="All other tours",
        rationale="Saves about 3 km a tour against the planner of before.", review_by=_later(plan, 3),
        timeout_ms=240_000,
    )  # fmt: skip


def _copy(plan: Plan, number: int) -> Iterator[Content]:
    if number < 15:
        return
    yield _rule(
        "copy-short", "campaign-copy", "gpt-5.4-mini", "gemini-3-flash",
        title="Short texts",
        when=_at_most("complexity", "0.3"),
        rationale="Subject lines and buttons; somebody chooses from twenty.", review_by=_later(plan, 4),
    )  # fmt: skip
    yield _rule(
        "copy", "campaign-copy", "gpt-5.4", "claude-sonnet-4.6",
        title="Newsletters and landing pages",
        rationale="Keeps our tone over a whole page.", review_by=_later(plan, 4),
    )  # fmt: skip


def _search(plan: Plan, number: int) -> Iterator[Content]:
    if number < 15:
        return
    yield _rule(
        "embed", "knowledge-search", "text-embedding-3-small",
        title="Embeddings",
        when=_is("task", "embedding-rag"),
        rationale="The index is made of these: no other model can stand in, so there is no fallback.",
        review_by=_later(plan, 4), use_default=False,
    )  # fmt: skip
    yield _rule(
        "answer", "knowledge-search", "gemini-3-flash", "gpt-4o-mini",
        *(("claude-haiku-4.5",) if number >= 20 else ()),
        title="Answers from the intranet and the help centre",
        rationale="Short answers with the page that they come from.", review_by=_later(plan, 4),
    )  # fmt: skip


_RULES: tuple[Callable[[Plan, int], Iterator[Content]], ...] = (
    _support, _drafts, _summaries, _review, _agent, _tests, _contracts, _addresses, _invoices, _planning, _copy,
    _search,
)  # fmt: skip
_OWNERS = {name: owner for owned in company.TEAMS.values() for name, _, owner in owned}


def _rule(
    rule_id: str,
    use_case: str,
    model: str,
    *fallbacks: str,
    title: str,
    rationale: str,
    review_by: date,
    when: Content | None = None,
    **more: Any,
) -> Content:
    rule: Content = {"id": rule_id, "title": title, "use_cases": [use_case]}
    if when is not None:
        rule["when"] = when
    return rule | {
        "targets": _only(model),
        "fallbacks": [_offering(name) for name in fallbacks],
        "rationale": rationale,
        "owner": f"{_OWNERS[use_case]}@{company.DOMAIN}",
        "review_by": _day(review_by),
        **more,
    }


def _offering(model: str) -> str:
    return f"{model}@{story.SERVED[model].provider}"


def _only(model: str) -> list[Content]:
    return [{"offering": _offering(model), "weight": 10_000}]


def _is(field: str, value: str | bool) -> Content:
    return {"field": field, "op": "eq", "value": value}


def _at_least(field: str, value: str | int) -> Content:
    return {"field": field, "op": "gte", "value": value}


def _at_most(field: str, value: str | int) -> Content:
    return {"field": field, "op": "lte", "value": value}


def _all(*parts: Content) -> Content:
    return {"all": list(parts)}


def _any(*parts: Content) -> Content:
    return {"any": list(parts)}


def _later(plan: Plan, months: int) -> date:
    """Return a day of review: months after the present one, which is before none of them."""
    return periods.add_months(plan.months[2], months) + timedelta(days=14)


def _day(day: date) -> str:
    return day.isoformat()
