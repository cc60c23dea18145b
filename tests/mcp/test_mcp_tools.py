"""What each tool answers, at a fixed instant and in this process."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection, transaction
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from budgets.models import Budget
from catalog.models import UseCase
from controlplane.mcp import asking
from controlplane.mcp.api import McpApi
from controlplane.mcp.tools import TOOLS
from core import keys
from core.errors import NotFound, TollkeeperError
from routing.selectors import deciding
from routing.services import states, switches
from tests.factories import NOON, make_budget, make_key, make_user
from tests.mcp.making import HARD, LATER, asked, call, make_house
from tests.routing.making import CHEAP, MIDDLE, OPUS, make_content, make_rule, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module", autouse=True)
def _house(django_db_setup, django_db_blocker) -> Iterator[None]:
    """One house for all of these tests, each of which takes back what it changes: making one takes half a second."""
    with django_db_blocker.unblock(), transaction.atomic():
        transaction.get_connection().atomic_blocks[-1]._from_testcase = True  # `durable` is content, as in any test
        make_house()
        yield
        transaction.set_rollback(True)


@pytest.fixture(autouse=True)
def _nothing_compiled() -> None:
    """Versions and revisions never change, save where a test takes them back."""
    deciding._compiled.cache_clear()


def use_up() -> None:
    """Use the rest of the budget, and have gateways told."""
    call(event_id="the rest", uncached_input_tokens=80)
    states.renew_all(at=LATER)


def budgets_in(answer) -> list[tuple[str, bool]]:
    return [(one["name"], one["certain"]) for one in answer["budgets"]]


def test_a_budget_is_told_with_what_is_left_and_what_happens_at_its_limit():
    answer = asked("check_budget", {"use_case": "Code-Review", "model": "claude-opus-4.7"})

    (one,) = answer["budgets"]
    assert (answer["use_case"], answer["model"], answer["tier"]) == ("code-review", OPUS, "frontier")
    assert (answer["allowed"], answer["against"]) == (True, None)
    assert (one["unit"], one["limit"], one["used"], one["left"]) == ("frontier_tokens", "100", "40", "60")
    assert (one["per_cent_used"], one["state"], one["enforced"]) == ("40", "OK", False)
    assert one["per_cent_gone"] == "48.4"  # 14 days and 13 hours of 30 days
    assert one["at_limit"].startswith("At 100 % gateways are told to send what it covers to the cheaper targets")
    assert answer["summary"] == (
        f"{OPUS} may be used for code-review now. Of 'code frontier' 40 % is used, 48.4 % of the month is gone."
    )


def test_a_budget_that_is_used_up_stands_against_the_models_that_it_counts_and_no_others():
    use_up()

    frontier = asked("check_budget", {"use_case": "code-review", "model": OPUS})
    of_tier = asked("check_budget", {"use_case": "code-review", "tier": "frontier"})
    middle = asked("check_budget", {"use_case": "code-review", "model": MIDDLE})
    elsewhere = asked("check_budget", {"use_case": "support-routing", "model": OPUS})

    assert (frontier["allowed"], frontier["against"]) == (False, "budget 'code frontier' is exceeded: downgrade")
    assert (frontier["budgets"][0]["left"], frontier["budgets"][0]["enforced"]) == ("0", True)
    assert of_tier["allowed"] is False
    assert (middle["allowed"], middle["budgets"]) == (True, [])
    assert (elsewhere["allowed"], elsewhere["budgets"]) == (True, [])


def test_a_model_that_is_switched_off_is_not_allowed_whatever_its_budget():
    switches.turn(
        kind="provider", name="anthropic", off=True, seconds=7200, reason="a bad hour", by="lead@example.com", at=NOON
    )

    answer = asked("check_budget", {"use_case": "code-review", "model": OPUS})

    assert (answer["allowed"], answer["against"]) == (False, "switched off")


def test_budgets_that_count_only_a_part_of_what_was_named_are_told_as_uncertain():
    make_budget(name="opus", scope={"model": ["claude-opus-4.7"]}, unit="usd", amount=Decimal(5))
    make_budget(name="support", scope={"use_case": ["support-routing"]}, unit="usd", amount=Decimal(5))
    make_budget(name="whole", scope={}, unit="usd", amount=Decimal(5))

    without_model = asked("check_budget", {"use_case": "code-review"})
    with_model = asked("check_budget", {"use_case": "code-review", "model": OPUS})

    assert without_model["allowed"] is None
    assert set(budgets_in(without_model)) == {("code frontier", False), ("opus", False), ("whole", True)}
    assert set(budgets_in(with_model)) == {("code frontier", True), ("opus", True), ("whole", True)}


def test_a_budget_whose_past_is_still_summed_says_nothing_of_what_is_left():
    make_budget(name="new", scope={}, unit="usd", amount=Decimal(5), at=NOON, live=False)

    answer = asked("check_budget", {"use_case": "code-review", "model": OPUS})

    new = next(one for one in answer["budgets"] if one["name"] == "new")
    assert (new["state"], new["left"]) == ("BUILDING", None)


REFUSED = [
    # Names that nobody knows, with what they may mean.
    ("check_budget", {"use_case": "code-reviev"}, "Did you mean 'code-review'?"),
    ("check_budget", {"use_case": "zzz"}, "Known are: 'code-review', 'support-routing', 'unassigned'."),
    ("check_budget", {"use_case": "code-review", "team": "platforn"}, "Did you mean 'platform'?"),
    ("check_budget", {"use_case": "code-review", "model": "claude-opus-4.7-20260416"}, f"Did you mean '{OPUS}'?"),
    ("check_budget", {"use_case": "code-review", "environment": "prod"}, "There are: 'production'."),
    ("suggest_model", {"use_case": "code-reviev"}, "Did you mean 'code-review'?"),
    ("explain_decision", {"context": HARD, "environment": "prod"}, "There are: 'production'."),
    ("explain_decision", {"event_id": "nobody's"}, "No counted call has the id"),
    ("spend", {"filters": {"use_case": ["code-reviev"]}}, "Did you mean 'code-review'?"),
    ("spend", {"filters": {"tier": ["frontal"]}}, "There are: frontier, middle, economy"),
    # Arguments that cannot be read, or make no sense.
    ("check_budget", {}, "- use_case: This is needed."),
    ("check_budget", {"use_case": "a", "modell": "b"}, "- modell: Unknown; known are use_case, model, tier"),
    ("check_budget", {"use_case": 7}, "- use_case: Input should be a valid string."),
    ("check_budget", {"use_case": "x" * 257}, "at most 256 characters"),
    ("check_budget", {"use_case": "a\x00"}, "A NUL character is no text."),
    ("check_budget", {"use_case": "a\ud800"}, "- use_case: Input should be a valid string"),
    ("spend", {"filters": {"tag:a\x00": ["b"]}}, "A NUL character is no text."),
    ("spend", {"filters": {"team": ["a\ud800"]}}, "- filters.team.0: Input should be a valid string"),
    ("check_budget", {"use_case": "code-review", "tier": "best"}, "- tier: Input should be 'frontier', 'middle'"),
    ("check_budget", {"use_case": "code-review", "tier": "middle", "model": OPUS}, "not both"),
    ("explain_decision", {}, "Give either a context or an event_id."),
    ("explain_decision", {"context": HARD, "event_id": "call-1"}, "Give either a context or an event_id."),
    ("explain_decision", {"context": {"complexity": "much"}}, "/complexity"),
    ("explain_decision", {"context": {"complexity": float("nan")}}, "/complexity"),
    ("explain_decision", {"context": HARD, "at": "2026-06-15T12:00:00"}, "- at: Input should have timezone info."),
    ("spend", {"group_by": ["colour"]}, "There is no dimension 'colour': use_case, team, model"),
    ("spend", {"filters": {"colour": ["red"]}}, "There is no filter 'colour'"),
    ("spend", {"zone": "Berlin"}, "'Berlin' is not a time zone of the IANA database"),
    ("spend", {"from": "15.6.2026"}, "neither a day such as 2026-11-20 nor an instant"),
    ("spend", {"from": "2026-06-15T12:00:00"}, "neither a day such as 2026-11-20 nor an instant"),
    ("spend", {"from": "0001-01-01"}, "neither a day such as 2026-11-20 nor an instant"),
    ("spend", {"from": "2026-06-15", "to": "2026-06-15"}, "The range is empty"),
    ("spend", {"from": "2026-06-15T12:00:01Z"}, "GET /api/v1/spend"),
    ("spend", {"most_rows": 0}, "- most_rows: Input should be greater than or equal to 1."),
    ("suggest_model", {"use_case": "code-review", "complexity": "hard"}, "/complexity"),
]


def test_what_cannot_be_used_is_answered_with_what_is_wrong_and_what_may_have_been_meant():
    said = []
    for tool, arguments, sentence in REFUSED:
        with pytest.raises(TollkeeperError) as refused:
            asked(tool, arguments)
        said.append((sentence, asking.told(refused.value)))

    assert [(wanted, told) for wanted, told in said if wanted not in told] == []


def test_a_decision_is_explained_with_its_rule_its_steps_and_the_budget_that_moved_it_by_name():
    use_up()

    answer = asked("explain_decision", {"context": HARD})["decision"]

    assert (answer["offering"], answer["rule"], answer["reason"]) == (CHEAP, "code-high", "over_budget")
    assert answer["why"] == (
        "Rule code-high is the first that matches. What comes first is over budget (the budget 'code frontier' is used "
        f"up), so {CHEAP}, one of its fallbacks, takes its place."
    )
    assert {"subject": OPUS, "outcome": "budget 'code frontier' is exceeded: downgrade"} in answer["steps"]


def test_a_fraction_is_read_as_it_is_written_and_rules_of_other_use_cases_are_counted_and_not_listed():
    hard = {"field": "complexity", "op": "gte", "value": "0.8"}
    rules = (make_rule("backlog", use_cases=["backlog"], when=None), make_rule("hard", when={"all": [hard]}))
    make_version(make_content(*rules), at=NOON)

    found = [
        asked("explain_decision", {"context": {"use_case": "code-review", "complexity": it}}) for it in (0.8, 0.79)
    ]

    assert [answer["decision"]["rule"] for answer in found] == ["hard", None]
    assert found[0]["decision"]["passed_over"] == 1
    assert [step["subject"] for step in found[0]["decision"]["steps"]] == ["rule hard", OPUS]


def test_rules_are_those_of_the_keys_own_environment_where_none_is_named():
    secret = make_key("read", name="of staging", environment="staging")
    tool, caller = TOOLS["explain_decision"], keys.caller(secret=secret, at=NOON)
    asked_for = asking.read(tool, {"context": HARD})

    with pytest.raises(NotFound, match="No rules were published in staging yet"):
        tool.answer(asked_for, caller, LATER)


def test_a_booked_call_is_explained_by_the_rules_and_the_state_of_its_time():
    use_up()  # by now such a request would go elsewhere

    answer = asked("explain_decision", {"event_id": "call-1"})

    booked = answer["booked"]
    assert (booked["offering"], booked["rule"], booked["same"], booked["cost_usd"]) == (
        OPUS,
        "code-high",
        True,
        "0.0002",
    )
    assert (answer["decision"]["offering"], answer["decision"]["revision"]) == (OPUS, 1)
    assert booked["note"] == "By the rules that the gateway named."


def test_a_call_whose_gateway_named_no_state_is_held_to_that_of_its_time():
    use_up()
    later = LATER + timedelta(minutes=5)
    call(event_id="late", at=later, state_revision=0, model="deepseek-v4-flash", provider="deepseek")
    call(event_id="early", state_revision=0)

    late, early = (asked("explain_decision", {"event_id": one}, at=later) for one in ("late", "early"))

    assert [one["decision"]["offering"] for one in (late, early)] == [CHEAP, OPUS]
    assert [one["booked"]["same"] for one in (late, early)] == [True, True]


def test_a_booked_call_that_went_elsewhere_or_named_no_rules_says_so():
    call(event_id="fell-back", model="deepseek-v4-flash", provider="deepseek", fallback_index=1)
    call(event_id="strange", model="gemini-3.1-pro", provider="google")
    call(event_id="silent", rules_version=0, state_revision=0, rule="", route_reason="")
    call(event_id="unheard-of", rules_version=99)
    call(event_id="untold", rule="other", model="gemini-3.1-pro", provider="google")

    found = {
        event_id: asked("explain_decision", {"event_id": event_id})
        for event_id in ("fell-back", "strange", "silent", "unheard-of", "untold")
    }

    notes = {event_id: answer["booked"]["note"] for event_id, answer in found.items()}
    assert notes["fell-back"].startswith("It went to a fallback")
    assert notes["strange"].startswith("These rules, read again, send such a request elsewhere.")
    assert notes["silent"].startswith("The gateway named no rules")
    assert notes["unheard-of"] == "The gateway names version 99, which was never published here."
    assert notes["untold"].startswith("By the gateway's word the rule other took it;")
    assert [answer["booked"]["same"] for answer in found.values()] == [False, False, None, None, None]
    assert [answer["decision"] is None for answer in found.values()] == [False, False, True, True, False]


def test_a_booked_call_is_decided_again_by_its_tags_and_its_counted_input_too():
    tagged = {"field": "tag:feature", "op": "eq", "value": "terminal"}
    long = {"field": "input_tokens", "op": "gte", "value": 5000}
    targets = [{"offering": CHEAP, "weight": 10000}]
    rule = make_rule("terminal", when={"all": [tagged, long]}, targets=targets, fallbacks=[])
    version = make_version(make_content(rule), at=NOON)
    call(
        event_id="tagged", model="deepseek-v4-flash", provider="deepseek", tags={"feature": "terminal"},
        uncached_input_tokens=5000, rule="terminal", rules_version=version.number, state_revision=2,
    )  # fmt: skip

    answer = asked("explain_decision", {"event_id": "tagged"})

    assert (answer["booked"]["same"], answer["decision"]["rule"]) == (True, "terminal")


def test_spend_bounds_its_rows_and_says_how_many_are_left_out():
    call(event_id="other", use_case="support-routing", model="gemini-3.1-pro", provider="google")

    answer = asked("spend", {"from": "2026-06-01", "to": "2026-07-01", "group_by": ["use_case"], "most_rows": 1})

    assert [(row["use_case"], row["cost_usd"]) for row in answer["rows"]] == [("code-review", "0.0002")]
    assert (answer["rows_left_out"], answer["total"]["cost_usd"], answer["priced_share"]) == (1, "0.00028", "1")
    assert answer["complete_through"] is not None


def test_spend_finds_names_by_their_aliases_and_in_any_case():
    answer = asked("spend", {"from": "2026-06-01", "filters": {"use_case": ["CODE-review"]}})

    assert answer["total"]["requests"] == 1


def test_a_model_is_suggested_with_cheaper_ones_those_of_its_rule_first():
    for number in range(20):
        call(event_id=f"quick-{number}", model="gemini-3.1-pro", provider="google", latency_ms=80, rules_version=0)

    answer = asked("suggest_model", {"use_case": "code-review", "task": "code"})

    assert (answer["chosen"]["offering"], answer["chosen"]["usd_per_1m"]["output"]) == (OPUS, "5")
    assert answer["chosen"]["usd_per_1k_tokens"] == "0.005"
    cheaper = {one["offering"]: one for one in answer["cheaper"]}
    assert list(cheaper) == [CHEAP, MIDDLE]
    assert [one["per_cent_cheaper"] for one in answer["cheaper"]] == ["96", "60"]
    assert (cheaper[MIDDLE]["calls"], cheaper[MIDDLE]["failed"]) == (20, 0)
    assert 50 < cheaper[MIDDLE]["median_ms"] <= 100
    assert (cheaper[CHEAP]["calls"], cheaper[CHEAP]["median_ms"]) == (0, None)
    assert "Nothing here measures how good the answers are" in answer["note"]
    assert answer["mix"] == "Three tokens in for one out: this use case had no calls in the 30 days before."


def test_a_suggestion_leaves_out_what_may_not_have_the_data():
    UseCase.objects.filter(name="code-review").update(data_class="personal")

    answer = asked("suggest_model", {"use_case": "code-review", "task": "code"})

    assert (answer["cheaper"], answer["left_out"]) == ([], [CHEAP, MIDDLE])


def test_a_request_that_the_rules_block_has_no_model_to_suggest():
    Budget.objects.update(action="block")
    use_up()

    answer = asked("suggest_model", {"use_case": "code-review", "task": "code"})

    assert (answer["chosen"], answer["cheaper"], answer["decision"]["blocked"]) == (None, [], True)


def test_an_environment_without_rules_says_that_there_are_none():
    make_key("rules:read", name="elsewhere", environment="staging")
    given = {"explain_decision": {"context": HARD}, "suggest_model": {"use_case": "code-review"}}

    for tool, arguments in given.items():
        with pytest.raises(NotFound) as refused:
            asked(tool, {**arguments, "environment": "staging"})
        assert str(refused.value) == "No rules were published in staging yet."


def test_a_browsers_session_is_no_key():
    request = RequestFactory().post("/mcp", {}, content_type="application/json")
    request.user, request._dont_enforce_csrf_checks = make_user("admin"), True  # as of somebody who is signed in

    answer = McpApi.as_view()(request)

    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, 'Bearer realm="tollkeeper"')


ASKED = [
    ("check_budget", {"use_case": "code-review", "model": OPUS}, 18),
    ("explain_decision", {"context": HARD}, 4),
    ("explain_decision", {"event_id": "call-1"}, 4),
    ("spend", {"from": "2026-06-01", "group_by": ["use_case"]}, 5),
    ("suggest_model", {"use_case": "code-review", "task": "code"}, 16),
]


def test_each_tool_asks_a_fixed_number_of_questions_however_many_budgets_there_are_and_writes_nothing():
    for number in range(3):
        make_budget(name=f"more {number}", scope={}, unit="usd")
    caller = keys.caller(secret=make_key("read", name="asks"), at=NOON)
    found = []

    for name, arguments, _ in ASKED:
        tool = TOOLS[name]
        asked_for = asking.read(tool, arguments)
        tool.answer(asked_for, caller, LATER)  # from now on it keeps what it keeps
        with CaptureQueriesContext(connection) as captured:
            tool.answer(asked_for, caller, LATER)
        found.append((name, arguments, len(captured)))
        writes = [one["sql"] for one in captured if not one["sql"].lstrip("( \n").startswith(("SELECT", "WITH"))]
        assert writes == []

    assert [count for *_, count in found] == [count for *_, count in ASKED]
