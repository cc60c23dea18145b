"""What the company's savings are told against: the model that each use case would go to without routing."""

from __future__ import annotations

from catalog.models import Offering, UseCase
from catalog.services import baselines
from controlplane.seed import company
from controlplane.seed.story import REVIEW

USUAL = "gpt-5.5@openai"
REASON = "What the team used for everything before there were rules"
# Who writes code compared everything with what it liked best; nobody has decided for the intranet yet.
OTHERS = {REVIEW: "claude-opus-4.7@anthropic", "coding-agent": "claude-opus-4.7@anthropic"}
UNDECIDED = "knowledge-search"


def choose_baselines() -> None:
    """Choose a baseline for each use case but one. Safe to repeat: what was chosen stays."""
    names = [name for cases in company.TEAMS.values() for name, _, _ in cases if name != UNDECIDED]
    for offering in {USUAL, *OTHERS.values()}:
        baselines.choose(
            use_cases=list(UseCase.objects.filter(name__in=[n for n in names if OTHERS.get(n, USUAL) == offering])),
            offering=Offering.objects.get(name=offering),
            by=f"finance@{company.DOMAIN}",
            reason=REASON,
            only_without=True,
        )
