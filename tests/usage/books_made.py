"""Books in which everything happened: prices with odd digits, a contract, caches, corrections, a closed month.

Two months, June and July 2026, in the organisation's zone. June is closed; July runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random

from django.db import transaction

from catalog.models import Offering, Provider
from catalog.services import contracts, offerings
from core.models import Job, Organisation
from tests.usage.making import (
    LONG_AGO,
    forget_everything,
    make_event,
    make_offering,
    make_priced_offering,
    send,
    set_price,
)
from usage.events import Event
from usage.services import jobs, months
from usage.services.restating import running

JUNE, JULY = date(2026, 6, 1), date(2026, 7, 1)
FIRST, LAST = datetime(2026, 5, 30, tzinfo=UTC), datetime(2026, 7, 9, tzinfo=UTC)
CLOSED_AT = datetime(2026, 7, 3, 9, tzinfo=UTC)
NOW = datetime(2026, 7, 9, 12, tzinfo=UTC)
UNKNOWN = "mystery@openai"
_MODELS = (
    ("openai", "gpt-5.5"), ("anthropic", "claude-sonnet-4.6"), ("deepseek", "deepseek-v4-flash"), ("openai", "mystery"),
)  # fmt: skip


@contextmanager
def taken_back() -> Iterator[None]:
    """Leave nothing of what is done inside; services may be the outermost there, as in a test."""
    block = transaction.atomic()
    block._from_testcase = True  # type: ignore[attr-defined]
    with block:
        yield
        transaction.set_rollback(True)
    forget_everything()


def make_books(*, seed: int = 7, calls: int = 40, zone: str = "Europe/Berlin") -> None:
    """Book calls of both months, close June, and correct what was booked; every call has an id by its number."""
    chance = Random(seed)
    Organisation.objects.filter(pk=1).update(zone=zone, declared_tags=["env"])
    forget_everything()
    _catalogue(chance)
    early = [_call(chance, number, FIRST, CLOSED_AT) for number in range(calls)]
    _send(early, CLOSED_AT - timedelta(hours=1))
    months.close_month(label=JUNE, by="finance@example.com", at=CLOSED_AT, reason="invoiced")
    late = [_call(chance, number, FIRST + timedelta(days=8), LAST) for number in range(calls, 2 * calls)]
    void = [
        make_event(event_id=f"void-{event.event_id}", occurred_at=event.occurred_at, voids=event.event_id)
        for event in chance.sample(early, 2)
    ]
    _send([*late, *void], NOW - timedelta(hours=3))
    _correct(chance)


def _catalogue(chance: Random) -> None:
    make_priced_offering()
    sonnet = make_offering(
        "claude-sonnet-4.6@anthropic", tier=None, uncached_input=f"3.{chance.randrange(10**10):010}", cache_read="0.3",
        cache_write_5m="3.75", output="15", web_searches="10000",
    )  # fmt: skip
    make_offering("deepseek-v4-flash@deepseek", tier=None, uncached_input="0.15", output="0.6000000001", requests="7")
    make_offering(UNKNOWN, tier=None)
    contracts.set_terms(
        name="frame", discount_percent=Decimal(f"{chance.randrange(1, 999_999)}e-4"), valid_from=LONG_AGO,
        provider=Provider.objects.get(name=sonnet.provider.name), by="buyer", approved_by="cfo", at=LONG_AGO,
    )  # fmt: skip


def _call(chance: Random, number: int, starts_at: datetime, ends_at: datetime) -> Event:
    provider, model = chance.choice(_MODELS)
    status = chance.choice(["ok"] * 6 + ["error", "blocked", "cache_hit", "usage_missing"])
    counted = status != "usage_missing"
    used = {
        name: chance.choice([0, chance.randrange(1, 10**6)]) if counted else 0
        for name in ("uncached_input_tokens", "cache_read_tokens", "output_tokens")
    }
    if provider == "anthropic" and counted:
        used |= {"cache_write_5m_tokens": chance.randrange(3), "web_searches": chance.randrange(2)}
    elif provider == "deepseek":
        used["cache_read_tokens"] = 0  # of which no price is known there
    return make_event(
        event_id=f"call-{number}",
        occurred_at=starts_at + (ends_at - starts_at) * chance.random(),
        provider=provider,
        model=model,
        use_case=chance.choice(["support-routing", "=code-review", "Übersetzung", ""]),
        team=chance.choice(["support", "", "platform"]),
        status=status,
        counted=counted,
        rule=chance.choice(["", "code-high"]),
        tags=chance.choice([{}, {"env": "prod", "other": "x"}, {"env": "test, too"}]),
        **used,
    )


def _send(events: list[Event], at: datetime) -> None:
    for gateway in ("edge", "batch"):
        send(*(event for event in events if _gateway(event) == gateway), gateway=gateway, received_at=at)


def _gateway(event: Event) -> str:
    return "edge" if int(event.event_id.rpartition("-")[2]) % 3 else "batch"


def _correct(chance: Random) -> None:
    gpt, unknown = (Offering.objects.get(name=name) for name in ("gpt-5.5@openai", UNKNOWN))
    at = NOW - timedelta(hours=2)
    set_price(gpt, "output", f"31.{chance.randrange(10**6):06}", valid_from=FIRST + timedelta(days=10), at=at)
    for meter in ("uncached_input", "cache_read", "output"):
        set_price(unknown, meter, "1.000000001", valid_from=FIRST + timedelta(days=25), at=at)
    offerings.set_tier(offering=gpt, tier=2, since_at=LAST - timedelta(days=2), by="tests", at=at)
    running.take_up(at=at)
    while jobs.run_next(clock=lambda: at):
        pass
    failed = Job.objects.exclude(error="").first()
    assert failed is None, failed.error
