"""What stands against an offering now: asked of the evaluator that gateways run, one offering at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from routing.rules import document, evaluator
from routing.selectors import state


def against(
    offerings: Mapping[str, Mapping[str, Any]],
    *,
    context: Mapping[str, Any],
    environment: str,
    budgets: Mapping[str, str],
    at: datetime,
) -> dict[str, str | None]:
    """Return what stands against each of these offerings for a request, in words; None for nothing.

    `offerings` are as a rules document writes them; `budgets` are names by the ids that documents give them. What is
    over budget or switched off is what gateways are told. Three to five queries, however many offerings.
    """
    told = {**state.of(environment=environment, at=at), "revision": 0}
    found: dict[str, str | None] = {}
    for name, facts in offerings.items():
        alone = {
            "spec": document.SPEC, "environment": environment, "version": 0, "published_at": state.instant(at),
            "rules": [], "default": {"targets": [{"offering": name, "weight": evaluator.WHOLE}]},
            "offerings": {name: dict(facts)}, "state": told,
        }  # fmt: skip
        decision = evaluator.compile(alone).explain(context, at)
        outcomes = [step.outcome for step in decision.steps if step.subject == name]
        found[name] = named(outcomes[0], budgets) if decision.blocked and outcomes else None
    return found


def named(outcome: str, budgets: Mapping[str, str]) -> str:
    """Return the outcome of a step with budgets called by their names."""
    for known, name in budgets.items():
        outcome = outcome.replace(f"budget {known} ", f"budget {name!r} ")
    return outcome


def names_of(rows: Iterable[tuple[int, str]]) -> dict[str, str]:
    """Return budgets' names by the ids that documents give them."""
    return {f"b-{id_}": name for id_, name in rows}
