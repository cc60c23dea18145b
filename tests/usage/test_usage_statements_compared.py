"""Statements beside the ledger's sums: like with like, by model and by day, and the reasons that can be named."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from catalog.models import Provider
from catalog.services import aliases, contracts
from core import keys
from core.errors import Invalid
from core.models import Organisation
from tests.factories import make_key
from tests.usage.making import LONG_AGO, make_event, make_offering, make_priced_offering, send
from tests.usage.statements_made import ONE_DAY, bring, openai_costs, openai_usage
from tests.usage.test_usage_statements import payload
from usage.selectors import comparing_reasons
from usage.selectors.comparing import reconcile
from usage.services import months

pytestmark = pytest.mark.django_db
D1 = date(2026, 6, 15)
D2, D3 = D1 + ONE_DAY, D1 + 2 * ONE_DAY
NOW = datetime(2026, 6, 30, 12, tzinfo=UTC)


def called(day: date = D1, *, hour: int = 12, gateway: str = "edge", **overrides):
    """Book a call of 1000 input and 100 output tokens, 0.008 USD at the prices of `make_priced_offering`."""
    at = datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
    send(make_event(occurred_at=at, **overrides), received_at=at + timedelta(seconds=1), gateway=gateway)


def compared(first: date = D1, last: date = D1, **asked):
    return reconcile(first=first, last=last, at=NOW, **asked)


def codes(found) -> set[str]:
    return {reason.code for row in found.rows for reason in row.reasons} | {reason.code for reason in found.reasons}


def figures(row, *names):
    return [(row.figures[name].theirs, row.figures[name].ours) for name in names]


# --- both sides ---


def test_both_sides_stand_beside_each_other_by_meter():
    make_priced_offering()
    called(cache_read_tokens=400, cache_write_5m_tokens=0)
    bring(openai_usage({D1: [{"input_tokens": 1400, "input_cached_tokens": 400}]}), at=NOW)
    bring(openai_costs({D1: {"gpt-5.5, input": "0.005", "gpt-5.5, output": "0.0032"}}), format="openai-costs", at=NOW)

    (row,) = compared().rows

    assert (row.provider, row.model, row.offering, row.names) == ("openai", "gpt-5.5", "gpt-5.5@openai", ["gpt-5.5"])
    assert figures(row, "input_tokens", "cache_read_tokens", "output_tokens", "requests") == [
        (1400, 1400), (400, 400), (100, 100), (1, 1),
    ]  # fmt: skip
    cost = row.figures["cost_usd"]
    assert (cost.theirs, cost.ours, cost.difference) == (Decimal("0.0082"), Decimal("0.0082"), 0)
    assert (row.state, row.tokens.theirs, row.tokens.difference) == ("agrees", 1500, 0)


def test_a_difference_past_the_tolerance_is_apart_and_one_within_agrees():
    make_priced_offering()
    called()
    bring(openai_usage({D1: [{"input_tokens": 1009}]}), at=NOW)

    (row,) = compared().rows
    (strict,) = compared(tolerance=Decimal("0.5")).rows

    assert (row.state, strict.state) == ("agrees", "apart")
    assert row.figures["input_tokens"].difference == -9
    assert round(row.figures["input_tokens"].share, 9) == Decimal("-0.008919722")


def test_a_request_more_or_less_does_not_part_what_agrees_in_tokens_and_cost():
    make_priced_offering()
    called()
    bring(openai_usage({D1: [{"num_model_requests": 2}]}), at=NOW)

    found = compared()

    assert (found.rows[0].figures["requests"].difference, found.rows[0].state, found.state) == (-1, "agrees", "agrees")


def test_days_are_utc_days_whatever_the_organisation_s_zone():
    Organisation.objects.filter(pk=1).update(zone="Asia/Tokyo")
    make_priced_offering()
    called(D1, hour=23)  # the day after in Tokyo
    bring(openai_usage({D1: [{}], D2: []}), at=NOW)

    found = compared(D1, D2, by="day")

    assert [(row.day, *figures(row, "input_tokens")) for row in found.rows] == [(D1, (1000, 1000)), (D2, (0, 0))]


def test_days_and_models_add_up_to_the_same_total():
    make_priced_offering()
    make_priced_offering("gpt-5-mini@openai")
    for day in (D1, D2, D3):
        called(day)
        called(day, model="gpt-5-mini", uncached_input_tokens=70)
    bring(
        openai_usage({day: [{}, {"model": "gpt-5-mini", "input_tokens": 77}, {"model": "o9"}] for day in (D1, D2, D3)}),
        at=NOW,
    )
    bring(
        openai_costs({day: {"gpt-5.5, input": "0.1", "tools": "0.2"} for day in (D1, D2)}),
        format="openai-costs",
        at=NOW,
    )

    by_model, by_day = compared(D1, D3), compared(D1, D3, by="day")

    assert by_model.total == by_day.total
    for name, pair in by_model.total.items():
        for found in (by_model, by_day):
            for side in ("theirs", "ours"):
                given = [getattr(row.figures[name], side) for row in found.rows]
                assert sum(one for one in given if one is not None) == getattr(pair, side), (name, side, found.by)
    assert by_model.total["cost_usd"].theirs == Decimal("0.6")
    one = compared(D1, D3, by="day", provider="openai", model="gpt-5-mini")
    (row,) = [row for row in by_model.rows if row.model == "gpt-5-mini"]
    assert one.total["input_tokens"] == row.figures["input_tokens"]


def test_only_days_that_the_export_holds_whole_are_compared():
    make_priced_offering()
    for day in (D1, D2, D3):
        called(day)
    bring(openai_usage({D1: [{}], D2: [{}]}), at=datetime(D2.year, D2.month, D2.day, 12, tzinfo=UTC))

    found = compared(D1, D3)

    assert figures(found.rows[0], "input_tokens", "cost_usd") == [(1000, 1000), (None, None)]
    reasons = {reason.code: reason.text for reason in found.reasons}
    assert "16 to 17 Jun 2026" in reasons["days-missing"]
    assert "no cost export" in reasons["no-cost-statement"]
    by_day = compared(D1, D3, by="day")
    assert [row.day for row in by_day.rows] == [D1]


def test_two_accounts_are_compared_on_the_days_that_both_exports_hold():
    make_priced_offering()
    called(D1)
    called(D2)
    bring(openai_usage({D1: [{"input_tokens": 600}], D2: [{"input_tokens": 600}]}), at=NOW, account="one")
    bring(openai_usage({D1: [{"input_tokens": 400, "output_tokens": 0}]}), at=NOW, account="other")

    found = compared(D1, D2)

    assert figures(found.rows[0], "input_tokens") == [(1000, 1000)]


def test_an_account_that_is_bound_to_a_gateway_is_compared_with_its_calls_alone():
    make_priced_offering()
    called()
    called(gateway="other", uncached_input_tokens=9)
    bring(openai_usage({D1: [{"input_tokens": 9}]}), at=NOW, gateway="other")

    (row,) = compared().rows

    assert figures(row, "input_tokens", "requests") == [(9, 9), (1, 1)]


def test_what_never_reached_the_provider_is_not_compared():
    make_priced_offering()
    called()
    called(status="cache_hit")
    called(status="blocked", uncached_input_tokens=0, output_tokens=0)
    bring(openai_usage({D1: [{}]}), at=NOW)

    (row,) = compared().rows

    assert figures(row, "input_tokens", "requests") == [(1000, 1000), (1, 1)]


def test_what_an_export_does_not_tell_is_not_held_against_it():
    make_offering("claude-sonnet-4.5@anthropic", uncached_input="3", output="15")
    day = date(2025, 11, 1)
    aliases.assign(
        name="anthropic/claude-sonnet-4-5-20250929", by="x", since_at=LONG_AGO,
        offering=make_offering("claude-sonnet-4.5@anthropic"), at=NOW,
    )  # fmt: skip
    bring(payload("anthropic_usage_report.json"), format="anthropic-usage", at=NOW)
    bring(payload("anthropic_cost_report.json"), format="anthropic-costs", at=NOW)

    found = reconcile(first=day, last=day, at=NOW)

    row, unnamed = found.rows
    assert (row.model, row.names) == ("claude-sonnet-4.5", ["claude-sonnet-4-5-20250929"])
    assert figures(row, "requests", "cost_usd", "input_tokens") == [
        (None, None), (Decimal("1.2345"), 0), (303_200, 0),
    ]  # fmt: skip
    assert (row.state, unnamed.model, unnamed.figures["cost_usd"].theirs) == ("theirs-only", "", Decimal("0.1"))
    assert {"theirs-only", "not-by-model", "not-reported"} <= codes(found)


def test_costs_that_name_no_model_are_compared_in_all():
    make_priced_offering()
    called()
    bring(openai_usage({D1: [{}]}), at=NOW)
    bring(openai_costs({D1: {"": "0.008"}}), format="openai-costs", at=NOW)

    found = compared()

    row, unnamed = found.rows
    assert figures(row, "cost_usd") == [(None, Decimal("0.008"))]
    assert (row.state, unnamed.figures["cost_usd"].theirs) == ("agrees", Decimal("0.008"))
    assert found.total["cost_usd"].difference == 0


def test_an_empty_export_says_that_nothing_was_used():
    make_priced_offering()
    called()
    bring(openai_usage({D1: []}), at=NOW)

    (row,) = compared().rows

    assert (*figures(row, "input_tokens"), row.state) == ((0, 1000), "ours-only")


def test_a_reseller_bound_to_a_gateway_has_all_of_its_calls_on_the_bill():
    make_priced_offering("gpt-4.1@openai")
    called(model="gpt-4.1", gateway="router", uncached_input_tokens=50, output_tokens=125)
    content = payload("openrouter_activity.csv").replace(b"2025-11-01", b"2026-06-15")
    content = content.replace(b"2025-11-03", b"2026-06-15")
    offering = make_offering("gpt-4.1@openrouter")
    aliases.assign(name="openrouter/openai/gpt-4.1", by="x", since_at=LONG_AGO, offering=offering, at=NOW)
    bring(content, format="openrouter", at=NOW, gateway="router")

    found = compared()

    (row,) = [one for one in found.rows if one.model == "gpt-4.1"]
    assert figures(row, "input_tokens", "output_tokens") == [(50, 50), (125, 125)]
    assert row.figures["cost_usd"].theirs == Decimal("0.027")


# --- reasons ---


def test_a_model_that_the_catalogue_does_not_know_comes_with_a_suggestion():
    make_priced_offering()
    bring(openai_usage({D1: [{"model": "gpt-5.5-2026-04-23"}]}), at=NOW)

    (row,) = compared().rows

    assert (row.model, row.offering, row.suggestion) == ("gpt-5.5-2026-04-23", "", "gpt-5.5@openai")
    assert "no-offering" in {reason.code for reason in row.reasons}

    aliases.assign(name="openai/gpt-5.5-2026-04-23", offering=make_priced_offering(), by="x", since_at=LONG_AGO, at=NOW)

    (row,) = compared().rows
    assert (row.model, row.offering, row.suggestion) == ("gpt-5.5", "gpt-5.5@openai", "")


def test_a_name_that_booking_made_on_sight_is_the_same_on_both_sides():
    make_priced_offering()
    called(model="gpt-next")
    bring(openai_usage({D1: [{"model": "gpt-next"}]}), at=NOW)

    (row,) = compared().rows

    assert (row.offering, *figures(row, "input_tokens")) == ("gpt-next@openai", (1000, 1000))
    assert "unpriced" in codes(compared())


def test_requests_without_token_counts_are_named():
    make_priced_offering()
    called()
    called(status="usage_missing", counted=False, uncached_input_tokens=0, output_tokens=0)
    bring(openai_usage({D1: [{"num_model_requests": 2, "input_tokens": 2000}]}), at=NOW)

    assert "uncounted" in codes(compared())


def test_days_on_which_no_gateway_reported_are_named():
    make_priced_offering()
    called(D1)
    bring(openai_usage({D1: [{}], D2: [{}], D3: [{}]}), at=NOW)

    (reason,) = [one for one in compared(D1, D3).reasons if one.code == "not-reported"]

    assert "16 to 17 Jun 2026" in reason.text


def test_a_statement_at_list_prices_is_recognised():
    make_priced_offering()
    contracts.set_terms(
        name="frame", provider=Provider.objects.get(name="openai"), discount_percent=Decimal(20),
        valid_from=LONG_AGO, by="x", approved_by="y", at=LONG_AGO,
    )  # fmt: skip
    called(uncached_input_tokens=1_000_000, output_tokens=0)
    bring(openai_costs({D1: {"gpt-5.5, input": "5.00"}}), format="openai-costs", at=NOW)

    (row,) = compared().rows

    assert (*figures(row, "cost_usd"), row.list_cost_usd) == ((5, 4), 5)
    assert "list-price" in {reason.code for reason in row.reasons}


def test_corrections_of_closed_months_are_left_out_and_named():
    make_priced_offering()
    called(D1)
    july = datetime(2026, 7, 5, tzinfo=UTC)
    months.close_month(label=date(2026, 6, 1), by="x", at=july)
    send(make_event(occurred_at=datetime(2026, 6, 15, 13, tzinfo=UTC)), received_at=july)
    bring(openai_usage({D1: [{"input_tokens": 2000}], date(2026, 7, 5): []}), at=july + 2 * ONE_DAY)

    june = reconcile(first=D1, last=D1, at=july)
    day = date(2026, 7, 5)
    in_july = reconcile(first=day, last=day, at=july)

    assert figures(june.rows[0], "input_tokens") == [(2000, 1000)]
    (reason,) = [one for one in june.reasons if one.code == "corrected-later"]
    assert reason.text.startswith("2026-06 was closed, and 1,100 tokens and $0.01")
    assert (in_july.rows, "corrections-booked-here" in codes(in_july)) == ([], True)


def test_calls_that_are_kept_and_not_counted_are_named():
    make_priced_offering()
    called()
    bring(openai_usage({D1: [{}]}), at=NOW)
    assert "kept-out" not in codes(compared())

    at = datetime(2026, 6, 15, 13, tzinfo=UTC)
    send(make_event(occurred_at=at), received_at=at, format="litellm")

    assert "kept-out" in codes(compared())


# --- asked wrongly, and how often the database is asked ---


@pytest.mark.parametrize(
    "asked",
    [
        {"first": D2, "last": D1},
        {"first": D1, "last": D1 + 400 * ONE_DAY},
        {"first": D1, "last": D1, "by": "moon"},
        {"first": D1, "last": D1, "tolerance": Decimal(101)},
        {"first": D1, "last": D1, "tolerance": Decimal(-1)},
    ],
)
def test_what_means_nothing_is_refused(asked):
    with pytest.raises(Invalid):
        reconcile(at=NOW, **asked)


def test_without_statements_there_is_nothing_to_compare():
    make_priced_offering()
    called()

    found = compared()

    assert (found.rows, found.coverage, found.state) == ([], [], "not-compared")


def queries(**asked) -> int:
    compared(**asked)  # the catalogue is in memory from here on
    with CaptureQueriesContext(connection) as captured:
        compared(**asked)
    return len(captured)


def test_queries_do_not_grow_with_the_data():
    make_priced_offering()
    called()
    bring(openai_usage({D1: [{}]}), at=NOW)
    few = queries()

    names = [f"gpt-{number}" for number in range(5)]
    for name in names:
        make_priced_offering(f"{name}@openai")
        called(D2, model=name)
    many = [{"model": name} for name in (*names, *(f"unknown-{name}" for name in names))]
    bring(openai_usage({D1: [{}], D2: many, D3: many}), at=NOW)

    assert few == 9
    assert queries(last=D3) == few + 1, "the one that looks for names made on sight"


# --- API ---


def test_the_api_tells_the_same(client):
    make_priced_offering()
    called()
    bring(openai_usage({D1: [{"input_tokens": 2000, "model": "gpt-5.5"}]}), at=NOW)
    bring(openai_costs({D1: {"gpt-5.5, input": "0.016"}}), format="openai-costs", at=NOW)
    keys.forget()
    sent = {"Authorization": f"Bearer {make_key('read')}"}

    answer = client.get("/api/v1/reconciliation?from=2026-06-15&to=2026-06-16", headers=sent).json()

    (row,) = answer["rows"]
    assert row["input_tokens"] == {"provider": 2000, "ours": 1000, "difference": -1000, "percent": -50.0}
    assert row["cost_usd"] == {"provider": "0.016", "ours": "0.008", "difference": "-0.008", "percent": -50.0}
    assert (row["state"], answer["total"]["cost_usd"], answer["from"]) == ("apart", row["cost_usd"], "2026-06-15")
    by_day = client.get(
        "/api/v1/reconciliation?from=2026-06-15&to=2026-06-16&provider=openai&model=gpt-5.5&by=day", headers=sent
    ).json()
    assert by_day["rows"][0]["day"] == "2026-06-15"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("?from=2026-06-15", 400),
        ("?from=2026-06-15&to=yesterday", 400),
        ("?from=2026-06-15&to=2026-06-16&provider=acme", 400),
        ("?from=2026-06-15&to=2026-06-16&colour=red", 400),
        ("?from=2026-06-15&to=2026-06-15", 422),
        ("?from=0001-01-01&to=0001-01-02", 422),
        ("?from=9999-12-31&to=9999-12-31", 422),
    ],
)
def test_a_bad_question_gets_a_clear_answer(client, query, status):
    keys.forget()
    sent = {"Authorization": f"Bearer {make_key('read')}"}

    assert client.get(f"/api/v1/reconciliation{query}", headers=sent).status_code == status


def test_strangers_see_nothing(client):
    keys.forget()
    query = "/api/v1/reconciliation?from=2026-06-15&to=2026-06-16"

    assert client.get(query).status_code == 401
    assert client.get(query, headers={"Authorization": f"Bearer {make_key('rules:read')}"}).status_code == 403


def test_days_in_words():
    words = comparing_reasons.words_of([D1, D3, D2, date(2026, 6, 30), date(2026, 7, 1)])

    assert words == "15 to 17 Jun 2026, 30 Jun 2026 to 1 Jul 2026"
