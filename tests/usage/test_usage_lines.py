"""Lines of the ledger by keyset: what passes comes exactly once, in one order, whatever is booked meanwhile."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.errors import Invalid
from tests.api.ledgers import Names, make_entry, make_names, roll_up
from tests.usage import making
from usage.models import LedgerEntry, UnsummedEntry
from usage.selectors import lines
from usage.selectors.lines import LinesAsk

pytestmark = pytest.mark.django_db

FIRST, LAST = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 20, tzinfo=UTC)
LINES = 260


def ask(**given: Any) -> LinesAsk:
    return LinesAsk(**{"starts_at": FIRST, "ends_at": LAST, "zone": "UTC", **given})


def paged(
    asked: LinesAsk, *, most: int = 50, newer: bool = False, scan: int = lines.SCAN, enough: int = LINES * 2
) -> list[tuple[Any, ...]]:
    """Return the places of all lines, page by page: from the newest to the oldest, or from the other end."""
    found: list[Any] = []
    at = lines.Place(booked_at=FIRST - timedelta(days=1)) if newer else None
    for _ in range(1000):
        page = lines.page(ask=asked, most=most, at=at, newer=newer, scan=scan)
        assert len(page.rows) <= most
        places = [(row.place.booked_at, row.place.use_case_id, row.place.id) for row in page.rows]
        found = [*places, *found] if newer else [*found, *places]
        at = page.newer if newer else page.older
        if at is None or len(found) > enough:
            return found
    raise AssertionError("the list has no end")


def in_ledger(**only: Any) -> list[tuple[Any, ...]]:
    rows = LedgerEntry.objects.filter(booked_at__gte=FIRST, booked_at__lt=LAST, **only)
    return sorted(rows.values_list("booked_at", "use_case_id", "id"), reverse=True)


def make_ledger(names: Names) -> None:
    """Put busy and quiet days into the ledger: usage, some of it taken back, adjusted, late for a closed month."""
    chance = random.Random(11)
    number = 0
    while number < LINES:
        busy = chance.random() < 0.6
        at = LAST - timedelta(hours=1, seconds=chance.randrange(1, 90)) if busy else FIRST + timedelta(
            seconds=chance.randrange(int((LAST - FIRST).total_seconds()))
        )  # fmt: skip
        number += 1
        offering = chance.choice(list(names.offerings))
        priced = offering != "mystery@openai"
        cost = f"{chance.randrange(10**15, 10**17)}e-18" if priced else None
        given: dict[str, Any] = {
            "at": at,
            "use_case_id": chance.choice(list(names.use_cases.values())),
            "offering_id": names.offerings[offering],
            "gateway_id": chance.choice(list(names.gateways.values())),
            "tier": 1 if priced else 0,
            "status": chance.choice([1, 1, 1, 2]),
            "rule": chance.choice(["", "", "", "code-high"]),
            "latency_ms": chance.choice([None, 40, 900, 70_000]),
            "fallback_index": chance.choice([0, 0, 0, 0, 2]),
            "tags": chance.choice(['{"cost_centre": "4711"}', None]),
            "cost_usd": cost,
            "list_cost_usd": cost,
            "unpriced": 0 if priced else 1,
        }
        make_entry(names, id=number, event_id=f"event-{number}", **given)
        if chance.random() < 0.2:
            late = chance.random() < 0.5
            correction: dict[str, Any] = {
                **given, "id": number + 1, "kind": 2, "requests": -1, "occurred_at": at,
                "corrects_use_case_id": given["use_case_id"], "corrects_booked_at": at, "corrects_id": number,
                "cost_usd": f"-{cost}" if priced else None, "list_cost_usd": f"-{cost}" if priced else None,
            }  # fmt: skip
            if late:
                correction |= {"at": min(at + timedelta(days=3), LAST - timedelta(seconds=1)), "correction_of": FIRST}
            if priced and chance.random() < 0.5:
                correction |= {
                    "kind": 3,
                    "requests": 0,
                    "cost_usd": "0.01",
                    "list_cost_usd": "0.01",
                    "latency_ms": None,
                }
            number += 1
            make_entry(names, **correction)
    roll_up()
    with connection.cursor() as cursor:  # its roll-up knows no latencies
        for table, time in (("rollup_15min", "date_bin('15 minutes', l.booked_at, '2000-01-01Z')"),
                            ("rollup_day", "(l.booked_at AT TIME ZONE 'UTC')::date")):  # fmt: skip
            cursor.execute(
                f"UPDATE {table} r SET latency_histogram[16] = s.slow FROM (SELECT l.use_case_id, {time} AS at, "
                "l.offering_id, l.gateway_id, l.status, l.rule, coalesce((extract(year FROM l.correction_of) * 100 + "
                "extract(month FROM l.correction_of))::int, 0) AS late, sum(l.requests) AS slow FROM ledger l "
                "WHERE l.latency_ms > 60000 GROUP BY 1, 2, 3, 4, 5, 6, 7) s WHERE r.use_case_id = s.use_case_id "
                f"AND r.{'bucket' if table == 'rollup_15min' else 'day'} = s.at AND r.offering_id = s.offering_id "
                "AND r.gateway_id = s.gateway_id AND r.status = s.status AND r.rule = s.rule "
                "AND r.correction_of = s.late"
            )


STANDING = "kind = 1 AND NOT EXISTS (SELECT FROM ledger c WHERE c.kind = 2 AND c.corrects_id = ledger.id)"


def standing(condition: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT booked_at, use_case_id, id FROM ledger WHERE {STANDING} AND {condition} "
            "ORDER BY booked_at DESC, use_case_id DESC, id DESC"
        )
        return cursor.fetchall()


def test_every_line_that_passes_comes_exactly_once_in_both_directions_whatever_is_asked():
    names = make_names()
    make_ledger(names)
    use_case = names.use_cases["code-review"]

    cases = [
        (ask(), in_ledger()),
        (ask(filters={"use_case": ("code-review",)}), in_ledger(use_case_id=use_case)),
        (ask(filters={"rule": ("code-high",), "status": ("error",)}), in_ledger(rule="code-high", status=2)),
        (ask(filters={"model": ("gpt-5.5",), "gateway": ("batch",)}),
         in_ledger(offering__model__name="gpt-5.5", gateway__name="batch")),
        (ask(filters={"correction_of": ("2026-03",)}), in_ledger(correction_of=FIRST.date())),
        (ask(filters={"tag:cost_centre": ("4711",)}), in_ledger(tags__cost_centre="4711")),
        (ask(kind="reversal"), in_ledger(kind=2)),
        (ask(unpriced=True), standing("unpriced > 0")),
        (ask(fallback=True), standing("fallback_index <> 0")),
        (ask(slower_than_ms=60_001), standing("latency_ms >= 60001")),
        (ask(min_cost_usd=Decimal("0.05")), standing(
            "cost_usd + (SELECT coalesce(sum(c.cost_usd), 0) FROM ledger c WHERE c.kind = 3 "
            "AND c.corrects_id = ledger.id AND c.booked_at = ledger.booked_at) >= 0.05"
        )),
    ]  # fmt: skip

    for asked, expected in cases:
        assert expected, asked
        assert paged(asked) == expected, asked
        assert paged(asked, most=17, newer=True) == expected, asked
        assert paged(asked, most=3, scan=20, enough=12)[:12] == expected[:12], asked


def test_what_is_booked_between_two_pages_shifts_nothing():
    names = make_names()
    make_ledger(names)
    before = in_ledger()

    first = lines.page(ask=ask(), most=50)
    make_entry(names, at=LAST - timedelta.resolution, id=99_001)
    roll_up_again()
    second = lines.page(ask=ask(), most=50, at=first.older)
    back = lines.page(ask=ask(), most=50, at=second.newer, newer=True)

    places = [(row.place.booked_at, row.place.use_case_id, row.place.id) for row in (*first.rows, *second.rows)]
    assert places == before[:100]
    assert [row.place for row in back.rows] == [row.place for row in first.rows]
    assert back.newer == first.rows[0].place


def roll_up_again() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM rollup_15min; DELETE FROM rollup_day")
    roll_up()


def test_a_page_asks_three_times_where_the_last_days_fill_it_and_nine_times_at_most():
    names = make_names()
    make_ledger(names)

    with CaptureQueriesContext(
        connection,
    ) as near:
        page = lines.page(ask=ask(), most=50)
    with CaptureQueriesContext(connection) as far:
        rare = lines.page(ask=ask(filters={"correction_of": ("2026-03",)}), most=5, at=page.older)

    assert (len(near), len(page.rows)) == (3, 50)
    assert (len(far) <= 9, len(rare.rows)) == (True, 5), [one["sql"][:80] for one in far.captured_queries]


def test_a_page_that_reads_all_it_may_says_how_far_it_looked_and_goes_on_from_there():
    names = make_names()
    make_ledger(names)

    page = lines.page(ask=ask(filters={"tag:cost_centre": ("nobody's",)}), most=50, scan=100)

    assert page.rows == []
    assert page.looked_to is not None
    assert page.older is not None
    assert page.older.booked_at == page.looked_to < LAST
    assert paged(ask(filters={"tag:cost_centre": ("nobody's",)}), scan=100) == []


def test_a_file_has_every_line_and_refuses_what_would_read_months_of_them():
    names = make_names()
    make_ledger(names)

    rows = list(lines.every(ask=ask(), most=10_000, chunk=70))
    few = list(lines.every(ask=ask(), most=80, chunk=70))

    assert [(row.place.booked_at, row.place.use_case_id, row.place.id) for row in rows] == in_ledger()
    assert len(few) == 80
    with pytest.raises(Invalid, match="31 days at most"):
        next(lines.every(ask=ask(kind="reversal"), most=10))


def test_whether_a_list_is_longer_than_a_file_may_be_is_known_before_its_first_line(monkeypatch):
    names = make_names()
    make_ledger(names)
    monkeypatch.setattr(lines, "_COUNTED", 20)  # so that they are counted a few at a time

    a_week = {"starts_at": LAST - timedelta(days=7)}
    for asked in (ask(), ask(unpriced=True), ask(aside=True, **a_week), ask(filters={"status": ("error",)})):
        count = sum(1 for _ in lines.every(ask=asked, most=10_000))

        assert not lines.longer_than(ask=asked, most=count)
        assert count == 0 or lines.longer_than(ask=asked, most=count - 1)
    with pytest.raises(Invalid, match="31 days at most"):
        lines.longer_than(ask=ask(kind="reversal"), most=10)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"filters": {"use_case": ("nobody",)}}, "There is no use case 'nobody'"),
        ({"filters": {"modle": ("x",)}}, "There is no filter 'modle'"),
        ({"filters": {"tag:": ("x",)}}, "There is no filter 'tag:'"),
        ({"kind": "refund"}, "There is no kind 'refund'"),
        ({"kind": "reversal", "unpriced": True}, "asked of usage alone"),
        ({"ends_at": FIRST}, "The range is empty"),
        ({"ends_at": FIRST + timedelta(days=4000)}, "3700 days at most"),
    ],
)
def test_what_means_nothing_is_refused_with_a_sentence(given, sentence):
    with pytest.raises(Invalid, match=sentence):
        lines.page(ask=ask(**given), most=10)


def test_shadow_entries_are_listed_when_they_are_asked_for_and_otherwise_never():
    making.make_priced_offering()
    making.send(making.make_event(), format="native")
    making.send(making.make_event(event_id="shadow"), format="otlp")
    asked: dict[str, Any] = {"starts_at": making.NOON - making.DAY, "ends_at": making.NOON + making.DAY, "zone": "UTC"}

    summed = lines.page(ask=LinesAsk(**asked), most=10)
    aside = lines.page(ask=LinesAsk(**asked, aside=True), most=10)

    assert UnsummedEntry.objects.count() == 1
    assert "shadow" not in [row.event_id for row in summed.rows]
    assert [row.event_id for row in aside.rows] == ["shadow"]
