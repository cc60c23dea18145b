"""Orders of rules by score: what they are made of, when they move, and how gateways come to have them."""

from __future__ import annotations

import threading
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from routing import tasks
from routing.models import Environment, Order, StateRevision, Version
from routing.rules import document, evaluator
from routing.selectors import deciding, state
from routing.selectors import orders as rows
from routing.services import orders, proposals, states, versions
from tests.factories import NOON, make_key, make_use_case
from tests.routing.making import (
    APPROVER,
    CHEAP,
    ENVIRONMENT,
    LEAD,
    MIDDLE,
    OPUS,
    PUBLISHER,
    make_content,
    make_rule,
    make_version,
    stock,
)  # fmt: skip
from tests.usage.making import make_event, make_offering, send, set_price

pytestmark = pytest.mark.django_db(transaction=True)

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
CODE = {"use_case": "code-review", "task": "code"}


def listed(*names: str) -> list[dict[str, str]]:
    return [{"offering": name} for name in names]


def by_score(*names: str, rule_id: str = "code-high", **overrides: Any) -> dict[str, Any]:
    given = {"choose": "score", "targets": listed(*names), "fallbacks": []}
    return make_rule(rule_id, **{**given, **overrides})


def calls(offering: str, count: int, *, at=NOON, environment: str = ENVIRONMENT, **overrides: Any) -> None:
    """Book so many calls of an offering, each answered within half a second unless told otherwise."""
    model, provider = offering.split("@")
    given = {"model": model, "provider": provider, "occurred_at": at, "latency_ms": 400, **overrides}
    send(*(make_event(**given) for _ in range(count)), environment=environment, received_at=at + MINUTE / 60)


def told(environment: str = ENVIRONMENT) -> dict[str, list[str]]:
    return dict(state.of(environment=environment, at=NOON)["orders"])


def last_state() -> dict[str, Any]:
    return document.parse(bytes(StateRevision.objects.latest("revision").canonical))


@pytest.fixture(autouse=True)
def _house():
    stock()
    make_use_case("code-review")


# --- The story


def test_gateways_follow_an_offering_that_begins_to_fail_and_one_that_is_slow():
    make_version(make_content(by_score(CHEAP, MIDDLE, OPUS)))
    for name in (CHEAP, MIDDLE, OPUS):
        calls(name, 30)
    orders.renew(at=NOON + 5 * MINUTE)
    first = deciding.live(environment=ENVIRONMENT, context=CODE, at=NOON + 5 * MINUTE)

    calls(CHEAP, 200, at=NOON + 10 * MINUTE, status="error", latency_ms=None)
    moved = orders.renew(at=NOON + 15 * MINUTE)
    second = deciding.live(environment=ENVIRONMENT, context=CODE, at=NOON + 15 * MINUTE)
    calls(MIDDLE, 400, at=NOON + 20 * MINUTE, latency_ms=50_000)
    orders.renew(at=NOON + 25 * MINUTE)
    third = deciding.live(environment=ENVIRONMENT, context=CODE, at=NOON + 25 * MINUTE)

    assert (first.offering, first.fallbacks) == (CHEAP, (MIDDLE, OPUS))
    assert moved == 1
    assert (second.offering, second.fallbacks) == (MIDDLE, (OPUS, CHEAP))
    assert third.offering == OPUS
    assert (first.version, third.version) == (1, 1)
    assert first.revision < second.revision < third.revision


def test_the_next_poll_has_the_order_and_any_evaluator_follows_it(client):
    secret = make_key("rules:read")
    make_version(make_content(by_score(CHEAP, MIDDLE)))
    calls(CHEAP, 100, status="error", latency_ms=None)
    before = client.get(f"/api/v1/rules/{ENVIRONMENT}", headers={"Authorization": f"Bearer {secret}"})

    orders.renew(at=NOON + MINUTE)
    after = client.get(
        f"/api/v1/rules/{ENVIRONMENT}",
        headers={"Authorization": f"Bearer {secret}", "If-None-Match": before.headers["ETag"]},
    )

    assert (before.status_code, after.status_code) == (200, 200)
    assert document.schema_problems("document", after.json()) == []
    decisions = [evaluator.compile(document.parse(one.content)).decide(CODE, NOON) for one in (before, after)]
    assert [one.offering for one in decisions] == [CHEAP, MIDDLE]


# --- What an order is made of


def test_a_version_comes_with_the_orders_of_its_rules_in_its_first_revision():
    make_version(make_content(by_score(MIDDLE, CHEAP), default={"choose": "score", "targets": listed(OPUS, MIDDLE)}))

    revision = StateRevision.objects.get()

    assert revision.version == 1
    assert last_state()["orders"] == {"code-high": [MIDDLE, CHEAP], "default": [OPUS, MIDDLE]}


def test_a_version_published_over_measured_offerings_has_their_order_at_once():
    for name in (CHEAP, MIDDLE):
        calls(name, 30)

    make_version(make_content(by_score(MIDDLE, CHEAP)), at=NOON + MINUTE)

    assert last_state()["orders"] == {"code-high": [CHEAP, MIDDLE]}


def test_what_was_measured_stands_beside_the_order():
    calls(CHEAP, 30)
    calls(CHEAP, 10, status="error", latency_ms=None)
    calls(CHEAP, 5, status="blocked")
    calls(CHEAP, 5, status="cache_hit")
    make_version(make_content(by_score(MIDDLE, CHEAP, score={"price": 6000, "errors": 4000})), at=NOON + MINUTE)

    [row] = rows.rows(environment=ENVIRONMENT)

    assert (row.rule, row.weights, row.computed_at, row.moved_at) == (
        "code-high", (6000, 0, 4000), NOON + MINUTE, NOON + MINUTE
    )  # fmt: skip
    best, other = row.targets
    # All calls between 350 and 500 ms: half of the way, and 95 of 100 of it. All meters cost the same.
    assert (best.offering, best.usd_per_1k_tokens, best.p50_ms, best.p95_ms) == (CHEAP, Decimal("0.0002"), 425, 492)
    assert (best.calls, best.failed) == (40, 10)
    # 11 of 140 failed against 1 of 100: 6.8571 per cent more.
    assert (best.price, best.errors, best.score) == (10000, 6572, 8628)
    assert (other.offering, other.usd_per_1k_tokens, other.p50_ms, other.calls) == (MIDDLE, Decimal("0.002"), None, 0)
    assert (other.price, other.errors, other.score) == (1000, 10000, 4600)


def test_no_float_is_stored():
    calls(CHEAP, 30)
    make_version(make_content(by_score(MIDDLE, CHEAP)), at=NOON + MINUTE)

    document.dumps(Order.objects.get().scores)  # refuses a number with a fraction


def test_prices_are_those_of_the_tokens_that_the_use_cases_of_the_rule_had():
    for meter, dear, cheap in (("uncached_input", "1", "2"), ("output", "40", "10")):
        set_price(make_offering("dear@in"), meter, dear)
        set_price(make_offering("dear@out"), meter, cheap)
    make_use_case("long-answers")
    for use_case, tokens_in, tokens_out in (("code-review", 10_000, 1), ("long-answers", 1, 10_000)):
        sizes = {"uncached_input_tokens": tokens_in, "output_tokens": tokens_out}
        for name in (MIDDLE, "dear@in", "dear@out"):
            calls(name, 30, at=NOON - 24 * HOUR, use_case=use_case, **sizes)
            calls(name, 30, use_case=use_case, **sizes)
    price = {"price": 10000}

    make_version(
        make_content(
            by_score("dear@out", "dear@in", rule_id="short", score=price),
            by_score("dear@in", "dear@out", rule_id="long", score=price, use_cases=["Long-Answers "]),
        ),
        at=NOON + MINUTE,
    )

    assert told() == {"short": ["dear@in", "dear@out"], "long": ["dear@out", "dear@in"]}


def test_only_the_last_six_hours_of_this_environment_count():
    make_version(make_content(by_score(MIDDLE, CHEAP)))
    calls(CHEAP, 30, at=NOON - 7 * HOUR)
    calls(CHEAP, 30, environment="staging")
    orders.renew(at=NOON + MINUTE)
    elsewhere = told()

    calls(CHEAP, 30, at=NOON - 5 * HOUR)
    orders.renew(at=NOON + 2 * MINUTE)

    assert elsewhere == {"code-high": [MIDDLE, CHEAP]}
    assert told() == {"code-high": [CHEAP, MIDDLE]}


# --- When it moves


def test_an_order_stays_where_nothing_is_measured_any_more():
    calls(CHEAP, 30)
    make_version(make_content(by_score(MIDDLE, CHEAP)), at=NOON + MINUTE)

    moved = orders.renew(at=NOON + 24 * HOUR)

    assert (moved, told()) == (0, {"code-high": [CHEAP, MIDDLE]})


def test_a_difference_below_the_margin_moves_nothing_and_writes_no_revision():
    weights = {"errors": 10000}
    calls(CHEAP, 400)
    make_version(make_content(by_score(CHEAP, MIDDLE, score=weights)), at=NOON + MINUTE)
    since = Order.objects.get().moved_at
    calls(CHEAP, 4, status="error", latency_ms=None)
    calls(MIDDLE, 400)

    moved = orders.renew(at=NOON + 2 * MINUTE)  # about 0.8 per cent more fail: 400 points of 10000

    order = Order.objects.get()
    scores = order.scores["offerings"]
    assert 0 < scores[MIDDLE]["score"] - scores[CHEAP]["score"] < 500
    assert (moved, order.order, order.moved_at, order.computed_at) == (0, [CHEAP, MIDDLE], since, NOON + 2 * MINUTE)

    calls(CHEAP, 4, status="error", latency_ms=None)

    assert orders.renew(at=NOON + 3 * MINUTE) == 1
    assert Order.objects.get().moved_at == NOON + 3 * MINUTE


def test_other_weights_put_the_targets_in_order_whatever_the_margin():
    set_price(make_offering(MIDDLE, tier=None), "uncached_input", "0.201", valid_from=NOON - HOUR)
    set_price(make_offering(MIDDLE, tier=None), "output", "0.201", valid_from=NOON - HOUR)
    calls(CHEAP, 30, latency_ms=400)
    calls(MIDDLE, 30, latency_ms=30)
    make_version(make_content(by_score(MIDDLE, CHEAP, score={"latency": 1})), at=NOON + MINUTE)
    quick = told()

    make_version(make_content(by_score(MIDDLE, CHEAP, score={"price": 1})), at=NOON + 2 * MINUTE)

    assert quick == {"code-high": [MIDDLE, CHEAP]}
    assert told() == {"code-high": [CHEAP, MIDDLE]}


def test_rules_that_no_longer_choose_by_score_lose_their_order():
    make_version(make_content(by_score(MIDDLE, CHEAP), by_score(CHEAP, OPUS, rule_id="second", use_cases=["other"])))
    make_version(make_content(make_rule(), by_score(CHEAP, OPUS, rule_id="second", use_cases=["other"])))

    assert set(told()) == {"second"}
    assert last_state()["orders"] == {"second": [CHEAP, OPUS]}


def test_an_environment_is_told_its_own_orders_only():
    make_version(make_content(by_score(MIDDLE, CHEAP)))
    staging = proposals.start(
        environment="staging", title="x", by=LEAD, at=NOON,
        content=make_content(by_score(OPUS, CHEAP, rule_id="there")),
    )  # fmt: skip
    submitted = proposals.submit(proposal_id=staging.pk, by=LEAD, at=NOON)
    proposals.approve(
        proposal_id=staging.pk, sha256=bytes(submitted.sha256 or b"").hex(), by=APPROVER, at=NOON
    )  # fmt: skip
    versions.publish(proposal_id=staging.pk, by=PUBLISHER, at=NOON)

    assert (told(), told("staging")) == ({"code-high": [MIDDLE, CHEAP]}, {"there": [OPUS, CHEAP]})


def test_a_draft_is_tried_with_the_orders_of_the_present_state():
    calls(CHEAP, 30)
    make_version(make_content(by_score(MIDDLE, CHEAP)), at=NOON + MINUTE)
    content = document.parse(bytes(Version.objects.get().canonical))

    decision = deciding.trial(content=content, environment=ENVIRONMENT, context=CODE, at=NOON + MINUTE)

    assert decision.offering == CHEAP


# --- Schedulers


def test_renewing_again_changes_nothing_and_the_task_may_run_at_any_time():
    tasks.renew_orders()
    make_version(make_content(by_score(MIDDLE, CHEAP)))
    calls(CHEAP, 30)
    made = [orders.renew(at=NOON + MINUTE) for _ in range(3)]

    tasks.renew_orders()

    assert made == [1, 0, 0]
    assert Order.objects.count() == 1


def test_schedulers_that_overlap_and_a_publication_between_them_do_no_harm():
    make_version(make_content(by_score(MIDDLE, CHEAP)))
    calls(CHEAP, 30)
    failures: list[BaseException] = []
    ready = threading.Barrier(4)

    def work(job) -> None:
        try:
            ready.wait()
            for _ in range(5):
                job()
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    later = NOON + MINUTE
    jobs = [lambda: orders.renew(at=later)] * 2 + [lambda: states.renew_all(at=later)] + [
        lambda: make_version(make_content(by_score(MIDDLE, CHEAP)), at=later)
    ]  # fmt: skip
    threads = [threading.Thread(target=work, args=[job]) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert Version.objects.count() == 6
    assert last_state()["orders"] == {"code-high": [CHEAP, MIDDLE]}
    held = list(StateRevision.objects.order_by("revision").values_list("version", flat=True))
    assert held == sorted(held)
    assert Environment.objects.get().state_revision == len(held)


def test_the_database_keeps_one_order_of_a_rule():
    make_version(make_content(by_score(MIDDLE, CHEAP)))
    one = Order.objects.get()
    one.pk = None

    with pytest.raises(IntegrityError, match="routing_order_once"), transaction.atomic():
        one.save(force_insert=True)


def test_renewing_asks_as_often_however_many_rules_there_are():
    make_version(make_content(by_score(MIDDLE, CHEAP)))
    counted = []
    for rules in (1, 12):
        made = [by_score(MIDDLE, CHEAP, rule_id=f"r{n}", use_cases=[f"u{n}"]) for n in range(rules)]
        make_version(make_content(*made))
        with CaptureQueriesContext(connection) as asked:
            orders.renew(at=NOON + MINUTE)
        counted.append(len(asked))

    assert counted[0] == counted[1] <= 24


def test_rules_without_a_score_cost_no_measuring():
    make_version()

    with CaptureQueriesContext(connection) as asked:
        orders.renew(at=NOON + MINUTE)

    assert not [one for one in asked.captured_queries if "rollup_" in one["sql"] or "catalog_price" in one["sql"]]
