"""A step that somebody takes on a draft, and what the pages of a draft share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpRequest
from django.utils import timezone

from core import access
from routing.models import Proposal
from routing.selectors import proposals
from routing.selectors.proposals import ProposalDetail
from routing.services import proposals as service

ID_CHARACTERS = 64
MOST_RULES = 500


@dataclass(frozen=True, kw_only=True)
class Step:
    """What was sent for a step. `saves` is the count of saves that the page showed; -1 where it said none."""

    request: HttpRequest
    found: ProposalDetail
    saves: int
    data: dict[str, Any]

    @property
    def by(self) -> str:
        return access.label(self.request.user)

    @property
    def id(self) -> int:
        return self.found.row.id

    def save(self, content: dict[str, Any] | None = None, title: str | None = None) -> Proposal:
        return service.save(
            proposal_id=self.id, saves=self.saves, by=self.by, at=timezone.now(), content=content, title=title
        )

    def seen(self) -> None:
        """Refuse what was sent from a page that is behind, before its content is worked on.

        Raises:
            SavedByAnother
        """
        if self.saves != self.found.row.saves:
            self.save()


def found_proposal(environment: str, pk: int) -> ProposalDetail:
    """Return a proposal of an environment.

    Raises:
        Http404
    """
    found = proposals.one(proposal_id=pk, at=timezone.now(), environment=environment)
    if found is None:
        raise Http404("There is no such draft.")
    return found


def limit_words(pointer: str, text: str) -> str:
    """Say what the schema says of the rules as a whole, in words for people."""
    if pointer == "/rules":
        return f"A set of rules holds at most {MOST_RULES} rules."
    return text if text.endswith(".") else f"{text[:1].upper()}{text[1:]}."
