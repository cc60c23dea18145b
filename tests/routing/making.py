"""What the tests about rules need: a small catalogue, contents that work, and the way to a published version."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from catalog.models import Tier
from routing.models import Proposal, Version
from routing.services import proposals, versions
from tests import put_down
from tests.factories import NOON
from tests.usage.making import make_offering, set_price

LEAD, APPROVER, PUBLISHER = "lead@example.com", "approver@example.com", "publisher@example.com"
OPUS, MIDDLE, CHEAP = "claude-opus-4.7@anthropic", "gemini-3.1-pro@google", "deepseek-v4-flash@deepseek"
ENVIRONMENT = "production"


@put_down.once
def stock() -> None:
    """Offer a frontier, a middle and a cheap model, each with a price."""
    for name, tier, usd in ((OPUS, Tier.FRONTIER, "5"), (MIDDLE, Tier.MIDDLE, "2"), (CHEAP, Tier.ECONOMY, "0.2")):
        offering = make_offering(name, tier=tier)
        set_price(offering, "uncached_input", usd)
        set_price(offering, "output", usd)


def make_rule(rule_id: str = "code-high", **overrides: Any) -> dict[str, Any]:
    """Make a rule that sends hard code work of code-review to the frontier."""
    given: dict[str, Any] = {
        "id": rule_id,
        "use_cases": ["code-review"],
        "when": {"all": [{"field": "task", "op": "eq", "value": "code"}]},
        "targets": [{"offering": OPUS, "weight": 10000}],
        "fallbacks": [MIDDLE],
        "rationale": "the best at hard code",
        "owner": "platform",
        "review_by": "2027-02-20",
    }
    return {**given, **overrides}


def make_content(*rules: Mapping[str, Any], **overrides: Any) -> dict[str, Any]:
    """Make a content of these rules, or of one; the services fill in its offerings."""
    given: dict[str, Any] = {
        "rules": [dict(rule) for rule in rules] if rules else [make_rule()],
        "default": {"targets": [{"offering": MIDDLE, "weight": 10000}], "fallbacks": [CHEAP]},
    }
    return {**given, **overrides}


def make_draft(
    content: Mapping[str, Any] | None = None, *, title: str = "a change", by: str = LEAD, at: datetime = NOON
) -> Proposal:
    return proposals.start(
        environment=ENVIRONMENT, title=title, by=by, at=at, content=make_content() if content is None else content
    )


def make_approved(
    content: Mapping[str, Any] | None = None, *, title: str = "a change", at: datetime = NOON
) -> Proposal:
    """Make a proposal that LEAD wrote and APPROVER approved."""
    proposal = proposals.submit(proposal_id=make_draft(content, title=title, at=at).pk, by=LEAD, at=at)
    return proposals.approve(
        proposal_id=proposal.pk, sha256=bytes(proposal.sha256 or b"").hex(), by=APPROVER, at=at
    )  # fmt: skip


def make_version(content: Mapping[str, Any] | None = None, *, title: str = "a change", at: datetime = NOON) -> Version:
    """Make a version in force, all the way from a draft."""
    return versions.publish(proposal_id=make_approved(content, title=title, at=at).pk, by=PUBLISHER, at=at)
