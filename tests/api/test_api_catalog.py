"""Use cases, teams, models and prices over REST."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.utils import timezone

from catalog.models import ClaimState, Price, UseCase
from core.models import AuditEntry
from tests.factories import make_team, make_use_case

OPUS = {"model": "claude-opus-4.7", "provider": "anthropic", "default": True}
PRICE = {
    "offering": "claude-opus-4.7",
    "meter": "output",
    "usd_per_1m": "25",
    "valid_from": "2026-04-16T00:00:00Z",
    "source": "provider's page",
}


@pytest.fixture
def writer(api):
    return api("write")


def test_a_use_case_is_made_with_its_team_and_changed(writer):
    make_team("support")

    made = writer.post("use-cases", {"name": "support-routing", "team": "Support", "owner": "lead@example.com"})
    changed = writer.patch(f"use-cases/{made.json()['id']}", {"title": "Routing of support", "reason": "clearer"})

    assert (made.status_code, made.json()["team"], made.json()["state"]) == (201, "support", "claimed")
    assert (changed.json()["title"], changed.json()["owner"]) == ("Routing of support", "lead@example.com")
    trail = AuditEntry.objects.get(table="catalog_usecase", operation="update")
    assert (trail.actor, trail.reason) == ("key:pipeline", "clearer")


def test_a_name_that_is_taken_is_a_conflict(writer):
    make_use_case("Support-Routing")

    answer = writer.post("use-cases", {"name": " support-routing "})

    assert answer.status_code == 409


def test_a_use_case_seen_first_in_an_event_waits_and_is_claimed_once(writer):
    seen = datetime(2026, 10, 1, tzinfo=UTC)
    waiting = make_use_case("new-thing", state=ClaimState.WAITING, first_seen_at=seen)
    make_team("support")

    listed = writer.get("use-cases", {"state": "waiting"}).json()["results"]
    first = writer.post(f"use-cases/{waiting.pk}/claim", {"owner": "ann@example.com", "team": "support"})
    second = writer.post(f"use-cases/{waiting.pk}/claim", {"owner": "bob@example.com"})

    assert [row["name"] for row in listed] == ["new-thing"]
    assert (first.json()["owner"], first.json()["team"]) == ("ann@example.com", "support")
    assert second.json()["owner"] == "ann@example.com"


def test_a_renamed_team_stays_known_by_its_old_name(writer):
    made = writer.post("teams", {"name": "support"}).json()

    renamed = writer.patch(f"teams/{made['id']}", {"name": "care"})

    assert (renamed.json()["name"], renamed.json()["aliases"]) == ("care", ["support"])


def test_a_model_at_a_provider_has_tier_names_and_prices_of_today(writer):
    made = writer.post("models", OPUS).json()
    writer.patch(f"models/{made['id']}", {"tier": "frontier"})
    writer.post(f"models/{made['id']}/aliases", {"name": "anthropic/Claude-Opus-4-7"})
    writer.post("prices", PRICE)
    writer.post("prices", PRICE | {"meter": "uncached_input", "usd_per_1m": "5"})
    writer.post("prices", PRICE | {"usd_per_1m": "20", "valid_from": "2099-01-01T00:00:00Z"})

    found = writer.get("models", {"model": "claude-opus-4.7"}).json()["results"][0]

    assert (found["name"], found["tier"], found["is_default"]) == ("claude-opus-4.7@anthropic", "frontier", True)
    assert found["aliases"] == ["anthropic/claude-opus-4-7"]
    assert [(each["meter"], each["usd_per_1m"]) for each in found["prices"]] == [
        ("uncached_input", "5"),
        ("output", "25"),
    ]


def test_setting_a_price_shows_what_it_means_and_names_who_set_it(writer):
    writer.post("models", OPUS)

    answer = writer.post("prices", PRICE)
    again = writer.post("prices", PRICE)

    found = answer.json()
    assert (answer.status_code, again.status_code) == (201, 200)
    assert (found["written"], again.json()["written"]) == (True, False)
    assert "1,000 output tokens cost $0.0250" in found["example"]
    assert (found["price"]["entered_by"], found["price"]["approved_by"]) == ("key:pipeline", "key:pipeline")
    assert found["price"]["valid_from"] == "2026-04-16T00:00:00Z"
    assert Price.objects.count() == 1


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"usd_per_1m": 25.5}, "#/usd_per_1m"),
        ({"usd_per_1m": "25000"}, "#/usd_per_1m"),
        ({"usd_per_1m": "-1"}, "#/usd_per_1m"),
        ({"meter": "tokens"}, "#/meter"),
        ({"currency": "EUR"}, "#/currency"),
        ({"valid_from": "2026-04-16"}, "#/valid_from"),
        ({"valid_until": "2026-04-16T00:00:00Z"}, "#/valid_until"),
        ({"source": ""}, "#/source"),
        ({"provider": "openai"}, "#/provider"),
    ],
)
def test_a_price_that_cannot_be_is_refused_by_field(writer, changes, pointer):
    writer.post("models", OPUS)

    answer = writer.post("prices", PRICE | changes)

    assert answer.status_code == 422
    assert pointer in {each["pointer"] for each in answer.json()["errors"]}
    assert not Price.objects.exists()


def test_a_price_for_what_nobody_knows_is_404(writer):
    assert writer.post("prices", PRICE | {"offering": "no-such@nobody"}).status_code == 404


def test_the_price_book_is_what_is_held_true_now_and_can_be_asked_for_an_instant(writer):
    writer.post("models", OPUS)
    writer.post("prices", PRICE)
    writer.post("prices", PRICE | {"usd_per_1m": "30", "valid_from": "2026-06-01T00:00:00Z"})

    book = writer.get("prices", {"offering": "claude-opus-4.7@anthropic"}).json()["results"]
    in_may = writer.get("prices", {"at": "2026-05-01T00:00:00Z", "meter": "output"}).json()["results"]

    assert {(each["usd_per_1m"], each["valid_until"]) for each in book} == {
        ("25", "2026-06-01T00:00:00Z"),
        ("30", None),
    }
    assert [each["usd_per_1m"] for each in in_may] == ["25"]


@pytest.mark.parametrize("things", ["use-cases", "teams"])
def test_lists_come_in_pages_in_a_fixed_number_of_queries(writer, django_assert_max_num_queries, things):
    for number in range(5):
        writer.post(things, {"name": f"thing {number}"})

    seen, path = [], f"{things}?limit=2"
    while path:
        with django_assert_max_num_queries(5):
            page = writer.get(path).json()
        seen += [row["name"] for row in page["results"]]
        path = page["next"] and page["next"].partition("/api/v1/")[2]

    assert seen == ["unassigned", *(f"thing {number}" for number in range(5))]


@pytest.mark.parametrize("path", ["use-cases/999999", "teams/999999", "models/999999"])
def test_what_is_not_there_is_404_to_read_and_to_change(writer, path):
    assert writer.get(path).status_code == 404
    assert writer.patch(path, {}).status_code == 404


def test_a_tier_from_before_now_may_be_set_as_of_then(writer):
    made = writer.post("models", OPUS).json()

    writer.patch(f"models/{made['id']}", {"tier": "frontier", "tier_since": "2026-04-16T00:00:00Z"})
    found = writer.patch(f"models/{made['id']}", {"tier": "middle"}).json()

    assert found["tier"] == "middle"
    assert UseCase.objects.count() == 1
    assert timezone.now().year >= 2026
