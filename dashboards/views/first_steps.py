"""The steps by which a fresh installation comes to show something, in the order in which they are taken."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from django.urls import reverse

from core import access
from dashboards.selectors.first_steps import FirstSteps


@dataclass(frozen=True, kw_only=True)
class Step:
    title: str
    text: str
    done: bool
    url: str  # empty: it is done, it cannot be taken yet, or not by this person
    action: str
    who: str  # who may, where this person may not
    next: bool = False  # the first that this person may take


def steps(taken: FirstSteps, *, person: Any) -> list[Step]:
    """Return every step; only what this person may do has a link."""

    def step(title: str, text: str, done: bool, page: str, action: str, may: str, *, ready: bool = True) -> Step:
        allowed = access.may(person, may)
        roles = sorted(access.ACTIONS[may].roles) if not allowed and not done else []
        return Step(
            title=title,
            text=text,
            done=done,
            url=reverse(page) if allowed and ready and not done else "",
            action=action,
            who=f"For somebody with the role {' or '.join(roles)}." if roles else "",
        )

    found = [
        step(
            "Connect a gateway", "What serves your calls gets a key and the lines to paste.",
            taken.connected, "gateway-new", "Connect a gateway", "keys.manage",
        ),
        step(
            "Send the first event", "It stands here within seconds, counted once and priced as of its time.",
            taken.used, "gateways", "See whether it is connected well", "view", ready=taken.connected,
        ),
        step(
            "Fill the price book", "The installed table has the common models; what differs at yours is typed over it.",
            taken.priced, "prices-import", "Read prices", "prices.edit",
        ),
        step(
            "Set a budget", "It says what a use case, a team or everything may use, and what happens then.",
            taken.budget, "budget-new", "New budget", "limits.approve",
        ),
        step(
            "Say where alerts go", "Slack, an e-mail list or a signed webhook, tested at once.",
            taken.channel, "channel-new", "New channel", "channels.edit",
        ),
        step(
            "Write the first rules", "Which model answers which request; gateways fetch them once they are published.",
            taken.rules, "rules", "To the rules", "rules.edit",
        ),
    ]  # fmt: skip
    following = next((one for one in found if one.url), None)
    return [replace(one, next=one is following) for one in found]
