"""The sums behind `GET spend`: whatever they are asked by, they add up to the ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, localcontext
from itertools import pairwise

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from catalog.services import teams
from core import periods
from core.errors import Invalid
from core.models import Organisation
from tests.api.ledgers import ledger_total, make_entries, make_entry, make_names, roll_up
from usage.models import Month
from usage.selectors import spend, spend_query
from usage.selectors.spend import SpendAsk
from usage.services import past

pytestmark = pytest.mark.django_db

# Around the ends of summer time in Europe, Lord Howe's beginning of it (by half an hour) and Newfoundland's end.
FIRST, LAST = datetime(2026, 9, 28, 3, 15, tzinfo=UTC), datetime(2026, 11, 4, 21, 45, tzinfo=UTC)
ZONES = ("UTC", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns", "Europe/Berlin", "Pacific/Chatham")


def organisation_in(zone: str, *, tags: tuple[str, ...] = ()) -> None:
    Organisation.objects.filter(pk=1).update(zone=zone, declared_tags=list(tags))


def asked(**given: object) -> SpendAsk:
    return SpendAsk(**({"starts_at": FIRST, "ends_at": LAST, "zone": "UTC"} | given))


def figures(sums: spend.Sums) -> tuple[int, Decimal, int]:
    return sums.requests, sums.cost_usd, sums.tokens


def added(rows: list[spend.SpendRow]) -> tuple[int, Decimal, int]:
    with localcontext() as context:
        context.prec = 60
        return (
            sum(row.sums.requests for row in rows),
            sum((row.sums.cost_usd for row in rows), Decimal(0)),
            sum(row.sums.tokens for row in rows),
        )


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("viewer", ["Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns"])
def test_use_cases_days_hours_and_months_all_add_up_to_the_ledger_in_any_zone(zone, viewer):
    organisation_in(zone)
    names = make_names()
    make_entries(names, starts_at=FIRST, ends_at=LAST, count=100)
    roll_up(zone=zone)

    by_use_case = spend.spend(ask=asked(zone=viewer, group_by=("use_case",)))
    others = [
        spend.spend(ask=asked(zone=zone_of_days, group_by=group_by))
        for zone_of_days in (viewer, zone)
        for group_by in (("day",), ("month",), ("hour",), ("month", "model", "tier"), ("day", "use_case", "provider"))
    ]

    total = ledger_total(starts_at=FIRST, ends_at=LAST)
    assert figures(by_use_case.total) == total
    assert added(by_use_case.rows) == total
    for answer in others:
        assert figures(answer.total) == added(answer.rows) == total


@pytest.mark.parametrize(
    ("zone", "viewer", "tables"),
    [
        ("Europe/Berlin", "UTC", {"rollup_day", "rollup_past", "rollup_15min"}),
        ("America/Los_Angeles", "UTC", {"rollup_day", "rollup_past", "rollup_15min"}),
        ("UTC", "Australia/Lord_Howe", {"rollup_15min"}),  # so far apart that quarter hours are as few
        ("Australia/Lord_Howe", "Asia/Kathmandu", {"rollup_day", "rollup_past", "rollup_15min"}),
        ("Asia/Kathmandu", "Europe/Berlin", {"rollup_day", "rollup_past", "rollup_15min"}),
    ],
)
def test_days_weeks_and_months_of_another_zone_are_those_of_the_ledger(zone, viewer, tables):
    organisation_in(zone)
    names = make_names()
    make_entries(names, starts_at=FIRST, ends_at=LAST, count=300)
    roll_up(zone=zone)
    past.gather(at=LAST + timedelta(days=3))
    whole = {"starts_at": periods.day_start(date(2026, 10, 3), viewer), "zone": viewer}
    for ask in (
        asked(**whole, ends_at=periods.day_start(date(2026, 11, 2), viewer)),
        asked(zone=viewer, starts_at=FIRST, ends_at=FIRST + timedelta(days=29, hours=5)),
        asked(**whole, ends_at=periods.day_start(date(2026, 10, 7), viewer)),
    ):
        for group_by in (("day", "offering"), ("week", "status"), ("month",), ("day", "month"), ("day", "rule")):
            asked_so = replace(ask, group_by=group_by, measures=spend.MEASURES)
            with CaptureQueriesContext(connection) as captured:
                found = spend.spend(ask=asked_so)
            assert found.rows, group_by
            assert found == spend.ledger_spend(ask=asked_so), group_by
            if group_by == ("day", "offering"):
                last = captured[-1]["sql"]
                assert {name for name in ("rollup_day", "rollup_past", "rollup_15min") if name + " " in last} == tables


@pytest.mark.parametrize("zone", ZONES)
def test_days_asked_one_by_one_are_the_days_of_the_range_and_abut(zone):
    organisation_in(zone)
    names = make_names()
    make_entries(names, starts_at=FIRST, ends_at=LAST, count=120)
    roll_up(zone=zone)
    first, last = date(2026, 10, 1), date(2026, 10, 29)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    edges = [periods.day_start(day, zone) for day in days]

    range_by_day = spend.spend(ask=asked(zone=zone, group_by=("day",), starts_at=edges[0], ends_at=edges[-1]))
    one_by_one = {
        day.isoformat(): figures(spend.spend(ask=asked(zone=zone, starts_at=lower, ends_at=upper)).total)
        for day, (lower, upper) in zip(days, pairwise(edges), strict=False)
    }

    found = {row.keys["day"]: figures(row.sums) for row in range_by_day.rows}
    assert found == {day: sums for day, sums in one_by_one.items() if sums[0]}


def test_the_ledger_and_the_rollups_give_the_same_rows_to_the_last_digit():
    organisation_in("Asia/Kathmandu", tags=("cost_centre",))
    names = make_names()
    make_entries(names, starts_at=FIRST, ends_at=LAST, count=150)
    roll_up(zone="Asia/Kathmandu", tags=("cost_centre",))
    starts_at = periods.day_start(date(2026, 10, 2), "Asia/Kathmandu")
    ask = asked(
        zone="Asia/Kathmandu",
        starts_at=starts_at,
        ends_at=periods.day_start(date(2026, 11, 2), "Asia/Kathmandu"),
    )
    every = tuple(name for name in spend.DIMENSIONS if name not in spend.TIMES)

    for group_by in ((), ("day", "use_case"), ("hour",), *[(name,) for name in every], every[:6], every[6:12]):
        asked_so = replace(ask, group_by=group_by)
        assert spend.spend(ask=asked_so) == spend.ledger_spend(ask=asked_so), group_by

    by_tag = replace(ask, group_by=("tag:cost_centre", "team"))
    rolled_up, from_ledger = spend.spend(ask=by_tag), spend.ledger_spend(ask=by_tag)
    assert {row.keys["tag:cost_centre"] for row in rolled_up.rows} == {"4711", "0815", None}
    assert [(row.keys, figures(row.sums)) for row in rolled_up.rows] == [
        (row.keys, figures(row.sums)) for row in from_ledger.rows
    ]
    assert figures(rolled_up.total) == figures(from_ledger.total)
    assert rolled_up.total.list_cost_usd is None  # tag rollups do not keep it, and do not say 0


def test_filters_pass_what_has_one_of_the_names_and_empty_passes_none():
    names = make_names()
    make_entries(names, starts_at=FIRST, ends_at=LAST, count=100)
    roll_up()
    whole = spend.spend(ask=asked(group_by=("use_case", "provider", "rule", "tier"))).rows

    for filters, passes in (
        ({"use_case": ("SUPPORT-Routing ", "übersetzung")}, lambda k: k["use_case"] != "code-review"),
        ({"provider": ("OpenAI",)}, lambda k: k["provider"] == "openai"),
        ({"rule": ("",)}, lambda k: k["rule"] is None),
        ({"tier": ("frontier", "unclassified"), "rule": ("code-high",)},
         lambda k: k["tier"] in ("frontier", "unclassified") and k["rule"] == "code-high"),
        ({"model": ("mystery",)}, lambda k: k["tier"] == "unclassified"),
    ):  # fmt: skip
        found = spend.spend(ask=asked(filters=filters))
        assert figures(found.total) == added([row for row in whole if passes(row.keys)]), filters


def test_a_renamed_team_is_still_meant_by_its_old_name():
    names = make_names()
    make_entry(names, at=FIRST)
    roll_up()
    teams.change(team=teams.get("support"), name="care", by="tests", at=FIRST)

    by_old_name = spend.spend(ask=asked(group_by=("team",), filters={"team": ("Support",)}))

    assert [row.keys for row in by_old_name.rows] == [{"team": "care"}]


def test_a_name_that_does_not_exist_is_refused_instead_of_answered_with_zero():
    make_names()

    with pytest.raises(Invalid) as refused:
        spend.spend(ask=asked(filters={"use_case": ("support-ruting",), "tier": ("top",)}))

    assert [field for field, _ in refused.value.problems] == ["use_case", "tier"]


def test_unknown_is_not_free_the_share_that_is_priced_is_rounded_down():
    names = make_names()
    make_entry(names, id=1, at=FIRST, uncached_input_tokens=2_999_999)
    make_entry(
        names, id=2, at=FIRST, uncached_input_tokens=1, cost_usd=None, list_cost_usd=None, unpriced=1, counted=True
    )
    make_entry(names, id=3, at=FIRST, status=5, counted=False, cost_usd=None, list_cost_usd=None, unpriced=3)
    roll_up()

    total = spend.spend(ask=asked()).total
    nothing = spend.spend(ask=asked(starts_at=LAST - timedelta(hours=1))).total

    assert (total.priced_share, total.unpriced_tokens) == (Decimal("0.999999"), 1)
    assert (total.uncounted_requests, total.unpriced_requests) == (1, 2)
    assert nothing.priced_share is None


def test_days_that_were_closed_in_another_zone_are_read_by_quarter_hours():
    organisation_in("Asia/Tokyo")
    names = make_names()
    make_entries(names, starts_at=FIRST, ends_at=LAST, count=80)
    roll_up(zone="UTC")  # as they were when October was closed, in UTC
    month = periods.month(date(2026, 10, 1), "UTC")
    Month.objects.create(
        label=month.first_day,
        starts_at=month.starts_at,
        ends_at=month.ends_at,
        zone="UTC",
        closed_at=LAST,
        closed_by="x",
    )
    tokyo = {"zone": "Asia/Tokyo", "starts_at": periods.day_start(date(2026, 10, 2), "Asia/Tokyo")}
    ask = asked(**tokyo, ends_at=periods.day_start(date(2026, 11, 2), "Asia/Tokyo"))

    by_day = spend.spend(ask=replace(ask, group_by=("day",)))

    assert by_day.rows == spend.ledger_spend(ask=replace(ask, group_by=("day",))).rows


@pytest.mark.parametrize(
    "changes",
    [
        {"starts_at": FIRST + timedelta(minutes=1)},
        {"group_by": ("tag:env",)},
        {"filters": {"tag:env": ("prod",)}},
        {"group_by": ("tag:cost_centre", "task")},
        {"group_by": ("tag:cost_centre",)},  # not whole days
        {"filters": {"tag:cost_centre": ("",)}},
    ],
)
def test_what_no_rollup_can_tell_needs_the_ledger(changes):
    organisation_in("UTC", tags=("cost_centre",))
    names = make_names()
    make_entries(names, starts_at=FIRST, ends_at=LAST, count=60)
    ask = replace(asked(ends_at=FIRST + timedelta(days=31)), **changes)

    with pytest.raises(spend.NeedsLedger):
        spend.spend(ask=ask)
    answer = spend_query.run(spend_query.arguments(ask=ask, complete_through=LAST))

    assert answer["total"]["requests"] == sum(row["requests"] for row in answer["rows"]) > 0
    assert answer["complete_through"] == "2026-11-04T21:45:00Z"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"ends_at": FIRST}, "to"),
        ({"ends_at": FIRST + timedelta(days=4000)}, "to"),
        ({"group_by": ("use_cases",)}, "group_by"),
        ({"group_by": ("day", "day")}, "group_by"),
        ({"group_by": ("hour",), "ends_at": FIRST + timedelta(days=100)}, "group_by"),
        ({"filters": {"day": ("2026-10-01",)}}, "day"),
        ({"filters": {"rules_version": ("new",)}}, "rules_version"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(changes, field):
    with pytest.raises(Invalid) as refused:
        spend.spend(ask=replace(asked(), **changes))

    assert refused.value.problems[0][0] == field


def test_the_ledger_answers_for_a_month_at_most():
    with pytest.raises(Invalid, match="31 days"):
        spend.ledger_spend(ask=asked(ends_at=FIRST + timedelta(days=32)))


def test_it_takes_three_queries_whatever_is_asked():
    names = make_names()
    make_entries(names, starts_at=FIRST, ends_at=LAST, count=20)
    roll_up()

    with CaptureQueriesContext(connection) as queries:
        spend.spend(ask=asked(group_by=("day", "use_case", "model", "provider", "team", "gateway")))

    assert len(queries) == 3


def test_several_questions_at_once_are_answered_as_one_by_one_and_share_what_is_looked_up():
    names = make_names()
    make_entries(names, starts_at=FIRST, ends_at=LAST, count=60)
    roll_up()
    some = asked(filters={"use_case": ("support-routing",), "model": ("gpt-5.5", "mystery")})
    asks = [asked(group_by=("team",)), some, replace(some, group_by=("day",)), replace(some, group_by=("model",))]

    with CaptureQueriesContext(connection) as queries:
        together = spend.spends(asks=asks)

    assert together == [spend.spend(ask=ask) for ask in asks]
    assert together[1].total.requests > 0
    assert len(queries) == 2 + len(asks) + 2
