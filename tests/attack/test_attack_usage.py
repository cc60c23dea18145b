"""What hostile or careless senders could do to the figures: events that take each other's place, in every order."""

from __future__ import annotations

from decimal import Decimal
from itertools import count

import pytest
from django.db.models import Sum
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from tests.drawing import drawn
from tests.factories import make_budget
from tests.usage.checks import assert_counters_equal_ledger, assert_rollups_equal_ledger
from tests.usage.making import (
    DAY,
    NOON,
    SECOND,
    book,
    make_event,
    make_gateway,
    make_offering,
    make_priced_offering,
    outcome,
    send,
    set_price,
    take,
)
from usage.events import Event
from usage.models import LedgerEntry
from usage.services import jobs
from usage.services.restating import running

pytestmark = pytest.mark.django_db


def standing(gateway: str = "edge") -> dict[str, int]:
    """Return the events of a gateway that count, each with the requests that the ledger holds of it."""
    rows = (
        LedgerEntry.objects.filter(gateway_id=make_gateway(gateway).pk)
        .values_list("event_id")
        .annotate(requests=Sum("requests"))
    )
    return {event_id: requests for event_id, requests in rows if requests}


def void(event_id: str, voids: str) -> Event:
    return Event(event_id=event_id, occurred_at=NOON, voids=voids)


def restate(at) -> None:
    running.take_up(at=at)
    while jobs.run_next(clock=lambda: at):
        pass


def test_what_a_conflict_names_beside_an_event_that_does_replace_it_is_still_replaced():
    make_priced_offering()
    send(make_event(event_id="b"))

    send(make_event(event_id="c", replaces="a"), make_event(event_id="b", replaces="a"))
    receipt = send(make_event(event_id="a"))

    assert outcome(receipt) == {"superseded": 1}
    assert standing() == {"b": 1, "c": 1}


def test_what_was_replaced_before_it_came_is_known_by_what_came_first():
    make_priced_offering()
    send(make_event(event_id="b", replaces="a"), make_event(event_id="other"))

    receipt = send(make_event(event_id="a"), make_event(event_id="a", replaces="other"))

    assert outcome(receipt) == {"superseded": 1, "conflicts": 1}
    assert standing() == {"b": 1, "other": 1}


def test_of_three_that_replace_each_other_in_a_circle_one_counts():
    make_priced_offering()
    send(make_event(event_id="a", replaces="c"), make_event(event_id="f", replaces="c"))
    send(make_event(event_id="e", replaces="a"))

    send(make_event(event_id="c", replaces="e"))

    assert standing() == {"e": 1}


def test_whoever_replaces_the_first_of_a_chain_replaces_what_counts_at_its_end():
    make_priced_offering()
    send(make_event(event_id="a"))
    send(make_event(event_id="b", replaces="a"))
    send(make_event(event_id="c", replaces="b"))

    send(make_event(event_id="d", replaces="a"))

    assert standing() == {"d": 1}


def test_of_two_events_that_replace_each_other_one_counts():
    make_priced_offering()
    for bodies in ("one", "two"):
        events = [
            make_event(event_id=f"a-{bodies}", replaces=f"b-{bodies}"),
            make_event(event_id=f"b-{bodies}", replaces=f"a-{bodies}"),
        ]
        if bodies == "one":
            send(*events)
        else:
            for event in events:
                send(event)

    assert sorted(standing().values()) == [1, 1]


_IDS = "abcdef"
_one = st.tuples(
    st.sampled_from(_IDS),
    st.sampled_from(["", "replaces", "replaces", "voids"]),
    st.sampled_from(_IDS),
    st.sampled_from([1, 1, 1, 2]),
).filter(lambda one: not one[1] or one[0] != one[2])
_bodies = st.lists(st.lists(_one, min_size=1, max_size=4), min_size=1, max_size=3)
_runs = count()


@drawn(10, 200, suppress_health_check=list(HealthCheck))
@given(bookings=st.lists(_bodies, min_size=1, max_size=5), moved=st.sampled_from([None, None, 1, 3]))
def test_of_events_that_take_each_others_place_one_counts(bookings, moved):
    """Bookings of bodies of events, each with an id, what it is to another, and its tokens.

    A correction of prices moves what was booked before the booking `moved`.
    """
    run = next(_runs)
    gateway, model, at = f"gateway-{run}", f"model-{run}", NOON + SECOND
    offering = make_offering(f"{model}@openai", uncached_input="5", output="30")
    make_budget(name=model, unit="usd", amount=Decimal(100), scope={"model": [model]}, at=NOON - DAY)
    first: dict[str, Event] = {}

    for number, bodies in enumerate(bookings):
        if number == moved:
            set_price(offering, "output", "31", valid_from=NOON - DAY, at=at)
            restate(at)
        for body in bodies:
            events = [_event(*one, model=model) for one in body]
            for event in events:
                first.setdefault(event.event_id, event)
            take(*events, gateway=gateway, received_at=at)
        at += 2 * SECOND
        book(at=at)

    counting = standing(gateway)
    assert set(counting.values()) <= {1}
    for chain in _chains(first):
        voided = any(first[id_].voids for id_ in chain if id_ in first)
        assert voided or len(chain & counting.keys()) == 1, (chain, counting)
    assert_rollups_equal_ledger()
    assert_counters_equal_ledger()


def _event(event_id: str, link: str, other: str, tokens: int, *, model: str) -> Event:
    if link == "voids":
        return void(event_id, other)
    replaces = other if link else ""
    return make_event(event_id=event_id, uncached_input_tokens=tokens, replaces=replaces, model=model)


def _chains(first: dict[str, Event]) -> list[set[str]]:
    """Return the events that have to do with each other."""
    chains = [{id_} for id_ in first]
    for id_, event in first.items():
        if other := event.replaces or event.voids:
            joined = [chain for chain in chains if id_ in chain or other in chain]
            chains = [chain for chain in chains if chain not in joined] + [set().union({other}, *joined)]
    return chains
