"""Limits of budgets in the forms of gateways that count for themselves: what is held, to the digit, and what is not."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from budgets.selectors import enforced
from budgets.services import budgets
from catalog.models import UseCaseAlias
from routing.rules.exports import FORMS
from routing.rules.exports.parts import UNHELD
from routing.rules.exports.written import written
from routing.selectors import exports
from tests.factories import NOON, make_budget, make_use_case
from tests.routing.making_exports import GPT, MINI, OFFERINGS, OPUS, content, frozen, limit, rule

BIFROST, CLOUDFLARE = FORMS["bifrost"], FORMS["cloudflare"]
RULES = frozen(content(rule(fallbacks=[OPUS, MINI])))


def held(form, *limits, **facts):
    return json.loads(form.render(RULES._replace(limits=limits, **facts)), parse_float=Decimal)


def codes(form, *limits, **facts):
    rules = RULES._replace(limits=limits, **facts)
    assert form.unfit(rules) == [], "a limit is never in the way of the rules"
    return [one.code for one in form.unheld(rules)]


def test_cloudflare_holds_a_limit_as_a_filter_of_metadata_provider_and_model():
    said = held(
        CLOUDFLARE,
        limit(1),
        limit(2, scope={"team": ("Core", " core "), "tag:env": ("Prod",)}, period="week", amount="0.1"),
        limit(3, scope={"provider": ("anthropic",)}),
        limit(4, scope={"tier": ("economy",), "provider": ("openai",)}),
    )["spend_limits"]

    usual = {"enabled": True, "limit": 100, "limitType": "cost", "window": 86_400, "technique": "fixed"}
    one, two, three, four = said["rules"]
    assert said["enabled"] is True
    assert one == usual | {"id": "tollkeeper-b-1"}
    assert two == usual | {
        "id": "tollkeeper-b-2", "limit": Decimal("0.1"), "window": 604_800,
        "metadata": {"env": {"mode": "filter", "values": ["Prod"]}, "team": {"mode": "filter", "values": ["core"]}},
    }  # fmt: skip
    assert three == usual | {"id": "tollkeeper-b-3", "provider": {"mode": "filter", "values": ["anthropic"]}}
    assert four == usual | {
        "id": "tollkeeper-b-4", "provider": {"mode": "filter", "values": ["openai"]},
        "model": {"mode": "filter", "values": ["gpt-5-mini", "openai/gpt-5-mini"]},
    }  # fmt: skip


def test_bifrost_holds_a_limit_on_everything_a_provider_or_a_model_aligned_to_the_calendar():
    said = held(
        BIFROST,
        limit(1, period="month"),
        limit(2, scope={"provider": ("anthropic",)}, period="year"),
        limit(3, scope={"model": ("gpt-5.5",)}, period="week"),
        limit(4, scope={"offering": (GPT,)}, zone="Etc/UTC", amount="12.340000000000000001"),
    )["governance"]

    assert said["budgets"] == [
        {"id": "tollkeeper-b-1", "max_limit": 100, "reset_duration": "1M"},
        {"id": "tollkeeper-b-2", "max_limit": 100, "reset_duration": "1Y"},
        {"id": "tollkeeper-b-3", "max_limit": 100, "reset_duration": "1w"},
        {"id": "tollkeeper-b-4", "max_limit": Decimal("12.340000000000000001"), "reset_duration": "1d"},
    ]
    usual = {"scope": "global", "calendar_aligned": True}
    assert said["model_configs"] == [
        usual | {"id": "tollkeeper-all", "model_name": "*", "budget_ids": ["tollkeeper-b-1"]},
        usual
        | {"id": "tollkeeper-anthropic", "model_name": "*", "provider": "anthropic", "budget_ids": ["tollkeeper-b-2"]},
        usual
        | {
            "id": "tollkeeper-openai-gpt-5.5", "model_name": "gpt-5.5", "provider": "openai",
            "budget_ids": ["tollkeeper-b-3", "tollkeeper-b-4"],
        },
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "bifrost", "cloudflare"),
    [
        (limit(1, unit="frontier_tokens"), ["limit_unit"], ["limit_unit"]),
        (limit(1, action="downgrade"), ["limit_action"], ["limit_action"]),
        (limit(1, period="month"), [], ["limit_period"]),
        (limit(1, period="quarter"), ["limit_period"], ["limit_period"]),
        (limit(1, period="year", fiscal_start_month=4), ["limit_period"], ["limit_period"]),
        (limit(1, zone="Europe/Berlin"), ["limit_zone"], ["limit_zone"]),
        (limit(1, scope={"team": ("core",)}), ["limit_scope"], []),
        (limit(1, scope={"model": ("o9",)}), ["limit_scope"], ["limit_scope"]),
        (limit(1, scope={"provider": ("anthropic", "openai")}), ["limit_shared"], []),
        (limit(1, scope={"tier": ("frontier",)}), ["limit_shared"], []),
        (limit(1, scope={"tag:a b": ("x",)}), ["limit_scope"], ["field_name"]),
    ],
)
def test_what_a_gateway_cannot_hold_is_named_with_its_reason(given, bifrost, cloudflare):
    assert (codes(BIFROST, given), codes(CLOUDFLARE, given)) == (bifrost, cloudflare)
    for form, found in ((BIFROST, bifrost), (CLOUDFLARE, cloudflare)):
        text = form.render(RULES._replace(limits=(given,)))
        assert (b"tollkeeper-b-1" in text) is (not found)
        assert all(one.text.startswith("budget 1: ") for one in form.unheld(RULES._replace(limits=(given,))))


def test_every_reason_of_a_limit_is_met_in_a_test_and_says_something():
    found = {"limit_unit", "limit_action", "limit_period", "limit_zone", "limit_scope", "limit_shared"}

    assert set(UNHELD) == found | {"too_many_limits"}


def test_models_that_would_count_for_another_ones_limit_are_not_taken_in():
    azure = OFFERINGS[OPUS] | {
        "provider": "azure",
        "tier": "economy",
        "gateway_names": {"cloudflare": "openai/gpt-5.5"},
    }
    mixed = content(rule(fallbacks=[OPUS]), offerings=OFFERINGS | {OPUS: azure})
    of_frontier, of_openai = limit(1, scope={"tier": ("frontier",)}), limit(2, scope={"provider": ("openai",)})

    assert codes(CLOUDFLARE, of_frontier, content=mixed) == ["limit_scope"]
    assert codes(CLOUDFLARE, of_openai, content=mixed) == ["limit_scope"]


def test_a_limit_of_one_gateway_is_held_by_that_one_alone():
    of_edge = limit(1, scope={"gateway": ("edge",)})

    assert codes(CLOUDFLARE, of_edge) == ["gateway"]
    assert codes(CLOUDFLARE, of_edge, gateway="edge") == codes(CLOUDFLARE, of_edge, gateway="other") == []
    assert len(held(CLOUDFLARE, of_edge, gateway="edge")["spend_limits"]["rules"]) == 1
    assert "spend_limits" not in held(CLOUDFLARE, of_edge, gateway="other")


def test_cloudflare_holds_no_more_limits_and_fields_than_there_are_and_says_what_requests_carry():
    many = [limit(number) for number in range(1, 22)]
    wide = [limit(number, scope={f"tag:t{number}": ("x",)}) for number in range(1, 7)]

    assert codes(CLOUDFLARE, *many) == ["too_many_limits"]
    assert [one["id"] for one in held(CLOUDFLARE, *many)["spend_limits"]["rules"]][-1] == "tollkeeper-b-20"
    assert codes(CLOUDFLARE, *wide) == ["metadata"]
    assert ("tag:t5", "t5") in CLOUDFLARE.fields(RULES._replace(limits=tuple(wide)))
    assert len(CLOUDFLARE.fields(RULES._replace(limits=tuple(wide)))) == 5


@pytest.mark.parametrize("name", sorted(set(FORMS) - {"bifrost", "cloudflare"}))
def test_other_forms_neither_read_limits_nor_change_with_them(name):
    form, rules = FORMS[name], RULES._replace(limits=(limit(1),))

    assert not form.says_limits
    assert form.unheld(rules) == []
    assert form.render(rules) == form.render(RULES)


def test_decimals_are_written_with_every_digit_and_nothing_else_is_touched():
    text = written({"a": Decimal("123456789012345678.000000000000000001"), "b": "1.5", "c": Decimal("1E+3")}).decode()

    assert json.loads(text, parse_float=str, parse_int=str) == {
        "a": "123456789012345678.000000000000000001", "b": "1.5", "c": "1000",
    }  # fmt: skip
    assert '"b": "1.5"' in text
    with pytest.raises(TypeError):
        written({"a": object()})


# --- Read from budgets


@pytest.mark.django_db
def test_limits_are_those_that_gateways_are_held_to_at_an_instant(django_assert_num_queries):
    use_case = make_use_case()
    UseCaseAlias.objects.create(folded="support", use_case=use_case, valid=DateTimeTZRange(None, None))
    day = make_budget(name="day", unit="usd", action="block", period="day", amount=Decimal("0.10"))
    make_budget(name="quiet", unit="usd", action="alert", period="day")
    make_budget(name="tried", unit="usd", action="block", period="day", trial=True)
    gone = make_budget(name="gone", unit="usd", action="block", period="day")
    budgets.retire(budget=gone, by="ann@example.com", reason="over", at=NOON)
    rises = NOON + timedelta(hours=1)
    budgets.set_limit(
        budget=day, amount=Decimal(7), starts_at=rises, ends_at=None, reason="a launch", by="a@example.com",
        approved_by="b@example.com", at=NOON,
    )  # fmt: skip
    exports.limits(at=NOON)

    with django_assert_num_queries(2):  # what changed, and the labels of use cases
        (now,) = exports.limits(at=NOON)
    (later,) = exports.limits(at=rises)

    scope = (("use_case", ("support", "support-routing")),)
    assert now == limit(day.pk)._replace(name="day", scope=scope, amount="0.1")
    assert later == now._replace(amount="7")
    assert [one.amount for one in enforced.limits(at=NOON)] == [Decimal("0.10")]
