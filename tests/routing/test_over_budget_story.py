"""From events past a budget to the rules that gateways get, by the edge, a booking, the publisher and a poll."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone

from budgets.models import Budget
from core import keys
from routing.serving.publisher import Looker
from tests.factories import make_budget, make_key
from tests.routing.making import CHEAP, MIDDLE, OPUS, make_content, make_rule, make_version, stock
from tests.usage.making import book, forget_everything

pytestmark = pytest.mark.django_db(transaction=True)

USE_CASE = "support-routing"
FRONTIER_WITH_A_WAY_OUT = make_rule(
    "support", use_cases=[USE_CASE], when=None,
    targets=[{"offering": OPUS, "weight": 10000}], fallbacks=[OPUS.replace("opus-4.7", "opus-4.6"), CHEAP],
    over_budget={"targets": [{"offering": MIDDLE, "weight": 10000}]},
)  # fmt: skip


class Gateway:
    """Sends usage and polls, as a gateway does."""

    def __init__(self) -> None:
        self._client = Client()
        self._headers = {"Authorization": f"Bearer {make_key('usage:write', 'rules:read', name='edge')}"}
        self._etag = ""

    def spends(self, *, tokens: int, event_id: str) -> None:
        event = {
            "id": event_id, "time": timezone.now().isoformat(), "use_case": USE_CASE, "model": "claude-opus-4.7",
            "provider": "anthropic", "input_tokens": tokens, "output_tokens": 0,
        }  # fmt: skip
        answer = self._client.post(
            "/api/v1/usage/events", event, content_type="application/json", headers=self._headers
        )
        assert answer.status_code == 202, answer.content

    def polls(self):
        held = {"If-None-Match": self._etag} if self._etag else {}
        answer = self._client.get("/api/v1/rules/production", headers=self._headers | held)
        if answer.status_code == 200:
            self._etag = answer["ETag"]
        return answer

    def decides(self) -> dict:
        return self._client.post(
            "/api/v1/rules/production/decide", {"context": {"use_case": USE_CASE}},
            content_type="application/json", headers=self._headers,
        ).json()  # fmt: skip


@pytest.fixture
def budget() -> Budget:
    """Allow 1000 frontier tokens this month, and downgrade beyond."""
    return make_budget(
        action="downgrade", amount=Decimal(1000), thresholds=[100], at=timezone.now() - timedelta(days=40)
    )


def test_past_the_budget_gateways_are_sent_to_the_cheaper_target_and_never_back_to_the_frontier(budget):
    keys.forget()
    forget_everything()
    stock()
    from tests.usage.making import make_priced_offering

    make_priced_offering("claude-opus-4.6@anthropic")
    make_version(make_content(FRONTIER_WITH_A_WAY_OUT, default={"targets": [{"offering": OPUS, "weight": 10000}]}))
    gateway, publisher = Gateway(), Looker()
    publisher.look(at=timezone.now())

    gateway.spends(tokens=999, event_id="below")
    book(at=timezone.now())
    published_below = publisher.look(at=timezone.now())
    below, decided_below = gateway.polls(), gateway.decides()
    gateway.spends(tokens=1, event_id="the last one")
    book(at=timezone.now())
    published_over = publisher.look(at=timezone.now())
    over, decided_over = gateway.polls(), gateway.decides()
    unchanged = gateway.polls()

    assert (published_below, published_over) == (None, 1)
    assert (below.status_code, below.json()["state"]["budgets"]) == (200, [])
    assert (decided_below["offering"], decided_below["reason"]) == (OPUS, "rule")
    assert over.status_code == 200
    [told] = over.json()["state"]["budgets"]
    assert (told["id"], told["state"], told["action"]) == (f"b-{budget.pk}", "exceeded", "downgrade")
    assert told["match"] == {"use_case": [USE_CASE], "tier": ["frontier"]}
    assert (decided_over["offering"], decided_over["reason"], decided_over["budget"]) == (
        MIDDLE, "over_budget", f"b-{budget.pk}",
    )  # fmt: skip
    assert decided_over["fallbacks"] == [CHEAP]
    assert unchanged.status_code == 304
