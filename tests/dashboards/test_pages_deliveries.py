"""All deliveries, and trying a failed one again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from alerts.models import Delivery
from dashboards import alerts_words as words
from tests.alerts.making import make_alert, make_channel, the_delivery
from tests.dashboards.seeing import signed_in

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)


def test_each_says_its_state_the_reason_the_answer_and_how_long_it_took(client):
    make_channel(name="on-call")
    good, bad, trying = (the_delivery(make_alert()) for _ in range(3))
    for one, given in (
        (good, {"state": "delivered", "delivered_at": NOON + timedelta(seconds=1.2), "answer": "200 ok"}),
        (bad, {"state": "failed", "reason": "given up: 404 no_service", "answer": "404 no_service"}),
        (trying, {"state": "waiting", "reason": "no answer in time", "possibly_repeated": True}),
    ):
        type(one).objects.filter(pk=one.pk).update(attempts=2, **given)
    signed_in(client, "viewer")

    page = client.get("/alerts/deliveries/")

    assert [(line.state, line.said, line.answer, line.took) for line in page.context["lines"]] == [
        ("trying again", "no answer in time", "", ""),
        ("failed", "given up: 404 no_service", "", ""),
        ("delivered", "", "200 ok", "1.2 s"),
    ]
    said = page.content.decode()
    assert "200 ok" in said
    assert "possibly repeated" in said
    assert "Try again" not in said  # a viewer cannot


def test_they_are_found_by_state_and_channel_and_by_having_none(client):
    unwanted = the_delivery(make_alert())
    channel, other = make_channel(), make_channel()
    alert = make_alert()
    alert.deliveries.filter(channel=other).update(state="failed", reason="404", attempts=1)
    signed_in(client, "viewer")

    def ids(query: str) -> list[int]:
        return [line.told.delivery.id for line in client.get(f"/alerts/deliveries/?{query}").context["lines"]]

    assert ids(f"channel={channel.pk}") == [alert.deliveries.get(channel=channel).pk]
    assert ids("channel=nobody") == [unwanted.pk]
    assert ids("state=failed") == [alert.deliveries.get(channel=other).pk, unwanted.pk]
    assert ids(f"state=waiting&channel={other.pk}") == []


@pytest.mark.parametrize("query", ["state=odd", "channel=999", "channel=x", "before=x", "before=-1"])
def test_an_address_that_means_nothing_is_not_found(client, query):
    signed_in(client, "viewer")

    assert client.get(f"/alerts/deliveries/?{query}").status_code == 404


def test_pages_follow_each_other_at_the_same_few_questions(client, django_assert_num_queries):
    make_channel()
    for _ in range(52):
        make_alert()
    signed_in(client, "engineer")

    with django_assert_num_queries(6):
        first = client.get("/alerts/deliveries/")
    second = client.get(first.context["older_url"])

    ids = [line.told.delivery.id for page in (first, second) for line in page.context["lines"]]
    assert (len(ids), ids) == (52, sorted(ids, reverse=True))
    assert second.context["older_url"] == ""


def test_a_failed_one_is_tried_again_and_one_comes_back_to_where_one_was(client):
    make_channel()
    delivery = the_delivery(make_alert())
    type(delivery).objects.filter(pk=delivery.pk).update(state="failed", reason="404 no_service", attempts=1)
    signed_in(client, "engineer")

    answer = client.post(f"/alerts/deliveries/{delivery.pk}/again/", {"back": "/alerts/deliveries/?state=failed"})
    twice = client.post(f"/alerts/deliveries/{delivery.pk}/again/", {"back": "https://evil.example/"})

    delivery.refresh_from_db()
    assert (delivery.state, answer.url) == ("waiting", "/alerts/deliveries/?state=failed")
    assert twice.url == "/alerts/deliveries/"
    assert delivery.asked_again_at is not None
    assert client.post("/alerts/deliveries/999/again/").status_code == 404


def test_all_that_failed_of_a_channel_is_asked_for_by_one_button_under_the_filter(client):
    channel = make_channel(name="on-call")
    for _ in range(2):
        make_alert()
    Delivery.objects.update(state="failed", reason="410 gone", attempts=1)
    signed_in(client, "engineer")
    here = f"/alerts/deliveries/?state=failed&channel={channel.pk}"
    page = client.get(here)
    form = {"back": here, "seen_at": page.context["now"].isoformat()}
    address = f"/alerts/deliveries/of-channel/{channel.pk}/again/"

    first = client.post(address, form, follow=True).content.decode()
    twice = client.post(address, form, follow=True).content.decode()

    assert [(one.channel, one.count) for one in page.context["failed"]] == [("on-call", 2)]
    assert f'action="{address}"' in page.content.decode()
    assert f'value="{form["seen_at"]}"' in page.content.decode()
    assert "2 messages are being sent again" in first
    assert "All that failed there was asked for already." in twice
    assert set(Delivery.objects.values_list("state", flat=True)) == {"waiting"}
    for unclear in ("2026-06-15", "0001-01-01T00:00:00+23:59"):
        assert client.post(address, {"seen_at": unclear}).status_code == 404
    odd = {"seen_at": "2026-06-15T00:00:00+23:59"}  # Python knows such an offset, PostgreSQL does not
    assert "asked for already" in client.post(address, odd, follow=True).content.decode()


@pytest.mark.parametrize(
    ("query", "shown"), [("", 0), ("state=failed", 2), ("state=waiting", 0), ("state=failed&channel=nobody", 0)]
)
def test_the_button_for_all_of_a_channel_stands_where_all_that_failed_is_shown(client, query, shown):
    make_channel(), make_channel(), make_channel(enabled=False)
    make_alert()
    Delivery.objects.update(state="failed", reason="410 gone", attempts=1)
    signed_in(client, "engineer")

    assert len(client.get(f"/alerts/deliveries/?{query}").context["failed"]) == shown


def test_a_viewer_and_a_stranger_send_nothing_again(client):
    make_channel()
    delivery = the_delivery(make_alert())
    type(delivery).objects.filter(pk=delivery.pk).update(state="failed", reason="404 no_service", attempts=1)

    assert client.post(f"/alerts/deliveries/{delivery.pk}/again/").status_code == 302
    signed_in(client, "viewer")
    assert client.post(f"/alerts/deliveries/{delivery.pk}/again/").status_code == 403
    assert client.post(f"/alerts/deliveries/of-channel/{delivery.channel_id}/again/").status_code == 403
    assert client.get("/alerts/deliveries/?state=failed").context["failed"] == []

    delivery.refresh_from_db()
    assert delivery.state == "failed"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (60, "1 min"), (250, "4 min 10 s"), (11520, "3 h 12 min"), (-1, "0.0 s")],
)
def test_how_long_it_took_is_said_in_the_unit_that_one_would_use(seconds, said):
    assert words.took(timedelta(seconds=seconds)) == said
