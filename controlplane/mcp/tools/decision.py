"""`explain_decision`: what the rules do with a request and why, or what they did with one that was booked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import AwareDatetime, Field

from budgets.models import Budget
from controlplane.mcp import asking, names, standing
from controlplane.mcp.asking import Gives, Takes, Tool, demand, instant, written
from core.access import Caller
from core.errors import Invalid, NotFound
from routing.rules import evaluator
from routing.rules.evaluator import Decision
from routing.selectors import deciding
from usage.selectors import booked
from usage.selectors.booked import Booked
from usage.services.once import digest_of

_ELSEWHERE = "other use cases"  # the evaluator's word for a rule that names others; there may be hundreds
_TAKEN = {
    evaluator.TARGETS: "one of its targets",
    evaluator.INSTEAD: "what it has for when a budget is used up",
    evaluator.FALLBACKS: "one of its fallbacks",
    evaluator.DEFAULT_TARGETS: "a target of the default",
    evaluator.DEFAULT_FALLBACKS: "a fallback of the default",
}


class ExplainDecision(Takes):
    context: dict[str, Any] | None = Field(
        default=None,
        description="The request, such as {'use_case': 'code-review', 'task': 'code', 'complexity': 0.8}. Rules may "
        "also read team, user_tier, input_tokens, modalities, data_class, region, tags, session and more. A `text` is "
        "read to label the request and is not kept.",
    )
    event_id: str | None = Field(
        default=None,
        description="Instead of a context: the id of a call that a gateway reported in the last 36 days.",
    )
    environment: str | None = Field(
        default=None, description="Whose rules; the key's own environment, if not given. Not needed with event_id."
    )
    at: AwareDatetime | None = Field(
        default=None,
        description="The instant to decide at, RFC 3339: rules may hold for some time only. Now, if not given. Budgets "
        "and switches are those of now.",
    )


class StepGiven(Gives):
    subject: str = Field(description="What was looked at: a rule, an offering, a label.")
    outcome: str


class DecisionGiven(Gives):
    offering: str | None = Field(description="Where the request goes (model@provider); null: it is blocked.")
    blocked: bool
    why: str = Field(description="The decision in a sentence.")
    rule: str | None = Field(description="Id of the first rule that matches; null: none does.")
    reason: str = Field(description=f"One of {', '.join(evaluator.REASONS)}.")
    taken_from: str | None
    fallbacks: list[str] = Field(description="To try next, in this order.")
    params: dict[str, Any] = Field(description="Settings by provider.")
    timeout_ms: int | None
    version: int = Field(description="Of the rules.")
    revision: int = Field(description="Of the state: which budgets are used up and what is switched off.")
    task: str | None = Field(description="As the request says it, or as its text was labelled.")
    complexity: str | None
    steps: list[StepGiven] = Field(description="What was looked at on the way, in order.")
    passed_over: int = Field(description="Rules of other use cases that were passed over; they are not in the steps.")


class BookedGiven(Gives):
    event_id: str
    gateway: str
    environment: str
    occurred_at: str
    use_case: str
    team: str
    requested_model: str
    offering: str = Field(description="What served it.")
    tier: str
    status: str
    input_tokens: int
    output_tokens: int
    cost_usd: str | None = Field(description="USD, as first booked; null: unpriced.")
    latency_ms: int | None
    rules_version: int | None = Field(description="Which the gateway decided by, by its own word; null: it named none.")
    state_revision: int | None
    rule: str | None
    reason: str | None
    fallback_index: int = Field(description="0: the first choice answered; more: so many fallbacks on.")
    same: bool | None = Field(
        description="Whether these rules, read again, send the same request where it went; null: cannot be told."
    )
    note: str


class Explained(Gives):
    environment: str
    decision: DecisionGiven | None = Field(description="Null where a booked call cannot be decided again.")
    booked: BookedGiven | None = Field(description="Of a call that was asked for by its id.")


def explain(asked: ExplainDecision, caller: Caller, at: datetime) -> Explained:
    """Four queries, five for an event that named no state; two more for rules and state not asked for lately."""
    if (asked.context is None) == (asked.event_id is None):
        raise Invalid("Give either a context or an event_id.")
    if asked.event_id is not None:
        if asked.at is not None:
            raise Invalid("`at` goes with a context: an event is decided at its own time.")
        demand(caller, "view")
        return _of_event(asked.event_id)
    environment = names.environment(asked.environment, caller)
    context = asking.as_rules_read(asked.context)
    decision = deciding.live(environment=environment, context=context, at=asked.at or at)
    return Explained(environment=environment, decision=given(decision, _budgets()), booked=None)


def _of_event(event_id: str) -> Explained:
    found = booked.by_digest(digest=digest_of(event_id))
    if not found:
        raise NotFound(
            f"No counted call has the id {event_id!r}. Ids are those that gateways gave; they are known for 36 days."
        )
    one = found[0]
    others = f" {len(found) - 1} more calls of other gateways have this id." if len(found) > 1 else ""
    decision, note = _again(one)
    same = None
    if decision is not None:
        same, note = _compared(one, decision)
    return Explained(
        environment=one.environment,
        decision=None if decision is None else given(decision, _budgets()),
        booked=_booked(one, same, note + others),
    )


def _compared(one: Booked, decision: Decision) -> tuple[bool | None, str]:
    """Say whether rules that were read again send a call where it went, and what it means where they do not."""
    if decision.offering == one.offering:
        return True, "By the rules that the gateway named."
    if one.rule and one.rule != decision.rule:
        return None, (
            f"By the gateway's word the rule {one.rule} took it; by what it reported of the request, "
            f"{decision.rule or 'the default'} would. It reported too little to tell, or did not go by the rules."
        )
    if one.fallback_index or one.offering in decision.fallbacks:
        return False, "It went to a fallback: what the rules name first did not answer."
    return False, (
        "These rules, read again, send such a request elsewhere. What decides a split (a session, say) may not have "
        "been reported, or the gateway did not go by the rules."
    )


def _again(one: Booked) -> tuple[Decision | None, str]:
    """Decide a booked call again, by the rules that its gateway named, or say why that cannot be.

    Held to the state that it named, else to that of the time.
    """
    if not one.rules_version:
        return None, "The gateway named no rules that it decided by, so nothing can be said of why."
    # What an event says outside its context is part of the request, too; its input was counted, and not estimated.
    said = {
        "use_case": one.use_case, "team": one.team, "gateway": one.gateway, "session": one.sticky_key or None,
        "tags": dict(one.tags), "input_tokens": one.input_tokens or None,
    }  # fmt: skip
    try:
        decision = deciding.past(
            environment=one.environment, number=one.rules_version, revision=one.state_revision or None,
            context={**said, **(one.context or {})}, at=one.occurred_at,
        )  # fmt: skip
    except deciding.NoVersion:
        return None, f"The gateway names version {one.rules_version}, which was never published here."
    except Invalid:
        return None, "What the gateway reported of the request cannot be read by rules."
    return decision, ""


def given(decision: Decision, budgets: Mapping[str, str], *, stepwise: bool = True) -> DecisionGiven:
    """Return a decision as tools tell it, budgets by their names; without its steps where nobody asked for them."""
    steps = [step for step in decision.steps if step.outcome != _ELSEWHERE]
    return DecisionGiven(
        offering=decision.offering,
        blocked=decision.blocked,
        why=_why(decision, budgets),
        rule=decision.rule,
        reason=decision.reason,
        taken_from=decision.taken_from,
        fallbacks=list(decision.fallbacks),
        params=dict(decision.params),
        timeout_ms=decision.timeout_ms,
        version=decision.version,
        revision=decision.revision,
        task=decision.task,
        complexity=decision.complexity,
        steps=[
            StepGiven(subject=step.subject, outcome=standing.named(step.outcome, budgets))
            for step in (steps if stepwise else ())
        ],
        passed_over=len(decision.steps) - len(steps),
    )


def _why(decision: Decision, budgets: Mapping[str, str]) -> str:
    matched = f"Rule {decision.rule} is the first that matches" if decision.rule else "No rule matches"
    budget = f"the budget {budgets.get(decision.budget or '', decision.budget)!r} is used up"
    taken = f"so {decision.offering}, {_TAKEN.get(decision.taken_from or '', 'what is left')}, takes its place"
    if decision.reason == evaluator.BUDGET_BLOCKS:
        return f"{matched}. Blocked: {budget}, and it blocks."
    if decision.reason == evaluator.NOTHING_LEFT:
        return f"{matched}. Blocked: all that is left is switched off or over budget."
    if decision.reason == evaluator.OVER_BUDGET:
        return f"{matched}. What comes first is over budget ({budget}), {taken}."
    if decision.reason == evaluator.SWITCHED_OFF:
        return f"{matched}. What comes first is switched off, {taken}."
    return f"{matched}, so it goes to {decision.offering}, {_TAKEN.get(decision.taken_from or '', 'what is left')}."


def _budgets() -> dict[str, str]:
    return standing.names_of(Budget.objects.values_list("id", "name"))


def _booked(one: Booked, same: bool | None, note: str) -> BookedGiven:
    return BookedGiven(
        event_id=one.event_id,
        gateway=one.gateway,
        environment=one.environment,
        occurred_at=instant(one.occurred_at) or "",
        use_case=one.use_case,
        team=one.team,
        requested_model=one.requested_model,
        offering=one.offering,
        tier=one.tier,
        status=one.status,
        input_tokens=one.input_tokens,
        output_tokens=one.output_tokens,
        cost_usd=written(one.cost_usd),
        latency_ms=one.latency_ms,
        rules_version=one.rules_version or None,
        state_revision=one.state_revision or None,
        rule=one.rule or None,
        reason=one.reason or None,
        fallback_index=one.fallback_index,
        same=same,
        note=note,
    )


TOOL = Tool(
    name="explain_decision",
    title="Explain a routing decision",
    description=(
        "What the routing rules in force do with a request, and why: the rule that matches, where the request goes, "
        "the fallbacks, and every step that was looked at. Or, by the id of a call that a gateway reported, what "
        "served it, what it cost in USD, and what the rules of that time say of it. Nothing is sent and nothing kept."
    ),
    action="rules.read",
    takes=ExplainDecision,
    gives=Explained,
    answer=explain,
)
