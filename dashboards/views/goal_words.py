"""How a share stands to the organisation's goals, said and coloured alike on every page."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from core.models import Organisation
from dashboards.templatetags.figures import exact


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What the goal is, and whether a share meets it; `state` and `tone` are empty where there is no share."""

    goal: str
    met: bool | None

    @property
    def state(self) -> str:
        return "" if self.met is None else "met" if self.met else "missed"

    @property
    def tone(self) -> str:
        return "" if self.met is None else "good" if self.met else "bad"

    @property
    def note(self) -> str:
        return f"the goal is {self.goal}, {self.state}" if self.state else f"the goal is {self.goal}"


def on_frontier(share: Decimal | None, organisation: Organisation) -> Standing:
    """Judge a share on the frontier: less than the goal begins with is no fault, more than it ends with is."""
    low, high = organisation.frontier_goal_from_percent, organisation.frontier_goal_percent
    return Standing(goal=f"{exact(low)} to {exact(high)} %", met=None if share is None else share * 100 <= high)


def on_open_weights(share: Decimal | None, organisation: Organisation) -> Standing:
    least = organisation.open_weights_goal_percent
    return Standing(goal=f"{exact(least)} % or more", met=None if share is None else share * 100 >= least)
