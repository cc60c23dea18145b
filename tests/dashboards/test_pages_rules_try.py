from __future__ import annotations

import random
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.utils import timezone

from core.models import Organisation
from routing.rules import document
from routing.services import switches
from tests.dashboards.making_rules import PRODUCTION, at, draft_of, furnish, version_of
from tests.dashboards.seeing import HOSTILE, signed_in
from tests.drawing import rounds
from tests.factories import make_key, make_use_case
from tests.routing.making import CHEAP, MIDDLE, OPUS, make_content, make_rule

pytestmark = pytest.mark.django_db
CODE = "use_case=Code-Review&task=code"


@pytest.fixture(autouse=True)
def _house() -> None:
    furnish()


def offerings_of(answer: Any) -> list[str]:
    return [one.offering for one in answer.context["answers"]]


def test_a_request_on_the_version_in_force_says_where_it_goes_and_every_step(client):
    version_of(make_content(make_rule("first", use_cases=["other"]), make_rule()))
    signed_in(client, "viewer")

    answer = client.get(f"{PRODUCTION}try/?{CODE}")

    page = answer.content.decode()
    found = answer.context["answers"][0]
    assert (found.offering, found.rule, found.fallbacks) == (OPUS, "code-high", (MIDDLE,))
    assert [step[:2] for step in found.steps] == [
        ("rule first", "other use cases"), ("rule code-high", "matches"), (OPUS, "taken, as a target"),
    ]  # fmt: skip
    assert "Rule code-high is the first that matches." in page
    assert 'value="Code-Review"' in page  # the request stays in the form


def test_a_draft_is_tried_beside_the_version_in_force(client):
    version_of()
    draft = draft_of(make_content(make_rule(targets=[{"offering": CHEAP, "weight": 10000}])))
    signed_in(client, "engineer")

    moved = client.get(at(draft, f"try/?{CODE}"))
    same = client.get(at(draft, "try/?use_case=else"))

    assert offerings_of(moved) == [CHEAP, OPUS]
    assert "would go another way" in moved.content.decode()
    assert offerings_of(same) == [MIDDLE, MIDDLE]
    assert "goes the same way as now" in same.content.decode()
    assert "No rule matches, so the default holds." in same.content.decode()


def test_what_is_switched_off_and_what_is_left_is_said(client):
    version_of(make_content(make_rule(use_default=False)))
    now = timezone.now()
    given = {"off": True, "seconds": 600, "reason": "outage", "by": "lead@example.com", "at": now}
    switches.turn(kind="model", name="claude-opus-4.7", **given)
    signed_in(client, "viewer")

    skipped = client.get(f"{PRODUCTION}try/?{CODE}").context["answers"][0]
    later = timezone.localtime(now + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M")
    over = client.get(f"{PRODUCTION}try/?{CODE}&at={later}").context["answers"][0]
    switches.turn(kind="provider", name="google", **given)
    blocked = client.get(f"{PRODUCTION}try/?{CODE}").context["answers"][0]

    assert (skipped.offering, over.offering) == (MIDDLE, OPUS)
    assert "switched off, so the next fallback" in skipped.why
    assert blocked.blocked
    assert "all that is left is switched off or over budget" in blocked.why


def test_every_field_of_a_request_is_read(client):
    parts = [
        {"field": "complexity", "op": "gte", "value": "0.75"}, {"field": "input_tokens", "op": "gt", "value": "1000"},
        {"field": "user_tier", "op": "eq", "value": "paid"}, {"field": "tag:env", "op": "eq", "value": "a=b"},
        {"field": "modalities", "op": "contains", "value": "image"}, {"field": "batch", "op": "eq", "value": False},
        {"field": "team", "op": "eq", "value": "core"}, {"field": "latency_budget_ms", "op": "lt", "value": 500},
        {"field": "hour", "op": "eq", "value": 8, "zone": "Europe/Berlin"},
    ]  # fmt: skip
    Organisation.objects.update(zone="Europe/Berlin")
    version_of(make_content(make_rule(use_cases=None, when={"all": parts})))
    signed_in(client, "viewer")
    request = {
        "complexity": "0.75", "input_tokens": "1000.5", "user_tier": "paid", "tags": "env=a=b\n\nx=y", "batch": "no",
        "modalities": "text, image", "team": "Core", "latency_budget_ms": "499", "at": "2026-12-01T08:30",
    }  # fmt: skip

    assert offerings_of(client.get(f"{PRODUCTION}try/?{urlencode(request)}")) == [OPUS]
    for name in request:
        less = {other: value for other, value in request.items() if other != name} | {"go": "1"}
        if name == "at":
            less["at"] = "2026-12-01T09:30"
        assert offerings_of(client.get(f"{PRODUCTION}try/?{urlencode(less)}")) == [MIDDLE], name


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("complexity=0,75", "complexity"), ("input_tokens=many", "input_tokens"), ("batch=perhaps", "batch"),
        ("tags=nothing", "tags"), ("tags==x", "tags"), ("task=" + "x" * 300, "task"), ("at=soon", "at"),
        ("at=0001-01-01T00:00", "at"), ("at=9999-12-31T23:59", "at"), ("user=%00", "user"),
        ("modalities=" + "x" * 300, "modalities"), ("tags=a%3D" + "x" * 300, "tags"),
        ("latency_budget_ms=1e3", "latency_budget_ms"),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_read_is_said_at_its_field(client, query, field):
    version_of()
    draft = draft_of()
    signed_in(client, "viewer")

    for path in (f"{PRODUCTION}try/?{query}", at(draft, f"try/?{query}")):
        answer = client.get(path)

        assert (answer.status_code, set(answer.context["form"].errors)) == (200, {field})
        assert answer.context["answers"] == []


def test_without_rules_there_is_nothing_to_try_but_a_draft(client):
    draft = draft_of()
    signed_in(client, "viewer")

    assert "No rules to try yet" in client.get(f"{PRODUCTION}try/?{CODE}").content.decode()
    assert offerings_of(client.get(at(draft, f"try/?{CODE}"))) == [OPUS]


def test_who_is_a_stranger_tries_nothing(client):
    draft = draft_of()

    for path in (f"{PRODUCTION}try/", at(draft, "try/")):
        assert client.get(path).status_code == 302
    signed_in(client)
    for path in (f"{PRODUCTION}try/", at(draft, "try/")):
        assert client.get(path).status_code == 403


def test_names_that_are_markup_stay_text(client):
    make_use_case(HOSTILE)
    version_of()
    signed_in(client, "viewer")

    query = urlencode({"use_case": HOSTILE, "at": HOSTILE, "tags": HOSTILE})
    page = client.get(f"{PRODUCTION}try/?{query}").content.decode()

    assert HOSTILE not in page
    assert "&lt;script&gt;" in page


@pytest.mark.soak
def test_nothing_that_can_be_asked_breaks_the_page(client):
    version_of()
    draft = draft_of()
    signed_in(client, "viewer")
    chance = random.Random(11)
    soup = [
        "",
        "0",
        "-1",
        "1e400",
        "9" * 400,
        "\x00",
        "\ud7ff",
        HOSTILE,
        "a=b",
        "=\n=",
        "x=\x00",
        "yes",
        "2026-03-29T02:30",
        "\N{ARABIC-INDIC DIGIT THREE}",
    ]
    names = ["use_case", "team", "task", "complexity", "input_tokens", "tags", "modalities", "batch", "at", "session",
             "user", "request_id", "gateway", "gateway_kind", "region", "data_class", "context_needed"]  # fmt: skip

    for _ in rounds(15, 500):
        query = urlencode({name: chance.choice(soup) for name in chance.sample(names, chance.randint(1, 17))})
        for path in (f"{PRODUCTION}try/?{query}", at(draft, f"try/?{query}")):
            assert client.get(path).status_code == 200, query


def test_trying_asks_the_same_few_questions_however_many_rules_there_are(client, django_assert_max_num_queries):
    version_of()
    draft = draft_of(make_content(*(make_rule(f"rule-{n}", use_cases=[f"use-case-{n}"]) for n in range(30))))
    signed_in(client, "viewer")
    client.get(f"{PRODUCTION}try/?{CODE}")

    with django_assert_max_num_queries(12):
        client.get(f"{PRODUCTION}try/?{CODE}")
    with django_assert_max_num_queries(30):
        client.get(at(draft, f"try/?{CODE}"))


LABELS = {
    "tasks": [{"task": "code", "any": [{"count": "keywords", "words": ["bug"], "at_least": 1}]}],
    "complexity": [{"points": 80, "count": "lines", "at_least": 2}],
}
HARD = {"all": [{"field": "task", "op": "eq", "value": "code"}, {"field": "complexity", "op": "gte", "value": "0.75"}]}


def test_a_text_leads_to_labels_and_these_to_a_rule(client):
    version_of(make_content(make_rule(use_cases=None, when=HARD), heuristics=LABELS))
    signed_in(client, "viewer")

    answer = client.post(f"{PRODUCTION}try/", {"text": "Find the BUG\r\nin this."})
    said = client.post(f"{PRODUCTION}try/", {"text": "Find the bug", "task": "chat"})

    found = answer.context["answers"][0]
    page = answer.content.decode()
    assert found.offering == OPUS
    assert found.labels == [("Task", "code", "by the text"), ("Complexity", "0.8", "by the text")]
    assert found.steps[0][:2] == ("task", "code: any of the words bug (1 found)")
    assert "+80 points: at least 2 lines (2 found)" in page
    assert "Find the BUG" in page  # the text stays in its field
    assert said.context["answers"][0].labels == [
        ("Task", "chat", "as the request says"), ("Complexity", "0", "by the text"),
    ]  # fmt: skip


def test_a_draft_labels_by_its_own_heuristics(client):
    version_of(make_content(make_rule(use_cases=None, when=HARD)))
    draft = draft_of(make_content(make_rule(use_cases=None, when=HARD), heuristics=LABELS))
    signed_in(client, "engineer")

    answer = client.post(at(draft, "try/"), {"text": "the bug\nhere"})

    assert offerings_of(answer) == [OPUS, MIDDLE]
    assert "these rules have no label for the text" in answer.content.decode()


def test_a_text_never_stands_in_an_address(client):
    version_of(make_content(make_rule(), heuristics=LABELS))
    signed_in(client, "viewer")

    asked = client.get(f"{PRODUCTION}try/?text=secret+bug&team=core")

    assert "secret" not in asked.content.decode()
    assert asked.context["answers"][0].labels == []


@pytest.mark.parametrize("text", ["\x00", "x" * 200_000, "\ud83d", HOSTILE, "```\n" * 1000])
def test_no_text_breaks_the_page(client, text):
    version_of(make_content(make_rule(), heuristics=LABELS))
    signed_in(client, "viewer")

    sent = urlencode({"text": text}, errors="surrogatepass")
    answer = client.post(f"{PRODUCTION}try/", sent, content_type="application/x-www-form-urlencoded")

    assert answer.status_code == 200
    assert HOSTILE not in answer.content.decode()


def test_the_browser_decides_by_the_document_that_gateways_get(client):
    version_of(make_content(make_rule(), heuristics=LABELS))
    given = {"off": True, "seconds": 600, "reason": "outage", "by": "lead@example.com", "at": timezone.now()}
    switches.turn(kind="model", name="claude-opus-4.7", **given)
    bearer = f"Bearer {make_key('rules:read', name='gateway')}"
    signed_in(client, "viewer")

    told = client.get(f"{PRODUCTION}try/documents/").json()
    got = client.get("/api/v1/rules/production", headers={"Authorization": bearer}).json()

    [one] = told["documents"]
    assert (one["title"], one["document"]) == ("Version 1, in force", got)
    assert got["state"]["switches"][0]["reason"] == "outage"
    assert told["at"] is None


def test_a_draft_and_the_version_in_force_are_held_to_the_same_state(client):
    version_of()
    draft = draft_of(make_content(make_rule(targets=[{"offering": CHEAP, "weight": 10000}])))
    signed_in(client, "viewer")

    told = client.get(at(draft, "try/documents/?at=2026-12-01T08:30")).json()

    ours, live = (one["document"] for one in told["documents"])
    assert [one["title"] for one in told["documents"]] == ["This draft", "Version 1, in force"]
    assert [document.schema_problems("document", one) for one in (ours, live)] == [[], []]
    assert ours["rules"][0]["targets"][0]["offering"] == CHEAP
    assert ours["state"] == live["state"]
    assert told["at"] == "2026-12-01T08:30:00Z"


def test_the_server_says_what_it_decides_and_what_it_cannot_read(client):
    version_of()
    draft = draft_of(make_content(make_rule(targets=[{"offering": CHEAP, "weight": 10000}])))
    signed_in(client, "viewer")
    asked = {"use_case": "code-review", "task": "code", "at": "2026-12-01T08:30"}

    live = client.post(f"{PRODUCTION}try/check/", asked).json()
    both = client.post(at(draft, "try/check/"), asked).json()

    assert [one["offering"] for one in live["decisions"]] == [OPUS]
    assert [one["offering"] for one in both["decisions"]] == [CHEAP, OPUS]
    assert live["decisions"][0] | {"version": 0, "revision": 0} == both["decisions"][1]
    assert live["at"] == both["at"] == "2026-12-01T08:30:00Z"
    for path in (f"{PRODUCTION}try/check/", at(draft, "try/check/")):
        for name, text in (("complexity", "0,75"), ("tags", "x")):
            refused = client.post(path, {name: text})
            assert (refused.status_code, set(refused.json()["errors"])) == (422, {name})
    for path in (f"{PRODUCTION}try/documents/", at(draft, "try/documents/")):
        assert client.get(f"{path}?at=soon").json()["errors"].keys() == {"at"}


def test_who_is_a_stranger_gets_no_documents_and_asks_nothing(client):
    version_of()
    draft = draft_of()
    paths = [f"{PRODUCTION}try/", at(draft, "try/")]

    def statuses():
        asked = [client.get(f"{path}documents/") for path in paths]
        asked += [client.post(f"{path}check/", {"task": "code"}) for path in paths]
        return {answer.status_code for answer in asked}

    unknown = statuses()
    signed_in(client)
    assert (unknown, statuses()) == ({302}, {403})
    assert client.get(f"{PRODUCTION}try/check/").status_code == 405


def test_documents_and_checks_cost_few_questions(client, django_assert_max_num_queries):
    version_of()
    draft = draft_of(make_content(*(make_rule(f"rule-{n}", use_cases=[f"use-case-{n}"]) for n in range(30))))
    signed_in(client, "viewer")
    client.get(f"{PRODUCTION}try/documents/")

    with django_assert_max_num_queries(10):
        client.get(f"{PRODUCTION}try/documents/")
    with django_assert_max_num_queries(20):
        client.get(at(draft, "try/documents/"))
    with django_assert_max_num_queries(8):
        client.post(f"{PRODUCTION}try/check/", {"task": "code"})
    with django_assert_max_num_queries(22):
        client.post(at(draft, "try/check/"), {"task": "code"})
