"""The Python client against Tollkeeper itself: rules published here decide there, and what was used comes back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from tollkeeper_client import Tollkeeper, __version__, event_of

from routing.models import GatewayPoll
from routing.serving.shelf import SHELF
from tests.factories import make_key
from tests.routing.making import ENVIRONMENT, make_version, stock
from tests.usage.making import book
from usage.models import LedgerEntry

CONTEXT = {"use_case": "code-review", "task": "code", "session": "s-1"}


@pytest.mark.django_db(transaction=True)
def test_rules_come_usage_goes_back_with_the_rule_and_the_fleet_is_seen(live_server, tmp_path):
    stock()
    client = Tollkeeper(live_server.url, make_key("rules:read", "usage:write"), ENVIRONMENT, tmp_path, "web-1")
    before = client.refresh(60), client.status().error
    version = make_version()

    assert client.refresh(60)
    assert client.refresh(60)  # 304
    decision = client.decide(CONTEXT)
    for _ in range(2):  # sent again it counts once
        client.report(event_of(decision, CONTEXT, id="call-1", usage={"prompt_tokens": 1000, "completion_tokens": 10}))
    client.report({"id": "no", "model": "gpt-5.5", "input_tokens": -1})
    assert client.flush(60)
    book(at=timezone.now() + timedelta(seconds=2))

    entry = LedgerEntry.objects.get()
    assert before == (False, "no rules are in force in production yet")
    assert client.status().active == f"{version.number}.{decision.revision}"
    assert (entry.use_case.name, entry.rules_version, entry.rule) == ("code-review", version.number, "code-high")
    assert (entry.uncached_input_tokens, entry.cost_usd > 0) == (1000, True)
    assert (client.status().sent, client.status().refused) == (2, 1)
    assert "input_tokens" in client.status().last_refusal
    SHELF.polls.write(now=timezone.now().timestamp())
    poll = GatewayPoll.objects.get()
    assert (poll.instance, poll.client, poll.spec) == ("web-1", f"tollkeeper-python/{__version__}", 1)
    assert poll.version == version.number
    client.close()
