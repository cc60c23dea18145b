"""What waits for a person, and what gateways reported, as programs read it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from tests.factories import make_key
from tests.usage.making import NOON, make_event, make_offering, make_priced_offering, send

pytestmark = pytest.mark.django_db


def get(client, path):
    return client.get(f"/api/v1/{path}", headers={"Authorization": f"Bearer {make_key('read', name=path)}"})


def test_lists_come_with_their_counts_and_why_something_has_no_price(client):
    make_offering("half@openai", tier=None, uncached_input="5")
    send(make_event(model="half"), make_event(model="Who Knows", use_case="new one", team="new team"))
    send(make_event(model="half", uncached_input_tokens=0, output_tokens=0, status="usage_missing", counted=False))

    answer = get(client, "attention").json()

    assert answer["counts"] == {
        "unpriced": 2, "uncounted": 0, "names": 1, "unclassified": 2, "use_cases": 2, "teams": 1,
    }  # fmt: skip
    lines = {line["offering"]: line for line in answer["unpriced"]}
    assert lines["half@openai"]["reasons"] == [
        {"code": "meter_without_price", "meters": ["output"], "service_tier": ""},
        {"code": "not_counted", "meters": [], "service_tier": ""},
    ]
    assert lines["half@openai"]["uncounted_requests"] == 1
    assert lines["who-knows@openai"]["first_day"] == "2026-06-15"
    (name,) = answer["names"]
    assert (name["offering"], name["reported_names"], name["gateways"]) == (
        "who-knows@openai", ["openai/Who Knows"], []  # sums are of the last 30 days, and this was long ago
    )  # fmt: skip
    assert {line["name"] for line in answer["use_cases"]} == {"new one", "support-routing"}
    assert [line["name"] for line in answer["teams"]] == ["new team"]
    assert len(get(client, "attention?limit=1").json()["unpriced"]) == 1


def test_reported_costs_are_compared_over_half_open_days(client):
    make_priced_offering()
    send(
        make_event(uncached_input_tokens=1_000_000, output_tokens=0, reported_cost_usd=Decimal(4)),
        make_event(
            uncached_input_tokens=1_000_000, output_tokens=0, reported_cost_usd=Decimal(5),
            occurred_at=NOON - timedelta(days=1),
        ),
    )  # fmt: skip

    answer = get(client, "reported-costs?from=2026-06-14&to=2026-06-16").json()
    apart = get(client, "reported-costs?from=2026-06-14&to=2026-06-16&apart=true").json()
    until = get(client, "reported-costs?from=2026-06-14&to=2026-06-15").json()

    assert answer["rows"][0] == {
        "offering": "gpt-5.5@openai", "day": "2026-06-15", "cost_usd": "5", "reported_cost_usd": "4",
        "difference_usd": "1", "apart": True,
    }  # fmt: skip
    assert (answer["from"], answer["to"], answer["found"], answer["apart"]) == ("2026-06-14", "2026-06-16", 2, 1)
    assert answer["total"] == {"cost_usd": "10", "reported_cost_usd": "9", "difference_usd": "1", "apart": True}
    assert ([row["day"] for row in apart["rows"]], apart["found"]) == (["2026-06-15"], 1)
    assert [row["day"] for row in until["rows"]] == ["2026-06-14"]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("from=x", "from"), ("to=2026-02-30", "to"), ("from=2026-06-14&to=2026-06-14", "to"),
        ("from=2024-01-01&to=2026-01-01", "from"), ("limit=0", "limit"), ("apart=maybe", "apart"), ("day=1", "day"),
        ("to=0001-01-01", "to"), ("from=0001-01-01", "from"), ("to=9999-12-31", "to"),
    ],
)  # fmt: skip
def test_days_that_cannot_be_are_refused_by_name(client, query, parameter):
    answer = get(client, f"reported-costs?{query}")

    assert answer.status_code == 400
    assert parameter in {each["parameter"] for each in answer.json()["errors"]}
