from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from catalog.models import Offering, UseCase
from catalog.services import contracts
from core.models import Organisation
from tests.usage import making
from usage.rules.savings import ENOUGH
from usage.selectors import bridge, overview, savings
from usage.selectors.bridge import Days
from usage.services import months

pytestmark = pytest.mark.django_db

JUNE = {"first": date(2026, 6, 1), "until": date(2026, 7, 1), "zone": "UTC"}
DEAR = "gpt-5.5@openai"
CHEAP = {"provider": "deepseek", "model": "deepseek-v4-flash"}


def day(number: int, month: int = 6) -> datetime:
    return datetime(2026, month, number, 12, tzinfo=UTC)


def send(*calls: dict, at: datetime | None = None) -> None:
    events = [making.make_event(**{"occurred_at": day(15), **one}) for one in calls]
    making.send(*events, received_at=at or max(event.occurred_at for event in events))


def choose(name: str = "support-routing", offering: str = DEAR) -> None:
    UseCase.objects.filter(name=name).update(baseline=Offering.objects.get(name=offering))


@pytest.fixture(autouse=True)
def two_models():
    making.make_priced_offering()
    making.make_offering("deepseek-v4-flash@deepseek", uncached_input="1", cache_read="0.1", output="2")


def test_calls_that_went_elsewhere_are_priced_at_the_baseline_and_its_own_are_as_paid():
    send({}, {**CHEAP, "uncached_input_tokens": 1_000_000, "output_tokens": 100_000})
    choose()

    total = savings.saved(**JUNE).total

    own = Decimal("0.008")  # 1000 at 5 and 100 at 30 USD per million
    assert (total.paid_usd, total.at_baseline_usd) == (own + Decimal("1.2"), own + 8)
    assert (total.net_usd, total.cache_lost_usd) == (Decimal("6.8"), 0)
    assert (total.requests, total.own_requests, total.covered) == (2, 1, 1)


def test_a_price_that_changes_inside_the_month_counts_from_its_day_on():
    making.set_price(making.make_priced_offering(), "uncached_input", "10", valid_from=day(10).replace(hour=0))
    million = {**CHEAP, "uncached_input_tokens": 1_000_000, "output_tokens": 0}
    send({**million, "occurred_at": day(9)}, {**million, "occurred_at": day(10)}, at=day(15))
    choose()

    assert savings.saved(**JUNE).total.at_baseline_usd == 5 + 10
    assert savings.saved(**{**JUNE, "first": date(2026, 6, 10)}).total.at_baseline_usd == 10


def test_prompt_cache_that_routing_lost_is_taken_off_what_was_saved():
    cached = {"uncached_input_tokens": 100, "cache_read_tokens": 900, "output_tokens": 0}
    send(*[cached] * ENOUGH, {**CHEAP, "uncached_input_tokens": 1_000_000, "output_tokens": 0})
    choose()

    (row,) = savings.saved(**JUNE).rows

    assert row.cache_lost_usd == Decimal("0.9") * (5 - Decimal("0.5"))
    assert row.net_usd == 5 - row.cache_lost_usd - 1
    assert (row.own_cache_share, row.elsewhere_cache_share) == (Decimal("0.9"), 0)
    assert {line.meter: (line.count, line.granted_count) for line in row.lines} == {
        "uncached_input": (1_000_000, 100_000), "cache_read": (0, 900_000),
    }  # fmt: skip


def test_answers_of_a_gateways_cache_errors_that_cost_nothing_and_late_bookings_save_nothing():
    send({**CHEAP, "occurred_at": day(20, 5)})
    months.close_month(label=date(2026, 5, 1), by="finance@example.com", at=day(2))
    send({**CHEAP, "occurred_at": day(21, 5)}, at=day(15))
    send({**CHEAP, "status": "cache_hit"}, {**CHEAP, "status": "error", "uncached_input_tokens": 0, "output_tokens": 0})
    choose()

    total = savings.saved(**JUNE).total

    assert (total.requests, total.net_usd, total.at_baseline_usd) == (1, 0, 0)
    assert total.covered == 0
    assert total.spend_usd == Decimal("0.0012")  # what was booked late


def test_what_has_no_price_is_left_out_and_told_and_use_cases_without_a_baseline_are_named():
    send({"provider": "new", "model": "mystery"}, CHEAP, {**CHEAP, "use_case": "code-review"})
    choose()

    found = savings.saved(**JUNE)

    assert (found.total.requests, found.total.left_out_requests) == (1, 1)
    assert found.total.covered == Decimal("0.5")
    assert found.without_baseline == ["code-review"]


def test_a_contract_of_the_gateway_counts_at_the_baseline_as_in_the_ledger():
    send({**CHEAP, "uncached_input_tokens": 1_000_000, "output_tokens": 0})
    choose()
    contracts.set_terms(
        name="half", by="finance@example.com", at=making.NOON, gateway=making.make_gateway(),
        discount_percent=Decimal(50), valid_from=making.LONG_AGO, approved_by="finance@example.com",
    )  # fmt: skip

    assert savings.saved(**JUNE).total.at_baseline_usd == Decimal("2.5")


def test_days_begin_at_midnight_of_the_organisation_and_months_stand_apart():
    Organisation.objects.filter(pk=1).update(zone="Europe/Berlin")
    late = datetime(2026, 6, 30, 22, 30, tzinfo=UTC)  # 1 July in Berlin
    send(CHEAP, {**CHEAP, "occurred_at": late})
    choose()

    found = savings.saved(first=date(2026, 6, 1), until=date(2026, 8, 1), zone="Europe/Berlin")

    assert [(month, sums.requests) for month, sums in found.by_month.items()] == [
        (date(2026, 6, 1), 1), (date(2026, 7, 1), 1),
    ]  # fmt: skip


def test_savings_and_changes_are_one_read_of_the_sums_each(django_assert_num_queries):
    send({}, CHEAP, *({**CHEAP, "use_case": f"case-{n}"} for n in range(5)))
    choose()
    savings.saved(**JUNE)
    week = Days(first=date(2026, 6, 14), until=date(2026, 6, 21))

    with django_assert_num_queries(2):
        savings.saved(**JUNE)
    with django_assert_num_queries(2):
        bridge.between(before=Days(first=date(2026, 6, 7), until=date(2026, 6, 14)), after=week, zone="UTC")


def test_a_bridge_is_from_what_was_booked_to_what_was_booked_with_what_was_booked_late_apart():
    send({**CHEAP, "occurred_at": day(20, 5)}, {"occurred_at": day(7)}, at=day(7))
    months.close_month(label=date(2026, 5, 1), by="finance@example.com", at=day(8))
    send({}, {}, CHEAP, {**CHEAP, "use_case": "new"}, {**CHEAP, "occurred_at": day(21, 5)}, at=day(15))
    before, after = (
        Days(first=date(2026, 6, 1), until=date(2026, 6, 10)),
        Days(first=date(2026, 6, 10), until=date(2026, 6, 19)),
    )

    found = bridge.between(before=before, after=after, zone="UTC")

    total = found.total
    booked = [
        overview.total(overview.days(first=one.first, until=one.until).values()).cost_usd for one in (before, after)
    ]
    assert [total.before_usd, total.after_usd] == booked
    assert total.corrections_usd == Decimal("0.0012")
    assert total.new_usd == Decimal("0.0012")
    parts = ("volume", "use_cases", "models", "tokens", "price", "new", "gone", "corrections")
    assert sum(getattr(total, f"{part}_usd") for part in parts) == total.change_usd == booked[1] - booked[0]
    assert [(one.use_case, one.more_of, one.less_of) for one in found.use_cases] == [
        ("support-routing", "deepseek-v4-flash@deepseek", DEAR), ("new", "", ""),
    ]  # fmt: skip


def test_a_price_that_was_cut_between_the_ranges_is_told_as_price():
    making.set_price(making.make_priced_offering(), "uncached_input", "2.5", valid_from=day(10).replace(hour=0))
    million = {"uncached_input_tokens": 1_000_000, "output_tokens": 0}
    send({**million, "occurred_at": day(9)}, {**million, "occurred_at": day(10)}, at=day(15))

    total = bridge.between(
        before=Days(first=date(2026, 6, 9), until=date(2026, 6, 10)),
        after=Days(first=date(2026, 6, 10), until=date(2026, 6, 11)),
        zone="UTC",
    ).total

    assert (total.price_usd, total.change_usd) == (Decimal("-2.5"), Decimal("-2.5"))
