"""Intake: bodies and what became of them, and held events with what differs; tried again, given up, settled."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from core.models import AuditEntry
from dashboards.selectors import intake as page_of
from tests.dashboards.seeing import HOSTILE, signed_in
from tests.usage import making
from tests.usage.making import SECOND, make_event, make_gateway, send, take
from usage.events import Rejected
from usage.models import HeldEvent, Receipt
from usage.services import intake

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


def now_event(**overrides):
    return make_event(**{"occurred_at": timezone.now(), **overrides})


def set_aside(*, gateway: str = "edge", **overrides) -> int:
    receipt_id = take(now_event(**overrides), gateway=gateway, received_at=timezone.now())
    Receipt.objects.filter(pk=receipt_id).update(state="failed", attempts=5, error="ZstdError: broken frame")
    return receipt_id


def hold(*, gateway: str = "edge", **later) -> HeldEvent:
    now = timezone.now()
    known = now_event()
    send(known, gateway=gateway, received_at=now)
    other = now_event(event_id=known.event_id, **{"output_tokens": 777, **later})
    send(other, gateway=gateway, received_at=now + SECOND)
    return HeldEvent.objects.get(event_id=known.event_id)


def hold_old(count: int = 1) -> list[int]:
    now = timezone.now()
    before = set(HeldEvent.objects.values_list("id", flat=True))
    send(*(now_event(occurred_at=now - 40 * DAY) for _ in range(count)), received_at=now)
    return sorted(set(HeldEvent.objects.values_list("id", flat=True)) - before)


# --- bodies ---


def test_where_nothing_came_in_the_page_says_what_to_do(client):
    signed_in(client, "viewer")

    assert "Connect a gateway" in client.get("/intake/").content.decode()
    assert "No body is set aside" in client.get("/intake/?show=failed").content.decode()
    assert "Nothing is held" in client.get("/intake/held/").content.decode()


def test_bodies_are_listed_newest_first_with_what_became_of_their_events(client):
    now = timezone.now()
    known = now_event()
    send(known, now_event(), received_at=now - 3 * SECOND)
    send(known, now_event(occurred_at=now - 40 * DAY), received_at=now - 2 * SECOND)
    aside = set_aside()
    signed_in(client, "viewer")

    page = client.get("/intake/")

    lines = page.context["lines"]
    assert [(line.row.id == aside, line.state, line.summary) for line in lines] == [
        (True, "set aside", ""),
        (False, "booked", "1 repeat, 1 too old"),
        (False, "booked", "2 counted"),
    ]
    assert "broken frame" in page.content.decode()
    assert page.context["complete_through"] is not None


def test_bodies_are_narrowed_by_what_became_of_them_and_by_gateway(client):
    mine, other = set_aside(), set_aside(gateway="other")
    send(now_event(), received_at=timezone.now())
    signed_in(client, "viewer")

    def ids(query: str) -> list[int]:
        return [line.row.id for line in client.get(f"/intake/{query}").context["lines"]]

    assert ids("?show=failed") == [other, mine]
    assert ids(f"?show=failed&gateway={make_gateway('other').pk}") == [other]
    assert ids("?show=given_up") == []
    page = client.get(f"/intake/?show=failed&gateway={make_gateway().pk}")
    assert f"/intake/?show=failed&amp;gateway={make_gateway().pk}" in page.content.decode()


def test_a_page_of_bodies_ends_where_the_next_begins(client):
    ids = [take(now_event(), received_at=making.NOON) for _ in range(120)]
    signed_in(client, "viewer")

    seen, url = [], "/intake/"
    while url:
        context = client.get(url).context
        seen += [line.row.id for line in context["lines"]]
        url = context["older_url"]

    assert seen == ids[::-1]


@pytest.mark.parametrize(
    "query",
    [
        "?show=lost", "?gateway=x", "?gateway=999", "?gateway=%00", "?before=x", "?before=-1-1", "?before=1",
        f"?before={10**40}-1", "?before=%D9%A1-1",
    ],
)  # fmt: skip
def test_a_question_about_bodies_that_means_nothing_is_a_page_that_is_not_there(client, query):
    signed_in(client, "viewer")

    assert client.get(f"/intake/{query}").status_code == 404


def test_a_body_shows_what_became_of_each_item(client):
    now = timezone.now()
    receipt_id = intake.take(
        source_id=intake.live_source(gateway_id=make_gateway().pk, at=now), environment="production", format="native",
        events=[now_event(), now_event(occurred_at=now - 40 * DAY)], received_at=now,
        rejected=[Rejected(index=2, error="model: not a name"), Rejected(index=7, error="id: is missing")],
    )  # fmt: skip
    making.book(at=now + 2 * SECOND)
    signed_in(client, "viewer")

    page = client.get(f"/intake/{receipt_id}/").content.decode()

    assert "model: not a name" in page
    assert '<th scope="row" class="num">7</th>' in page
    assert f"/intake/held/?receipt={receipt_id}" in page
    assert "2.00 seconds later" in page
    assert "Try again" not in page


def test_a_body_that_is_not_booked_shows_what_is_in_it(client):
    readable, broken = set_aside(use_case="kept-in-view"), set_aside()
    Receipt.objects.filter(pk=broken).update(events=b"not zstd")
    long = take(*(now_event() for _ in range(30)), received_at=timezone.now())
    signed_in(client, "viewer")

    assert "kept-in-view" in client.get(f"/intake/{readable}/").content.decode()
    assert "cannot be read any more" in client.get(f"/intake/{broken}/").content.decode()
    page = client.get(f"/intake/{long}/").content.decode()
    assert f"The first {page_of.MOST_EVENTS} of 30 events" in page


@pytest.mark.parametrize("pk", [999, 10**30])
def test_there_is_no_page_of_a_body_that_never_came(client, pk):
    signed_in(client, "admin")

    assert client.get(f"/intake/{pk}/").status_code == 404
    assert client.post(f"/intake/{pk}/retry/").status_code == 404
    assert client.post(f"/intake/{pk}/give-up/", {"reason": "x"}).status_code == 404


def test_a_body_is_tried_again_by_somebody_with_a_name(client):
    aside = set_aside()
    person = signed_in(client, "engineer")

    answer = client.post(f"/intake/{aside}/retry/", follow=True).content.decode()
    again = client.post(f"/intake/{aside}/retry/", follow=True).content.decode()

    assert "is in line again" in answer
    assert "is not set aside" in again
    assert Receipt.objects.get(pk=aside).state == "pending"
    assert AuditEntry.objects.get(table="receipt").actor == person.email


def test_all_bodies_are_tried_again_at_once_of_one_gateway_or_of_all(client):
    mine, other = set_aside(), set_aside(gateway="other")
    signed_in(client, "engineer")

    one = client.post("/intake/retry/", {"gateway": make_gateway("other").pk}, follow=True).content.decode()
    assert "1 body is in line again" in one
    assert Receipt.objects.get(pk=mine).state == "failed"
    client.post("/intake/retry/")

    assert Receipt.objects.get(pk=mine).state == Receipt.objects.get(pk=other).state == "pending"
    assert "No body is set aside any more" in client.post("/intake/retry/", follow=True).content.decode()
    assert client.post("/intake/retry/", {"gateway": "x"}).status_code == 404


def test_a_body_is_given_up_with_a_reason_and_can_still_be_tried(client):
    aside = set_aside()
    signed_in(client, "platform")

    assert client.post(f"/intake/{aside}/give-up/", {"reason": " "}).status_code == 422
    page = client.post(f"/intake/{aside}/give-up/", {"reason": "sent by a test"}, follow=True).content.decode()

    assert "sent by a test" in page
    assert "Try again" in page
    assert "Give it up" not in page
    assert client.get("/intake/").context["counts"].set_aside == 0


# --- held events ---


def test_a_conflict_stands_with_both_contents_side_by_side(client):
    making.make_priced_offering()
    hold(use_case=HOSTILE)
    signed_in(client, "viewer")

    page = client.get("/intake/held/").content.decode()

    assert '<td data-label="Counted" class="tk-break">100</td>' in page
    assert "<strong>777</strong>" in page
    assert "&lt;script&gt;alert(1)" in page
    assert HOSTILE not in page
    assert "Settle what" not in page  # a viewer may look


def test_held_events_are_settled_singly_and_what_is_shown_is_what_is_open(client):
    first, second = hold(), hold()
    person = signed_in(client, "finance")

    page = client.post("/intake/held/settle/", {"ids": [first.pk], "found": "a bug of theirs"}, follow=True)

    assert "1 event is settled" in page.content.decode()
    assert [one.row.id for one in page.context["rows"]] == [second.pk]
    (settled,) = client.get("/intake/held/?settled=yes").context["rows"]
    assert (settled.row.id, settled.row.settled_by, settled.row.settled_because) == (
        first.pk, person.email, "a bug of theirs"
    )  # fmt: skip


def test_all_that_the_filters_find_are_settled_but_not_what_came_since(client):
    conflict = hold()
    ids = hold_old(count=30)
    signed_in(client, "finance")
    shown = client.get("/intake/held/?reason=too_old").context
    (late,) = hold_old()

    answer = client.post("/intake/held/settle/", {"all": "on", "reason": "too_old", "upto": shown["upto"]}, follow=True)

    assert shown["upto"] == ids[-1]
    assert answer.status_code == 200
    still_open = HeldEvent.objects.filter(settled_at__isnull=True).values_list("id", flat=True)
    assert sorted(still_open) == sorted([conflict.pk, late])


def test_choosing_nothing_or_what_is_not_there_settles_nothing_and_says_so(client):
    event = hold()
    signed_in(client, "finance")

    for chosen in ({}, {"ids": ["x"]}, {"ids": [event.pk + 9]}, {"all": "on", "upto": "x"}, {"all": "on"}):
        answer = client.post("/intake/held/settle/", chosen)
        assert answer.status_code == 422, chosen
        assert answer.context["form"].non_field_errors(), chosen
    too_long = client.post("/intake/held/settle/", {"ids": [event.pk], "found": "x" * 201})
    assert set(too_long.context["form"].errors) == {"found"}
    event.refresh_from_db()
    assert event.settled_at is None


def test_held_events_are_narrowed_and_paged(client):
    conflict = hold(gateway="other")
    ids = hold_old(count=45)
    signed_in(client, "viewer")

    def shown(query: str) -> list[int]:
        return [one.row.id for one in client.get(f"/intake/held/{query}").context["rows"]]

    assert shown("?reason=conflict") == shown(f"?gateway={make_gateway('other').pk}") == [conflict.pk]
    assert shown(f"?receipt={conflict.receipt_id}") == [conflict.pk]
    seen, url = [], "?reason=too_old"
    while url:
        seen += shown(url)
        url = client.get(f"/intake/held/{url}").context["older_url"].removeprefix("/intake/held/")
    assert seen == ids[::-1]


@pytest.mark.parametrize(
    "query", ["?reason=lost", "?settled=maybe", "?receipt=x", "?before=x", "?before=0", "?gateway=-1"]
)
def test_a_question_about_held_events_that_means_nothing_is_a_page_that_is_not_there(client, query):
    signed_in(client, "viewer")

    assert client.get(f"/intake/held/{query}").status_code == 404


# --- who may, and how much is asked ---


@pytest.mark.parametrize("role", ["viewer", "approver"])
def test_who_may_not_decide_sees_no_button_and_changes_nothing(client, role):
    aside, event = set_aside(), hold()
    signed_in(client, role)

    for path in ("/intake/", "/intake/?show=failed", f"/intake/{aside}/", "/intake/held/"):
        page = client.get(path).content.decode()
        assert not [word for word in ("Try again", "Try all", "Give it up", "Settle what") if word in page], path
    for path, data in (
        (f"/intake/{aside}/retry/", {}),
        ("/intake/retry/", {}),
        (f"/intake/{aside}/give-up/", {"reason": "x"}),
        ("/intake/held/settle/", {"ids": [event.pk]}),
    ):
        assert client.post(path, data).status_code == 403, path
    assert Receipt.objects.get(pk=aside).state == "failed"


def test_strangers_are_sent_to_sign_in(client):
    aside = set_aside()

    for path in ("/intake/", f"/intake/{aside}/", "/intake/held/"):
        assert client.get(path)["Location"].startswith("/accounts/login/"), path
    assert client.post(f"/intake/{aside}/retry/").status_code == 302
    assert Receipt.objects.get(pk=aside).state == "failed"


def test_nothing_is_done_by_looking(client):
    aside = set_aside()
    signed_in(client, "admin")

    for path in (f"/intake/{aside}/retry/", "/intake/retry/", f"/intake/{aside}/give-up/", "/intake/held/settle/"):
        assert client.get(path).status_code == 405, path


def test_the_pages_ask_the_same_few_questions_however_much_there_is(client, django_assert_num_queries):
    hold()
    hold_old()
    aside = set_aside()
    signed_in(client, "admin")
    client.get("/intake/")

    def look() -> None:
        with django_assert_num_queries(7):
            client.get("/intake/")
        with django_assert_num_queries(7):
            client.get(f"/intake/{aside}/")
        with django_assert_num_queries(8):
            client.get("/intake/held/")

    look()
    for n in range(3):
        hold(gateway=f"edge-{n}")
        hold_old(count=4)
        set_aside(gateway=f"edge-{n}")
    look()


# --- the attention page ---


def test_what_waits_at_intake_is_told_on_the_attention_page(client):
    signed_in(client, "viewer")
    assert "/intake/" not in client.get("/attention/").content.decode().partition("<main")[2]

    hold()
    page = client.get("/attention/").content.decode()
    assert "1 event is held</a> without being counted: known ids with other content." in page
    hold_old(count=2)
    set_aside()

    page = client.get("/attention/").content.decode()

    assert '<a href="/intake/?show=failed">1 body could not be booked</a>, and' in page
    assert "3 events are held</a> without being counted: 1 in conflict, 2 too old." in page
    assert "could not be booked" not in client.get("/attention/?list=names").content.decode()
