"""What a switch cost or saved, over REST."""

from __future__ import annotations

import pytest
from django.utils import timezone

from tests.routing.making import MIDDLE, OPUS, make_version, stock
from tests.usage import making

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def writer(api) -> object:
    stock()
    return api("write")


def test_one_switch_says_what_it_cost_with_every_digit_and_when_it_ended(writer, api):
    make_version()
    made = writer.post("switches", {"provider": "anthropic", "seconds": 600, "reason": "outage"}).json()
    making.send(
        making.make_event(
            occurred_at=timezone.now(), provider="google", model="gemini-3.1-pro", rules_version=1, rule="code-high",
            route_reason="switched_off",
        ),
        received_at=timezone.now(),
    )  # fmt: skip

    holding = api("read").get(f"switches/{made['id']}").json()
    writer.post("switches", {"provider": "anthropic", "off": False, "reason": "well again"})
    ended = writer.get(f"switches/{made['id']}").json()

    assert (holding["holds"], holding["cost"]["so_far"], holding["ended_at"]) == (True, True, made["until"])
    assert (ended["holds"], ended["cost"]["so_far"], ended["until"]) == (False, False, made["until"])
    assert ended["ended_at"] < made["until"]
    # 1100 tokens at 2 USD per million, and at 5.
    sums = {
        "requests": 1, "tokens": 1100, "cost_usd": "0.0022", "unpriced_requests": 0, "compared_requests": 1,
        "compared_usd": "0.0022", "instead_usd": "0.0055", "difference_usd": "-0.0033",
    }  # fmt: skip
    assert {name: ended["cost"][name] for name in sums} == sums
    assert ended["cost"]["moves"] == [
        sums
        | {"environment": "production", "rules_version": 1, "rule": "code-high", "instead_of": OPUS, "offering": MIDDLE}
    ]


def test_what_was_turned_on_cost_nothing_to_speak_of_and_what_moved_nothing_has_no_difference(writer):
    off = writer.post("switches", {"provider": "google", "seconds": 60, "reason": "x"}).json()
    on = writer.post("switches", {"provider": "google", "off": False, "reason": "y"}).json()

    assert writer.get(f"switches/{on['id']}").json()["cost"] is None
    assert writer.get(f"switches/{off['id']}").json()["cost"]["difference_usd"] is None


def test_a_switch_that_there_is_not_is_not_found(writer):
    assert writer.get("switches/999999").status_code == 404
    assert writer.get(f"switches/{10**30}").status_code == 404
