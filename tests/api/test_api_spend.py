"""GET spend, and the queries that take longer."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.utils import timezone

from core import periods
from core.models import Job, JobState, Organisation
from tests.api.ledgers import make_entries, make_entry, make_names, roll_up
from usage.models import Receipt, Source
from usage.selectors import spend_query
from usage.services import jobs

FIRST, LAST = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def reader(api):
    return api("read")


def test_it_answers_as_the_contract_says(reader):
    names = make_names()
    make_entry(
        names, id=1, at=FIRST, uncached_input_tokens=1000, cache_read_tokens=200, output_tokens=85, cost_usd="12.340"
    )
    make_entry(
        names, id=2, at=FIRST, cost_usd=None, list_cost_usd=None, unpriced=1, output_tokens=15,
        use_case_id=names.use_cases["code-review"],
    )  # fmt: skip
    roll_up()

    answer = reader.get("spend", {"from": "2026-10-01", "to": "2026-11-01", "group_by": "use_case"})

    found = answer.json()
    assert answer.status_code == 200
    assert [(row["use_case"], row["requests"], row["cost_usd"]) for row in found["rows"]] == [
        ("support-routing", 1, "12.34"),
        ("code-review", 1, "0"),
    ]
    assert (found["rows"][0]["input_tokens"], found["rows"][0]["output_tokens"]) == (1200, 85)
    assert found["rows"][0]["cache_read_input_tokens"] == 200
    assert (found["total"]["requests"], found["total"]["cost_usd"]) == (2, "12.34")
    assert (found["priced_share"], found["total"]["unpriced_tokens"]) == ("0.988461", 15)
    assert found["complete_through"] is None  # no gateway was heard of
    assert (found["from"], found["to"], found["zone"]) == ("2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z", "UTC")


def test_nothing_spent_is_zero_and_its_priced_share_is_not_known(reader):
    found = reader.get("spend").json()

    assert found["rows"] == [found["total"]]
    assert (found["total"]["cost_usd"], found["priced_share"]) == ("0", None)
    month = periods.containing(timezone.now(), "month", "UTC")
    assert found["from"] == month.starts_at.isoformat().replace("+00:00", "Z")
    assert found["to"] == month.ends_at.isoformat().replace("+00:00", "Z")


def test_days_are_those_of_the_organisation_or_of_the_zone_that_is_asked_for(reader):
    Organisation.objects.update(zone="Asia/Kathmandu")

    here = reader.get("spend", {"from": "2026-10-01", "to": "2026-10-02"}).json()
    there = reader.get("spend", {"from": "2026-10-01", "to": "2026-10-02", "zone": "America/St_Johns"}).json()
    by_instant = reader.get("spend", {"from": "2026-10-01T00:00:00+02:00", "to": "2026-10-01T06:00:00Z"}).json()

    assert (here["from"], here["to"]) == ("2026-09-30T18:15:00Z", "2026-10-01T18:15:00Z")
    assert (there["from"], there["to"]) == ("2026-10-01T02:30:00Z", "2026-10-02T02:30:00Z")
    assert (by_instant["from"], by_instant["to"]) == ("2026-09-30T22:00:00Z", "2026-10-01T06:00:00Z")


def test_filters_are_by_the_dimensions_names_and_may_come_several_times(reader):
    names = make_names()
    make_entries(names, starts_at=FIRST, ends_at=LAST, count=50)
    roll_up()
    month = {"from": "2026-10-01", "to": "2026-11-01"}
    by_use_case = reader.get("spend", month | {"group_by": "use_case"}).json()
    requests = {row["use_case"]: row["requests"] for row in by_use_case["rows"]}

    found = reader.get("spend", month | {"use_case": ["support-routing", "code-review"], "group_by": "day,tier"}).json()

    assert found["total"]["requests"] == requests["support-routing"] + requests["code-review"]
    assert {"day", "tier"} <= found["rows"][0].keys()
    assert found["rows"][0]["day"] == min(row["day"] for row in found["rows"])


def test_the_figures_say_how_far_they_go(reader):
    names = make_names()
    now = timezone.now()
    source = Source.objects.create(gateway_id=names.gateways["edge"], kind="live", created_at=now)
    Receipt.objects.create(
        source=source,
        environment="production",
        format="native",
        received_at=now,
        events=b"x",
        event_count=1,
        try_after=now,
    )

    found = reader.get("spend").json()

    assert found["complete_through"] == now.isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("query", "status", "parameter"),
    [
        ({"use_cases": "x"}, 400, "use_cases"),
        ({"groupby": "day"}, 400, "groupby"),
        ({"from": "yesterday"}, 400, "from"),
        ({"from": "2026-10-01T12:00:00"}, 400, "from"),
        ({"to": "2026-02-30"}, 400, "to"),
        ({"from": "1990-01-01", "to": "2030-01-01"}, 422, "to"),
        ({"from": "0001-01-01"}, 400, "from"),
        ({"from": "9999-12-31T23:59:59-12:00"}, 400, "from"),
        ({"rule": "a\x00b"}, 400, "rule"),
        ({"tag:\x00": "b"}, 400, "tag:\x00"),
        ({"rules_version": "9" * 30}, 422, "rules_version"),
        ({"zone": "CEST"}, 400, "zone"),
        ({"zone": "localtime"}, 400, "zone"),  # which Python knows on some machines, and PostgreSQL nowhere
        ({"group_by": "colour"}, 422, "group_by"),
        ({"from": "2026-10-02", "to": "2026-10-01"}, 422, "to"),
        ({"use_case": "no-such"}, 422, "use_case"),
        ({"from": "2026-10-01", "to": "2026-11-15", "group_by": "tag:colour"}, 422, "to"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_parameter(reader, query, status, parameter):
    answer = reader.get("spend", query)

    assert answer.status_code == status
    assert answer.json()["errors"][0]["parameter"] == parameter


def test_a_tag_that_is_not_declared_is_answered_in_the_background(reader):
    names = make_names()
    make_entries(names, starts_at=FIRST, ends_at=LAST, count=40)
    roll_up()
    query = {"from": "2026-10-01", "to": "2026-11-01", "group_by": "tag:cost_centre"}

    asked = reader.get("spend", query)
    waiting = reader.get(asked["Location"].partition("/api/v1/")[2])
    jobs.run_next(clock=timezone.now)
    answered = reader.get(asked["Location"].partition("/api/v1/")[2])

    job = Job.objects.get()
    assert (job.kind, job.created_by, job.state) == (spend_query.KIND, "key:pipeline", JobState.DONE)
    assert (asked.status_code, waiting.status_code, answered.status_code) == (202, 202, 200)
    assert asked["Retry-After"] == waiting["Retry-After"] == "1"
    found = answered.json()["answer"]
    assert {row["tag:cost_centre"] for row in found["rows"]} == {"4711", "0815", None}
    assert found["total"]["requests"] == 40


def test_the_same_question_asked_again_is_the_same_query_while_it_waits_and_just_after(reader):
    make_names()
    query = {"from": "2026-10-01", "to": "2026-10-02", "group_by": "tag:colour"}

    first = reader.get("spend", query)["Location"]
    again = reader.get("spend", query)["Location"]
    jobs.run_next(clock=timezone.now)
    just_after = reader.get("spend", query)
    another = reader.get("spend", query | {"to": "2026-10-03"})["Location"]

    assert first == again == just_after["Location"] != another
    assert just_after.json()["answer"]["rows"] == []
    assert Job.objects.count() == 2


def test_jobs_of_other_kinds_are_no_queries(reader):
    now = timezone.now()
    job = Job.objects.create(kind="price_arrived", run_after=now, created_at=now)

    assert reader.get(f"spend/queries/{job.pk}").status_code == 404


def test_gateways_say_how_far_their_usage_has_come(reader):
    names = make_names()
    now = timezone.now()
    source = Source.objects.create(gateway_id=names.gateways["batch"], kind="live", created_at=now)
    Receipt.objects.create(
        source=source,
        environment="production",
        format="native",
        received_at=now,
        events=b"x",
        event_count=7,
        try_after=now,
    )

    found = {row["name"]: row for row in reader.get("gateways").json()["results"]}

    assert found["batch"]["waiting_events"] == 7
    assert found["edge"]["last_received_at"] is None
