from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from routing.models import StateRevision, Switch
from routing.services import switches
from tests.dashboards.making_rules import PRODUCTION, furnish, version_of
from tests.dashboards.seeing import HOSTILE, signed_in
from tests.routing.making import OPUS

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
    with django_assert_num_queries(10):
        client.get(PAGE)
    for n in range(29):
        turn(reason=f"number {n}")

    with django_assert_num_queries(10):
        first = client.get(PAGE).content.decode()
    last = Switch.objects.order_by("-id")[24].pk
    second = client.get(f"{PAGE}?before={last}").content.decode()

    assert f"{PAGE}?before={last}" in first
    assert ("number 4<" in first, "number 3<" in first, "number 3<" in second) == (True, False, True)
    assert client.get(f"{PAGE}?before=x").status_code == 200


def test_reasons_that_are_markup_stay_text(client):
    turn(reason=HOSTILE)
    signed_in(client, "engineer")

    for page in (client.get(PAGE), client.get(PRODUCTION), client.post(PAGE, {"what": HOSTILE, "reason": HOSTILE})):
        assert HOSTILE not in page.content.decode()


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

    for _ in range(60):
        sent = {name: chance.choice(soup) for name in ("what", "minutes", "reason", "kind", "name")}
        assert client.post(PAGE, sent).status_code in (302, 422), sent
        assert client.post(f"{PAGE}back/", sent).status_code == 302, sent
    assert client.get(PAGE).status_code == 200
