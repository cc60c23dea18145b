"""The statements of the demo's providers: nearly what was booked, the same each time, with differences to explain."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from catalog.services import aliases
from controlplane.seed import company, statements, story
from core.models import Organisation
from tests.usage.making import LONG_AGO, make_event, make_offering, send
from usage.models import StatementFile
from usage.selectors.comparing import reconcile

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 18, 10, tzinfo=UTC)
OCTOBER = date(2026, 10, 1), date(2026, 10, 31)


@pytest.fixture(autouse=True)
def _house():
    Organisation.objects.filter(pk=1).update(zone=company.ZONE)
    for model, name, provider in (
        ("gpt-5.5", "gpt-5.5-2026-04-23", "openai"),
        ("claude-sonnet-4.6", "claude-sonnet-4-6", "anthropic"),
    ):
        offering = make_offering(f"{model}@{provider}", uncached_input="5", cache_read="1", output="30")
        aliases.assign(name=f"{provider}/{name}", offering=offering, since_at=LONG_AGO, by="tests", at=NOW)
        for day in range(60):
            at = NOW - timedelta(days=day, hours=2)
            events = [make_event(provider=provider, model=name, occurred_at=at) for _ in range(3)]
            if day == 30:
                events += [make_event(provider=provider, model=name, occurred_at=at) for _ in range(300)]
            send(*events, received_at=at + timedelta(seconds=1))


def test_two_months_of_statements_nearly_say_what_was_booked():
    plan = story.plan(now=NOW, zone=company.ZONE, events=1000)

    statements.bring(plan)
    statements.bring(plan)

    assert StatementFile.objects.count() == 10
    found = reconcile(first=OCTOBER[0], last=OCTOBER[1], at=NOW)
    rows = {row.model: row for row in found.rows}
    ours, other = rows["gpt-5.5"], rows["claude-sonnet-4.6"]
    for row in (ours, other):
        difference = row.figures["input_tokens"].difference
        assert difference < 0
        assert abs(difference) * 100 < row.figures["input_tokens"].theirs
        assert row.figures["cost_usd"].difference < 0
        assert row.state == "agrees"
    past = rows[statements.PAST_THE_GATEWAYS]
    assert past.state == "theirs-only"
    assert [len(one.usage_days) for one in found.coverage] == [31, 31]
    november = reconcile(first=date(2026, 11, 1), last=date(2026, 11, 18), at=NOW)
    assert [len(one.cost_days) for one in november.coverage] == [17, 17]
