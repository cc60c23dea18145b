"""Importing a table of prices: what is proposed, what is not proposed again, what is refused whole."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from catalog.models import Price, PriceImport, PriceProposal, PriceSeries, SourceTable
from catalog.services import aliases, imports
from core.errors import Invalid, Malformed
from core.models import AuditEntry
from tests.catalog.importing import GPT, OPUS, differing, lines_of, open_one, proposals, propose, quote, reject
from tests.catalog.making import MAY, make_offering, set_price
from tests.factories import NOON

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
MANY = [f"model-{number}@acme" for number in range(20)]


def rows():
    """Every row that an import could leave."""
    tables = (PriceImport, PriceProposal, SourceTable, Price, PriceSeries, AuditEntry)
    return [list(table.objects.order_by("pk").values()) for table in tables]


def test_a_model_that_nobody_knows_is_proposed_under_the_name_it_would_get():
    done = propose(quote("5"), quote("30", meter="output"))

    found = open_one()
    assert (done.new, done.proposed, done.import_id) == (1, 1, found.of_import_id)
    assert (found.kind, found.offering_name, found.offering_id, found.source) == ("new", GPT, None, "litellm")
    assert differing(found) == [("uncached input", "5"), ("output", "30")]
    assert (found.of_import.file_name, found.of_import.by, found.of_import.at) == (
        "prices.json", "finance@example.com", NOON,
    )  # fmt: skip


def test_nothing_is_priced_by_an_import():
    set_price("5")
    before = list(Price.objects.values())

    propose(quote("6"), quote("5", of=OPUS))

    assert list(Price.objects.values()) == before


def test_a_name_is_resolved_as_an_event_s_would_be():
    set_price("5")
    offering = make_offering()
    aliases.assign(name="azure_ai/gpt5", offering=offering, by="tests", since_at=MAY)

    propose(quote("6", of="gpt5@azure_ai"))

    assert (open_one().offering_name, open_one().offering_id, open_one().kind) == (GPT, offering.pk, "changed")


def test_two_names_of_one_offering_are_one_where_their_prices_are_equal():
    aliases.assign(name="openai/gpt-5.5-2026", offering=make_offering(), by="tests", since_at=MAY)

    propose(quote("5"), quote("5", of="gpt-5.5-2026@openai"))

    assert proposals() == [("new", GPT, "open")]


def test_two_names_of_one_offering_with_two_prices_are_a_problem_of_it():
    aliases.assign(name="openai/gpt-5.5-2026", offering=make_offering(), by="tests", since_at=MAY)

    done = propose(quote("5"), quote("6", of="gpt-5.5-2026@openai"), quote("5", of=OPUS))

    assert proposals() == [("new", OPUS, "open")]
    ((name, problem),) = done.problems
    assert (name, "openai/gpt-5.5 and openai/gpt-5.5-2026" in problem) == (GPT, True)
    assert PriceImport.objects.get().problems == [{"name": name, "problem": problem}]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"usd": "-1"}, "0 or more"),
        ({"usd": "5001"}, "is the unit right"),
        ({"usd": "0.00000000001"}, "decimal places"),
        ({"meter": "storage"}, "no meter"),
        ({"context_over": 0}, "context tier"),
        ({"valid_from": NOON, "valid_until": NOON}, "no time"),
    ],
)
def test_a_price_that_could_never_be_accepted_is_a_problem_and_not_a_proposal(wrong, words):
    done = propose(quote("5", of=OPUS), quote(wrong.pop("usd", "5"), **wrong))

    assert proposals() == [("new", OPUS, "open")]
    assert [(name, words in problem) for name, problem in done.problems] == [(GPT, True)]


def test_a_table_that_agrees_with_the_book_is_only_remembered():
    set_price("5")

    done = propose(quote("5"))

    assert (done.import_id, done.proposed, proposals(), PriceImport.objects.count()) == (None, 0, [], 0)
    assert SourceTable.objects.get().quotes == {GPT: {"uncached_input": "5"}}


def test_the_same_table_again_writes_nothing_while_its_proposals_wait():
    set_price("5")
    propose(quote("6"), quote("5", of=OPUS))
    before = rows()

    again = propose(quote("6"), quote("5", of=OPUS), at=NOON + DAY)

    assert rows() == before
    assert (again.import_id, again.proposed, again.waiting) == (None, 0, 2)


def test_the_same_table_again_writes_nothing_where_it_agrees():
    set_price("5")
    propose(quote("5"))
    before = rows()

    propose(quote("5"), at=NOON + DAY)

    assert rows() == before


def test_a_newer_reading_takes_the_place_of_what_it_says_otherwise():
    set_price("5")
    propose(quote("6"), quote("1", of=OPUS))
    old = open_one(offering_name=GPT)

    done = propose(quote("7"), quote("1", of=OPUS), at=NOON + DAY, version="1.81")

    assert (done.replaced, done.changed, done.waiting) == (1, 1, 1)
    old.refresh_from_db()
    assert (old.state, old.settled_at) == ("replaced", NOON + DAY)
    assert differing(open_one(offering_name=GPT)) == [("uncached input", "7")]


def test_a_newer_reading_that_agrees_takes_its_older_proposal_back():
    set_price("5")
    propose(quote("6"))

    done = propose(quote("5"), at=NOON + DAY)

    assert (proposals(), done.replaced, done.import_id) == ([("changed", GPT, "replaced")], 1, None)


def test_a_proposal_whose_book_side_changed_is_made_anew():
    set_price("5")
    propose(quote("6"))
    set_price("4", at=NOON + DAY)

    propose(quote("6"), at=NOON + 2 * DAY)

    assert proposals() == [("changed", GPT, "replaced"), ("changed", GPT, "open")]
    assert lines_of(open_one())[0].book_usd_per_1m == 4


def test_proposals_of_another_source_are_left_alone():
    set_price("5")
    propose(quote("6"))

    propose(quote("7"), source="csv")

    assert proposals() == [("changed", GPT, "open"), ("changed", GPT, "open")]


def test_what_was_rejected_is_not_proposed_again_while_the_table_says_the_same():
    set_price("5")
    propose(quote("6"))
    reject(open_one())
    before = rows()

    again = propose(quote("6"), at=NOON + DAY)

    assert (rows(), again.settled, again.proposed) == (before, 1, 0)


def test_what_was_rejected_is_proposed_when_the_table_says_something_else():
    set_price("5")
    propose(quote("6"))
    reject(open_one())

    propose(quote("6"), quote("30", meter="output"), at=NOON + DAY)

    assert [state for _, _, state in proposals()] == ["rejected", "open"]


def test_an_offering_that_its_source_lists_no_more_is_proposed_to_end():
    set_price("5", source="litellm")
    set_price("30", meter="output", source="provider's page")
    others = [quote("1", of=name) for name in MANY]
    propose(quote("5"), *others)

    done = propose(*others, at=NOON + DAY)
    again = propose(*others, at=NOON + 2 * DAY)

    assert (done.gone, again.gone, again.waiting) == (1, 0, 21)
    found = open_one(kind="gone")
    assert (found.offering_name, differing(found)) == (GPT, [("uncached input", None)]), "what litellm said of it"


def test_a_price_that_the_source_never_listed_is_not_gone_from_it():
    set_price("5", source="litellm")
    set_price("5", offering=make_offering(OPUS), source="litellm")

    done = propose(quote("5"))

    assert (done.gone, proposals()) == (0, [])


def test_a_model_that_is_listed_and_could_not_be_read_is_not_gone():
    set_price("5", source="litellm")
    others = [quote("1", of=name) for name in MANY]
    propose(quote("5"), *others)

    done = propose(*others, problems=((GPT, "no price"),), models=21, at=NOON + DAY)

    assert (done.gone, done.problems) == (0, ((GPT, "no price"),))


def test_where_two_sources_differ_and_one_agrees_with_the_book_both_are_shown():
    set_price("5")
    propose(quote("5"), source="csv")

    propose(quote("6"))
    changed = open_one()

    assert (changed.kind, changed.disputed) == ("changed", True)
    assert lines_of(changed)[0].others == {"csv": 5}


def test_a_proposal_that_waits_learns_what_another_source_says_and_stays_the_same_one():
    set_price("5")
    propose(quote("6"))
    waiting = open_one()
    propose(quote("5"), source="csv")

    again = propose(quote("6"), at=NOON + DAY)

    found = open_one()
    assert (found.pk, found.disputed, lines_of(found)[0].others) == (waiting.pk, True, {"csv": 5})
    assert (again.import_id, again.waiting, again.replaced) == (None, 1, 0)


def test_a_disagreement_is_proposed_once_not_by_both_sources():
    set_price("5")
    propose(quote("5"), source="csv")
    propose(quote("6"))

    propose(quote("5"), source="csv", version="2", at=NOON + DAY)

    assert proposals() == [("changed", GPT, "open")]


def test_a_book_that_another_source_disputes_is_shown_and_not_again_once_decided():
    set_price("6")
    propose(quote("6"), source="csv")
    set_price("5", at=NOON + DAY)

    propose(quote("5"), at=NOON + DAY)
    found = open_one()
    imports.accept(proposal_ids=[found.pk], by="approver@example.com", at=NOON + DAY)
    again = propose(quote("5"), at=NOON + 2 * DAY)

    assert (found.kind, found.disputed, lines_of(found)[0].others) == ("disputed", True, {"csv": 6})
    assert (again.settled, proposals()) == (1, [("disputed", GPT, "accepted")])


@pytest.mark.parametrize(("left", "refused"), [(18, False), (17, True)])
def test_a_table_that_lists_fewer_than_nine_tenths_of_before_is_refused_whole(left, refused):
    propose(*(quote("1", of=name) for name in MANY))
    before = rows()
    fewer = [quote("2", of=name) for name in MANY[:left]]

    if not refused:
        assert propose(*fewer).new == left
        return
    with pytest.raises(imports.Shrunk, match=r"of 20 models .* 17 are left.*Missing: model-17@acme, model-18@acme"):
        propose(*fewer)
    assert rows() == before


def test_a_table_that_names_all_models_and_prices_few_of_them_shrank_too():
    propose(*(quote("1", of=name) for name in MANY))

    with pytest.raises(imports.Shrunk, match="of 20 offerings"):
        propose(*(quote("1", of=name) for name in MANY[:5]), models=20)


def test_a_person_may_insist_on_a_table_that_shrank():
    propose(*(quote("1", of=name) for name in MANY))

    propose(quote("1", of=MANY[0]), accept_shrunk=True, at=NOON + DAY)

    assert SourceTable.objects.get().models_count == 1
    assert {state for kind, name, state in proposals() if name != MANY[0]} == {"replaced"}


def test_a_first_table_that_lacks_most_of_what_the_book_has_from_its_source_is_refused():
    for name in MANY[:5]:
        set_price("1", offering=make_offering(name), source="litellm")

    with pytest.raises(imports.Shrunk, match="of 5 offerings whose prices in the book come from it, 2 are left"):
        propose(*(quote("1", of=name) for name in MANY[:2]))
    propose(*(quote("1", of=name) for name in MANY[:3]))


@pytest.mark.parametrize("factor", ["0.01", "100", "1000", "0.000001"])
def test_a_table_in_other_units_is_refused_whole_with_examples(factor):
    for name in MANY[:3]:
        set_price("2", offering=make_offering(name))
    moved = f"{2 * Decimal(factor):f}"
    before = rows()

    with pytest.raises(imports.WrongUnits, match=r"2 of 3 prices .* uncached_input of model-0@acme from 2 to"):
        propose(quote(moved, of=MANY[0]), quote(moved, of=MANY[1]), quote("2", of=MANY[2]))
    assert rows() == before


def test_one_price_of_three_that_fell_to_a_hundredth_is_a_change():
    for name in MANY[:3]:
        set_price("2", offering=make_offering(name))

    done = propose(quote("0.02", of=MANY[0]), *(quote("2", of=name) for name in MANY[1:3]))

    assert done.changed == 1


def test_a_table_without_prices_is_refused():
    with pytest.raises(Invalid, match="holds no price"):
        propose()
    with pytest.raises(Invalid, match="No price of the table can be used"):
        propose(quote("-1"))


def test_a_source_that_nobody_knows_and_a_file_that_is_missing_or_too_many_are_refused():
    with pytest.raises(Invalid, match="read from genai-prices, litellm, csv"):
        imports.read(source="rumour")
    with pytest.raises(Invalid, match="from a file"):
        imports.read(source="litellm")
    with pytest.raises(Invalid, match="takes no file"):
        imports.read(source="genai-prices", content=b"{}")


@pytest.mark.parametrize(("source", "content"), [("litellm", b"[1, 2"), ("csv", b"\xff\xfe\x00")])
def test_a_malformed_table_is_refused_whole(source, content):
    with pytest.raises(Malformed, match="nothing of it was used"):
        imports.read(source=source, content=content)


def test_an_import_takes_few_queries_however_long_the_table_is():
    set_price("5")
    propose(quote("6"), quote("1", of=OPUS))
    counts = []
    for many in (20, 400):
        quotes = [quote("1", of=f"{many}-{number}@acme") for number in range(many)]
        with CaptureQueriesContext(connection) as queries:
            propose(quote("6"), *quotes, accept_shrunk=True)
        counts.append(len(queries))

    assert counts[0] == counts[1] <= 32


def test_who_imported_what_is_in_the_audit_trail():
    propose(quote("5"))

    trail = AuditEntry.objects.get(table="catalog_priceimport")
    assert (trail.actor, trail.reason, trail.operation) == ("finance@example.com", "prices of litellm", "insert")
