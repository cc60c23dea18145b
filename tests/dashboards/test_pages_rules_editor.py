from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest

from catalog.models import Offering
from core.models import Organisation
from dashboards.forms_rules_conditions import condition_of, rows_of
from dashboards.forms_rules_typed import comparison_of, row_of
from routing.models import Proposal
from routing.rules import document
from routing.services import proposals
from tests.dashboards.making_rules import at, draft_of, form_of, furnish, typed
from tests.dashboards.seeing import HOSTILE, signed_in
from tests.drawing import rounds
from tests.factories import NOON, make_use_case
from tests.routing.making import CHEAP, MIDDLE, OPUS, make_content, make_rule
from tests.usage.making import make_offering

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _house() -> None:
    furnish()


def empty_draft() -> Proposal:
    return draft_of({"rules": [], "default": {"targets": [{"offering": MIDDLE, "weight": 10000}]}})


def errors_of(answer: Any) -> dict[str, list[str]]:
    """Return what the page says is wrong, by field."""
    editor = answer.context["editor"]
    found = {name: list(texts) for name, texts in editor.fields.errors.items()}
    for rows in editor.rows.values():
        for form in rows:
            found |= {f"{form.prefix}-{name}": list(texts) for name, texts in form.errors.items()}
    found |= {part: texts for part, texts in editor.problems.items() if texts}
    return found


def saved(draft: Proposal, place: int = 0) -> dict[str, Any]:
    draft.refresh_from_db()
    rule: dict[str, Any] = draft.content["rules"][place]
    return rule


# --- Filling it in


def test_a_rule_is_made_of_fields_and_its_offerings_come_from_the_catalogue(client):
    draft = empty_draft()
    person = signed_in(client, "engineer")

    answer = client.post(at(draft, "rules/new/"), typed())

    assert answer["Location"] == at(draft, "#rule-1")
    assert saved(draft) == {
        "id": "hard",
        "title": "Hard code work",
        "use_cases": ["code-review"],
        "when": {"all": [{"field": "complexity", "op": "gte", "value": "0.75"}]},
        "targets": [{"offering": OPUS, "weight": 9000}, {"offering": MIDDLE, "weight": 1000}],
        "sticky_by": "session",
        "fallbacks": [CHEAP],
        "over_budget": {"targets": [{"offering": CHEAP, "weight": 10000}]},
        "rationale": "the best at hard code",
        "owner": "platform",
        "review_by": "2027-02-20",
    }
    assert set(draft.content["offerings"]) == {OPUS, MIDDLE, CHEAP}
    assert draft.content["offerings"][OPUS]["tier"] == "frontier"
    assert list(draft.contributions.values_list("by", flat=True))[-1] == person.email


@pytest.mark.parametrize(
    ("sent", "made"),
    [
        (
            {"field": "task", "op": "in", "value": "code, sql ,"},
            {"field": "task", "op": "in", "value": ["code", "sql"]},
        ),
        (
            {"field": "tag", "tag": "env", "op": "ne", "value": "prod"},
            {"field": "tag:env", "op": "ne", "value": "prod"},
        ),
        (
            {"field": "hour", "op": "lt", "value": "6", "zone": "Europe/Berlin"},
            {"field": "hour", "op": "lt", "value": "6", "zone": "Europe/Berlin"},
        ),
        ({"field": "batch", "op": "eq", "value": "Yes"}, {"field": "batch", "op": "eq", "value": True}),
        ({"field": "region", "op": "missing"}, {"field": "region", "op": "exists", "value": False}),
        (
            {"field": "input_tokens", "op": "gt", "value": "0100.50"},
            {"field": "input_tokens", "op": "gt", "value": "0100.50"},
        ),
        (
            {"field": "modalities", "op": "contains", "value": "image"},
            {"field": "modalities", "op": "contains", "value": "image"},
        ),
    ],
)
def test_a_row_says_a_comparison(client, sent, made):
    draft = empty_draft()
    signed_in(client, "engineer")
    row = {f"condition-0-{name}": sent.get(name) for name in ("field", "tag", "op", "value", "zone")}

    answer = client.post(at(draft, "rules/new/"), typed(match="any", **row))

    assert answer.status_code == 302, errors_of(answer)
    assert saved(draft)["when"] == {"any": [made]}


def test_everything_that_few_rules_need_is_kept_as_it_was_typed(client):
    Organisation.objects.update(zone="Europe/Berlin")
    draft = empty_draft()
    signed_in(client, "engineer")
    further = typed(
        use_cases=None,
        more_use_cases="minutes, meeting-notes",
        match="always",
        **{"condition-0-field": None, "condition-0-op": None, "condition-0-value": None},
        choose="order",
        sticky_by="tag",
        sticky_tag="tenant",
        timeout_ms="30000",
        max_usd="10.50",
        active_from="2026-12-01T08:00",
        active_until="2027-07-01T08:00",
        **{"param-0-provider": "anthropic", "param-0-name": "thinking", "param-0-value": "adaptive"},
        **{"param-1-provider": "anthropic", "param-1-name": "budget", "param-1-value": "3"},
        use_default=None,
        over_choose="order",
    )

    answer = client.post(at(draft, "rules/new/"), further)

    assert answer.status_code == 302, errors_of(answer)
    rule = saved(draft)
    assert rule["use_cases"] == ["minutes", "meeting-notes"]
    assert (rule["choose"], rule["targets"]) == ("order", [{"offering": OPUS}, {"offering": MIDDLE}])
    assert rule["over_budget"] == {"choose": "order", "targets": [{"offering": CHEAP}]}
    assert (rule["sticky_by"], rule["timeout_ms"], rule["max_usd_per_1k_tokens"]) == ("tag:tenant", 30000, "10.50")
    assert (rule["active_from"], rule["active_until"]) == ("2026-12-01T07:00:00Z", "2027-07-01T06:00:00Z")
    assert rule["params"] == {"anthropic": {"thinking": "adaptive", "budget": 3}}
    assert rule["use_default"] is False
    assert "when" not in rule


@pytest.mark.parametrize(
    ("percents", "points"),
    [(("90", "10"), (9000, 1000)), (("99.99", "0.01"), (9999, 1)), (("66.6 %", "33.40"), (6660, 3340))],
)
def test_weights_are_per_cents_to_the_hundredth(client, percents, points):
    draft = empty_draft()
    signed_in(client, "engineer")

    client.post(at(draft, "rules/new/"), typed(**{"target-0-weight": percents[0], "target-1-weight": percents[1]}))

    assert tuple(target["weight"] for target in saved(draft)["targets"]) == points


def test_the_default_is_edited_in_the_same_way(client):
    draft = draft_of()
    signed_in(client, "engineer")
    sent = form_of(client.get(at(draft, "default/")).content.decode())

    answer = client.post(at(draft, "default/"), sent | {"target-0-offering": CHEAP, "fallback-0-offering": MIDDLE})

    draft.refresh_from_db()
    assert answer["Location"] == at(draft, "#rule-default")
    assert draft.content["default"] == {"targets": [{"offering": CHEAP, "weight": 10000}], "fallbacks": [MIDDLE]}
    assert draft.content["rules"] == make_content()["rules"]


# --- What is not touched stays


STRANGE = [
    make_rule("plain"),
    make_rule(
        "rare",
        use_cases=["b", "code-review", "a, with a comma"],
        when={"field": "complexity", "op": "gte", "value": 1},
        choose="score",
        score={"price": 10000},
        targets=[{"offering": OPUS}, {"offering": MIDDLE}],
        sticky_by=None,
        over_budget=None,
        params={"anthropic": {"b": [1, 2], "a": "x"}},
        active_from="2026-12-01T00:00:00.123456Z",
        active_until=None,
        use_default=True,
        timeout_ms=None,
        rationale="two\r\nlines  ",
    ),
    make_rule("nested", when={"all": [{"not": {"field": "task", "op": "eq", "value": "a,b "}}]}),
    make_rule("spaced", when={"any": [{"field": "task", "op": "in", "value": [" code", "a,b", ""]}]}),
    make_rule("emptied", when={"all": [{"field": "task", "op": "eq", "value": ""}]}, fallbacks=[], title=""),
    make_rule("negated", when={"not": {"any": [{"field": "batch", "op": "eq", "value": True}]}}),
    make_rule(
        "grouped",
        when={
            "any": [
                {"field": "task", "op": "eq", "value": "code"},
                {"all": [{"not": {"all": [{"field": "hour", "op": "lt", "value": 8, "zone": "UTC"}] * 2}}] * 2},
            ]
        },
        params={"x": {}, "openai": {"a": "1", "b": 1, "c": None, "d": True, "e": '"', "f": " ", "g": {"h": ["0.5"]}}},
    ),
    make_rule(
        "mixed", when={"all": [{"field": "hour", "op": "in", "value": [1, "2"], "zone": "UTC"}]}, choose="weight"
    ),
]


@pytest.mark.parametrize("rule", STRANGE, ids=lambda rule: rule["id"])
def test_saving_what_was_not_touched_changes_no_byte(client, rule):
    draft = draft_of(make_content(rule))
    before = document.canonical(draft.content)
    signed_in(client, "engineer")
    sent = form_of(client.get(at(draft, "rules/1/")).content.decode())

    answer = client.post(at(draft, "rules/1/"), sent | {"anyway": "1"})

    draft.refresh_from_db()
    assert answer.status_code == 302, errors_of(answer)
    assert (document.canonical(draft.content), draft.saves) == (before, 0)


@pytest.mark.parametrize("rule", STRANGE, ids=lambda rule: rule["id"])
def test_a_change_in_one_field_leaves_all_others_as_they_are(client, rule):
    draft = draft_of(make_content(rule))
    before = dict(draft.content["rules"][0])
    signed_in(client, "engineer")
    sent = form_of(client.get(at(draft, "rules/1/")).content.decode())

    answer = client.post(at(draft, "rules/1/"), sent | {"owner": "somebody else", "anyway": "1"})

    assert answer.status_code == 302, errors_of(answer)
    assert saved(draft) == before | {"owner": "somebody else"}


@pytest.mark.parametrize("rule", STRANGE, ids=lambda rule: rule["id"])
def test_rows_say_again_what_they_were_made_from_or_are_not_offered(rule):
    found = rows_of(rule["when"], row_of)

    if rule["id"] in ("nested", "spaced", "emptied"):
        assert found is None
    else:
        assert found is not None
        when = rule["when"] if {"all", "any"} & rule["when"].keys() else {"all": [rule["when"]]}
        again, places, empty = condition_of(found[0], list(enumerate(found[1])), comparison_of)
        said = json.dumps(when).replace('{"any": [{"field": "batch", "op": "eq", "value": true}]}',
                                        '{"field": "batch", "op": "eq", "value": true}')  # fmt: skip
        assert json.dumps(again).replace('"', "") == said.replace('"', "")
        assert (set(places.values()), empty) == (set(range(len(found[1]))), [])


def test_a_condition_that_rows_cannot_say_is_told_in_words_and_edited_as_json(client):
    draft = draft_of(make_content(STRANGE[2]))
    signed_in(client, "engineer")
    page = client.get(at(draft, "rules/1/")).content.decode()
    sent = form_of(page)
    other = {"not": {"any": [{"field": "task", "op": "eq", "value": "sql"}]}}

    answer = client.post(at(draft, "rules/1/"), sent | {"condition": json.dumps(other)})

    assert "As it is stored: not task is a,b" in page
    assert answer.status_code == 302, errors_of(answer)
    assert saved(draft)["when"] == other


# --- What is wrong


@pytest.mark.parametrize(
    ("sent", "where"),
    [
        ({"id": ""}, "id"),
        ({"id": "default"}, "id"),
        ({"id": "no spaces"}, "id"),
        ({"title": "x" * 201}, "title"),
        ({"more_use_cases": "x" * 129}, "more_use_cases"),
        ({"target-0-weight": "90,0", "target-1-weight": "10"}, "target-0-weight"),
        ({"target-0-weight": "nine"}, "target-0-weight"),
        ({"target-0-weight": ""}, "target-0-weight"),
        ({"target-0-weight": "0.001"}, "target-0-weight"),
        ({"target-0-weight": "100.01"}, "target-0-weight"),
        ({"target-1-offering": ""}, "target-1-offering"),
        ({"target-1-offering": "no-such@offering"}, "target-1-offering"),
        ({"target-1-offering": OPUS}, "target-1-offering"),
        ({"target-1-weight": "20"}, "targets"),
        ({"over-0-weight": "99"}, "over_budget"),
        ({"over-0-weight": "?"}, "over-0-weight"),
        ({"over-0-offering": "nobody@nowhere"}, "over-0-offering"),
        ({"fallback-0-offering": "nobody@nowhere"}, "fallback-0-offering"),
        ({"condition-0-field": ""}, "condition-0-field"),
        ({"condition-0-field": "colour"}, "condition-0-field"),
        ({"condition-0-value": ""}, "condition-0-value"),
        ({"condition-0-value": "0,75"}, "condition-0-value"),
        ({"condition-0-value": "1e3"}, "condition-0-value"),
        ({"condition-0-value": "x" * 300}, "condition-0-value"),
        ({"condition-0-op": "contains"}, "condition-0-op"),
        ({"condition-0-op": "like"}, "condition-0-op"),
        ({"condition-0-op": "in", "condition-0-value": " , "}, "condition-0-value"),
        ({"condition-0-field": "hour", "condition-0-value": "5", "condition-0-zone": ""}, "condition-0-zone"),
        ({"condition-0-field": "hour", "condition-0-value": "5", "condition-0-zone": "Mars/One"}, "condition-0-zone"),
        ({"condition-0-field": "tag", "condition-0-tag": " "}, "condition-0-tag"),
        ({"condition-0-field": "tag", "condition-0-tag": "x" * 65}, "condition-0-tag"),
        ({"match": "always"}, "match"),
        ({"match": "none"}, "match"),
        ({"match": "json", "condition": "{"}, "condition"),
        ({"match": "json", "condition": "[]"}, "condition"),
        ({"match": "json", "condition": '{"field": "task", "op": "eq", "value": 0.5}'}, "condition"),
        ({"match": "json", "condition": '{"field": "task", "op": "eq", "value": "\\ud800"}'}, "condition"),
        ({"match": "json", "condition": '{"field": "colour", "op": "eq", "value": "x"}'}, "condition"),
        ({"choose": "best"}, "choose"),
        ({"sticky_by": "tag", "sticky_tag": ""}, "sticky_tag"),
        ({"sticky_by": "colour"}, "sticky_by"),
        ({"timeout_ms": "1.5"}, "timeout_ms"),
        ({"timeout_ms": "0"}, "timeout_ms"),
        ({"max_usd": "0,02"}, "max_usd"),
        ({"max_usd": "0.0000001"}, "max_usd"),
        ({"active_from": "tomorrow"}, "active_from"),
        ({"active_from": "1999-01-01T00:00"}, "active_from"),
        ({"active_from": "9999-12-31T23:59"}, "active_from"),
        ({"active_from": "2026-12-01T08:00", "active_until": "2026-11-01T08:00"}, "active_until"),
        ({"param-0-provider": "", "param-0-name": "a", "param-0-value": "1"}, "param-0-provider"),
        ({"param-0-provider": "anthropic", "param-0-name": "", "param-0-value": "1"}, "param-0-name"),
        ({"param-0-provider": "anthropic", "param-0-name": "a", "param-0-value": "[1"}, "param-0-value"),
        ({"param-0-provider": "anthropic", "param-0-name": "a", "param-0-value": "[0.5]"}, "param-0-value"),
        ({"choose": "score", "score_price": "101"}, "score_price"),
        ({"condition-1-group": "some"}, "condition-1-group"),
        ({"condition-1-group": "any"}, "condition-1-group"),
        ({"condition-1-group": "any", "condition-2-field": "task", "condition-2-op": "eq", "condition-2-value": "",
          "condition-2-depth": "1"}, "condition-2-value"),
        ({"condition-1-group": "not_any", "condition-2-field": "task", "condition-2-op": "gt",
          "condition-2-value": "code", "condition-2-depth": "1", "condition-3-field": "hour", "condition-3-op": "eq",
          "condition-3-value": "one", "condition-3-zone": "UTC", "condition-3-depth": "1"}, "condition-3-value"),
        ({"rationale": " "}, "rationale"),
        ({"rationale": "x" * 4001}, "rationale"),
        ({"owner": ""}, "owner"),
        ({"owner": "a\x00b"}, "owner"),
        ({"review_by": ""}, "review_by"),
        ({"review_by": "20.02.2027"}, "review_by"),
        ({"review_by": "2027-02-30"}, "review_by"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_at_its_field_and_nothing_is_saved(client, sent, where):
    draft = empty_draft()
    signed_in(client, "engineer")

    answer = client.post(at(draft, "rules/new/"), typed(**sent))

    draft.refresh_from_db()
    assert answer.status_code == 422
    assert set(errors_of(answer)) == {where}
    assert (draft.content["rules"], draft.saves) == ([], 0)


def test_everything_that_is_wrong_is_shown_at_once_and_what_was_typed_stays(client):
    draft = empty_draft()
    signed_in(client, "engineer")
    wrong = typed(
        id="my rule", rationale="", owner="", timeout_ms="soon", more_use_cases="minutes", active_from="never",
        **{"target-0-weight": "9O", "condition-0-value": "", "fallback-0-offering": "nobody@nowhere"},
    )  # fmt: skip

    answer = client.post(at(draft, "rules/new/"), wrong)

    page = answer.content.decode()
    # What the schema refuses comes before what the catalogue says.
    assert set(errors_of(answer)) >= {"id", "timeout_ms", "active_from", "target-0-weight", "condition-0-value"}
    for text in ("my rule", "minutes", "soon", "9O", "Hard code work", "nobody@nowhere"):
        assert text in page, text
    again = form_of(page)
    assert again["target-0-weight"] == ["9O"]
    assert again["use_cases"] == ["code-review"]
    assert again["target-0-offering"] == [OPUS]


def test_a_draft_may_be_saved_unfinished_by_saying_so(client):
    draft = empty_draft()
    signed_in(client, "engineer")
    unfinished = typed(**{"target-1-weight": "5"}, rationale="")

    refused = client.post(at(draft, "rules/new/"), unfinished)
    answer = client.post(at(draft, "rules/new/"), unfinished | {"anyway": "1"})

    assert "Save it unfinished" in refused.content.decode()
    assert answer.status_code == 302
    assert [target["weight"] for target in saved(draft)["targets"]] == [9000, 500]
    page = client.get(at(draft)).content.decode()
    assert "The weights sum to 9500, not to 10000" in page
    assert f"{at(draft, 'rules/1/')}#rule-form" in page


def test_a_rule_that_is_opened_shows_its_problems_at_their_fields(client):
    draft = draft_of(
        make_content(make_rule("first"), make_rule("second", owner="", targets=[{"offering": OPUS, "weight": 1}]))
    )
    signed_in(client, "engineer")

    answer = client.get(at(draft, "rules/2/"))

    assert set(errors_of(answer)) == {"owner", "targets", "rule"}
    assert errors_of(answer)["targets"] == ["The weights sum to 0.01 %, not to 100 %."]
    assert errors_of(answer)["rule"] == ["Second is never reached: first comes first."]


def test_an_offering_that_was_retired_is_shown_and_named_at_its_row(client):
    draft = draft_of()
    Offering.objects.filter(name=MIDDLE).update(retired_at=NOON)
    signed_in(client, "engineer")

    answer = client.get(at(draft, "rules/1/"))

    assert f"{MIDDLE} (not to be had)" in answer.content.decode()
    assert errors_of(answer) == {"fallback-0-offering": [f"{MIDDLE} is retired."]}


# --- Rows without scripts


def test_a_row_is_added_moved_and_taken_out_and_what_was_typed_stays(client):
    draft = empty_draft()
    signed_in(client, "engineer")
    half = typed(title="half typ", **{"target-0-weight": "9"})

    more = form_of(client.post(at(draft, "rules/new/"), half | {"add": "target"}).content.decode())
    moved = form_of(client.post(at(draft, "rules/new/"), half | {"up": "target-1"}).content.decode())
    fewer = form_of(client.post(at(draft, "rules/new/"), half | {"drop": "target-0"}).content.decode())

    assert more["title"] == moved["title"] == fewer["title"] == ["half typ"]
    assert [more[f"target-{n}-offering"] for n in range(3)] == [[OPUS], [MIDDLE], [""]]
    assert [(moved[f"target-{n}-offering"], moved[f"target-{n}-weight"]) for n in range(2)] == [
        ([MIDDLE], ["10"]),
        ([OPUS], ["9"]),
    ]
    assert (fewer["target-0-offering"], "target-1-offering" in fewer) == ([MIDDLE], False)
    assert not Proposal.objects.filter(saves__gt=0).exists()


def test_htmx_gets_the_form_alone(client):
    draft = empty_draft()
    signed_in(client, "engineer")

    answer = client.post(at(draft, "rules/new/"), typed() | {"add": "condition"}, headers={"HX-Request": "true"})

    page = answer.content.decode()
    assert page.startswith("<form")
    assert 'name="condition-1-field"' in page
    assert "HX-Request" in answer["Vary"]


def test_no_name_in_the_form_hides_what_htmx_asks_of_it(client):
    draft = draft_of()
    signed_in(client, "engineer")

    names = set(re.findall(r' name="([^"]+)"', client.get(at(draft, "rules/1/")).content.decode()))

    # form.remove would be the button of that name, and the old form would stay beside the new one.
    assert {"add", "drop", "up"} <= names
    assert not names & {"remove", "submit", "reset", "action", "method", "closest", "matches", "parentNode", "children"}


def test_there_are_never_more_rows_than_a_rule_may_have(client):
    draft = empty_draft()
    signed_in(client, "engineer")
    many = typed(**{f"fallback-{n}-offering": CHEAP for n in range(30)}) | {"add": "fallback"}

    page = client.post(at(draft, "rules/new/"), many).content.decode()

    assert "fallback-19-offering" in page
    assert "fallback-20-offering" not in page


# --- Others at the same time


def test_a_save_that_somebody_overtook_is_refused_and_can_be_made_knowingly(client):
    draft = draft_of(make_content(make_rule("a"), make_rule("b", use_cases=["other"])))
    signed_in(client, "engineer")
    sent = form_of(client.get(at(draft, "rules/1/")).content.decode()) | {"title": "mine"}
    moved = make_content(make_rule("b", use_cases=["other"]), make_rule("a", title="theirs"))
    proposals.save(proposal_id=draft.pk, saves=0, by="other@example.com", at=NOON, content=moved)

    refused = client.post(at(draft, "rules/1/"), sent)

    page = refused.content.decode()
    assert refused.status_code == 409
    assert "Somebody saved a change since you opened it" in page
    assert "title from theirs to mine" in page
    assert saved(draft, 1)["title"] == "theirs"
    again = form_of(page)
    assert (again["title"], again["saves"]) == (["mine"], ["1"])

    answer = client.post(refused.context["url"], again)

    assert answer.status_code == 302
    assert [rule["id"] for rule in Proposal.objects.get().content["rules"]] == ["b", "a"]
    assert saved(draft, 1)["title"] == "mine"


def test_a_rule_that_somebody_took_out_meanwhile_is_not_written_over_another(client):
    draft = draft_of(make_content(make_rule("a"), make_rule("b", use_cases=["other"])))
    signed_in(client, "engineer")
    sent = form_of(client.get(at(draft, "rules/1/")).content.decode()) | {"title": "mine"}
    left = make_content(make_rule("b", use_cases=["other"]))
    proposals.save(proposal_id=draft.pk, saves=0, by="other@example.com", at=NOON, content=left)

    refused = client.post(at(draft, "rules/1/"), sent)
    client.post(refused.context["url"], form_of(refused.content.decode()))

    assert "no longer in the draft" in refused.content.decode()
    draft.refresh_from_db()
    assert [(rule["id"], rule.get("title")) for rule in draft.content["rules"]] == [("b", None), ("a", "mine")]


def test_a_settled_draft_takes_no_change_and_shows_what_was_typed(client):
    draft = draft_of()
    signed_in(client, "engineer")
    sent = form_of(client.get(at(draft, "rules/1/")).content.decode()) | {"title": "too late"}
    proposals.withdraw(proposal_id=draft.pk, by="other@example.com", at=NOON)

    answer = client.post(at(draft, "rules/1/"), sent)

    assert answer.status_code == 409
    assert "too late" in answer.content.decode()
    assert "withdrawn" in answer.content.decode()
    assert "title" not in saved(draft)


def test_what_is_in_review_is_a_draft_again_once_it_is_changed(client):
    draft = draft_of()
    proposals.submit(proposal_id=draft.pk, by="other@example.com", at=NOON)
    signed_in(client, "engineer")
    page = client.get(at(draft, "rules/1/")).content.decode()

    client.post(at(draft, "rules/1/"), form_of(page) | {"title": "another"})

    draft.refresh_from_db()
    assert "Saving a change makes it a draft again" in page
    assert (draft.state, draft.sha256) == ("draft", None)


# --- Who, and what comes from outside


@pytest.mark.parametrize("role", ["viewer", "finance", "approver"])
def test_who_may_not_edit_is_refused(client, role):
    draft = draft_of()
    paths = [at(draft, "rules/1/"), at(draft, "rules/new/"), at(draft, "default/")]

    assert client.post(paths[0], typed())["Location"].startswith("/accounts/login/")
    signed_in(client, role)
    for path in paths:
        assert client.get(path).status_code == 403
        assert client.post(path, typed()).status_code == 403
    draft.refresh_from_db()
    assert draft.saves == 0


def test_there_is_no_editor_of_what_is_not_there(client):
    draft = draft_of()
    signed_in(client, "engineer")

    for path in ("rules/2/", "rules/0/", "rules/99999999999999999999/"):
        assert client.get(at(draft, path)).status_code == 404, path
        assert client.post(at(draft, path), typed()).status_code == 404, path
    assert client.get("/rules/production/drafts/999999/rules/1/").status_code == 404
    assert client.get(f"/rules/staging/drafts/{draft.pk}/rules/1/").status_code == 404


def test_names_that_are_markup_stay_text(client):
    make_use_case(HOSTILE)
    rule = make_rule(
        title=HOSTILE, use_cases=[HOSTILE], owner=HOSTILE, rationale=HOSTILE,
        when={"any": [{"not": {"field": "task", "op": "eq", "value": HOSTILE}}]},
        params={"x": {HOSTILE: "</textarea>" + HOSTILE}},
    )  # fmt: skip
    draft = draft_of(make_content(rule))
    signed_in(client, "engineer")

    opened = client.get(at(draft, "rules/1/")).content.decode()
    sent = client.post(at(draft, "rules/1/"), dict.fromkeys(typed(), HOSTILE) | {"saves": "0", "was": HOSTILE})

    for page in (opened, sent.content.decode()):
        assert HOSTILE not in page
        assert "&lt;script&gt;alert(1)" in page


def test_the_editor_asks_the_same_few_questions_however_much_there_is(client, django_assert_max_num_queries):
    draft = draft_of()
    signed_in(client, "engineer")

    with django_assert_max_num_queries(15):
        client.get(at(draft, "rules/1/"))
    for n in range(8):
        make_offering(f"model-{n}@anthropic")
        make_use_case(f"use-case-{n}")
    rules = [make_rule(f"rule-{n}", use_cases=[f"use-case-{n}"]) for n in range(8)]
    larger = draft_of(make_content(make_rule(), *rules))
    with django_assert_max_num_queries(15):
        client.get(at(larger, "rules/1/"))


SOUP = [
    "", " ", "0", "-1", "1", "100", "1e309", "NaN", "9" * 400, "x" * 300, "a,b,,", HOSTILE, "\x00",
    "\ud7ff", "\u202e", "null",
    "true", "default", "task", "hour", "tag", "tag:", "exists", "in", "json", "always", "any", "order",
    "score", "weight",
    OPUS, CHEAP, "a@b", "{}", "[]", '{"all": []}', '{"not": {"not": {}}}', '{"field": "task", "op": "eq", "value": {}}',
    '{"field": "task", "op": "eq", "value": "\\ud800"}',
    "[" * 3000, '{"a":' * 300, '{"x": {"y": 1e400}}', '{"x": {"y": ' + "9" * 5000 + "}}",
    "2026-02-30",
    "2026-12-01T08:00", "0001-01-01T00:00", "9999-12-31T23:59", "2026-03-29T02:30", "../..",
    "%s%n", "Europe/Berlin",
    "Europe", "/etc/passwd", "١٢", "target-0", "fallback-99999999999", "condition-", "over-0",
]  # fmt: skip


@pytest.mark.soak
def test_nothing_that_can_be_typed_breaks_the_editor(client):
    chance = random.Random(2026)
    draft = draft_of(make_content(make_rule("a"), STRANGE[1] | {"id": "b", "use_cases": ["other"]}))
    signed_in(client, "engineer")
    client.raise_request_exception = True
    names = [
        *typed(),
        "condition",
        "param-0-value",
        "condition-0-group",
        "condition-0-depth",
        "score_price",
        "timeout_ms",
        "max_usd",
        "active_from",
        "active_until",
        "sticky_tag",
        "was",
        "condition-0-tag",
        "condition-0-zone",
        "condition-999-field",
        "target-20-weight",
    ]
    seen = set()

    for _ in rounds(20, 1000):
        sent: dict[str, Any] = typed()
        for name in chance.sample(names, chance.randint(1, 6)):
            sent[name] = chance.choice(SOUP)
        if chance.random() < 0.2:
            sent[chance.choice(["add", "drop", "up", "anyway", "whole", "refit"])] = chance.choice(
                [*SOUP, "target", "condition", "group", "group-0", "condition-0"]
            )
        if chance.random() < 0.8:
            draft.refresh_from_db()
            sent["saves"] = str(draft.saves)
        path = chance.choice(["rules/new/", "rules/1/", "rules/2/", "default/"])
        answer = client.post(at(draft, path), sent)
        seen.add(answer.status_code)
        assert answer.status_code in (200, 302, 409, 422), (path, sent)
        if answer.status_code == 302:
            assert client.get(at(draft)).status_code == 200, (path, sent)
            draft.refresh_from_db()
        if len(draft.content["rules"]) > 5:
            draft = draft_of(make_content(make_rule("a"), make_rule("b", use_cases=["other"])))

    assert seen == {200, 302, 409, 422}
