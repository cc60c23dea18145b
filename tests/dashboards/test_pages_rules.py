from __future__ import annotations

import hashlib
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from budgets.models import Counter
from catalog.models import Offering
from routing.models import Environment, Proposal, Version
from routing.services import switches
from tests.dashboards.making_rules import PRODUCTION, draft_of, furnish, version_of
from tests.dashboards.seeing import HOSTILE, signed_in
from tests.factories import NOON, make_budget, make_key, make_use_case
from tests.routing.making import CHEAP, MIDDLE, OPUS, make_content, make_rule

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _house() -> None:
    furnish()


def with_opus_at(weight: int) -> dict[str, Any]:
    targets = [{"offering": OPUS, "weight": weight}, {"offering": MIDDLE, "weight": 10000 - weight}]
    return make_content(make_rule(targets=targets, fallbacks=[CHEAP]))


# --- In force


def test_the_rules_lead_to_those_of_production(client):
    signed_in(client, "viewer")

    assert client.get("/rules/")["Location"] == PRODUCTION


def test_what_is_in_force_is_shown_in_words(client):
    version_of(with_opus_at(9050), title="a tenth to Gemini")
    signed_in(client, "viewer")

    page = client.get(PRODUCTION).content.decode()

    for text in ("a tenth to Gemini", "publisher@example.com", "approver@example.com", "Task is code", "code-review",
                 "90.5 %", "9.5 %", OPUS, CHEAP, "the best at hard code", "state revision 1"):  # fmt: skip
        assert text in page, text
    assert "New draft" not in page
    assert "Change<span" not in page  # a viewer changes nothing


@pytest.mark.parametrize(
    ("days", "words"),
    [(-3, "review overdue by 3 days"), (0, "review due today"), (14, "review due in 14 days"), (15, "")],
)
def test_a_rule_that_is_to_be_looked_at_again_is_marked(client, days, words):
    day = timezone.localdate() + timedelta(days=days)
    version_of(make_content(make_rule(review_by=day.isoformat())))
    signed_in(client, "viewer")

    page = client.get(PRODUCTION).content.decode()

    assert (words in page) if words else ("review due" not in page and "overdue" not in page)


def test_what_gateways_are_held_to_stands_with_the_rules(client):
    version_of()
    now = timezone.now()
    budget = make_budget(name="support", action="downgrade", at=now)
    Counter.objects.filter(budget=budget).update(used=Decimal(100))
    switches.turn(
        kind="provider", name="anthropic", off=True, seconds=600, reason="an outage", by="lead@example.com", at=now
    )
    signed_in(client, "viewer")

    page = client.get(PRODUCTION).content.decode()

    assert f'<a href="/budgets/{budget.pk}/">support</a> is used up and downgrades' in page
    assert "<strong>anthropic</strong></a> is off: an outage" in page


def test_what_is_on_its_way_is_listed_with_its_state(client):
    draft_of(title="overtaken")
    version_of()
    draft_of(title="in time")
    signed_in(client, "viewer")

    page = client.get(PRODUCTION).content.decode()

    assert page.count("another version went live") == 1
    assert page.index("in time") < page.index("overtaken")


def test_without_rules_whoever_may_is_led_to_a_first_draft(client):
    signed_in(client, "viewer")
    seen = client.get(PRODUCTION).content.decode()
    signed_in(client, "engineer")

    assert "Make the first draft" not in seen
    assert "Make the first draft" in client.get(PRODUCTION).content.decode()


def test_environments_that_keys_name_can_be_chosen_and_others_are_not_there(client):
    make_key("rules:read", environment="staging")
    signed_in(client, "engineer")

    assert 'href="/rules/staging/"' in client.get(PRODUCTION).content.decode()
    assert client.get("/rules/staging/").status_code == 200
    for path in ("", "history/", "switches/", "try/", "drafts/new/", "versions/1/"):
        assert client.get(f"/rules/nowhere/{path}").status_code == 404, path
    assert client.post("/rules/nowhere/drafts/new/", {"title": "x", "offering": OPUS}).status_code == 404
    assert not Environment.objects.filter(name="nowhere").exists()


def test_the_first_draft_asks_for_a_default(client):
    person = signed_in(client, "engineer")

    wrong = client.post(f"{PRODUCTION}drafts/new/", {"title": " ", "offering": OPUS})
    none = client.post(f"{PRODUCTION}drafts/new/", {"title": "first", "offering": ""})
    answer = client.post(f"{PRODUCTION}drafts/new/", {"title": "first", "offering": OPUS})

    assert (wrong.status_code, set(wrong.context["form"].errors)) == (422, {"title"})
    assert (none.status_code, set(none.context["form"].errors)) == (422, {"offering"})
    assert 'value="first"' in none.content.decode()
    made = Proposal.objects.get()
    assert answer["Location"] == f"{PRODUCTION}drafts/{made.pk}/"
    assert made.content["default"] == {"targets": [{"offering": OPUS, "weight": 10000}]}
    assert made.created_by == person.email


def test_one_click_opens_a_rule_in_a_draft_of_what_is_in_force(client):
    version_of(make_content(make_rule("a"), make_rule("b", use_cases=["other"])))
    signed_in(client, "engineer")

    to_rule = client.post(f"{PRODUCTION}drafts/change/", {"rule": "b"})
    to_default = client.post(f"{PRODUCTION}drafts/change/", {"rule": "default"})
    gone = client.post(f"{PRODUCTION}drafts/change/", {"rule": "c\x00"})

    newest = list(Proposal.objects.order_by("-id")[:3])
    assert to_rule["Location"] == f"{PRODUCTION}drafts/{newest[2].pk}/rules/2/"
    assert newest[2].title == "Change b"
    assert to_default["Location"] == f"{PRODUCTION}drafts/{newest[1].pk}/default/"
    assert gone["Location"] == f"{PRODUCTION}drafts/{newest[0].pk}/"


# --- Versions


def test_versions_are_listed_newest_first_and_paged_by_number(client):
    for n in range(27):
        version_of(with_opus_at(9000 + n), title=f"change {n}")
    signed_in(client, "viewer")

    first = client.get(f"{PRODUCTION}history/").content.decode()
    second = client.get(f"{PRODUCTION}history/?before=3").content.decode()

    assert first.index("Version 27") < first.index("Version 3<")
    assert "Version 2<" not in first
    assert f"{PRODUCTION}history/?before=3" in first
    assert "Version 2<" in second
    assert "Roll back" not in first


def test_a_version_is_shown_as_it_was_with_bytes_that_have_its_hash(client):
    version_of(with_opus_at(9000))
    second = version_of(with_opus_at(5000))
    signed_in(client, "viewer")

    page = client.get(f"{PRODUCTION}versions/2/").content.decode()
    file = client.get(f"{PRODUCTION}versions/2/json/")

    assert f"Rule code-high: {OPUS} from 90 % to 50 %" in page
    assert bytes(second.sha256).hex() in page
    assert hashlib.sha256(file.content).digest() == bytes(second.sha256)
    assert (file["Content-Type"], "attachment" in file["Content-Disposition"]) == ("text/plain; charset=utf-8", True)
    for number in ("3", "0", "99999999999999999999"):
        assert client.get(f"{PRODUCTION}versions/{number}/").status_code == 404


def test_a_version_says_how_it_labels_requests(client):
    points = [{"points": 30, "count": "characters", "at_least": 2000}]
    version_of(make_content() | {"heuristics": {"complexity": points}})
    signed_in(client, "viewer")

    page = client.get(f"{PRODUCTION}versions/1/").content.decode()

    assert "+30 points for at least 2000 characters" in page


# --- Going back


def test_going_back_shows_what_it_changes_and_what_is_wrong_now_and_is_not_hindered_by_it(client):
    version_of(with_opus_at(9000))
    version_of(make_content(make_rule(targets=[{"offering": CHEAP, "weight": 10000}])))
    Offering.objects.filter(name=OPUS).update(retired_at=NOON)
    person = signed_in(client, "approver")

    page = client.get(f"{PRODUCTION}versions/1/back/").content.decode()
    answer = client.post(f"{PRODUCTION}versions/1/back/", {"seen": "2", "reason": "cheap was too cheap"})

    assert f"{CHEAP} removed, had 100 %" in page
    assert "What validation finds in it now" in page
    assert answer["Location"] == PRODUCTION
    made = Version.objects.get(number=3)
    assert (made.rolls_back_to, made.published_by, made.reason) == (1, person.email, "cheap was too cheap")
    assert "rollback" in client.get(f"{PRODUCTION}history/").content.decode()


def test_going_back_needs_a_reason_and_the_version_that_was_seen(client):
    version_of(with_opus_at(9000))
    version_of(with_opus_at(5000))
    version_of(with_opus_at(4000), title="meanwhile")
    signed_in(client, "engineer")
    path = f"{PRODUCTION}versions/1/back/"

    silent = client.post(path, {"seen": "3", "reason": " "})
    behind = client.post(path, {"seen": "2", "reason": "as I said"})
    odd = [client.post(path, {"seen": seen, "reason": "x"}).status_code for seen in ("", "x", "9" * 50)]
    present = client.post(f"{PRODUCTION}versions/3/back/", {"seen": "3", "reason": "x"})

    assert (silent.status_code, set(silent.context["form"].errors)) == (422, {"reason"})
    assert behind.status_code == 409
    assert "meanwhile" in behind.content.decode()
    assert 'value="as I said"' in behind.content.decode()
    assert 'name="seen" value="3"' in behind.content.decode()
    assert (odd, present.status_code) == ([409, 409, 409], 422)
    assert client.post(path, {"seen": "3", "reason": "a\x00b"}).status_code == 422
    assert client.post(f"{PRODUCTION}versions/99999999999/back/", {"seen": "3", "reason": "x"}).status_code == 404
    assert Version.objects.count() == 3


# --- Who


PAGES = ("", "history/", "versions/1/", "versions/1/json/", "try/", "switches/")


@pytest.mark.parametrize("role", ["viewer", "finance", "engineer", "approver", "platform", "admin"])
def test_everybody_with_a_role_reads_the_rules(client, role):
    version_of()
    signed_in(client, role)

    assert [client.get(PRODUCTION + path).status_code for path in PAGES] == [200] * len(PAGES)


def test_strangers_are_sent_to_sign_in_and_who_has_no_role_is_refused(client):
    version_of()
    paths = [*PAGES, "versions/1/back/", "drafts/new/"]

    assert {client.get(PRODUCTION + path).status_code for path in paths} == {302}
    signed_in(client)
    assert {client.get(PRODUCTION + path).status_code for path in paths} == {403}


@pytest.mark.parametrize(
    ("role", "may_start", "may_go_back"),
    [("viewer", False, False), ("finance", False, False), ("approver", False, True), ("platform", True, True)],
)
def test_what_a_person_may_not_do_is_neither_shown_nor_done(client, role, may_start, may_go_back):
    version_of(with_opus_at(9000))
    version_of(with_opus_at(5000))
    signed_in(client, role)

    page = client.get(PRODUCTION).content.decode()
    history = client.get(f"{PRODUCTION}history/").content.decode()
    started = client.post(f"{PRODUCTION}drafts/new/", {"title": "x"}).status_code
    changed = client.post(f"{PRODUCTION}drafts/change/", {"rule": "code-high"}).status_code
    back = client.post(f"{PRODUCTION}versions/1/back/", {"seen": "2", "reason": "x"}).status_code

    assert ("New draft" in page, "Roll back" in history) == (may_start, may_go_back)
    assert (started, changed) == ((302, 302) if may_start else (403, 403))
    assert back == (302 if may_go_back else 403)


def test_names_that_are_markup_stay_text(client):
    make_use_case(HOSTILE)
    rule = make_rule(
        title=HOSTILE, use_cases=[HOSTILE], owner=HOSTILE, rationale=HOSTILE,
        when={"all": [{"field": f"tag:{HOSTILE}", "op": "eq", "value": HOSTILE}]},
    )  # fmt: skip
    version_of(make_content(rule), title=HOSTILE)
    version_of(make_content(), title=HOSTILE)
    draft = draft_of(make_content(rule), title=HOSTILE)
    signed_in(client, "admin")

    for path in ("", "history/", "versions/1/", "versions/1/back/", f"drafts/{draft.pk}/"):
        page = client.get(PRODUCTION + path).content.decode()

        assert "&lt;script&gt;" in page, path
        assert HOSTILE not in page, path
        assert "<script>" not in page, path


def test_the_pages_ask_the_same_few_questions_however_many_rules_there_are(client, django_assert_num_queries):
    version_of()
    version_of(with_opus_at(5000))
    signed_in(client, "engineer")
    counts = {"": 12, "history/": 6, "versions/{live}/": 8, "versions/1/back/": 11}
    client.get(PRODUCTION)

    for path, queries in counts.items():
        with django_assert_num_queries(queries):
            client.get(PRODUCTION + path.format(live=2))
    version_of(make_content(*(make_rule(f"rule-{n}", use_cases=[f"use-case-{n}"]) for n in range(30))))
    for _ in range(3):
        draft_of()
    for path, queries in counts.items():
        with django_assert_num_queries(queries):
            client.get(PRODUCTION + path.format(live=3))
