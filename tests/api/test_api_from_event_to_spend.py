"""The whole way: what a gateway sends is what finance sees, to the last decimal."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from core import periods
from core.models import Organisation
from tests.factories import make_team
from usage.selectors import spend
from usage.selectors.spend import SpendAsk
from usage.services import booking

MODEL = "claude-opus-4.7"


@pytest.fixture
def priced(api):
    writer = api("write", name="finance")
    made = writer.post("models", {"model": MODEL, "provider": "anthropic", "default": True}).json()
    writer.patch(f"models/{made['id']}", {"tier": "frontier", "tier_since": "2026-01-01T00:00:00Z"})
    for meter, usd in (("uncached_input", "5"), ("cache_read", "0.5"), ("output", "25.0000000001")):
        price = {
            "offering": MODEL,
            "meter": meter,
            "usd_per_1m": usd,
            "valid_from": "2026-01-01T00:00:00Z",
            "source": "x",
        }
        assert writer.post("prices", price).status_code == 201
    return writer


def event(number: int, at: datetime, **given: object) -> dict[str, object]:
    return {
        "id": f"e-{number}",
        "time": at.isoformat(),
        "use_case": "support-routing",
        "model": MODEL,
        "input_tokens": 1200,
        "cache_read_input_tokens": 200,
        "output_tokens": 85,
    } | given


def book_all() -> None:
    while booking.book_pending(at=timezone.now()):
        pass


@pytest.mark.django_db(transaction=True)
def test_an_event_sent_twice_is_in_spend_once_priced_to_the_last_decimal(api, priced):
    sender = api("usage:write", name="edge")
    at = timezone.now()

    first = sender.post("usage/events", event(1, at))
    book_all()
    again = sender.post("usage/events", event(1, at))
    book_all()

    assert (first.status_code, again.status_code) == (202, 202)
    found = priced.get("spend", {"group_by": "use_case,model,tier", "from": _today(), "to": _tomorrow()}).json()
    assert [(row["use_case"], row["model"], row["tier"]) for row in found["rows"]] == [
        ("support-routing", MODEL, "frontier")
    ]
    # 1000 uncached at 5, 200 from the cache at 0.5, 85 out at 25.0000000001 USD per million
    assert found["total"]["cost_usd"] == "0.0072250000000085"
    assert (found["total"]["requests"], found["priced_share"]) == (1, "1")


@pytest.mark.django_db(transaction=True)
def test_what_was_booked_is_the_same_from_rollups_and_from_the_ledger(api, priced):
    Organisation.objects.update(zone="Asia/Kathmandu", declared_tags=["cost_centre"])
    make_team("support")
    sender = api("usage:write", name="edge")
    now = timezone.now()
    events = [
        event(
            number,
            now - timedelta(hours=7 * number),
            model=MODEL if number % 5 else "nobody-priced-this",
            team="support" if number % 2 else "",
            status="ok" if number % 7 else "error",
            tags={"cost_centre": "4711"} if number % 3 else {},
            rule_id="code-high" if number % 4 else "",
        )
        for number in range(40)
    ]

    answer = sender.post("usage/events", events)
    book_all()

    assert answer.json()["accepted"] == 40
    today = periods.local_day(now, "Asia/Kathmandu")
    ask = SpendAsk(
        starts_at=periods.day_start(today - timedelta(days=20), "Asia/Kathmandu"),
        ends_at=periods.day_start(today + timedelta(days=1), "Asia/Kathmandu"),
        zone="Asia/Kathmandu",
    )
    for group_by in ((), ("day", "team", "model"), ("hour",), ("rule", "status"), ("use_case", "gateway", "tier")):
        asked = replace(ask, group_by=group_by)
        assert spend.spend(ask=asked) == spend.ledger_spend(ask=asked), group_by
    assert spend.spend(ask=ask).total.requests == 40

    by_tag = replace(ask, group_by=("tag:cost_centre",))
    rolled_up, from_ledger = spend.spend(ask=by_tag), spend.ledger_spend(ask=by_tag)
    assert [(row.keys, row.sums.requests, row.sums.cost_usd) for row in rolled_up.rows] == [
        (row.keys, row.sums.requests, row.sums.cost_usd) for row in from_ledger.rows
    ]


def _today() -> str:
    return (timezone.now() - timedelta(days=1)).date().isoformat()


def _tomorrow() -> str:
    return (timezone.now() + timedelta(days=1)).date().isoformat()
