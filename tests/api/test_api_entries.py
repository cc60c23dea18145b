"""GET entries and GET events/{id}: what is behind a sum, line by line, and all that is known of one event."""

from __future__ import annotations

import random
from datetime import timedelta
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.factories import make_budget
from tests.usage.making import DAY, NOON, make_event, make_priced_offering, send
from usage.models import EventKey, LedgerEntry

pytestmark = pytest.mark.django_db
JUNE = {"from": "2026-06-01", "to": "2026-07-01"}


def book_some(count: int = 40) -> None:
    make_priced_offering()
    chance = random.Random(3)
    send(
        *(
            make_event(
                occurred_at=NOON - timedelta(minutes=chance.randrange(6000)),
                use_case=chance.choice(["alpha", "beta"]),
                status=chance.choice(["ok", "ok", "error"]),
                output_tokens=chance.randrange(999),
            )
            for _ in range(count)
        )
    )


def every(reader, query):
    rows, pages = [], 0
    answer = reader.get("entries", query)
    while True:
        assert answer.status_code == 200, answer.content
        page = answer.json()
        rows += page["results"]
        pages += 1
        if page["next"] is None:
            return rows, pages
        answer = reader.get("entries", parse_qs(urlsplit(page["next"]).query))


def test_the_pages_hold_every_entry_once_and_add_up_to_what_spend_says_of_the_same_filters(api):
    book_some()
    reader = api("read")

    for only in ({}, {"use_case": "alpha"}, {"status": "error", "use_case": "beta"}):
        rows, pages = every(reader, {**JUNE, **only, "limit": 7})
        total = reader.get("spend", {**JUNE, **only}).json()["total"]

        assert sum(Decimal(row["cost_usd"]) for row in rows) == Decimal(total["cost_usd"]) > 0
        assert sum(row["requests"] for row in rows) == total["requests"] == len({row["event_id"] for row in rows})
        assert pages == -(-len(rows) // 7)
        assert [row["booked_at"] for row in rows] == sorted((row["booked_at"] for row in rows), reverse=True)


def test_an_entry_says_all_in_exact_words(api):
    make_priced_offering()
    send(make_event(event_id="one", rule="code-high", rules_version=42, tags={"env": "prod"}, latency_ms=910))

    (row,) = api("read").get("entries", {**JUNE, "tag:env": "prod", "slower_than_ms": 900}).json()["results"]

    assert (row["cost_usd"], row["input_tokens"], row["output_tokens"]) == ("0.008", 1000, 100)
    assert (row["booked_at"], row["event_id"], row["gateway"]) == ("2026-06-15T12:00:00Z", "one", "edge")
    assert (row["rule"], row["rules_version"], row["tags"], row["latency_ms"]) == (
        "code-high",
        42,
        {"env": "prod"},
        910,
    )


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"after": "nonsense"}, 400),
        ({"after": "WyIwMDAxLTAxLTAxVDAwOjAwOjAwKzIzOjU5IiwxLDFd"}, 400),
        ({"after": "WyIyMDI2LTA2LTE1VDEyOjAwOjAwWiIsLTEsMV0"}, 400),
        ({"modle": "x"}, 400),
        ({"limit": 501}, 400),
        ({"min_cost_usd": "much"}, 400),
        ({"kind": "refund"}, 400),
        ({"from": "yesterday"}, 400),
        ({"use_case": "nobody"}, 422),
        ({"kind": "reversal", "unpriced": "true"}, 422),
        ({"from": "2026-06-02", "to": "2026-06-01"}, 422),
    ],
)
def test_what_means_nothing_is_refused_and_says_where(api, query, status):
    answer = api("read").get("entries", query)

    assert answer.status_code == status, answer.content
    assert answer.json()["errors"]


def test_a_key_that_may_only_send_sees_no_entry_and_no_event(api):
    make_priced_offering()
    send(make_event(event_id="one"))
    sender = api("usage:write", name="sender")

    assert sender.get("entries").status_code == 403
    assert sender.get("events/one").status_code == 403


def test_an_event_comes_with_its_lines_and_parts_that_add_up_and_the_budgets_that_count_it(api):
    make_priced_offering()
    make_budget(unit="usd", amount=Decimal(1000), scope={}, name="everything")
    send(make_event(event_id="call/7", call_group="c"), make_event(event_id="other", call_group="c", fallback_index=1))

    (told,) = api("read").get("events/call/7").json()["results"]

    assert (told["id"], told["cost_usd"], told["counts"], told["summed"]) == ("call/7", "0.008", True, True)
    assert sum(Decimal(part["amount_usd"]) for part in told["parts"]) == Decimal("0.008")
    assert {part["price"]["approved_by"] for part in told["parts"]} == {"finance@example.com"}
    assert [line["running_usd"] for line in told["lines"]] == ["0.008"]
    assert [one["event_id"] for one in told["attempts"]] == ["other"]
    assert [(one["name"], one["counts"]) for one in told["budgets"]] == [("everything", "0.008")]


def test_an_id_of_two_gateways_shows_both_and_a_forgotten_one_is_found_by_use_case_and_day(api):
    make_priced_offering()
    send(make_event(event_id="same"))
    send(make_event(event_id="same"), gateway="batch")
    reader = api("read")

    both = reader.get("events/same").json()["results"]
    one = reader.get("events/same", {"gateway": "batch"}).json()["results"]
    EventKey.objects.all().delete()
    forgotten = reader.get("events/same")
    day = {"use_case": "Support-Routing", "day": NOON.date().isoformat()}
    found = reader.get("events/same", day).json()["results"]
    elsewhen = reader.get("events/same", {**day, "day": (NOON - DAY).date().isoformat()})

    assert [each["gateway"] for each in both] == ["edge", "batch"]
    assert [each["gateway"] for each in one] == ["batch"]
    assert (forgotten.status_code, elsewhen.status_code) == (404, 404)
    assert "36 days" in forgotten.json()["detail"]
    assert [each["gateway"] for each in found] == ["edge", "batch"]
    assert LedgerEntry.objects.count() == 2
    assert reader.get("events/same", {"use_case": "nobody", "day": "2026-06-15"}).status_code == 404
    assert reader.get("events/other", {"use_case": "support-routing", "day": "0001-01-01"}).status_code == 400
