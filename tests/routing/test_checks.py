"""What submission checks beyond the document itself: prices at the use case's own mix of tokens."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from routing.rules import dearness
from routing.selectors import catalogue, checks
from tests.factories import NOON
from tests.routing.making import CHEAP, MIDDLE, OPUS, make_content, make_rule, stock
from tests.usage.making import forget_everything, make_event, make_offering, send, set_price

pytestmark = pytest.mark.django_db(transaction=True)


def filled(content):
    known = catalogue.known(catalogue.named_in(content), at=NOON)
    return content | {"offerings": {name: known.as_written(name) for name in known.facts}}


def found(content):
    return [(one.pointer, one.code, one.text) for one in checks.problems(filled(content), at=NOON)]


def dear_stock():
    """Offer a model whose output is ten times as dear as its input."""
    stock()
    offering = make_offering("reasoner@openai")
    set_price(offering, "uncached_input", "10")
    set_price(offering, "output", "100")


@pytest.mark.parametrize(("mix", "usd"), [
    ({"uncached_input": 3, "output": 1}, Decimal("0.0325")),
    ({"uncached_input": 1000, "output": 0}, Decimal("0.01")),
    ({"cache_read": 50, "output": 50}, Decimal("0.055")),  # no price of its own: as ordinary input
])  # fmt: skip
def test_a_price_per_thousand_tokens_weighs_each_meter_by_its_tokens(mix, usd):
    assert dearness.usd_per_1k_tokens(mix, {"uncached_input": Decimal(10), "output": Decimal(100)}) == usd


def test_what_has_no_price_has_none_per_thousand_tokens_either():
    assert dearness.usd_per_1k_tokens({"output": 1}, {"uncached_input": Decimal(10)}) is None
    assert dearness.usd_per_1k_tokens({}, {"uncached_input": Decimal(10)}) is None


def test_without_a_past_the_usual_mix_decides():
    dear_stock()
    target = [{"offering": "reasoner@openai", "weight": 10000}]

    over = found(make_content(make_rule(targets=target, fallbacks=[], max_usd_per_1k_tokens="0.0324")))
    under = found(make_content(make_rule(targets=target, fallbacks=[], max_usd_per_1k_tokens="0.0325")))

    assert [(pointer, code) for pointer, code, _ in over] == [("/rules/0/max_usd_per_1k_tokens", "too_dear")]
    assert "costs 0.032500 USD per 1,000 tokens at three tokens in for one out" in over[0][2]
    assert under == []


def test_the_use_cases_own_mix_of_thirty_days_decides_where_there_is_one():
    forget_everything()
    dear_stock()
    yesterday = NOON - timedelta(days=1)
    served = {"model": "reasoner", "uncached_input_tokens": 1000, "output_tokens": 0, "occurred_at": yesterday}
    send(make_event(use_case="code-review", **served))
    rule = make_rule(targets=[{"offering": "reasoner@openai", "weight": 10000}], fallbacks=[])
    cap = {"max_usd_per_1k_tokens": "0.0324"}

    only_input = found(make_content(rule | cap))
    other_use_case = found(make_content(rule | cap | {"use_cases": ["another"]}))
    anybody = found(make_content(rule | {"max_usd_per_1k_tokens": "0.0099", "use_cases": None}))

    assert only_input == []
    assert [code for _, code, _ in other_use_case] == ["too_dear"]
    assert "with the tokens of code-review over 30 days" in anybody[0][2]


def test_fallbacks_and_what_is_taken_over_budget_are_held_to_it_too():
    dear_stock()
    rule = make_rule(
        targets=[{"offering": CHEAP, "weight": 10000}], fallbacks=["reasoner@openai"], max_usd_per_1k_tokens="0.004",
        over_budget={"targets": [{"offering": OPUS, "weight": 10000}]},
    )  # fmt: skip

    assert [text.split(" costs")[0] for _, _, text in found(make_content(rule))] == [OPUS, "reasoner@openai"]


def test_a_check_is_few_queries_however_many_rules(django_assert_num_queries):
    stock()
    content = filled(make_content(*(make_rule(f"r-{n}", use_cases=[f"u-{n}"]) for n in range(50))))

    with django_assert_num_queries(2):
        assert checks.problems(content, at=NOON) == []


def test_what_is_named_is_found_in_whatever_json_there_is():
    wrong = {"rules": [7, {"targets": 7, "fallbacks": [MIDDLE, 7], "over_budget": 7}, None], "default": [], "x": 1}

    assert catalogue.named_in(wrong) == {MIDDLE}
    assert catalogue.named_in({}) == set()
