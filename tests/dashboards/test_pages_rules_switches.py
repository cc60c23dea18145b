from __future__ import annotations

import csv
import random
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from routing.models import StateRevision, Switch
from routing.services import switches
from tests.dashboards.making_rules import PRODUCTION, furnish, version_of
from tests.dashboards.seeing import HOSTILE, signed_in
from tests.drawing import rounds
from tests.routing.making import OPUS
from tests.usage import making

pytestmark = pytest.mark.django_db
PAGE = f"{PRODUCTION}switches/"


@pytest.fixture(autouse=True)
def _house() -> None:
    furnish()


def turn(**given: Any) -> None:
    switches.turn(
        **{"kind": "provider", "name": "anthropic", "off": True, "seconds": 600, "reason": "an outage",
           "by": "lead@example.com", "at": timezone.now(), **given}
    )  # fmt: skip


@pytest.mark.parametrize("what", ["provider:anthropic", "model:claude-opus-4.7", f"offering:{OPUS}"])
def test_something_is_turned_off_for_some_minutes_and_gateways_are_told(client, what):
    version_of()
    person = signed_in(client, "engineer")
    before = StateRevision.objects.count()

    answer = client.post(PAGE, {"what": what, "minutes": "45", "reason": "an outage"})

    made = Switch.objects.get()
    assert answer["Location"] == PAGE
    assert (f"{made.kind}:{made.name}", made.off, made.by) == (what, True, person.email)
    assert made.until - made.since == timedelta(minutes=45)
    assert StateRevision.objects.count() == before + 1
    assert "an outage" in client.get(PAGE).content.decode()


def test_what_is_off_is_taken_back_at_once_and_both_words_are_kept(client):
    turn(reason="a false alarm")
    signed_in(client, "platform")
    offered = client.get(PAGE).content.decode()

    client.post(f"{PAGE}back/", {"kind": "provider", "name": "anthropic", "reason": ""})

    page = client.get(PAGE).content.decode()
    assert "Take back" in offered
    assert "Nothing is switched off" in page
    assert "Take back" not in page
    assert page.index("taken back in the console") < page.index("a false alarm")


def test_what_the_rules_send_to_is_the_first_to_choose_from_and_named_once(client):
    signed_in(client, "engineer")
    without_rules = client.get(PAGE).context["form"].fields["what"].widget.choices
    version_of()
    making.make_offering("spare-model@elsewhere")

    choices = client.get(PAGE).context["form"].fields["what"].widget.choices

    headings = [heading for heading, _ in choices[1:]]
    assert [heading for heading, _ in without_rules[1:]] == ["Providers", "Models", "Offerings"]
    assert headings == ["Of the rules in production", "Providers", "Models", "Other offerings"]
    assert (f"offering:{OPUS}", OPUS) in choices[1][1]
    assert choices[4][1] == [("offering:spare-model@elsewhere", "spare-model@elsewhere")]


@pytest.mark.parametrize(
    ("sent", "where"),
    [
        ({"what": ""}, {"what"}), ({"what": "provider:"}, {"what"}), ({"what": "provider:nobody"}, {"what"}),
        ({"what": "planet:earth"}, {"what"}), ({"what": "a\x00b"}, {"what"}), ({"minutes": "0"}, {"minutes"}),
        ({"minutes": "1.5"}, {"minutes"}), ({"minutes": "1441"}, {"minutes"}), ({"minutes": "9" * 50}, {"minutes"}),
        ({"minutes": "-1"}, {"minutes"}), ({"minutes": ""}, {"minutes"}), ({"reason": " "}, {"reason"}),
        ({"reason": "x" * 201}, {"reason"}), ({"reason": "a\x00"}, {"reason"}),
        ({"what": "", "minutes": "x", "reason": ""}, {"what", "minutes", "reason"}),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_at_once_and_what_was_typed_stays(client, sent, where):
    signed_in(client, "engineer")
    typed = {"what": "provider:anthropic", "minutes": "45", "reason": "an outage"} | sent

    answer = client.post(PAGE, typed)

    assert (answer.status_code, set(answer.context["form"].errors)) == (422, where)
    assert not Switch.objects.exists()
    if "minutes" not in sent:
        assert 'value="45"' in answer.content.decode()
    if "what" not in sent:
        assert '<option value="provider:anthropic" selected' in answer.content.decode()


@pytest.mark.parametrize("role", ["viewer", "finance", "approver"])
def test_who_may_not_switch_sees_and_turns_nothing(client, role):
    turn()

    assert client.post(PAGE, {"what": "provider:anthropic"}).status_code == 302
    signed_in(client, role)
    page = client.get(PAGE).content.decode()

    assert "an outage" in page
    assert "Turn something off" not in page
    assert "Take back" not in page
    typed = {"what": "provider:google", "minutes": "5", "reason": "x"}
    assert client.post(PAGE, typed).status_code == 403
    assert client.post(f"{PAGE}back/", {"kind": "provider", "name": "anthropic"}).status_code == 403
    assert Switch.objects.count() == 1


def test_every_word_is_listed_in_pages_and_asked_in_few_questions(client, django_assert_num_queries):
    turn()
    signed_in(client, "engineer")
    with django_assert_num_queries(14):
        client.get(PAGE)
    for n in range(29):
        turn(reason=f"number {n}")

    with django_assert_num_queries(14):
        first = client.get(PAGE).content.decode()
    last = Switch.objects.order_by("-id")[24].pk
    second = client.get(f"{PAGE}?before={last}").content.decode()

    assert f"{PAGE}?before={last}" in first
    assert ("number 4<" in first, "number 3<" in first, "number 3<" in second) == (True, False, True)
    assert client.get(f"{PAGE}?before=x").status_code == 200


def moved(*, minutes_ago: float = 1, **overrides: Any) -> None:
    """Book a call of 1000 tokens in and 100 out that a switch on Anthropic sent to Gemini."""
    at = timezone.now() - timedelta(minutes=minutes_ago)
    given = {
        "occurred_at": at, "provider": "google", "model": "gemini-3.1-pro", "use_case": "code-review",
        "rules_version": 1, "rule": "code-high", "route_reason": "switched_off",
    }  # fmt: skip
    making.forget_everything()
    making.send(making.make_event(**{**given, **overrides}), received_at=timezone.now())


def test_the_history_says_what_each_switch_cost_or_saved_and_its_page_why(client):
    version_of()
    turn(at=timezone.now() - timedelta(minutes=5))
    moved()
    moved(minutes_ago=2)
    signed_in(client, "viewer")

    listed = client.get(PAGE).content.decode()
    page = client.get(f"{PAGE}{Switch.objects.get().pk}/").content.decode()
    (_, row) = list(csv.reader(client.get(f"{PAGE}table.csv").getvalue().decode().splitlines()))

    # 1100 tokens at 2 USD per million cost 0.0022, at 5 they would have cost 0.0055; twice.
    assert "saved $0.00660 so far" in listed
    assert "saved $0.00660" in page
    assert "-$0.0066" in page
    assert [OPUS in page, "code-high" in page, "version 1" in page] == [True] * 3
    assert "On again" not in page
    assert row[1:4] == ["provider", "anthropic", "off"]
    assert row[9:] == ["2", "2200", "0.0044", "0", "2", "0.0044", "0.011", "-0.0066"]


def test_what_is_not_known_is_said_and_no_zero_is_shown(client):
    version_of()
    turn(at=timezone.now() - timedelta(minutes=5))
    moved(rules_version=7)
    signed_in(client, "viewer")

    page = client.get(f"{PAGE}{Switch.objects.get().pk}/").content.decode()

    assert "1 of 1 request left out" in page
    assert "saved" not in page.split("How cost and saving")[0]
    assert "not known" in page


def test_a_word_that_ended_early_names_who_ended_it(client):
    turn(reason="a false alarm")
    turn(off=False, seconds=0, reason="well again", by="other@example.com")
    signed_in(client, "viewer")
    first, second = Switch.objects.order_by("id")

    page = client.get(f"{PAGE}{first.pk}/").content.decode()

    assert "other@example.com" in page
    assert f'<a href="{PAGE}{second.pk}/">well again</a>' in page
    assert "No request went elsewhere" in page
    assert client.get(f"{PAGE}{second.pk}/").status_code == 200
    assert client.get(f"{PAGE}999999999999/").status_code == 404


def test_the_small_form_turns_off_and_goes_back_where_one_came_from(client):
    signed_in(client, "platform")
    filled = {"what": "provider:google", "minutes": "30", "reason": "error rate 23 % since 14:10"}

    form = client.get(f"{PAGE}off/", {**filled, "back": "/routing/?measure=cost"}).content.decode()
    answer = client.post(f"{PAGE}off/", {**filled, "back": "/routing/?measure=cost"})
    taken = client.post(f"{PAGE}back/", {"kind": "provider", "name": "google", "back": "/routing/"})

    assert 'value="error rate 23 % since 14:10"' in form
    assert (answer.status_code, answer["Location"]) == (302, "/routing/?measure=cost")
    assert (taken.status_code, taken["Location"]) == (302, "/routing/")
    assert [one.off for one in Switch.objects.order_by("id")] == [True, False]


@pytest.mark.parametrize("back", ["https://elsewhere.example/", "//elsewhere.example", "/\\elsewhere.example", "", "x"])
def test_nobody_is_sent_to_another_house(client, back):
    signed_in(client, "engineer")
    filled = {"what": "provider:google", "minutes": "30", "reason": "x", "back": back}

    assert client.post(f"{PAGE}off/", filled)["Location"] == PAGE
    assert client.post(f"{PAGE}back/", {"kind": "provider", "name": "google", "back": back})["Location"] == PAGE


def test_the_small_form_says_what_is_wrong_and_is_for_those_who_may_switch(client):
    assert client.get(f"{PAGE}off/").status_code == 302
    signed_in(client, "viewer")
    refused = client.get(f"{PAGE}off/").status_code, client.post(f"{PAGE}off/", {"what": "provider:google"}).status_code
    signed_in(client, "engineer")

    answer = client.post(f"{PAGE}off/", {"what": "provider:google", "minutes": "0", "reason": "", "back": "/routing/"})

    assert refused == (403, 403)
    assert (answer.status_code, set(answer.context["form"].errors)) == (422, {"minutes", "reason"})
    assert 'value="/routing/"' in answer.content.decode()
    assert not Switch.objects.exists()


@pytest.mark.parametrize("rest", ["", "1/", "table.csv"])
def test_the_history_is_for_people_of_the_house(client, rest):
    assert client.get(f"{PAGE}{rest}")["Location"].startswith("/accounts/login/")

    signed_in(client)

    assert client.get(f"{PAGE}{rest}").status_code == 403


def test_what_requests_cost_is_asked_once_for_all_switches_of_a_page(client, django_assert_num_queries):
    version_of()
    turn(at=timezone.now() - timedelta(minutes=50), seconds=60)
    moved(minutes_ago=49.5)
    signed_in(client, "viewer")
    client.get(PAGE)
    with django_assert_num_queries(18):
        client.get(PAGE)
    for n in range(1, 8):
        turn(at=timezone.now() - timedelta(minutes=50 - n), seconds=30)
        moved(minutes_ago=49.8 - n)
    client.get(PAGE)

    with django_assert_num_queries(18):
        page = client.get(PAGE).content.decode()

    assert page.count("saved $0.00330") == 8


def test_reasons_that_are_markup_stay_text(client):
    turn(reason=HOSTILE)
    signed_in(client, "engineer")

    for page in (client.get(PAGE), client.get(PRODUCTION), client.post(PAGE, {"what": HOSTILE, "reason": HOSTILE})):
        assert HOSTILE not in page.content.decode()


@pytest.mark.soak
def test_nothing_that_can_be_sent_breaks_the_page(client):
    chance = random.Random(3)
    signed_in(client, "engineer")
    soup = [
        "",
        "provider",
        "provider:anthropic",
        "offering:" + OPUS,
        ":",
        "\x00",
        HOSTILE,
        "1",
        "9" * 400,
        "-1",
        "x" * 999,
        "\N{ARABIC-INDIC DIGIT THREE}",
    ]

    for _ in rounds(12, 500):
        sent = {name: chance.choice(soup) for name in ("what", "minutes", "reason", "kind", "name")}
        assert client.post(PAGE, sent).status_code in (302, 422), sent
        assert client.post(f"{PAGE}back/", sent).status_code == 302, sent
    assert client.get(PAGE).status_code == 200
