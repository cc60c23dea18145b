"""Accepting and rejecting what an import proposed."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal

import pytest
from django.db import connection, transaction

from catalog.models import (
    Amendment,
    ClaimState,
    HourWindow,
    Offering,
    Price,
    PriceProposal,
    PriceSeries,
)
from catalog.selectors import snapshot
from catalog.services import aliases, imports
from catalog.services.imports import Stale
from catalog.sources.quotes import QuotedHours
from core.errors import Invalid, NotFound
from core.models import AuditEntry
from tests.catalog.importing import GPT, OPUS, accept, open_one, proposals, propose, quote, reject
from tests.catalog.making import JANUARY, JULY, MAY, book, make_offering, set_price
from tests.factories import NOON

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
NIGHT = QuotedHours("UTC", (0, 1, 2, 3, 4, 5, 6), time(22), time(6))
MANY = [f"model-{number}@acme" for number in range(20)]


def everything():
    """Every row that a decision could leave."""
    tables = (PriceProposal, Price, PriceSeries, Offering, HourWindow, Amendment, AuditEntry)
    return [list(table.objects.order_by("pk").values()) for table in tables]


def test_a_new_offering_is_made_with_all_of_its_prices_and_their_source():
    propose(quote("5", source_url="https://example.com/prices", note="rounded"), quote("30", meter="output"))

    done = accept(open_one())

    assert (done.proposals, done.offerings, done.prices_set) == (1, (GPT,), 2)
    found = Price.objects.select_related("series").order_by("pk")
    assert {(one.series.meter, one.usd_per_1m, one.valid.lower) for one in found} == {
        ("uncached_input", Decimal(5), datetime(2025, 1, 1, tzinfo=UTC)),
        ("output", Decimal(30), datetime(2025, 1, 1, tzinfo=UTC)),
    }
    assert (found[0].source, found[0].source_version, found[0].source_url, found[0].note) == (
        "litellm", "1.80", "https://example.com/prices", "rounded",
    )  # fmt: skip
    assert {(one.entered_by, one.approved_by) for one in found} == {("approver@example.com", "approver@example.com")}


def test_what_was_accepted_says_who_and_when_and_is_not_proposed_again():
    propose(quote("5"))
    accepted = open_one()

    accept(accepted, at=NOON + DAY)
    again = propose(quote("5"), at=NOON + 2 * DAY)

    accepted.refresh_from_db()
    assert (accepted.state, accepted.settled_by, accepted.settled_at) == (
        "accepted", "approver@example.com", NOON + DAY,
    )  # fmt: skip
    assert (again.proposed, again.waiting) == (0, 0)


def test_an_offering_that_waits_for_an_owner_is_claimed():
    offering = make_offering()
    Offering.objects.update(state=ClaimState.WAITING)
    propose(quote("5"))

    accept(open_one())

    offering.refresh_from_db()
    assert offering.state == ClaimState.CLAIMED


def test_a_price_without_a_date_holds_from_acceptance_until_the_book_s_next():
    set_price("5")
    set_price("4", valid_from=JULY)
    propose(quote("6"))

    accept(open_one(), at=NOON + DAY)

    assert book() == [(JANUARY, NOON + DAY, "5"), (NOON + DAY, JULY, "6"), (JULY, None, "4")]
    assert not Amendment.objects.filter(reason="looked at")


def test_prices_for_the_past_are_one_amendment():
    set_price("5")
    set_price("30", meter="output")
    propose(quote("6", valid_from=MAY), quote("31", meter="output", valid_from=MAY))

    accept(open_one())

    (amendment,) = Amendment.objects.filter(reason="looked at")
    assert (amendment.kind, amendment.starts_at) == ("prices", MAY)
    assert amendment.offerings == [Offering.objects.get().pk]


def test_hours_are_those_of_the_catalogue_where_it_knows_them_and_are_made_where_not():
    known = HourWindow.objects.create(name="night", weekdays=list(range(7)), starts=time(22), ends=time(6))
    noon = QuotedHours("UTC", (0, 1), time(12), time(13))
    propose(quote("5"), quote("2", hours=NIGHT), quote("9", hours=noon))

    accept(open_one())

    made = HourWindow.objects.exclude(pk=known.pk).get()
    assert (made.name, made.zone, made.weekdays, made.starts) == (noon.name, "UTC", [0, 1], time(12))
    windows = PriceSeries.objects.values_list("hour_window__name", flat=True)
    assert set(windows) == {None, "night", noon.name}


def test_a_limit_of_the_other_kind_is_accepted_beside_the_old_one():
    set_price("5")
    set_price("10", context_over=200_000)
    propose(quote("5"), quote("10", context_over=200_000, context_inclusive=True))

    accept(open_one())

    table = snapshot.load().table(Offering.objects.get().pk, "")
    span = table.at(NOON.timestamp() + 1) if table is not None else None
    assert span is not None
    charged = [span.face.card_for(tokens).prices[0] for tokens in (199_999, 200_000, 200_001)]
    assert [price and price.usd_per_1m for price in charged] == [5, 10, 10]


def test_prices_of_an_offering_that_is_gone_end_now_and_say_why():
    set_price("5", source="litellm", note="as listed")
    set_price("4", source="litellm", valid_from=JULY)
    kept = set_price("30", meter="output").price
    others = [quote("1", of=name) for name in MANY]
    propose(quote("5"), *others)
    propose(*others, version="1.81", at=NOON + DAY)

    done = accept(open_one(kind="gone"), at=NOON + DAY)

    assert (done.prices_ended, done.prices_set) == (2, 0)
    assert book(PriceSeries.objects.get(meter="uncached_input")) == [(JANUARY, NOON + DAY, "5")]
    assert Price.objects.get(series__meter="output", recorded__upper_inf=True).pk == kept.pk
    ended = Price.objects.get(series__meter="uncached_input", recorded__upper_inf=True)
    assert ended.note == "as listed Ended: litellm 1.81 lists it no more."
    assert not Amendment.objects.filter(reason="looked at"), "nothing of the past is other than it was"


def test_after_a_price_has_ended_the_same_table_proposes_nothing():
    set_price("5", source="litellm")
    others = [quote("1", of=name) for name in MANY]
    propose(quote("5"), *others)
    propose(*others, at=NOON + DAY)
    accept(open_one(kind="gone"), at=NOON + DAY)

    again = propose(*others, at=NOON + 2 * DAY)

    assert (again.gone, again.proposed) == (0, 0)


def test_accepting_a_dispute_lets_the_book_stand():
    set_price("6")
    propose(quote("6"), source="csv")
    set_price("5", at=NOON + DAY)
    propose(quote("5"), at=NOON + DAY)
    before = list(Price.objects.values())

    done = accept(open_one())

    assert (list(Price.objects.values()), done.prices_set, proposals()) == (before, 0, [("disputed", GPT, "accepted")])


def test_rejecting_changes_no_price_and_says_who_and_when():
    set_price("5")
    before = list(Price.objects.values())
    propose(quote("6"))
    rejected = open_one()

    done = reject(rejected, at=NOON + DAY)

    rejected.refresh_from_db()
    assert (rejected.state, rejected.settled_by, rejected.settled_at) == (
        "rejected", "approver@example.com", NOON + DAY,
    )  # fmt: skip
    assert (list(Price.objects.values()), done.offerings) == (before, (GPT,))


@pytest.mark.parametrize("settle", [accept, reject])
def test_a_proposal_that_is_settled_already_is_refused_by_name_and_nothing_is_written(settle):
    propose(quote("5"), quote("5", of=OPUS))
    first, second = PriceProposal.objects.order_by("offering_name")
    reject(first)
    before = everything()

    with pytest.raises(Stale, match=rf"{first.offering_name} \(rejected\)"):
        settle(first, second)
    assert everything() == before


def test_a_price_set_meanwhile_makes_a_proposal_stale_and_all_or_none_is_accepted():
    set_price("5")
    propose(quote("6"), quote("5", of=OPUS))
    set_price("4", at=NOON + DAY)
    before = everything()

    with pytest.raises(Stale, match=GPT):
        accept(*PriceProposal.objects.all(), at=NOON + DAY)
    assert everything() == before


def test_a_price_set_meanwhile_in_another_series_does_not_matter():
    set_price("5")
    propose(quote("6"))
    set_price("30", meter="output", at=NOON + DAY)

    accept(open_one(), at=NOON + DAY)

    assert proposals() == [("changed", GPT, "accepted")]


def test_an_offering_that_got_a_price_meanwhile_is_not_new_any_more():
    propose(quote("5"))
    set_price("30", meter="output")

    with pytest.raises(Stale, match=GPT):
        accept(open_one())


def test_a_name_that_means_something_else_by_now_is_not_made_an_offering():
    propose(quote("5", of="gpt-5-5@openai"))
    aliases.assign(name="openai/gpt-5-5", offering=make_offering(), by="tests", since_at=MAY)

    with pytest.raises(Stale, match="gpt-5-5@openai"):
        accept(open_one())
    assert Offering.objects.count() == 1


def test_one_offering_is_not_accepted_from_two_sources_at_once():
    set_price("5")
    propose(quote("6"))
    propose(quote("7"), source="csv")

    with pytest.raises(Invalid, match=r"by litellm and by csv: accept one of them"):
        accept(*PriceProposal.objects.order_by("pk"))


def test_none_too_many_and_unknown_proposals_are_refused():
    with pytest.raises(Invalid, match="Name the proposals"):
        imports.accept(proposal_ids=[], by="approver@example.com", at=NOON)
    with pytest.raises(Invalid, match="At most"):
        imports.reject(proposal_ids=range(1, imports.MOST_AT_ONCE + 2), by="approver@example.com", at=NOON)
    with pytest.raises(NotFound, match="no price proposal 77"):
        imports.accept(proposal_ids=[77], by="approver@example.com", at=NOON)


def test_what_is_applied_to_be_looked_at_is_taken_back_with_its_transaction():
    set_price("5")
    propose(quote("6", valid_from=MAY))
    before = everything()

    with transaction.atomic():
        imports.apply(proposal_ids=[open_one().pk], by="approver@example.com", at=NOON)
        seen = book()
        transaction.set_rollback(True)

    assert (seen, everything()) == ([(JANUARY, MAY, "5"), (MAY, None, "6")], before)


def test_who_accepted_and_why_is_in_the_audit_trail():
    propose(quote("5"))

    accept(open_one())

    trail = AuditEntry.objects.get(table="catalog_price")
    assert (trail.actor, trail.reason) == ("approver@example.com", "looked at")


@pytest.mark.django_db(transaction=True)
def test_two_who_accept_the_same_at_once_set_it_once():
    propose(quote("6", valid_from=MAY))  # of an offering that is new: no price is there for them to wait for
    (pk,) = PriceProposal.objects.values_list("pk", flat=True)
    came: list[str] = []
    gate = threading.Barrier(2)

    def run():
        gate.wait()
        try:
            imports.accept(proposal_ids=[pk], by="approver@example.com", at=NOON + DAY)
            came.append("accepted")
        except Stale:
            came.append("stale")
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    assert sorted(came) == ["accepted", "stale"]
    assert book() == [(MAY, None, "6")]
