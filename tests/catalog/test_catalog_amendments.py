"""Which changes amend the past, and for what time and whose calls; see Note [Amendments]."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction

from catalog.models import Amendment, Gateway, Offering
from catalog.services import aliases, amendments, contracts, offerings, prices, teams, use_cases
from tests.catalog.making import JANUARY, JULY, MARCH, MAY, make_offering, set_price
from tests.factories import NOON, make_team, make_use_case

pytestmark = pytest.mark.django_db

BY = "ann@example.com"


def only() -> Amendment:
    return Amendment.objects.get()


def time_of(amendment: Amendment) -> tuple[datetime | None, datetime | None]:
    return amendment.starts_at, amendment.ends_at


def new(offering: Offering | None = None, usd: str = "4", **overrides: Any) -> prices.NewPrice:
    given: dict[str, Any] = {
        "offering": offering or make_offering(), "meter": "uncached_input", "usd_per_1m": Decimal(usd),
        "valid_from": JANUARY, "source": "provider's page",
    }  # fmt: skip
    return prices.NewPrice(**{**given, **overrides})


def priced(name: str = "gpt-5.5@openai") -> Offering:
    offering = make_offering(name)
    set_price("5", offering=offering, at=JANUARY)
    return offering


def set_prices(*given: prices.NewPrice, **overrides: Any) -> None:
    prices.set_prices(given, **{"by": BY, "approved_by": BY, "at": NOON, **overrides})


# --- prices ---


def test_the_first_prices_of_an_offering_amend_the_past_too_since_calls_wait_for_them():
    offering = make_offering()

    set_prices(new(offering), new(offering, meter="output"))

    assert (only().offerings, time_of(only())) == ([offering.pk], (JANUARY, None))


def test_a_corrected_price_amends_its_time():
    offering = priced()

    set_prices(new(offering, valid_from=MARCH, valid_until=MAY), reason="the page was misread")

    found = only()
    assert (found.kind, found.offerings, time_of(found)) == ("prices", [offering.pk], (MARCH, MAY))
    assert (found.by, found.at, found.reason) == (BY, NOON, "the page was misread")
    assert (found.use_case_id, found.team_id, found.gateway_id, found.into_id) == (None, None, None, None)


@pytest.mark.parametrize("valid_from", [NOON, JULY])
def test_a_price_from_now_or_later_on_amends_nothing(valid_from):
    priced()

    set_prices(new(valid_from=valid_from))

    assert not Amendment.objects.exists()


def test_a_price_that_the_book_has_already_amends_nothing():
    priced()

    set_prices(new(usd="5", valid_from=MARCH))

    assert not Amendment.objects.exists()


def test_several_corrections_are_one_amendment_of_all_their_time_and_offerings():
    one, other, later = priced(), priced("gpt-5.4@openai"), make_offering("gpt-5.3@openai")

    set_prices(
        new(one, valid_from=MARCH, valid_until=MAY),
        new(other, valid_from=JANUARY, valid_until=MARCH),
        new(later, valid_from=JULY),
    )

    found = only()
    assert (found.offerings, time_of(found)) == (sorted([one.pk, other.pk]), (JANUARY, MAY))
    assert found.summary == "2 prices of gpt-5.4@openai, gpt-5.5@openai"


def test_one_open_end_among_several_leaves_the_amendment_open():
    one, other = priced(), priced("gpt-5.4@openai")

    set_prices(new(one, valid_until=MAY), new(other))

    assert time_of(only()) == (JANUARY, None)


def test_prices_that_are_refused_leave_no_amendment():
    priced()

    with pytest.raises(Exception, match="0 or more"):
        set_prices(new(usd="4"), new(usd="-1"))

    assert not Amendment.objects.exists()


# --- contracts ---


def set_terms(**overrides: Any) -> None:
    given: dict[str, Any] = {
        "name": "frame", "discount_percent": Decimal(10), "valid_from": JANUARY,
        "by": BY, "approved_by": BY, "at": NOON,
    }  # fmt: skip
    contracts.set_terms(**{**given, **overrides})


def test_terms_with_a_provider_concern_all_that_it_offers():
    ours, too, other = (make_offering(name) for name in ("gpt-5.5@openai", "gpt-5.4@openai", "glm@zai"))

    set_terms(provider=ours.provider, valid_until=MAY)

    found = only()
    assert (found.kind, time_of(found)) == ("contract", (JANUARY, MAY))
    assert found.offerings == sorted([ours.pk, too.pk])
    assert other.pk not in found.offerings


def test_terms_with_an_offering_concern_it_alone_and_those_with_a_gateway_all_that_it_served():
    offering = make_offering()
    edge = Gateway.objects.create(name="edge", created_at=NOON)

    set_terms(offering=offering)
    set_terms(name="edge", gateway=edge, own_prices=[new(offering)])

    one, other = Amendment.objects.order_by("id")
    assert (one.offerings, one.gateway_id) == ([offering.pk], None)
    assert (other.offerings, other.gateway_id) == ([], edge.pk)


def test_an_own_price_that_goes_on_under_the_next_terms_leaves_the_amendment_open():
    offering = make_offering()
    set_terms(offering=offering, valid_from=MARCH, at=JANUARY)

    set_terms(
        offering=offering, valid_until=MARCH, discount_percent=Decimal(20),
        own_prices=[new(offering, valid_from=JANUARY - timedelta(days=1))],
    )  # fmt: skip

    assert time_of(only()) == (JANUARY - timedelta(days=1), None)


@pytest.mark.parametrize("valid_from", [NOON, JULY])
def test_terms_from_now_or_later_on_amend_nothing(valid_from):
    set_terms(offering=make_offering(), valid_from=valid_from)

    assert not Amendment.objects.exists()


# --- names, tiers, teams ---


def test_a_tier_of_the_past_amends_and_one_from_now_on_does_not():
    offering = make_offering()

    offerings.set_tier(offering=offering, tier=1, since_at=NOON, by=BY, at=NOON)
    offerings.set_tier(offering=make_offering("o3@openai"), tier=2, since_at=MARCH, by=BY, at=NOON)

    assert (only().kind, only().summary, time_of(only())) == ("tier", "o3@openai is middle", (MARCH, None))


def test_a_tier_that_is_known_already_amends_nothing():
    offering = make_offering()
    offerings.set_tier(offering=offering, tier=1, since_at=JANUARY, by=BY)

    offerings.set_tier(offering=offering, tier=1, since_at=MARCH, by=BY, at=NOON)

    assert not Amendment.objects.exists()


def test_a_name_assigned_for_a_time_of_the_past_amends_that_time():
    aliases.assign(name="latest", offering=make_offering(), since_at=MARCH, until=MAY, by=BY, at=NOON)

    assert (only().kind, time_of(only())) == ("offering", (MARCH, MAY))


def test_a_claimed_use_case_is_its_team_s_from_its_first_event_on():
    use_case, team = make_use_case(state="waiting", first_seen_at=MARCH), make_team()

    use_cases.claim(use_case=use_case, owner="ann", team=team, by=BY, at=NOON)

    found = only()
    assert (found.kind, found.use_case_id, found.into_id) == ("use_case_team", use_case.pk, team.pk)
    assert time_of(found) == (MARCH, None)


UNTOUCHED: dict[str, Callable[[], object]] = {
    "an offering is made": lambda: offerings.ensure(model="m", provider="p", by=BY, default=True),
    "an offering is retired": lambda: offerings.retire(offering=make_offering(), by=BY, at=NOON),
    "a use case is made": lambda: use_cases.create(name="new", by=BY, at=NOON, team=make_team(), team_since=JANUARY),
    "a use case is described": lambda: use_cases.change(use_case=make_use_case(), by=BY, title="Routing"),
    "a use case has one more label": lambda: use_cases.add_alias(
        use_case=make_use_case(), label="router", since_at=JANUARY, by=BY
    ),
    "a team is made": lambda: teams.create(name="new", by=BY, at=NOON),
    "a team is renamed": lambda: teams.change(team=make_team(), name="care", by=BY, at=NOON),
    "a team is claimed": lambda: teams.claim(team=make_team(state="waiting"), by=BY),
}


@pytest.mark.parametrize("change", UNTOUCHED)
def test_what_moves_no_call_of_the_past_amends_nothing(change):
    UNTOUCHED[change]()

    assert not Amendment.objects.exists()


# --- the rows ---


def test_an_amendment_is_gone_with_the_change_that_failed():
    offering = priced()

    def change_and_fail() -> None:
        set_prices(new(offering))
        raise RuntimeError

    with pytest.raises(RuntimeError), transaction.atomic():
        change_and_fail()

    assert not Amendment.objects.exists()


def test_amendments_that_a_block_makes_are_collected_and_no_others():
    offering = priced()
    set_prices(new(offering, "1"))

    with amendments.collecting() as found:
        set_prices(new(offering, "2"))
        set_prices(new(offering, "2"))
    set_prices(new(offering, "3"))

    assert [one.pk for one in found] == [Amendment.objects.order_by("id")[1].pk]


def test_a_long_list_of_names_is_cut_to_the_column():
    named = [priced(f"{'m' * 100}-{number}@openai") for number in range(4)]

    set_prices(*(new(one) for one in named))

    assert len(only().summary) == 300
    assert only().summary.startswith("4 prices of ")
