"""What pages and the API are told of imports and proposals."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from catalog.selectors import proposals as rows
from tests.catalog.importing import GPT, OPUS, accept, open_one, propose, quote, reject
from tests.catalog.making import MAY, make_offering, set_price
from tests.factories import NOON

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
MANY = [f"model-{number:02}@acme" for number in range(20)]


def queries_of(ask):
    with CaptureQueriesContext(connection) as queries:
        found = ask()
    return len(queries), found


def test_imports_are_told_with_how_many_proposals_of_each_kind_and_state_they_brought():
    set_price("5")
    propose(quote("6"), quote("5", of=OPUS), problems=(("sonar", "no price"),), models=3)
    accept(open_one(kind="new"))
    propose(quote("7"), quote("5", of=OPUS), at=NOON + DAY, models=3)

    count, found = queries_of(rows.imports)

    latest, first = found
    assert count == 2
    assert (first.counts, first.problems, first.models) == ({"changed": {"replaced": 1}, "new": {"accepted": 1}}, 1, 3)
    assert (first.proposals, first.open, first.of_kind("new"), first.in_state("replaced")) == (2, 0, 1, 1)
    assert (latest.counts, latest.open, latest.at) == ({"changed": {"open": 1}}, 1, NOON + DAY)
    assert [row.id for row in rows.imports(before=latest.id)] == [first.id]
    assert [row.id for row in rows.imports(most=1)] == [latest.id]


def test_problems_of_an_import_are_told_in_its_order():
    propose(quote("5"), problems=(("sonar", "no price"), ("image-1", "priced per image")), models=3)

    found = rows.problems(of_import=rows.imports()[0].id)

    assert [(row.name, row.problem) for row in found] == [("sonar", "no price"), ("image-1", "priced per image")]
    assert rows.problems(of_import=0) == []


def test_proposals_are_found_by_what_they_are_and_paged_by_their_last_row():
    set_price("5")
    propose(quote("6"), *(quote("1", of=name) for name in MANY))
    propose(quote("7"), source="csv")
    first_import = rows.imports()[1].id

    assert len(rows.proposals(of_import=first_import)) == 21
    assert [row.source for row in rows.proposals(kind="changed")] == ["litellm", "csv"]
    assert [row.offering for row in rows.proposals(search="MODEL-1", most=2)] == ["model-10@acme", "model-11@acme"]
    assert [row.disputed for row in rows.proposals(disputed=True)] == [True]
    assert rows.proposals(state="accepted") == []
    page = rows.proposals(source="litellm", most=5)
    following = rows.proposals(source="litellm", most=5, after=(page[-1].offering, page[-1].id))
    assert [row.offering for row in (*page, *following)] == [GPT, *MANY[:9]]


def test_those_are_known_whose_offering_is_priced_or_was_named_before_or_since():
    set_price("5")
    make_offering("before@acme")
    made = propose(quote("6"), *(quote("1", of=f"{name}@acme") for name in ("before", "since", "never")))
    make_offering("since@acme")

    known = rows.proposals(of_import=made.import_id, known=True)

    assert [row.offering for row in known] == ["before@acme", GPT, "since@acme"]
    assert queries_of(lambda: rows.known_count(of_import=made.import_id)) == (1, 3)
    reject(open_one(offering_name="before@acme"))
    assert rows.known_count(of_import=made.import_id) == 2
    assert (rows.known_count(), rows.known_count(of_import=0)) == (2, 0)


def test_a_page_of_proposals_is_one_query_with_every_line_in_words():
    set_price("5")
    set_price("30", meter="output")
    propose(quote("6"), quote("2.5", service_tier="batch", context_over=200_000, region="eu"))

    count, (found,) = queries_of(rows.proposals)

    assert count == 1
    assert [(line.what, line.differs) for line in found.lines] == [
        ("uncached input", True),
        ("output", False),
        ("uncached input, above 200,000 tokens of input, batch, in eu", True),
    ]
    assert (len(found.differing), len(found.standing)) == (2, 1)
    assert rows.proposal(pk=found.id) == found
    assert rows.proposal(pk=0) is None


def test_a_proposal_says_what_accepting_it_would_do():
    set_price("5")
    propose(quote("6", of=GPT, valid_from=MAY), quote("1", of=OPUS))
    propose(quote("6.5"), source="csv")

    found = {(row.source, row.offering): row for row in rows.proposals()}

    assert found["litellm", GPT].summary == "Changes 1 price, some of them for the past."
    assert found["litellm", OPUS].summary == "Sets 1 price of an offering that has none."
    assert (found["csv", GPT].summary, found["csv", GPT].sources) == ("Changes 1 price.", ("litellm",))


def test_the_newest_table_of_each_source_is_told_with_what_waits():
    propose(quote("5"), quote("5", of=OPUS))
    reject(open_one(offering_name=OPUS))
    propose(quote("5"), source="csv", version="")

    count, found = queries_of(rows.source_tables)

    assert count == 2
    assert [(row.source, row.models, row.offerings, row.open_proposals) for row in found] == [
        ("csv", 1, 1, 1),
        ("litellm", 2, 2, 1),
    ]
