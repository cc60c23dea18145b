"""A gateway that went silent is told of once, and its pauses are not."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import datetime, timedelta

import pytest
from django.db import connection

from alerts.models import Alert
from catalog.models import Gateway
from catalog.services import gateways as gateway_service
from core.models import ApiKey, Organisation
from tests.alerts.making import make_channel
from tests.factories import make_key
from tests.usage.making import DAY, NOON, make_event, make_gateway, take
from usage.services import imports, silence
from usage.services.silence import Looked

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
WEEK = 7 * DAY


def hear(*instants: datetime, gateway: str = "edge") -> None:
    for instant in instants:
        take(make_event(), gateway=gateway, received_at=instant)


def steadily(since: datetime, until: datetime, *, every: timedelta = HOUR) -> Iterable[datetime]:
    while since <= until:
        yield since
        since += every


def settle_on(minutes: int, gateway: str = "edge") -> None:
    gateway_service.change_settings(
        gateway_id=make_gateway(gateway).pk, given={"silent_after_minutes": minutes}, by="ann"
    )


def titles() -> list[str]:
    return list(Alert.objects.order_by("dedupe_key").values_list("title", flat=True))


def states() -> list[str]:
    return list(Alert.objects.order_by("id").values_list("state", flat=True))


def test_a_gateway_is_told_of_once_when_nothing_came_for_longer_than_an_hour():
    hear(NOON)

    assert silence.look(at=NOON + HOUR) == Looked(raised=0, resolved=0)
    assert silence.look(at=NOON + 61 * MINUTE) == Looked(raised=1, resolved=0)
    assert silence.look(at=NOON + 62 * MINUTE) == Looked(raised=0, resolved=0)
    assert silence.look(at=NOON + 5 * DAY) == Looked(raised=0, resolved=0)

    alert = Alert.objects.get()
    assert (alert.kind, alert.state, alert.subject_kind) == ("gateway_silent", "open", "gateway")
    assert alert.subject_id == make_gateway().pk
    assert alert.title == "Nothing from edge for 61 minutes"


def test_the_alert_says_what_it_sent_before_and_goes_to_the_channels():
    channel = make_channel()
    make_key("usage:write")
    Organisation.objects.update(zone="Europe/Berlin")
    hear(NOON - 2 * DAY, NOON - DAY + HOUR, NOON - HOUR, NOON)

    silence.look(at=NOON + 2 * HOUR)

    alert = Alert.objects.get()
    rows = dict(alert.facts["rows"])
    assert rows["Last heard of"] == "15 June 2026, 14:00 Europe/Berlin"
    assert rows["In the 24 hours before"] == "3 events in 3 bodies"
    assert (rows["Format"], rows["Its keys that work"], rows["A key was last used"]) == ("native", "1", "never")
    assert alert.facts["links"] == [["Open the gateway", f"/gateways/{make_gateway().pk}/"]]
    assert [delivery.channel_id for delivery in alert.deliveries.all()] == [channel.pk]


def test_what_to_check_first_hangs_on_its_keys():
    make_key("usage:write")

    def advice(heard_at: datetime) -> str:
        hear(heard_at)
        silence.look(at=heard_at + 2 * HOUR)
        return str(Alert.objects.latest("id").facts["next"])

    assert advice(NOON).startswith("Check that it runs")
    ApiKey.objects.update(last_used_at=NOON + 4 * HOUR)
    assert advice(NOON + 3 * HOUR).startswith("One of its keys was used since")
    ApiKey.objects.update(revoked_at=NOON)
    assert advice(NOON + 6 * HOUR).startswith("None of its keys may send any more")


def test_each_gateway_has_its_own_patience_and_zero_is_endless():
    for name, minutes in (("quick", 5), ("slow", 180), ("never", 0), ("usual", None)):
        hear(NOON, gateway=name)
        if minutes is not None:
            settle_on(minutes, name)
    hear(NOON + 9 * HOUR, gateway="alive")  # so that it is not all of them
    for minutes in (1, 6, 30, 61, 181):
        hear(NOON + minutes * MINUTE - MINUTE, gateway="alive")
        silence.look(at=NOON + minutes * MINUTE)

    assert titles() == [
        "Nothing from quick for 6 minutes",
        "Nothing from slow for 3 hours",
        "Nothing from usual for 61 minutes",
    ]


def test_a_gateway_that_is_heard_again_has_its_alert_resolved_and_a_new_silence_is_told_anew():
    hear(NOON)
    silence.look(at=NOON + 2 * HOUR)
    hear(NOON + 3 * HOUR)

    assert silence.look(at=NOON + 3 * HOUR) == Looked(raised=0, resolved=1)
    assert Alert.objects.get().resolved_at == NOON + 3 * HOUR
    assert silence.look(at=NOON + 5 * HOUR) == Looked(raised=1, resolved=0)
    assert states() == ["resolved", "open"]


@pytest.mark.parametrize("way", ["retired", "nobody wants to know"])
def test_a_silence_that_is_no_news_any_more_is_resolved(way):
    hear(NOON)
    silence.look(at=NOON + 2 * HOUR)

    if way == "retired":
        gateway_service.retire(gateway=make_gateway(), by="ann", at=NOON)
    else:
        settle_on(0)

    assert silence.look(at=NOON + 3 * HOUR) == Looked(raised=0, resolved=1)


def test_more_patience_takes_no_alert_back():
    hear(NOON)
    silence.look(at=NOON + 2 * HOUR)
    settle_on(600)

    assert silence.look(at=NOON + 3 * HOUR) == Looked(raised=0, resolved=0)


def test_a_silence_stays_told_however_long_it_lasts():
    hear(NOON)
    silence.look(at=NOON + 2 * HOUR)

    assert silence.look(at=NOON + 30 * DAY) == Looked(raised=0, resolved=0)
    assert states() == ["open"]


def test_who_was_silent_for_longer_than_a_week_before_anybody_looked_is_not_told_of():
    hear(NOON)

    assert silence.look(at=NOON + WEEK) == Looked(raised=0, resolved=0)


def test_imports_keep_no_gateway_alive_and_bodies_of_nothing_but_mistakes_do():
    hear(NOON)
    source = imports.open_import(gateway_id=make_gateway().pk, covers=(NOON - DAY, NOON), by="tests", at=NOON)
    take(make_event(), source_id=source.pk, received_at=NOON + HOUR)

    assert silence.look(at=NOON + 2 * HOUR).raised == 1
    take(received_at=NOON + 2 * HOUR)
    assert silence.look(at=NOON + 2 * HOUR).resolved == 1


def test_a_gateway_whose_settings_make_no_sense_is_told_of_as_usual():
    hear(NOON)
    Gateway.objects.update(settings={"silent_after_minutes": "soon"})

    assert silence.look(at=NOON + 2 * HOUR).raised == 1


# --- pauses ---

MONDAY = NOON.replace(hour=0)  # 15 June 2026 is a Monday


def office_hours(days: Iterable[int]) -> list[datetime]:
    """Return bodies every ten minutes from 7 to 19 o'clock on days from that Monday on, the last at ten to seven."""
    begin = [MONDAY + n * DAY + 7 * HOUR for n in days]
    return [instant for day in begin for instant in steadily(day, day + 12 * HOUR - MINUTE, every=10 * MINUTE)]


def first_told(since: datetime, until: datetime, *, every: timedelta = 10 * MINUTE) -> datetime | None:
    for instant in steadily(since, until, every=every):
        if silence.look(at=instant).raised:
            return instant
    return None


def test_nights_and_weekends_are_no_silence():
    hear(*office_hours([-14, -13, -12, -11, -10, -7, -6, -5, -4, -3, 0]))

    assert first_told(MONDAY - 3 * DAY + 19 * HOUR, MONDAY + 7 * HOUR - MINUTE, every=HOUR) is None
    assert first_told(MONDAY + 19 * HOUR, MONDAY + DAY + 7 * HOUR, every=HOUR) is None


def test_a_gateway_that_does_not_come_back_in_the_morning_is_told_of_when_it_should_have():
    hear(*office_hours([-14, -13, -12, -11, -10, -7, -6, -5, -4, -3]))

    told = first_told(MONDAY, MONDAY + 12 * HOUR)

    # Last week it was there at seven: half of its hour later that is compared.
    assert told == MONDAY + 7 * HOUR + 30 * MINUTE


def test_one_that_falls_silent_in_the_middle_of_the_day_is_told_of_in_an_hour():
    hear(*office_hours([-14, -13, -12, -11, -10, -7, -6, -5, -4, -3]))
    hear(MONDAY + 7 * HOUR, MONDAY + 8 * HOUR)
    Alert.objects.all().delete()

    told = first_told(MONDAY + 8 * HOUR, MONDAY + 12 * HOUR, every=MINUTE)

    assert told is not None
    assert timedelta(0) < told - (MONDAY + 9 * HOUR) <= 10 * MINUTE


def test_a_job_of_every_night_is_missed_in_the_night_that_it_does_not_run():
    hear(*(MONDAY - n * DAY + 2 * HOUR + n * MINUTE for n in range(15)))

    told = first_told(MONDAY + 3 * HOUR, MONDAY + 2 * DAY)

    assert told == MONDAY + DAY + 2 * HOUR + 40 * MINUTE


def test_the_same_time_is_that_of_the_organisation_s_clock():
    Organisation.objects.update(zone="America/New_York")
    sunday = datetime.fromisoformat("2026-11-01T00:00:00-04:00")  # clocks go back at two
    nightly = [sunday - n * DAY + 9 * HOUR for n in range(1, 15)]
    hear(*nightly, sunday + 10 * HOUR)  # nine o'clock each day by the clock, an hour later by the sun

    assert first_told(sunday, sunday + 9 * HOUR + 50 * MINUTE) is None


def test_in_its_first_week_a_gateway_is_compared_with_the_day_before():
    hear(*office_hours([0, 1]))

    assert first_told(MONDAY + DAY + 19 * HOUR, MONDAY + 3 * DAY) == MONDAY + 2 * DAY + 7 * HOUR + 30 * MINUTE


# --- all at once ---


def test_where_no_gateway_is_heard_of_one_alert_tells_of_all():
    for n in range(12):
        hear(NOON - n * MINUTE, gateway=f"edge-{n:02}")

    assert silence.look(at=NOON + 50 * MINUTE).raised == 1
    assert silence.look(at=NOON + 90 * MINUTE).raised == 0

    alert = Alert.objects.get()
    assert (alert.title, alert.subject_id) == ("Nothing from any gateway for 50 minutes", None)
    assert dict(alert.facts["rows"])["Gateways"].endswith("edge-09 and 2 more")


def test_when_the_first_comes_back_the_others_have_their_time_to_do_so():
    for name in ("a", "b", "c"):
        hear(NOON, gateway=name)
    silence.look(at=NOON + 2 * HOUR)
    hear(NOON + 3 * HOUR, gateway="a")

    assert silence.look(at=NOON + 3 * HOUR) == Looked(raised=0, resolved=1)
    hear(NOON + 3 * HOUR + 5 * MINUTE, gateway="b")
    hear(NOON + 4 * HOUR, gateway="a")
    hear(NOON + 4 * HOUR, gateway="b")
    assert silence.look(at=NOON + 4 * HOUR).raised == 0
    assert silence.look(at=NOON + 4 * HOUR + MINUTE).raised == 1
    assert Alert.objects.get(state="open").subject_id == make_gateway("c").pk


def test_one_that_was_told_of_alone_does_not_make_a_pause_of_the_others_news():
    hear(NOON - 6 * HOUR, gateway="gone")
    hear(*steadily(NOON - 6 * HOUR, NOON, every=MINUTE), gateway="edge")
    silence.look(at=NOON)

    assert silence.look(at=NOON + 30 * MINUTE).raised == 0
    assert titles() == ["Nothing from gone for 6 hours"]


# --- twice at once, and how much is asked ---


@pytest.mark.django_db(transaction=True)
def test_two_schedulers_at_once_make_one_alert_for_each():
    for n in range(4):
        hear(NOON, gateway=f"edge-{n}")
    hear(NOON + 2 * HOUR, gateway="alive")
    ready = threading.Barrier(4)
    looked = []

    def look():
        ready.wait()
        looked.append(silence.look(at=NOON + 2 * HOUR))
        connection.close()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(one.raised for one in looked) == 4
    assert Alert.objects.count() == 4


def test_a_look_where_all_is_well_asks_little(django_assert_num_queries):
    for n in range(5):
        hear(NOON, gateway=f"edge-{n}")

    with django_assert_num_queries(5):  # beginning and end of the transaction among them
        silence.look(at=NOON + MINUTE)
